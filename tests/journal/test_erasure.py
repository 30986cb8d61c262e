"""Message bytes hold the card's envelope: once nothing is owed with them they are gone from the disk's files."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from taptill.journal.adapters.sqlite import SqliteJournal

if TYPE_CHECKING:
    from tests.journal.conftest import Shop


def left_in_files(path: Path, octets: bytes) -> bool:
    files = [file for file in path.parent.iterdir() if file.name.startswith(path.name)]
    assert files
    return any(octets in file.read_bytes() for file in files)


def test_an_envelope_is_gone_once_its_debt_is_closed(journal: SqliteJournal, shop: Shop, path: Path) -> None:
    owed = shop.owed("P1", "offline_advice")
    assert owed.wire is not None
    journal.append([shop.armed("P1"), owed])
    journal.checkpoint()
    assert left_in_files(path, owed.wire)
    journal.append([shop.closed("P1", "offline_advice", "approved_offline")])
    journal.checkpoint()
    assert not left_in_files(path, b"envelope of")
    assert journal.wire_of("P1/1/offline_advice") is None


def test_an_envelope_is_gone_once_an_operator_settled_its_debt_or_sale(
    journal: SqliteJournal, shop: Shop, path: Path
) -> None:
    journal.append([shop.armed("P1"), shop.owed("P1", "offline_advice")])
    journal.append([shop.parked("P1", "offline_advice", "approved_offline")])
    journal.append([shop.armed("P2"), shop.sale("P2"), shop.decided("P2", "unknown"), shop.decided("P2", "parked")])
    journal.append([shop.disposed("P1/1/offline_advice", "send again", "approved_offline")])
    journal.append([shop.parked("P1", "offline_advice", "approved_offline")])
    journal.checkpoint()
    assert left_in_files(path, b"envelope of P1")
    assert left_in_files(path, b"envelope of P2")
    journal.append([shop.disposed("P1/1/offline_advice", "settled", "approved_offline")])
    journal.append([shop.disposed("P2/1", "not paid", "declined")])
    journal.checkpoint()
    assert not left_in_files(path, b"envelope of")
    journal.verify()


def test_nothing_of_hundreds_of_envelopes_stays_behind(journal: SqliteJournal, shop: Shop, path: Path) -> None:
    """Rows that come and go in no order: a b-tree that moved them would leave copies."""
    random, waiting = Random(7), list[str]()
    for number in range(400):
        ref = f"P{number:04d}"
        journal.append([shop.armed(ref), shop.owed(ref, "offline_advice")])
        waiting.append(ref)
        while len(waiting) > 60:
            gone = waiting.pop(random.randrange(len(waiting)))
            journal.append([shop.closed(gone, "offline_advice", "approved_offline")])
    journal.checkpoint()
    kept = {f"P{number:04d}" for number in range(400)} - set(waiting)
    assert [ref for ref in sorted(kept) if left_in_files(path, f"<envelope of {ref}".encode())] == []
    assert all(left_in_files(path, f"<envelope of {ref}".encode()) for ref in waiting)
    assert len(journal.open_debts()) == 60
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT count(*) FROM wire").fetchone()[0] <= 61  # a slot that was erased is used again
    journal.verify()
