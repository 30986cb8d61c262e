"""A journal of the format before: read and written as it is, until it is moved on."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest

from taptill.journal.adapters.migration import Migrated, migrate
from taptill.journal.adapters.schema import provision
from taptill.journal.adapters.sqlite import SqliteJournal, SqliteJournalReader
from taptill.journal.entries import BatchOpened
from taptill.journal.formats import FormatTooOld
from taptill.journal.port import JournalDamaged, JournalError, JournalForeign, Pending

if TYPE_CHECKING:
    from tests.journal.conftest import Shop

KILLS = 30


def provision_old(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = wal").fetchall()
    provision(connection, 1)
    connection.close()


@pytest.fixture
def old(path: Path, shop: Shop) -> Path:
    """A closed journal of format 1: a sale, a new batch, an open question, and two debts of which one is parked."""
    provision_old(path)
    journal = SqliteJournal.open(path)
    journal.append([shop.armed("P1"), shop.sale("P1"), shop.decided("P1", "approved")])
    shop.batch, shop.stan = 2, 1
    journal.append([Pending(BatchOpened(at_ms=shop.at_ms, trust=2, batch=2, next_stan=1, reason="sign-on"))])
    journal.append([shop.armed("P2"), shop.sale("P2"), shop.owed("P2")])
    journal.append([shop.armed("P3"), shop.owed("P3", "offline_advice")])
    journal.append([shop.parked("P3", "offline_advice", "approved_offline")])
    journal.append([shop.armed("P4"), shop.sale("P4"), shop.decided("P4", "unknown")])
    journal.close()
    return path


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(statement)


def stored(path: Path) -> list[tuple[int, bytes, bytes]]:
    with closing(sqlite3.connect(path)) as other:
        return list(other.execute("SELECT seq, body, digest FROM entry ORDER BY seq"))


def owed(journal: SqliteJournalReader) -> dict[str, bytes | None]:
    return {debt.debt: debt.wire for debt in journal.open_debts()} | {
        act.transaction: act.wire for act in journal.open_transactions()
    }


def test_a_new_journal_is_made_in_the_newest_format(journal: SqliteJournal) -> None:
    assert journal.format == 2


def test_a_journal_of_the_format_before_is_read_and_written_as_it_is(old: Path, shop: Shop) -> None:
    """Whatever it holds, the release before can take it back: no seal, no table and no kind it does not know."""
    journal = SqliteJournal.open(old)
    assert journal.format == 1
    assert journal.verified_at_open == 13
    shop.batch, shop.stan = 3, 1
    journal.append([Pending(BatchOpened(at_ms=shop.at_ms, trust=2, batch=3, next_stan=1, reason="sign-on"))])
    journal.append([shop.closed("P2", "reversal", "reversed")])
    assert journal.verify().count == 15
    journal.close()
    assert not any(b"batch_sealed" in body for _, body, _ in stored(old))
    with closing(sqlite3.connect(old)) as other:
        assert other.execute("PRAGMA user_version").fetchone() == (1,)
        tables = {name for (name,) in other.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert tables == {"entry", "wire", "payment", "act", "debt", "counter"}


def test_an_entry_the_release_before_does_not_know_is_refused_with_what_to_run(old: Path, shop: Shop) -> None:
    journal = SqliteJournal.open(old)
    disposed = shop.disposed("P3/1/offline_advice", "settled", "approved_offline")
    with pytest.raises(FormatTooOld, match=f"disposed.*taptill journal migrate {re.escape(str(old))}") as refusal:
        journal.append([disposed])
    assert refusal.value.code == 4008
    assert journal.verify().count == 13
    journal.close()
    migrate(old)
    moved = SqliteJournal.open(old)
    moved.append([disposed])
    assert moved.verify().count == 14
    moved.close()


def test_an_entry_of_a_later_kind_in_an_older_journal_is_damage(old: Path, shop: Shop, tmp_path: Path) -> None:
    newer = tmp_path / "newer"
    shutil.copy(old, newer)
    migrate(newer)
    journal = SqliteJournal.open(newer)
    journal.append([shop.disposed("P3/1/offline_advice", "settled", "approved_offline")])
    journal.close()
    change(newer, "PRAGMA user_version = 1")
    reader = SqliteJournalReader.open(newer)
    with pytest.raises(JournalDamaged, match="entry 14: format 1 has no entry of this kind"):
        reader.verify()
    reader.close()


def test_a_long_journal_without_seals_is_verified_over_its_last_entries(path: Path, shop: Shop) -> None:
    provision_old(path)
    journal = SqliteJournal.open(path)
    for _ in range(5):
        journal.append([shop.link() for _ in range(1_000)])
    journal.close()
    again = SqliteJournal.open(path)
    assert again.verified_at_open == 4_096
    again.close()


def test_a_newer_format_without_its_tables_is_damaged(old: Path) -> None:
    change(old, "PRAGMA user_version = 2")
    before = old.read_bytes()
    with pytest.raises(JournalDamaged, match="tables are not those of its format"):
        SqliteJournal.open(old)
    assert old.read_bytes() == before


class TestMoving:
    """`taptill journal migrate`."""

    def test_everything_is_as_it_was_and_the_old_file_is_kept(self, old: Path) -> None:
        before = SqliteJournalReader.open(old)
        rows, messages, entries = (before.payments(), before.transactions(), before.debts()), owed(before), stored(old)
        before.close()
        octets = old.read_bytes()
        done = migrate(old)
        after = SqliteJournalReader.open(old)
        assert (after.format, stored(old), owed(after)) == (2, entries, messages)
        assert (after.payments(), after.transactions(), after.debts()) == rows
        assert after.verify() == done.contents.verified
        after.close()
        assert done.kept is not None
        assert [name.name for name in sorted(old.parent.iterdir())] == [
            "journal.db",
            "journal.db.format1",
            "journal.db.lock",
            "journal.db.reserve",
        ]
        assert old.stat().st_mode & 0o777 == done.kept.stat().st_mode & 0o777 == 0o600
        assert done.kept.stat().st_size == len(octets)
        assert stored(done.kept) == entries

    def test_it_says_in_words_what_it_did(self, old: Path) -> None:
        text = migrate(old).as_text()
        assert re.search(r"is of format 2 now, it was of format 1: the same 13 entries .* 2 open debts", text)
        assert f"kept as {old}.format1" in text

    def test_the_kept_file_is_a_journal_the_release_before_can_take_back(self, old: Path, shop: Shop) -> None:
        kept = migrate(old).kept
        assert kept is not None
        journal = SqliteJournal.open(kept)
        assert journal.format == 1
        journal.append([shop.link()])
        assert journal.verify().count == 14
        journal.close()

    def test_the_first_append_seals_a_long_journal(self, path: Path, shop: Shop) -> None:
        provision_old(path)
        journal = SqliteJournal.open(path)
        journal.append([shop.link() for _ in range(5_000)])
        journal.close()
        migrate(path)
        moved = SqliteJournal.open(path)
        moved.append([shop.link()])
        moved.close()
        again = SqliteJournal.open(path)
        assert again.verified_at_open == 2
        assert again.verify().count == 5_002
        again.close()

    def test_a_journal_of_the_newest_format_stays_as_it_is(self, journal: SqliteJournal, path: Path) -> None:
        journal.close()
        before = path.read_bytes()
        assert migrate(path) == Migrated(path, 2, 2, migrate(path).contents, None)
        assert "nothing was changed" in migrate(path).as_text()
        assert path.read_bytes() == before

    def test_it_waits_for_the_terminal_to_stop(self, old: Path) -> None:
        terminal = SqliteJournal.open(old)
        with pytest.raises(JournalError, match="another terminal writes to it"):
            migrate(old)
        terminal.close()

    def test_it_waits_for_readers_to_go(self, old: Path) -> None:
        """A log under the old file's name would be taken for one of the new file."""
        reader = SqliteJournalReader.open(old)
        assert reader.payments()
        with pytest.raises(JournalError, match="another program holds it"):
            migrate(old)
        reader.close()
        assert migrate(old).after == 2

    def test_a_log_that_a_kill_left_behind_goes_with_it(self, old: Path, shop: Shop, tmp_path: Path) -> None:
        journal = SqliteJournal.open(old)
        journal.append([shop.link()])
        (tmp_path / "killed").mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(old.with_name(old.name + suffix), tmp_path / "killed" / (old.name + suffix))
        journal.close()
        killed = tmp_path / "killed" / old.name
        assert migrate(killed).contents.verified.count == 14
        assert not killed.with_name(killed.name + "-wal").exists()

    def test_what_an_older_migration_kept_is_not_overwritten(self, old: Path) -> None:
        old.with_name(old.name + ".format1").write_bytes(b"somebody's journal")
        with pytest.raises(JournalError, match="lies there already"):
            migrate(old)
        assert old.with_name(old.name + ".format1").read_bytes() == b"somebody's journal"

    def test_a_damaged_journal_is_not_moved(self, old: Path) -> None:
        change(old, "UPDATE payment SET approved_minor = 1 WHERE payment_ref = 'P1'")
        before = old.read_bytes()
        with pytest.raises(JournalDamaged, match="payment P1"):
            migrate(old)
        assert old.read_bytes() == before
        assert not old.with_name(old.name + ".format1").exists()

    def test_nothing_is_made_where_no_journal_is(self, tmp_path: Path) -> None:
        (tmp_path / "notes").write_text("not a database at all\n" * 20)
        for name, error, what in (("none", JournalError, "there is no journal"), ("notes", JournalForeign, "notes")):
            with pytest.raises(error, match=what):
                migrate(tmp_path / name)
        assert [path.name for path in tmp_path.iterdir()] == ["notes"]

    def test_a_kill_at_any_moment_leaves_one_whole_journal(self, old: Path, tmp_path: Path, shop: Shop) -> None:
        """Over a whole migration's length; the last one is left to end."""
        reader = SqliteJournalReader.open(old)
        messages, head = owed(reader), reader.verify()
        reader.close()
        whole_s, found = killed_after(60, copied(old, tmp_path / "whole")), set()
        for number in range(KILLS):
            path = copied(old, tmp_path / str(number))
            killed_after(whole_s * number / (KILLS - 1) if number < KILLS - 1 else 60, path)
            journal = SqliteJournal.open(path)
            found.add(journal.format)
            assert (journal.verify(), owed(journal)) == (head, messages)
            journal.append([shop.link()])
            journal.close()
            assert not list(path.parent.glob("*.new*"))
            contents = migrate(path).contents
            assert {**contents.debts, **contents.asked} == messages
        assert found == {1, 2}


def copied(old: Path, folder: Path) -> Path:
    folder.mkdir()
    return Path(shutil.copy(old, folder))


def killed_after(delay_s: float, path: Path) -> float:
    """A process that migrates `path` is killed unless it ends before. Returns how long it was left alone."""
    child = os.fork()
    if child == 0:
        try:
            migrate(path)
        finally:
            os._exit(0)
    began = time.monotonic()
    while time.monotonic() < began + delay_s and not os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        time.sleep(0.0002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return time.monotonic() - began
