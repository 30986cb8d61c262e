"""Time in a world: what is to happen, in order, and nothing in between.

Comes in: things to do at a moment. Goes out: the same things, each at its moment; the moment is what every clock of the
world shows. Strategy: a heap; equal moments go in the order they were planned, so a run depends on nothing but its
schedule. What belongs to a machine that lost its power is forgotten by its owner.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable

from taptill.clock import Trust

MORNING_MS = 1_800_000_000_000  # 2027-01-15 08:00 UTC


class Agenda:
    """`now_us` counts from the world's beginning."""

    def __init__(self) -> None:
        self.now_us = 0
        self._planned = 0
        self._heap: list[tuple[int, int, Hashable, Callable[[], None]]] = []

    def after(self, delay_us: int, do: Callable[[], None], owner: Hashable = None) -> None:
        """Plan `do` for `delay_us` from now."""
        self._planned += 1
        heapq.heappush(self._heap, (self.now_us + max(delay_us, 0), self._planned, owner, do))

    def forget(self, owner: Hashable) -> None:
        """Nothing planned by `owner` will happen."""
        self._heap = [item for item in self._heap if item[2] != owner]
        heapq.heapify(self._heap)

    def next_us(self) -> int | None:
        return self._heap[0][0] if self._heap else None

    def run_next(self) -> bool:
        """The next thing happens; False when nothing is planned."""
        if not self._heap:
            return False
        self.now_us, _, _, do = heapq.heappop(self._heap)
        do()
        return True


class VirtualTime:
    """The machine's time in a world (a `TimeSource`). `jump_ms` is how wrong its wall clock is."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self.jump_ms = 0
        self.believed = Trust.RTC

    def monotonic_us(self) -> int:
        return self._agenda.now_us

    def wall_ms(self) -> int:
        return MORNING_MS + self._agenda.now_us // 1000 + self.jump_ms

    def trust(self) -> Trust:
        return self.believed
