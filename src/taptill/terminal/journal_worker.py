"""The journal's single writer: what waits for the disk is committed together.

Comes in: entries from the loop. Goes out: `Recorded` or `NotRecorded`, when the disk is through. Strategy: one thread,
one commit and one sync for all that waits; what nobody waits for lets others join for a moment. Whatever else the log
needs happens behind what people wait for.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from taptill.errors import TapTillError
from taptill.journal.entries import AnyEntry, DebtClosed, DebtParked, DebtTried, PaymentCancelled, TransactionDecided
from taptill.journal.port import ImpossibleEntry, Journal, JournalError, JournalStuck, Pending, Record, SpaceGone
from taptill.terminal.events import (
    Event,
    NotRecorded,
    ProgramFault,
    Recorded,
    StartAgain,
)

log = logging.getLogger("taptill")

EVENTS_GROUPED_MAX = 64
GROUP_WAIT_S = 0.03  # what nobody waits for lets others join its commit for so long
CHECKPOINT_IDLE_S = 5.0
LOG_PAGES = 1_000  # of 4 KiB: a log this long is moved into the file even in a busy hour, once a payment has ended
LOG_GROWTH_MAX = 4  # and behind anything when it is so many times as long


class Stopwatch(Protocol):
    def monotonic_us(self) -> int: ...


class JournalWriter:
    """Appends on behalf of the loop, with one commit and one sync for all that waits, and says how long that took.
    `copied` hears of everything stored, and never blocks. From `log_pages` on the log is long."""

    def __init__(
        self,
        journal: Journal,
        post: Callable[[Event], None],
        clock: Stopwatch,
        copied: Callable[[tuple[Pending, ...], Sequence[Record]], None] | None = None,
        log_pages: int = LOG_PAGES,
    ) -> None:
        self._journal = journal
        self._post = post
        self._clock = clock
        self._copied = copied
        self._log_pages = log_pages

    def write(self, groups: Sequence[tuple[Pending, ...]]) -> None:
        """What the journal refuses is the fault of one group, and costs the others nothing. An empty group is a trial
        of the disk; beside others it has nothing to add."""
        if not groups:
            return
        pending = tuple(item for group in groups for item in group)
        try:
            recorded = self._stored(pending)
        except Exception as error:
            if len(groups) > 1 and not _is_everybodys_fault(error):
                for group in groups:
                    self.write([group])
            else:
                self._post(_not_written(pending, error))
        else:
            self._post(recorded)
            if self._copied is not None:
                self._copied(pending, recorded.records)

    def _stored(self, pending: tuple[Pending, ...]) -> Recorded:
        began_us = self._clock.monotonic_us()
        records = self._journal.append(pending)
        return Recorded(pending, records, (self._clock.monotonic_us() - began_us) // 1_000)

    def keep_log_short(self, groups: Sequence[tuple[Pending, ...]]) -> None:
        """After these groups were written and reported. Emptying the log takes several syncs, and none of them may fall
        between a tap and its request: it is done where a payment or a debt has just ended."""
        ended = all(_ends_something(each.entry) for group in groups for each in group)
        if self._journal.log_pages >= (self._log_pages if ended else LOG_GROWTH_MAX * self._log_pages):
            self._tidy(self._journal.shorten_log)

    def checkpoint(self) -> None:
        """For a quiet moment."""
        self._tidy(self._journal.checkpoint)

    def _tidy(self, act: Callable[[], None]) -> None:
        """Its failure is told in the log only: whatever is wrong with the disk shows at the next entry."""
        try:
            act()
        except TapTillError as error:
            log.warning("journal: %s", error)


def _ends_something(entry: AnyEntry) -> bool:
    """Nothing leaves for the host because of it."""
    if isinstance(entry, TransactionDecided):
        return entry.result != "unknown"
    return isinstance(entry, PaymentCancelled | DebtTried | DebtClosed | DebtParked)


def may_wait(group: tuple[Pending, ...]) -> bool:
    """How the delivery of debts ended. Until it is stored a power cut repeats the delivery, and the host knows it; the
    next debt leaves meanwhile."""
    return bool(group) and all(isinstance(each.entry, DebtClosed | DebtTried) for each in group)


class JournalWorker:
    """The journal's single writer on a thread of its own."""

    def __init__(self, writer: JournalWriter) -> None:
        self._writer = writer
        self._inbox: queue.SimpleQueue[tuple[Pending, ...] | None] = queue.SimpleQueue()
        self._written_since_checkpoint = False
        self.thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def append(self, pending: tuple[Pending, ...]) -> None:
        self._inbox.put(pending)

    def stop(self) -> None:
        self._inbox.put(None)

    def _run(self) -> None:
        stopping = False
        while not stopping:
            first = self._take()
            groups = [] if first is None else [first]
            stopping = first is None or self._gather(groups)
            self._write(groups)

    def _take(self) -> tuple[Pending, ...] | None:
        """The next to write. A quiet moment is used to empty the log file, and with it the last trace of envelopes."""
        if not self._written_since_checkpoint:
            return self._inbox.get()
        try:
            return self._inbox.get(timeout=CHECKPOINT_IDLE_S)
        except queue.Empty:
            self._written_since_checkpoint = False
            self._writer.checkpoint()
            return self._inbox.get()

    def _gather(self, groups: list[tuple[Pending, ...]]) -> bool:
        """Adds what waits, and what comes while nobody waits for any of it; whether it is time to stop."""
        until_s = time.monotonic() + GROUP_WAIT_S
        while len(groups) < EVENTS_GROUPED_MAX:
            until_s = until_s if may_wait(groups[-1]) else 0.0
            wait_s = max(0.0, until_s - time.monotonic())
            try:
                group = self._inbox.get(timeout=wait_s)
            except queue.Empty:
                return False
            if group is None:
                return True
            groups.append(group)
        return False

    def _write(self, groups: list[tuple[Pending, ...]]) -> None:
        if groups:
            self._written_since_checkpoint = True
            self._writer.write(groups)
            self._writer.keep_log_short(groups)


def _not_written(pending: tuple[Pending, ...], error: Exception) -> Event:
    if _is_the_disks_fault(error):
        log.error("journal: %s", error)
        if isinstance(error, JournalStuck):
            return StartAgain(str(error))
        return NotRecorded(pending, str(error), isinstance(error, SpaceGone))
    log.error("journal: a fault of this program", exc_info=error)
    return ProgramFault(f"the journal refuses an entry: {error}")


def _is_everybodys_fault(error: Exception) -> bool:
    """A full disk may have room for what is ended, where it has none for what begins."""
    return _is_the_disks_fault(error) and not isinstance(error, SpaceGone)


def _is_the_disks_fault(error: Exception) -> bool:
    return isinstance(error, JournalError) and not isinstance(error, ImpossibleEntry)
