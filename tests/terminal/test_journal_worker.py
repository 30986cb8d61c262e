"""The journal's writing thread on a real file: what one group of entries did wrong is not paid for by another."""

from __future__ import annotations

import hashlib
import queue
import time
from pathlib import Path

import apsw
import msgspec
import pytest

from taptill.clock import MachineTime
from taptill.journal import entries as e
from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.port import JournalError, Pending, Record
from taptill.terminal.events import Event, NotRecorded, ProgramFault, Recorded, StartAgain
from taptill.terminal.journal_worker import GROUP_WAIT_S, LOG_GROWTH_MAX, LOG_PAGES, JournalWorker, JournalWriter

ANSWER_WAIT_S = 5.0
TOGETHER_S = 0.005  # well below what the worker waits for


def _armed(payment_ref: str) -> tuple[Pending, ...]:
    entry = e.PaymentArmed(
        at_ms=1,
        trust=1,
        payment_ref=payment_ref,
        state="armed",
        client_ref=payment_ref,
        amount_minor=1,
        currency="CNY",
        request_digest="",
        expires_at_ms=2,
    )
    return (Pending(entry),)


def _owed(payment_ref: str) -> tuple[Pending, ...]:
    entry = e.DebtOwed(
        at_ms=1,
        trust=1,
        payment_ref=payment_ref,
        state="approved_offline",
        transaction=f"{payment_ref}/1",
        debt=f"{payment_ref}/1/offline_advice",
        row="offline_advice",
        reason="",
        stan=int(payment_ref),
        batch=1,
        key_counter=int(payment_ref),
        amount_minor=1,
        token="",
        masked_pan="",
        reader="",
        card_facts={},
        wire_digest=hashlib.sha256(b"advice").hexdigest(),
    )
    return (Pending(entry, b"advice"),)


def _closed(payment_ref: str) -> tuple[Pending, ...]:
    debt = f"{payment_ref}/1/offline_advice"
    return (Pending(e.DebtClosed(at_ms=1, trust=1, payment_ref=payment_ref, state="", debt=debt, code="00")),)


