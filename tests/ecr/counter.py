"""The shop of tests/terminal behind the real web server: its clock stands still, and anything can be parked in it."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from tests.terminal.parked import new_shop

from taplab.register import Register
from taptill.journal.adapters.sqlite import SqliteJournalReader
from taptill.terminal.events import DispositionOffered, Event, SendNow, WhyRequested
from taptill.terminal.front import Front
from taptill.terminal.wiring import health
from taptill.ui.ecr.app import EcrApi
from taptill.ui.serve import WebFaces


class CounterWithApi:
    """`with CounterWithApi(directory) as counter:`; one caller at a time."""

    def __init__(self, directory: Path) -> None:
        self.shop = new_shop(directory)
        journal = SqliteJournalReader.open(directory / "journal.sqlite")
        self._front = Front(self._post, journal, lambda: health(self.shop.desk))
        self._web = WebFaces(EcrApi(self._front, self.shop.desk.profile).app(), "127.0.0.1:0")
        self.url = f"http://127.0.0.1:{self._web.port}"
        self.register = Register(self.url)

    def __enter__(self) -> Self:
        self._web.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._web.stop()
        self.shop.power_cut()

    def _post(self, event: Event) -> None:
        """As the loop does, at once."""
        assert isinstance(event, DispositionOffered | SendNow | WhyRequested)
        self.shop.post(event)
        self._front.answer(self.shop.answers[event.ticket])
