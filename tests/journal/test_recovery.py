"""What a restart finds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.recovery import Recovery, what_is_open

if TYPE_CHECKING:
    from tests.journal.conftest import Shop


def _found(journal: SqliteJournal) -> Recovery:
    return what_is_open(journal.open_payments(), journal.open_transactions(), journal.open_debts())


def test_a_quiet_journal_leaves_nothing_to_do(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1"), shop.decided("P1", "approved")])
    journal.append([shop.armed("P2"), shop.cancelled("P2")])
    assert _found(journal) == Recovery((), (), (), (), (), (), ())


def test_every_payment_is_found_in_its_place(shop: Shop, path: Path) -> None:
    """One of each kind, read after the file was opened again."""
    journal = SqliteJournal.open(path)
    for ref in ("armed", "intent", "unknown", "parked", "confirming", "reversing", "offline", "retry"):
        journal.append([shop.armed(ref)])
    for ref in ("intent", "unknown", "parked", "confirming", "reversing", "retry"):
        journal.append([shop.sale(ref)])
    journal.append([shop.decided("unknown", "unknown")])
    journal.append([shop.decided("parked", "parked")])
    journal.append([shop.decided("confirming", "approved", "confirming", 500)])
    journal.append([shop.owed("reversing"), shop.owed("offline", "offline_advice")])
    journal.append([shop.decided("retry", "declined", "authorizing")])
    journal.close()

    again = SqliteJournal.open(path)
    found = _found(again)
    again.close()
    assert [act.transaction for act in found.lose] == ["intent/1"]
    assert found.lose[0].wire == shop.wire("intent/1")
    assert [act.transaction for act in found.undo] == ["confirming/1"]
    assert [row.payment_ref for row in found.cancel] == ["armed", "retry"]
    assert found.unfinished == ()
    assert [act.transaction for act in found.ask] == ["unknown/1"]
    assert [act.transaction for act in found.parked] == ["parked/1"]
    assert [debt.debt for debt in found.forward] == ["reversing/1/reversal", "offline/1/offline_advice"]
    assert [debt.wire for debt in found.forward] == [shop.wire(debt.debt) for debt in found.forward]


def test_a_payment_of_which_a_part_stands_approved_is_not_cancelled(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1"), shop.decided("P1", "approved", "armed", 500)])
    found = _found(journal)
    assert found.cancel == ()
    assert [(row.payment_ref, row.approved_minor) for row in found.unfinished] == [("P1", 500)]
