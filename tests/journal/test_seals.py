"""Seals: opening verifies from the last one on, `verify` all of them."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taptill.journal.adapters.sqlite import SqliteJournal, SqliteJournalReader
from taptill.journal.entries import BatchOpened, BatchSealed
from taptill.journal.port import ImpossibleEntry, JournalDamaged, Pending
from taptill.journal.seals import SEAL_ENTRIES_MAX

if TYPE_CHECKING:
    from tests.journal.conftest import Shop


def opened(shop: Shop, batch: int) -> Pending:
    shop.batch, shop.stan = batch, 1
    return Pending(BatchOpened(at_ms=shop.at_ms, trust=2, batch=batch, next_stan=1, reason="sign-on"))


def kinds(journal: SqliteJournalReader) -> list[str]:
    return [type(record.entry).__name__ for record in journal.records()]


def change(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as other, other:
        other.execute(statement, values)


@pytest.fixture
def sealed(path: Path, shop: Shop) -> Path:
    """Entries 1 to 3, a seal, a new batch in 5, entries to 8, a seal, a new batch in 10, and two more."""
    journal = SqliteJournal.open(path)
    for ref, batch in (("P1", 2), ("P2", 3)):
        journal.append([shop.armed(ref), shop.sale(ref), shop.decided(ref, "approved")])
        journal.append([opened(shop, batch)])
    journal.append([shop.armed("P3"), shop.sale("P3")])
    assert kinds(journal).index("BatchSealed") == 3
    assert kinds(journal)[8:10] == ["BatchSealed", "BatchOpened"]
    journal.close()
    return path


def test_a_new_batch_seals_all_entries_before_it_in_the_same_append(journal: SqliteJournal, shop: Shop) -> None:
    (first,) = journal.append([opened(shop, 1)])
    written = journal.append([shop.armed("P1"), opened(shop, 2), shop.armed("P2")])
    assert kinds(journal) == ["BatchOpened", "PaymentArmed", "BatchSealed", "BatchOpened", "PaymentArmed"]
    assert [record.seq for record in written] == [2, 4, 5]  # who appends is told of what he appended
    seal = list(journal.records())[2].entry
    assert isinstance(seal, BatchSealed)
    assert (seal.batch, seal.entries, seal.head) == (1, 2, written[0].digest.hex())
    assert journal.verify().count == 5
    assert first.seq == 1


def test_another_program_finds_the_seals_as_documented(sealed: Path) -> None:
    """The standard library's own SQLite, JSON and SHA-256, nothing of ours."""
    head, found = bytes(32), []
    with closing(sqlite3.connect(sealed)) as other:
        for seq, body, digest in other.execute("SELECT seq, body, digest FROM entry ORDER BY seq"):
            entry = json.loads(body)["entry"]
            if entry["kind"] == "batch_sealed":
                assert (entry["entries"], entry["head"]) == (seq - 1, head.hex())
                found.append((seq, entry["batch"], head))
            head = hashlib.sha256(head + body).digest()
            assert digest == head
        assert list(other.execute("SELECT seq, batch, head FROM seal ORDER BY seq")) == found
    assert [seq for seq, _, _ in found] == [4, 9]


def test_opening_verifies_from_the_last_seal_on(sealed: Path) -> None:
    journal = SqliteJournal.open(sealed)
    assert journal.verified_at_open == 4  # the seal itself and what stands behind it
    journal.close()


def test_a_long_batch_is_sealed_as_well(path: Path, shop: Shop) -> None:
    journal = SqliteJournal.open(path)
    for _ in range(5):
        journal.append([shop.link() for _ in range(1_000)])
    assert [index for index, kind in enumerate(kinds(journal), 1) if kind == "BatchSealed"] == [SEAL_ENTRIES_MAX + 1]
    assert journal.verify().count == 5_001
    journal.close()
    again = SqliteJournal.open(path)
    assert again.verified_at_open == 5_001 - SEAL_ENTRIES_MAX
    again.close()


