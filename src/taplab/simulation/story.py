"""What happened in a world, one sentence each, for the person who has to find out why."""

from __future__ import annotations

from taplab.simulation.agenda import Agenda


class Story:
    """Told only when somebody listens: thousands of worlds are never read."""

    def __init__(self, agenda: Agenda, told: bool = True) -> None:
        self._agenda = agenda
        self.told = told
        self.sentences: list[str] = []

    def tell(self, sentence: str) -> None:
        if self.told:
            self.sentences.append(f"{self._agenda.now_us / 1e6:10.3f} s  {sentence}")
