"""The terminal from power on to power off.

Comes in: what stands around it and outlives it, and the folder that the disk came back with. Goes out: a running
terminal: the product's own loop, till, writer, session, kernel, journal and key store, put together as
taptill/terminal/wiring does it. Strategy: every plan it makes belongs to "terminal", so that a power cut forgets it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NoReturn

from taplab.simulation.agenda import Agenda, VirtualTime
from taplab.simulation.disk import Disk
from taplab.simulation.ground import READER_URL, Ground
from taplab.simulation.journal_desk import DiskTime, SimJournalDesk
from taplab.simulation.link import SimLink
from taplab.simulation.rules import Rules
from taplab.simulation.schedule import Faults
from taplab.simulation.slip_printer import Paper, SimPrinter
from taplab.simulation.story import Story
from taplab.simulation.tap import CounterField, SimReader
from taplab.simulation.wires import Wires
from taptill.clock import SystemClock
from taptill.credential.adapters.file_keystore import FileKeyStore
from taptill.journal.adapters.sqlite import SqliteJournal, SqliteJournalReader
from taptill.terminal.effects import Answer, Effect, Tell
from taptill.terminal.events import Event
from taptill.terminal.journal_worker import JournalWriter
from taptill.terminal.loop import Loop
from taptill.terminal.till import Till
from taptill.terminal.wiring import BUILD_UNIX_MS, desk_of

TERMINAL = "terminal"
JOURNAL_NAME = "journal.sqlite"
LOG_PAGES = 60  # a day of twenty payments has to see the log shortened now and then


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What outlives the terminal's power."""

    ground: Ground
    agenda: Agenda
    time: VirtualTime
    faults: Faults
    story: Story
    disk: Disk
    wires: Wires
    counter: CounterField
    paper: Paper
    rules: Rules
    renders: bool


@dataclass(frozen=True, slots=True)
class Watch:
    """Who looks on: `effect` before each one is performed, `tell` and `answer` as the faces; `cut` ends the power."""

    effect: Callable[[Effect], None]
    tell: Callable[[Tell], None]
    answer: Callable[[Answer], None]
    cut: Callable[[], NoReturn]


class SeededEntropy:
    """The terminal's randomness."""

    def __init__(self, seed: str) -> None:
        self._random = Random(seed)

    def octets(self, count: int) -> bytes:
        return self._random.randbytes(count)


class WatchedLoop(Loop):
    """The terminal's loop, with somebody looking on."""

    def __init__(self, till: Till, clock: SystemClock, watch: Watch) -> None:
        super().__init__(till, clock, watch.tell, watch.answer)
        self._watch = watch.effect

    def perform(self, effect: Effect) -> None:
        self._watch(effect)
        super().perform(effect)


class Boot:
    """Raises TapTillError when the terminal cannot start."""

    def __init__(self, around: Surroundings, watch: Watch, directory: Path, seed: str) -> None:
        ground, agenda, faults, story = around.ground, around.agenda, around.faults, around.story
        path = directory / JOURNAL_NAME
        self._agenda = agenda
        self._ticks_at_us: int | None = None
        self.journal = SqliteJournal.open(path, lambda _: around.disk.reserve)
        self.reading = SqliteJournalReader.open(path)
        keys = FileKeyStore(directory / ground.terminal.keystore.partition(":")[2])
        clock = SystemClock(max(BUILD_UNIX_MS, self.journal.vouched_time_ms()), around.time)
        entropy = SeededEntropy(seed)
        self.desk = desk_of(ground.terminal, ground.profile, keys, ground.ca_keys, clock, entropy, self.reading)
        self.loop = WatchedLoop(Till(self.desk), clock, watch)
        self.writes = SimJournalDesk(
            lambda heard: JournalWriter(self.journal, heard, DiskTime(agenda, around.disk), log_pages=LOG_PAGES),
            around.disk,
            agenda,
            self.handle,
            around.rules.stored,
        )
        self.loop.attach(
            self.writes,
            SimLink(around.wires, ground.profile, keys, agenda, self.handle, watch.cut),
            [SimReader(READER_URL, around.counter, ground, agenda, faults, story, self.handle, watch.cut)],
            SimPrinter(around.paper, agenda, faults, story, self.handle, watch.cut, around.renders),
        )

    def post(self, event: Event) -> None:
        """The loop gets it as a happening of its own."""
        self._agenda.after(0, lambda: self.handle(event), TERMINAL)

    def handle(self, event: Event) -> None:
        """Raises TerminalStopped, PowerCut."""
        self.loop.handle(event)
        self._plan_tick()

    def close(self) -> None:
        """After the power cut, on the dead disk."""
        self.reading.close()
        self.journal.close()

    def _tick(self) -> None:
        self._ticks_at_us = None
        self.loop.tick()
        self._plan_tick()

    def _plan_tick(self) -> None:
        due_us = self.loop.next_tick_us()
        if due_us is not None and (self._ticks_at_us is None or due_us < self._ticks_at_us):
            self._ticks_at_us = due_us
            self._agenda.after(due_us - self._agenda.now_us, self._tick, TERMINAL)