def _events_of(journal: SqliteJournal, *groups: tuple[Pending, ...]) -> list[Event]:
    """What the worker reports when all groups wait for it at once."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    worker = JournalWorker(JournalWriter(journal, events.put, MachineTime()))
    for group in groups:
        worker.append(group)
    worker.stop()
    worker.thread.start()
    worker.thread.join(ANSWER_WAIT_S)
    reported = []
    while not events.empty():
        reported.append(events.get())
    return reported


@pytest.fixture
def journal(tmp_path: Path) -> SqliteJournal:
    return SqliteJournal.open(tmp_path / "journal.sqlite")


def test_groups_that_wait_together_are_committed_together(journal: SqliteJournal) -> None:
    (reported,) = _events_of(journal, _armed("a"), _armed("b"), _armed("c"))
    assert isinstance(reported, Recorded)
    assert [record.seq for record in reported.records] == [1, 2, 3]


def test_an_entry_the_journal_refuses_stops_the_terminal_and_costs_the_others_nothing(journal: SqliteJournal) -> None:
    reported = _events_of(journal, _armed("a"), _armed("a"), _armed("b"))
    assert [type(event) for event in reported] == [Recorded, ProgramFault, Recorded]
    assert [row.payment_ref for row in journal.payments()] == ["a", "b"]


class _CountingJournal(SqliteJournal):
    """Says that its log is as long as it is told."""

    says_pages = 0
    shortened = 0

    @property
    def log_pages(self) -> int:
        return self.says_pages

    def shorten_log(self) -> None:
        self.shortened += 1
        super().shorten_log()


def test_a_long_log_is_shortened_where_something_has_ended_and_a_very_long_one_anywhere(tmp_path: Path) -> None:
    """Behind an arming or an intent its syncs would fall between a tap and its request."""
    journal = _CountingJournal.open(tmp_path / "journal.sqlite")
    cancelled = e.PaymentCancelled(at_ms=1, trust=1, payment_ref="a", state="cancelled", reason="cashier")
    journal.says_pages = LOG_PAGES
    _events_of(journal, _armed("a"))
    assert journal.shortened == 0
    _events_of(journal, (Pending(cancelled),), _armed("b"))
    assert journal.shortened == 0
    _events_of(journal, (Pending(msgspec.structs.replace(cancelled, payment_ref="b")),))
    assert journal.shortened == 1
    journal.says_pages = LOG_PAGES - 1
    _events_of(journal, (Pending(msgspec.structs.replace(cancelled, payment_ref="b")),))
    assert journal.shortened == 1
    journal.says_pages = LOG_GROWTH_MAX * LOG_PAGES
    _events_of(journal, _armed("c"))
    assert journal.shortened == 2


class _FullDisk(SqliteJournal):
    """A journal whose disk takes nothing."""

    def append(self, pending: object) -> list[Record]:
        raise JournalError("no space left", where="disk")


def test_a_full_disk_is_reported_for_all_that_was_to_be_written(tmp_path: Path) -> None:
    (reported,) = _events_of(_FullDisk.open(tmp_path / "journal.sqlite"), _armed("a"), _armed("b"))
    assert isinstance(reported, NotRecorded)
    assert len(reported.pending) == 2


class _NoSpace:
    """A disk that has room for what ends something and for nothing else."""

    def __init__(self, journal: Path) -> None:
        self.whole = False

    def release(self) -> bool:
        return False

    def restore(self) -> bool:
        return False


def test_a_sale_that_finds_no_space_costs_what_is_ended_beside_it_nothing(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path / "journal.sqlite", _NoSpace)
    asked = e.LinkIntended(at_ms=1, trust=1, row="echo", stan=1, batch=1, key_counter=1)
    refused, stored = _events_of(journal, _armed("a"), (Pending(asked),))
    assert isinstance(refused, NotRecorded)
    assert refused.space_gone
    assert refused.pending == _armed("a")
    assert isinstance(stored, Recorded)
    assert [record.entry for record in stored.records] == [asked]


def test_nothing_to_write_tries_the_disk(tmp_path: Path) -> None:
    (well,) = _events_of(SqliteJournal.open(tmp_path / "well.sqlite"), ())
    assert well == Recorded((), (), well.took_ms if isinstance(well, Recorded) else 0)
    (full,) = _events_of(SqliteJournal.open(tmp_path / "full.sqlite", _NoSpace), ())
    assert isinstance(full, NotRecorded)
    assert full.space_gone


def test_what_is_stored_is_told_to_the_copy_and_what_is_refused_is_not(journal: SqliteJournal) -> None:
    copied: list[tuple[Pending, ...]] = []
    clock = MachineTime()
    writer = JournalWriter(journal, lambda event: None, clock, lambda pending, records: copied.append(pending))
    writer.write([_armed("a")])
    writer.write([_armed("a")])
    assert copied == [_armed("a")]


def test_a_journal_that_holds_something_else_than_was_acknowledged_wants_a_new_start(tmp_path: Path) -> None:
    journal = SqliteJournal.open(tmp_path / "journal.sqlite")
    journal.append(_armed("a"))
    behind_its_back = apsw.Connection(str(tmp_path / "journal.sqlite"))
    behind_its_back.execute("DELETE FROM entry WHERE seq = 1")
    first, second = _events_of(journal, _armed("a")), _events_of(journal, _armed("b"))
    assert [type(event) for event in (*first, *second)] == [ProgramFault, StartAgain]


def test_what_nobody_waits_for_lets_others_join_its_commit(journal: SqliteJournal) -> None:
    journal.append([*_armed("1"), *_armed("2"), *_owed("1"), *_owed("2")])
    events: queue.Queue[Event] = queue.Queue()
    worker = JournalWorker(JournalWriter(journal, events.put, MachineTime()))
    worker.thread.start()
    for payment_ref in ("1", "2"):
        worker.append(_closed(payment_ref))
        time.sleep(TOGETHER_S)
    reported = events.get(timeout=ANSWER_WAIT_S)
    worker.stop()
    worker.thread.join(ANSWER_WAIT_S)
    assert isinstance(reported, Recorded)
    assert [pending.entry for pending in reported.pending] == [_closed("1")[0].entry, _closed("2")[0].entry]


def test_a_sale_never_waits_for_others_to_join_it(journal: SqliteJournal) -> None:
    """Behind what would have waited; the quickest of a few, because the machine may have other things to do."""
    refs = [str(number) for number in range(1, 6)]
    journal.append([pending for ref in refs for pending in (*_armed(ref), *_owed(ref))])
    events: queue.Queue[Event] = queue.Queue()
    worker = JournalWorker(JournalWriter(journal, events.put, MachineTime()))
    worker.thread.start()
    taken_s: list[float] = []
    for ref in refs:
        began_s = time.monotonic()
        worker.append(_closed(ref))
        worker.append(_armed(f"behind {ref}"))
        stored = 0
        while stored < 2:
            reported = events.get(timeout=ANSWER_WAIT_S)
            assert isinstance(reported, Recorded)
            stored += len(reported.records)
        taken_s.append(time.monotonic() - began_s)
    worker.stop()
    worker.thread.join(ANSWER_WAIT_S)
    assert min(taken_s) < GROUP_WAIT_S
