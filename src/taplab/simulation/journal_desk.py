"""The journal's writer on virtual time.

Comes in: entries from the loop. Goes out: `Recorded` or `NotRecorded`, when the disk of the world is through.
Strategy: as the product's writing thread does it: whatever waits when the disk is free goes into one commit, what
nobody waits for lets others join it, and a quiet moment empties the log. The writer itself is the product's.
"""

from __future__ import annotations

from collections.abc import Callable

from taplab.simulation.agenda import Agenda
from taplab.simulation.disk import Disk
from taplab.simulation.power import PowerCut
from taptill.journal.port import Pending, Record
from taptill.terminal.events import Event, Recorded
from taptill.terminal.journal_worker import CHECKPOINT_IDLE_S, EVENTS_GROUPED_MAX, GROUP_WAIT_S, JournalWriter, may_wait

OWNER = "terminal"


class DiskTime:
    """The monotonic time that includes what file operations took just now (for the writer's own measuring)."""

    def __init__(self, agenda: Agenda, disk: Disk) -> None:
        self._agenda = agenda
        self._disk = disk

    def monotonic_us(self) -> int:
        return self._agenda.now_us + self._disk.busy_us


class SimJournalDesk:
    """A `JournalDesk`. `stored` hears of every record the moment it is on the disk."""

    def __init__(
        self,
        make_writer: Callable[[Callable[[Event], None]], JournalWriter],
        disk: Disk,
        agenda: Agenda,
        post: Callable[[Event], None],
        stored: Callable[[tuple[Record, ...]], None],
    ) -> None:
        self._writer = make_writer(self._heard)
        self._disk = disk
        self._agenda = agenda
        self._post = post
        self._stored = stored
        self._waiting: list[tuple[Pending, ...]] = []
        self._events: list[Event] = []
        self._is_writing = False
        self._gathers = False
        self._writes = 0

    @property
    def is_idle(self) -> bool:
        return not self._is_writing and not self._waiting

    def append(self, pending: tuple[Pending, ...]) -> None:
        self._waiting.append(pending)
        if not self._is_writing:
            self._begin()

    def _begin(self) -> None:
        """At once, or when what nobody waits for has waited for others."""
        if not all(map(may_wait, self._waiting)) or len(self._waiting) >= EVENTS_GROUPED_MAX:
            self._is_writing = True
            self._agenda.after(0, self._write, OWNER)
        elif not self._gathers:
            self._gathers = True
            self._agenda.after(int(GROUP_WAIT_S * 1e6), self._gathered, OWNER)

    def _gathered(self) -> None:
        self._gathers = False
        if self._waiting and not self._is_writing:
            self._is_writing = True
            self._write()

    def _heard(self, event: Event) -> None:
        self._events.append(event)

    def _write(self) -> None:
        groups, self._waiting = self._waiting[:EVENTS_GROUPED_MAX], self._waiting[EVENTS_GROUPED_MAX:]
        self._writes += 1
        self._writer.write(groups)
        busy_us = self._through()
        events, self._events = self._events, []
        for event in events:
            if isinstance(event, Recorded):
                self._stored(tuple(event.records))
            self._agenda.after(busy_us, lambda event=event: self._post(event), OWNER)  # type: ignore[misc]
        self._agenda.after(busy_us, lambda: self._tidy(groups), OWNER)

    def _tidy(self, groups: list[tuple[Pending, ...]]) -> None:
        """What was reported has its consequences before, or while, a long log is shortened."""
        self._writer.keep_log_short(groups)
        self._agenda.after(self._through(), self._done, OWNER)

    def _done(self) -> None:
        self._is_writing = False
        if self._waiting:
            self._begin()
            return
        writes = self._writes
        self._agenda.after(int(CHECKPOINT_IDLE_S * 1e6), lambda: self._rest(writes), OWNER)

    def _rest(self, writes: int) -> None:
        if writes == self._writes and not self._is_writing:
            self._writer.checkpoint()
            self._through()

    def _through(self) -> int:
        """What the disk took. Raises PowerCut when the power failed meanwhile."""
        if self._disk.dead:
            raise PowerCut
        return self._disk.take_busy_us()
