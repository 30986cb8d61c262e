"""A file that is not a sound journal is refused with its place, and stays as it is."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from taptill.journal.adapters.sqlite import SqliteJournal, SqliteJournalReader
from taptill.journal.chain import StoredEntry, link, verify_chain
from taptill.journal.entries import BatchOpened
from taptill.journal.port import JournalDamaged, JournalError, JournalForeign, Pending

if TYPE_CHECKING:
    from tests.journal.conftest import Shop, Walk

FLIPS = 150


@pytest.fixture
def day(path: Path, new_walk: type[Walk]) -> Path:
    """A closed journal of 80 entries with something open in it."""
    walk, random = new_walk(), Random(3)
    journal = SqliteJournal.open(path)
    for _ in range(80):
        journal.append([walk.step(random.randrange(12), random.randrange(60))])
    assert journal.open_debts()
    journal.close()
    return path


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(statement)


def verified(path: Path) -> None:
    reader = SqliteJournalReader.open(path)
    try:
        reader.verify()
    finally:
        reader.close()


def test_a_changed_entry_is_named_with_the_last_good_one(day: Path) -> None:
    change(day, "UPDATE entry SET body = CAST(replace(CAST(body AS TEXT), ':', ': ') AS BLOB) WHERE seq IN (17, 60)")
    with pytest.raises(JournalDamaged) as refusal:
        verified(day)
    assert (refusal.value.bad_seq, refusal.value.last_good_seq) == (17, 16)
    assert "entry 17" in str(refusal.value)


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("DELETE FROM entry WHERE seq = 30", "journal entry 30"),
        ("DELETE FROM entry WHERE seq > 70", "head"),
        ("UPDATE payment SET approved_minor = 1 WHERE payment_ref = 'P1'", "payment P1"),
        ("DELETE FROM debt WHERE created_seq = (SELECT min(created_seq) FROM debt)", "debt P"),
        ("UPDATE counter SET next_stan = 1", "counters"),
        ("UPDATE debt SET wire_id = NULL WHERE state <> 'closed'", "debt P"),
        ("UPDATE wire SET octets = zeroblob(1000)", "journal wire slot"),
        ("UPDATE wire SET octets = CAST(printf('%01000d', 0) AS BLOB) WHERE slot = 32", "journal wire"),
        ("UPDATE act SET stan = stan + 1 WHERE intended_seq = (SELECT min(intended_seq) FROM act)", "transaction P"),
    ],
)
def test_a_row_that_does_not_follow_from_the_entries_is_named(day: Path, statement: str, place: str) -> None:
    change(day, statement)
    with pytest.raises(JournalDamaged, match=place):
        verified(day)


def test_flipped_bits_are_found_or_change_nothing(day: Path) -> None:
    """One bit at a time, all over the file: either it is found, or everything that can be read is as it was."""
    sound, random, found = day.read_bytes(), Random(11), 0
    reader = SqliteJournalReader.open(day)
    before = (list(reader.records()), reader.payments(), reader.debts(), reader.counters(), reader.offline_use())
    reader.close()
    for _ in range(FLIPS):
        at = random.randrange(len(sound))
        octets = bytearray(sound)
        octets[at] ^= 1 << random.randrange(8)
        day.write_bytes(octets)
        try:
            verified(day)
        except JournalError:
            found += 1
            continue
        reader = SqliteJournalReader.open(day)
        after = (list(reader.records()), reader.payments(), reader.debts(), reader.counters(), reader.offline_use())
        reader.close()
        assert after == before, f"bit flip at {at}"
    assert found > FLIPS // 3


@pytest.mark.parametrize("size", [0, 1, 15, 16, 99, 100, 511, 512, 4095, 4096, 4097, 8192, -8192, -4097, -4096, -1])
def test_a_truncated_file_is_refused_and_left_alone(day: Path, size: int) -> None:
    """Within SQLite's header, within and between pages, at the end; negative sizes count from there."""
    rest = day.read_bytes()[: size or None] if size else b""
    day.write_bytes(rest)
    with pytest.raises(JournalDamaged, match="keep the file"):
        SqliteJournal.open(day).verify()
    with pytest.raises(JournalDamaged, match="keep the file"):
        verified(day)
    assert day.read_bytes() == rest


