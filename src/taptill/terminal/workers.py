"""The threads that block on behalf of the loop: the journal's writer, one per reader, the printer's.

Comes in: what the loop wants done. Goes out: events, posted when it is done. Strategy: a worker owns its device alone
and decides nothing about money. A reader is opened again, with a growing pause, whenever it is lost; a presentation is
reported once and its card has to leave before the next one counts (DESIGN 5.13).
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from taptill.card.ca_keys import CaKeyStore
from taptill.card.outcome import CardRead, Outcome, OutcomeKind
from taptill.card.parameters import Combination
from taptill.card.read_card import drive, read_card
from taptill.card.reader import CardReader, ReaderLost
from taptill.errors import TapTillError
from taptill.journal.entries import AnyEntry, DebtClosed, DebtParked, DebtTried, PaymentCancelled, TransactionDecided
from taptill.journal.port import ImpossibleEntry, Journal, JournalError, JournalStuck, Pending, Record, SpaceGone
from taptill.receipt.compose import compose
from taptill.receipt.escpos import render_escpos
from taptill.receipt.facts import Language, ReceiptFacts
from taptill.receipt.printer import Printer, PrintVerdict
from taptill.terminal.effects import RunKernel
from taptill.terminal.events import (
    CardDone,
    CardSeen,
    Event,
    NotRecorded,
    Printed,
    ProgramFault,
    ReaderChanged,
    Recorded,
    StartAgain,
)

log = logging.getLogger("taptill")

EVENTS_GROUPED_MAX = 64
GROUP_WAIT_S = 0.03  # what nobody waits for lets others join its commit for so long
CHECKPOINT_IDLE_S = 5.0
LOG_PAGES = 1_000  # of 4 KiB: a log this long is moved into the file even in a busy hour, once a payment has ended
LOG_GROWTH_MAX = 4  # and behind anything when it is so many times as long
PRINT_RETRY_S = 2.0
PRINT_TRIES_MAX = 900  # half an hour: somebody has to fetch a roll
SLIP_IMPOSSIBLE = "fault of this program"
POLL_MS = 200
DECISION_WAIT_S = 2.0
REOPEN_MIN_S = 0.2
REOPEN_MAX_S = 5.0


class Worker(Protocol):
    """Started once, stopped once."""

    thread: threading.Thread

    def stop(self) -> None:
        """Ends soon; never blocks."""


class JournalDesk(Protocol):
    """Where the loop leaves entries; `Recorded` or `NotRecorded` is posted for them later."""

    def append(self, pending: tuple[Pending, ...]) -> None:
        """Never blocks."""


class ReaderDesk(Protocol):
    """A reader as the loop uses it: nothing blocks, what happened is posted."""

    url: str

    def listen(self, payment_ref: str) -> None: ...

    def stop_listening(self) -> None: ...

    def run_kernel(self, run: RunKernel) -> None: ...


class PrinterDesk(Protocol):
    def print(self, facts: ReceiptFacts, language: Language) -> None:
        """Never blocks; `Printed` is posted later."""


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


class PrinterWorker:
    """Prints in order; a job that did not come out is tried again for a while, and its payment never notices."""

    def __init__(self, printer: Printer, post: Callable[[Event], None]) -> None:
        self._printer = printer
        self._post = post
        self._inbox: queue.SimpleQueue[tuple[ReceiptFacts, Language] | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, name="printer", daemon=True)

    def print(self, facts: ReceiptFacts, language: Language) -> None:
        self._inbox.put((facts, language))

    def stop(self) -> None:
        self._stopped.set()
        self._inbox.put(None)

    def _run(self) -> None:
        while (job := self._inbox.get()) is not None:
            facts, language = job
            try:
                verdict = self._print(render_escpos(compose(facts, language)))
            except Exception:
                log.exception("printer: no slip for payment %s", facts.payment_ref)
                verdict = SLIP_IMPOSSIBLE
            self._post(Printed(facts.payment_ref, verdict))

    def _print(self, octets: bytes) -> str:
        """Only what surely did not come out is tried again: a slip must not come out twice."""
        result = self._printer.print(octets)
        for _ in range(PRINT_TRIES_MAX):
            if result.started or result.verdict is PrintVerdict.PRINTED or self._stopped.wait(PRINT_RETRY_S):
                break
            result = self._printer.print(octets)
        return result.verdict.value


class ReaderWorker:
    """`listen`, `stop_listening` and `run_kernel` may be called from the loop's thread and never block."""

    def __init__(
        self,
        reader: CardReader,
        combinations: Sequence[Combination],
        ca_keys: CaKeyStore,
        card_timeout_ms: int,
        post: Callable[[Event], None],
    ) -> None:
        self.url = reader.url
        self._reader = reader
        self._combinations = combinations
        self._ca_keys = ca_keys
        self._card_timeout_ms = card_timeout_ms
        self._post = post
        self._listening = threading.Event()
        self._stopped = threading.Event()
        self._kernels: queue.SimpleQueue[RunKernel | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, name=f"reader {self.url}", daemon=True)

    def listen(self, payment_ref: str) -> None:
        self._listening.set()

    def stop_listening(self) -> None:
        self._listening.clear()
        self._kernels.put(None)

    def run_kernel(self, run: RunKernel) -> None:
        self._listening.clear()
        self._kernels.put(run)

    def stop(self) -> None:
        self._stopped.set()
        self._listening.set()
        self._kernels.put(None)

    def _run(self) -> None:
        pause_s = REOPEN_MIN_S
        while not self._stopped.is_set():
            try:
                self._reader.open()
                self._post(ReaderChanged(self.url, True))
                pause_s = REOPEN_MIN_S
                self._serve()
            except ReaderLost as error:
                log.warning("reader %s: %s", self.url, error)
                self._post(ReaderChanged(self.url, False, str(error)))
            except Exception as error:
                log.exception("reader %s: a fault of this program", self.url)
                self._post(ReaderChanged(self.url, False, type(error).__name__))
            finally:
                self._reader.close()
            self._answer_late_decisions()
            if self._stopped.wait(pause_s):
                return
            pause_s = min(pause_s * 2, REOPEN_MAX_S)

    def _serve(self) -> None:
        card_rests = False
        while not self._stopped.is_set():
            self._answer_late_decisions()
            if not self._listening.wait(POLL_MS / 1000):
                # Between sales the card is watched until it is gone, so that the next one is known to be another.
                card_rests = card_rests and not self._reader.wait_for_removal(POLL_MS)
                continue
            presentation = self._reader.wait_for_card(POLL_MS)
            if presentation is None:
                continue
            card_rests = True
            if not self._listening.is_set():
                continue
            self._answer_late_decisions()
            self._post(CardSeen(self.url, presentation))
            if presentation.cards_in_field == 1:
                self._await_decision()

    def _answer_late_decisions(self) -> None:
        """A kernel that was asked for after its card had been given up: the payment must not wait for it."""
        while not self._kernels.empty():
            run = self._kernels.get()
            if run is not None:
                card = CardRead(Outcome(OutcomeKind.TRY_AGAIN, reason="card-lost"))
                self._post(CardDone(self.url, run.payment_ref, card))

    def _await_decision(self) -> None:
        """The loop either wants this card read or does not; both end with the card still to be taken away."""
        try:
            run = self._kernels.get(timeout=DECISION_WAIT_S)
        except queue.Empty:
            return
        if run is not None:
            self._run_kernel(run)

    def _run_kernel(self, run: RunKernel) -> None:
        card = CardRead(Outcome(OutcomeKind.TRY_AGAIN, reason="reader-lost"))
        try:
            dialogue = read_card(run.request, self._combinations, self._ca_keys)
            card = drive(dialogue, self._reader, self._card_timeout_ms)
        finally:
            # Whatever went wrong, the payment must not be left waiting for a card that will not answer.
            self._post(CardDone(self.url, run.payment_ref, card))
