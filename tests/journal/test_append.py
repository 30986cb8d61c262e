"""Appending: all or nothing, one writer, every setting as it should be."""

from __future__ import annotations

import hashlib
import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest
from msgspec.structs import replace

from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.adapters.sqlite_file import WRITER_SETTINGS, settle
from taptill.journal.counters import free_stan
from taptill.journal.entries import BatchOpened
from taptill.journal.port import Counters, ImpossibleEntry, JournalError, Pending

if TYPE_CHECKING:
    from tests.journal.conftest import Shop


def entries_in(path: Path) -> list[tuple[int, bytes, bytes]]:
    with closing(sqlite3.connect(path)) as other:
        return list(other.execute("SELECT seq, body, digest FROM entry ORDER BY seq"))


def test_what_was_appended_is_read_back_with_its_digest(journal: SqliteJournal, shop: Shop) -> None:
    written = journal.append([shop.armed("P1"), shop.sale("P1")])
    assert [record.seq for record in written] == [1, 2]
    assert list(journal.records()) == list(written)


def test_another_program_finds_the_chain_as_documented(journal: SqliteJournal, shop: Shop, path: Path) -> None:
    """The standard library's own SQLite and SHA-256, nothing of ours."""
    journal.append([shop.armed("P1"), shop.sale("P1")])
    journal.append([shop.decided("P1", "approved")])
    head = bytes(32)
    for seq, body, digest in entries_in(path):
        head = hashlib.sha256(head + body).digest()
        assert digest == head
        assert f'{{"seq":{seq},"entry":{{"kind":'.encode() in body


def test_the_file_says_whose_it_is(journal: SqliteJournal, path: Path) -> None:
    journal.checkpoint()
    header = path.read_bytes()[:100]
    assert header[60:64] == (2).to_bytes(4, "big")
    assert header[68:72] == b"TapT"
    assert path.stat().st_mode & 0o077 == 0


def test_every_setting_is_in_force(journal: SqliteJournal, path: Path) -> None:
    """Read over the journal's own connection: SQLite leaves settings out without a word."""
    connection = journal._connection  # the settings of a connection are seen by it alone
    found = {name: connection.execute(f"PRAGMA {name}").get for name, _ in WRITER_SETTINGS}
    assert (found["journal_mode"], found["synchronous"], found["secure_delete"]) == ("wal", 2, 1)
    assert found == dict(WRITER_SETTINGS)


def test_a_setting_that_is_not_taken_is_refused() -> None:
    """A database in memory cannot have a write-ahead log."""
    with pytest.raises(JournalError, match="journal_mode is 'memory'"):
        settle(apsw.Connection(":memory:"), WRITER_SETTINGS, "memory")


def test_a_batch_with_one_impossible_entry_leaves_nothing_behind(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1")])
    before = journal.counters()
    with pytest.raises(ImpossibleEntry, match="P9"):
        journal.append([shop.sale("P1"), shop.decided("P9", "declined")])
    assert len(list(journal.records())) == 1
    assert journal.counters() == before
    assert journal.open_transactions() == []
    journal.append([shop.sale("P1")])
    assert journal.verify().count == 2


def test_a_full_disk_is_an_error_and_the_journal_goes_on_afterwards(
    journal: SqliteJournal, shop: Shop, path: Path
) -> None:
    """The kernel itself refuses to let the log grow."""
    journal.append([shop.armed("P1")])
    with files_at_most(path.with_name(path.name + "-wal").stat().st_size + 4096), pytest.raises(JournalError):
        journal.append([shop.sale("P1")])
    assert len(list(journal.records())) == 1
    journal.append([shop.sale("P1")])
    assert journal.verify().count == 2


@contextmanager
def files_at_most(octets: int) -> Iterator[None]:
    import signal

    old_limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, old_limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old_limit)
        signal.signal(signal.SIGXFSZ, old_handler)


def test_two_terminals_never_share_a_journal(journal: SqliteJournal, path: Path) -> None:
    with pytest.raises(JournalError, match=f"another terminal writes to it .process {os.getpid()}"):
        SqliteJournal.open(path)


def test_a_closed_journal_can_be_opened_again(shop: Shop, path: Path) -> None:
    first = SqliteJournal.open(path)
    first.append([shop.armed("P1")])
    first.close()
    second = SqliteJournal.open(path)
    second.append([shop.sale("P1")])
    assert second.verify().count == 2
    second.close()