@pytest.mark.parametrize(
    ("table", "column", "condition", "place", "last_good"),
    [
        ("entry", "body", "seq = 40", "journal entry 40", 39),
        ("entry", "digest", "seq = 40", "journal entry 40", 39),
        ("seal", "head", "seq = 81", "journal entry 81", 80),
        ("payment", "masked_pan", "masked_pan <> ''", "payment P", None),
        ("debt", "token", "name LIKE 'P%'", "debt P", None),
        ("wire", "substr(octets, 7, 20)", "substr(octets, 1, 2) <> x'0000'", "message of P", None),
    ],
)
def test_one_flipped_bit_is_named_by_what_it_hit(
    day: Path, table: str, column: str, condition: str, place: str, last_good: int | None
) -> None:
    """The bit is found in the file by what SQLite says stands there."""
    journal = SqliteJournal.open(day)
    journal.append([Pending(BatchOpened(at_ms=1, trust=2, batch=2, next_stan=1, reason="sign-on"))])
    journal.close()
    with closing(sqlite3.connect(day)) as other:
        (value,) = other.execute(f"SELECT CAST({column} AS BLOB) FROM {table} WHERE {condition} LIMIT 1").fetchone()
        (root,) = other.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    octets = bytearray(day.read_bytes())
    page = (root - 1) * 4096 if table not in {"entry", "wire"} else 0
    octets[octets.index(value, page) + len(value) // 2] ^= 1
    day.write_bytes(octets)
    with pytest.raises(JournalDamaged, match=place) as refusal:
        verified(day)
    assert refusal.value.last_good_seq == last_good
    assert day.read_bytes() == octets


@pytest.mark.parametrize("release", [0, 3, 99])
def test_a_journal_of_no_release_this_one_reads_is_refused_and_left_alone(day: Path, release: int) -> None:
    change(day, f"PRAGMA user_version = {release}")
    before = day.read_bytes()
    for opening in (SqliteJournal.open, SqliteJournalReader.open):
        with pytest.raises(JournalForeign, match=f"release {release} .* reads 1 to 2"):
            opening(day)
    assert day.read_bytes() == before


def test_a_file_of_another_program_is_refused_and_left_alone(path: Path, tmp_path: Path) -> None:
    change(path, "CREATE TABLE diary (day TEXT)")
    (tmp_path / "notes.txt").write_text("not a database at all\n" * 20)
    for foreign in (path, tmp_path / "notes.txt"):
        before = foreign.read_bytes()
        for opening in (SqliteJournal.open, SqliteJournalReader.open):
            with pytest.raises(JournalForeign, match="nothing was changed"):
                opening(foreign)
        assert foreign.read_bytes() == before


def test_a_log_without_its_file_is_not_papered_over(path: Path, shop: Shop) -> None:
    journal = SqliteJournal.open(path)
    journal.append([shop.armed("P1")])
    shutil.copy(path.with_name(path.name + "-wal"), path.with_name("kept"))
    journal.close()
    path.unlink()
    path.with_name("kept").rename(path.with_name(path.name + "-wal"))
    with pytest.raises(JournalDamaged, match="write-ahead log is still there"):
        SqliteJournal.open(path)
    assert not path.exists()


def test_there_is_nothing_to_read_where_no_journal_is(path: Path) -> None:
    with pytest.raises(JournalError):
        SqliteJournalReader.open(path)
    assert not path.exists()


def test_a_journal_that_lost_its_last_entries_does_not_open(day: Path) -> None:
    change(day, "DELETE FROM entry WHERE seq > 70")
    with pytest.raises(JournalDamaged, match="entries after 70 are missing"):
        SqliteJournal.open(day)


def test_an_entry_under_another_number_is_found_though_its_digest_is_right(day: Path) -> None:
    reader = SqliteJournalReader.open(day)
    first, second = reader.stored(1, 2)
    reader.close()
    forged = StoredEntry(2, first.body, link(first.digest, first.body))
    assert second.seq == 2
    with pytest.raises(JournalDamaged, match="carry the number 1"):
        verify_chain([first, forged])


def test_the_chain_alone_names_moved_and_renumbered_entries(day: Path) -> None:
    reader = SqliteJournalReader.open(day)
    rows = list(reader.stored())
    reader.close()
    assert verify_chain(rows).count == 80
    assert verify_chain(rows[40:], verify_chain(rows[:40])) == verify_chain(rows)
    swapped = [*rows[:9], rows[10], rows[9], *rows[11:]]
    renumbered = [*rows[:9], StoredEntry(10, rows[10].body, rows[10].digest), *rows[10:]]
    for bad in (swapped, renumbered):
        with pytest.raises(JournalDamaged) as refusal:
            verify_chain(bad)
        assert (refusal.value.bad_seq, refusal.value.last_good_seq) == (10, 9)