def test_what_lies_before_the_last_seal_is_left_to_verify(sealed: Path) -> None:
    change(sealed, "UPDATE entry SET body = CAST(replace(CAST(body AS TEXT), ':', ': ') AS BLOB) WHERE seq = 6")
    journal = SqliteJournal.open(sealed)
    with pytest.raises(JournalDamaged, match="journal entry 6") as refusal:
        journal.verify()
    assert refusal.value.last_good_seq == 5
    journal.close()


@pytest.mark.parametrize(
    ("statement", "last_good"),
    [
        ("UPDATE seal SET head = zeroblob(32) WHERE seq = 9", 8),
        ("UPDATE seal SET batch = 7 WHERE seq = 9", 8),
        ("DELETE FROM seal WHERE seq = 9", 8),
        ("INSERT INTO seal SELECT 11, batch, head FROM seal WHERE seq = 9", 10),
        ("UPDATE entry SET body = CAST(replace(CAST(body AS TEXT), ':', ': ') AS BLOB) WHERE seq = 9", 8),
        ("UPDATE entry SET body = CAST(replace(CAST(body AS TEXT), ':', ': ') AS BLOB) WHERE seq = 11", 10),
        ("UPDATE entry SET digest = zeroblob(32) WHERE seq = 8", 7),
        ("DELETE FROM entry WHERE seq = 8", 7),
    ],
)
def test_a_damaged_last_seal_is_found_when_the_file_is_opened(sealed: Path, statement: str, last_good: int) -> None:
    change(sealed, statement)
    before = sealed.read_bytes()
    with pytest.raises(JournalDamaged) as refusal:
        SqliteJournal.open(sealed)
    assert (refusal.value.bad_seq, refusal.value.last_good_seq) == (last_good + 1, last_good)
    assert sealed.read_bytes() == before


@pytest.mark.parametrize("statement", ["UPDATE seal SET head = zeroblob(32) WHERE seq = 4", "DELETE FROM seal"])
def test_verify_looks_at_every_seal(sealed: Path, statement: str) -> None:
    change(sealed, statement)
    reader = SqliteJournalReader.open(sealed)
    with pytest.raises(JournalDamaged, match="journal entry 4: the row kept beside the seal") as refusal:
        reader.verify()
    assert refusal.value.last_good_seq == 3
    reader.close()


def test_a_seal_that_names_another_digest_is_found_though_its_own_is_right(sealed: Path) -> None:
    """Whoever can compute the chain anew cannot keep the seals."""
    with closing(sqlite3.connect(sealed)) as other, other:
        head = bytes(32)
        for seq, body in list(other.execute("SELECT seq, body FROM entry ORDER BY seq")):
            forged = body.replace(b'"approved"', b'"declined"') if seq == 3 else body
            head = hashlib.sha256(head + forged).digest()
            other.execute("UPDATE entry SET body = ?, digest = ? WHERE seq = ?", (forged, head, seq))
    reader = SqliteJournalReader.open(sealed)
    with pytest.raises(JournalDamaged, match="journal entry 4: the seal does not repeat"):
        reader.verify()
    reader.close()


def test_nobody_else_seals(journal: SqliteJournal) -> None:
    seal = BatchSealed(at_ms=1, trust=2, batch=1, entries=0, head="00" * 32)
    with pytest.raises(ImpossibleEntry, match="seals itself"):
        journal.append([Pending(seal)])
    assert kinds(journal) == []


def test_an_append_that_is_undone_takes_its_seal_with_it(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1")])
    with pytest.raises(ImpossibleEntry):
        journal.append([opened(shop, 2), shop.decided("P9", "declined")])
    assert kinds(journal) == ["PaymentArmed"]
    journal.append([opened(shop, 2)])
    assert kinds(journal) == ["PaymentArmed", "BatchSealed", "BatchOpened"]
    assert journal.verify().count == 3