def test_a_provisioning_that_was_cut_short_is_begun_anew(path: Path) -> None:
    path.with_name(path.name + ".new").write_bytes(b"half of a")
    SqliteJournal.open(path).close()
    assert not path.with_name(path.name + ".new").exists()


def test_the_counters_move_with_what_is_used(journal: SqliteJournal, shop: Shop) -> None:
    assert journal.counters() == Counters(batch=1, next_stan=1, next_key_counter=1, next_payment=1)
    shop.key_counter = 7
    journal.append([shop.link(), shop.armed("P1"), shop.sale("P1")])
    assert journal.counters() == Counters(batch=1, next_stan=3, next_key_counter=9, next_payment=2)


def test_a_reversal_takes_no_stan_of_its_own(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1"), shop.decided("P1", "unknown")])
    before = journal.counters().next_stan
    journal.append([shop.owed("P1")])
    assert journal.counters().next_stan == before
    assert journal.open_debts()[0].stan == 1


def test_the_next_stan_passes_over_one_that_is_open_in_the_batch(journal: SqliteJournal, shop: Shop) -> None:
    """The batch is opened again at its last number: 1 is open, so 2 follows."""
    journal.append([shop.armed("P1"), shop.sale("P1")])
    opened = BatchOpened(at_ms=1, trust=2, batch=1, next_stan=999_999, reason="sign-on")
    shop.stan = 999_999
    journal.append([Pending(opened), shop.link()])
    assert journal.counters().next_stan == 2


def test_a_free_stan_is_found_around_the_end_of_the_circle() -> None:
    counters = Counters(batch=1, next_stan=999_998, next_key_counter=1, next_payment=1)
    assert free_stan(counters, frozenset()) == 999_998
    assert free_stan(counters, {999_998}) == 999_999
    assert free_stan(counters, {999_998, 999_999, 1, 2}) == 3


def test_a_stan_used_out_of_turn_does_not_turn_the_counter_back(journal: SqliteJournal, shop: Shop) -> None:
    shop.stan = 5
    journal.append([shop.link()])
    shop.stan = 3
    journal.append([shop.link()])
    assert journal.counters().next_stan == 6


def test_a_stan_that_is_open_is_refused(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1"), shop.armed("P2")])
    shop.stan = 1
    with pytest.raises(ImpossibleEntry, match="batch 1 STAN 1"):
        journal.append([shop.sale("P2")])
    shop.stan, shop.batch = 1, 2
    journal.append([shop.sale("P2")])


def test_a_debt_without_its_bytes_is_refused(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1")])
    owed = shop.owed("P1")
    with pytest.raises(ImpossibleEntry, match="without the bytes"):
        journal.append([Pending(owed.entry)])
    with pytest.raises(ImpossibleEntry, match="not those the entry names"):
        journal.append([Pending(owed.entry, b"other bytes")])
    journal.append([owed])
    assert journal.wire_of("P1/1/reversal") == owed.wire


def test_the_newest_time_that_somebody_vouched_for_is_the_floor(journal: SqliteJournal, shop: Shop) -> None:
    assert journal.vouched_time_ms() == 0
    for payment_ref, at_ms, trust in (("P1", 3_000, 2), ("P2", 9_000_000, 1), ("P3", 2_000, 3), ("P4", 8_000_000, 0)):
        journal.append([Pending(replace(shop.armed(payment_ref).entry, at_ms=at_ms, trust=trust))])
    assert journal.vouched_time_ms() == 2_000


def test_the_latest_time_stays_when_time_went_back(journal: SqliteJournal, shop: Shop) -> None:
    assert journal.last_time_ms() == 0
    journal.append([shop.armed("P1")])
    latest = shop.at_ms
    shop.at_ms -= 1_000_000
    journal.append([shop.armed("P2")])
    assert journal.last_time_ms() == latest


def test_a_long_message_comes_back_whole(journal: SqliteJournal, shop: Shop) -> None:
    from taptill.journal.entries import ExchangeIntended
    from taptill.journal.wire import wire_digest

    long = bytes(range(256)) * 20
    journal.append([shop.armed("P1")])
    sale = shop.sale("P1").entry
    assert isinstance(sale, ExchangeIntended)
    entry = ExchangeIntended(
        **{**{f: getattr(sale, f) for f in sale.__struct_fields__}, "wire_digest": wire_digest(long)}
    )
    journal.append([Pending(entry, long)])
    assert journal.wire_of("P1/1") == long
    assert journal.verify().count == 2
