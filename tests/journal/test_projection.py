"""Projections: what the entries add up to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.port import DebtRow, ImpossibleEntry, OfflineUse
from taptill.journal.projection import MemoryShelf, shelve

if TYPE_CHECKING:
    from tests.journal.conftest import Shop, Walk

steps = st.lists(st.tuples(st.integers(1, 5), st.integers(0, 59), st.booleans()), max_size=40)


def test_an_approved_sale_stands_with_its_amount(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1")])
    journal.append([shop.decided("P1", "approved", amount_minor=1000)])
    row = journal.payment_of_client("till-P1")
    assert row is not None
    assert row == journal.payment("P1")
    assert (row.state, row.amount_minor, row.approved_minor, row.masked_pan, row.reader) == (
        "approved",
        1250,
        1000,
        "622800******1117",
        "pn532",
    )
    assert (row.first_seq, row.last_seq) == (1, 3)


def test_an_intent_without_outcome_is_open_and_keeps_its_bytes(journal: SqliteJournal, shop: Shop) -> None:
    sale = shop.sale("P1")
    journal.append([shop.armed("P1"), sale])
    (found,) = journal.open_transactions()
    assert (found.transaction, found.row, found.result, found.stan, found.wire) == ("P1/1", "sale", "", 1, sale.wire)
    assert found.card_facts["9F36"] == "0042"
    journal.append([shop.decided("P1", "unknown"), shop.sale("P1", row="status_query")])
    (found,) = journal.open_transactions()
    assert (found.result, found.row, found.stan, found.wire) == ("unknown", "sale", 1, sale.wire)
    journal.append([shop.decided("P1", "declined")])
    assert journal.open_transactions() == []
    assert journal.wire_of("P1/1") is None


def test_a_reversal_takes_back_what_stood_approved(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1"), shop.decided("P1", "approved", "confirming", 500)])
    assert [act.result for act in journal.open_transactions()] == ["confirming"]
    assert journal.payments()[0].approved_minor == 500
    journal.append([shop.owed("P1", amount_minor=500)])
    assert journal.payments()[0].approved_minor == 0
    assert journal.wire_of("P1/1") is None
    journal.append([shop.tried("P1", "reversal", "reversing"), shop.closed("P1", "reversal", "reversed")])
    (debt,) = journal.debts()
    assert (debt.state, debt.attempts, debt.last_result, debt.wire) == ("closed", 1, "00", None)
    assert [act.result for act in journal.transactions("P1")] == ["reversed"]


def test_an_approval_after_the_reversal_was_owed_is_refused(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1"), shop.owed("P1")])
    with pytest.raises(ImpossibleEntry, match="approved after its reversal"):
        journal.append([shop.decided("P1", "approved")])


def test_a_second_attempt_waits_for_proof_about_the_first(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1"), shop.decided("P1", "unknown")])
    with pytest.raises(ImpossibleEntry, match="the last attempt is unknown"):
        journal.append([shop.sale("P1")])
    journal.append([shop.decided("P1", "declined", "authorizing"), shop.sale("P1")])
    (act,) = journal.open_transactions()
    assert act.result == ""
    assert len(journal.transactions()) == 1
    journal.verify()


def test_what_one_payment_owes_is_found_without_a_look_at_what_others_owe(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P0")])
    refs = [f"P{number}" for number in range(1, 301)]
    journal.append([pending for ref in refs for pending in (shop.armed(ref), shop.owed(ref, "deferred_advice"))])
    journal.append([shop.parked("P7", "deferred_advice", "deferred"), shop.closed("P8", "deferred_advice", "approved")])
    for ref in ("P0", "P7", "P8", "P300", "P301"):
        assert list(journal.open_debts(ref)) == [debt for debt in journal.open_debts() if debt.payment_ref == ref]
    assert _work(journal, None) > 20 * _work(journal, "P7")


def _work(journal: SqliteJournal, payment_ref: str | None) -> int:
    """What SQLite did to find what is owed, in tens of its steps."""
    tens = 0

    def count() -> bool:
        nonlocal tens
        tens += 1
        return False

    journal._connection.set_progress_handler(count, 10)
    journal.open_debts(payment_ref)
    journal._connection.set_progress_handler(None)
    return tens


def test_a_parked_debt_stays_owed_and_a_closed_one_stays_closed(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1"), shop.owed("P1", "offline_advice")])
    journal.append([shop.parked("P1", "offline_advice", "approved_offline")])
    assert [debt.state for debt in journal.open_debts()] == ["parked"]
    journal.append([shop.closed("P1", "offline_advice", "approved_offline", "94")])
    journal.append([shop.tried("P1", "offline_advice", "approved_offline")])
    assert [(debt.state, debt.attempts) for debt in journal.debts()] == [("closed", 0)]
    assert journal.payments()[0].approved_minor == 1250


def test_offline_use_counts_advices_the_host_has_not_taken(journal: SqliteJournal, shop: Shop) -> None:
    assert journal.offline_use() == OfflineUse(0, 0, None, {})
    for ref, row, token in (
        ("P1", "offline_advice", "aa"),
        ("P2", "deferred_advice", "aa"),
        ("P3", "offline_advice", "bb"),
        ("P4", "offline_advice", "cc"),
    ):
        journal.append([shop.armed(ref), shop.owed(ref, row, 1000, token)])
    journal.append([shop.armed("P5"), shop.sale("P5"), shop.owed("P5")])
    journal.append([shop.closed("P4", "offline_advice", "approved_offline")])
    journal.append([shop.parked("P3", "offline_advice", "approved_offline")])
    oldest = next(debt.created_at_ms for debt in journal.debts() if debt.payment_ref == "P1")
    assert journal.offline_use() == OfflineUse(3, 3000, oldest, {"aa": 2, "bb": 1})


def test_a_refused_deferred_payment_stands_with_nothing(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1"), shop.owed("P1", "deferred_advice")])
    assert journal.payments()[0].approved_minor == 1250
    journal.append([shop.closed("P1", "deferred_advice", "deferred_declined", "51")])
    assert (journal.payments()[0].state, journal.payments()[0].approved_minor) == ("deferred_declined", 0)


def test_a_parked_debt_is_sent_again_with_the_same_bytes_or_settled_for_good(
    journal: SqliteJournal, shop: Shop
) -> None:
    owed = shop.owed("P1", "offline_advice")
    journal.append([shop.armed("P1"), owed, shop.parked("P1", "offline_advice", "approved_offline")])
    journal.append([shop.disposed("P1/1/offline_advice", "send again", "approved_offline")])
    assert [(debt.state, debt.wire) for debt in journal.open_debts()] == [("open", owed.wire)]
    journal.append([shop.parked("P1", "offline_advice", "approved_offline")])
    journal.append([shop.disposed("P1/1/offline_advice", "settled", "approved_offline")])
    assert [(debt.state, debt.last_result) for debt in journal.debts()] == [("closed", "operator")]
    assert journal.payments()[0].approved_minor == 1250
    journal.verify()


def test_a_parked_reversal_that_was_settled_leaves_nothing_approved(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1"), shop.owed("P1"), shop.parked("P1", "reversal", "parked")])
    journal.append([shop.disposed("P1/1/reversal", "settled", "reversed")])
    assert [(act.result, act.approved_minor) for act in journal.transactions("P1")] == [("reversed", 0)]
    assert (journal.payments()[0].state, journal.payments()[0].approved_minor) == ("reversed", 0)
    journal.verify()


@pytest.mark.parametrize(
    ("decision", "state", "approved_minor"), [("paid", "approved", 1250), ("not paid", "declined", 0)]
)
def test_a_parked_transaction_ends_as_the_operator_says(
    journal: SqliteJournal, shop: Shop, decision: str, state: str, approved_minor: int
) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1"), shop.decided("P1", "unknown"), shop.decided("P1", "parked")])
    journal.append([shop.disposed("P1/1", decision, state)])
    (act,) = journal.transactions("P1")
    assert (act.result, act.approved_minor, act.code, act.is_open) == (state, approved_minor, "operator", False)
    assert journal.payments()[0].approved_minor == approved_minor
    assert journal.wire_of("P1/1") is None
    assert journal.open_transactions() == []
    journal.verify()


@pytest.mark.parametrize(
    ("decision", "state", "approved_minor"), [("settled", "approved", 1250), ("not paid", "deferred_declined", 0)]
)
def test_a_parked_deferred_payment_ends_either_way(
    journal: SqliteJournal, shop: Shop, decision: str, state: str, approved_minor: int
) -> None:
    journal.append([shop.armed("P1"), shop.owed("P1", "deferred_advice")])
    journal.append([shop.parked("P1", "deferred_advice", "deferred")])
    journal.append([shop.disposed("P1/1/deferred_advice", decision, state)])
    assert [act.result for act in journal.transactions("P1")] == [state]
    assert journal.payments()[0].approved_minor == approved_minor
    assert journal.open_debts() == []


@pytest.mark.parametrize("decision", ["send again", "settled", "paid", "not paid", "forget it"])
@pytest.mark.parametrize("target", ["P1/1", "P2/1", "P3/1/reversal", "P3/1", "P4/1", "P4/1/offline_advice", "P5/1"])
def test_what_is_not_parked_cannot_be_disposed_of(
    journal: SqliteJournal, shop: Shop, target: str, decision: str
) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1"), shop.decided("P1", "unknown")])
    journal.append([shop.armed("P2"), shop.sale("P2"), shop.decided("P2", "approved")])
    journal.append([shop.armed("P3"), shop.sale("P3"), shop.owed("P3")])
    journal.append([shop.armed("P4"), shop.owed("P4", "offline_advice")])
    journal.append([shop.parked("P4", "offline_advice", "approved_offline")])
    journal.append([shop.closed("P4", "offline_advice", "approved_offline")])
    journal.append([shop.armed("P5")])
    with pytest.raises(ImpossibleEntry, match=target):
        journal.append([shop.disposed(target, decision, "approved")])
    journal.verify()


@pytest.mark.parametrize(
    ("target", "decision"),
    [
        ("P1/1/reversal", "paid"),
        ("P1/1/reversal", "not paid"),
        ("P1/1", "paid"),
        ("P2/1", "settled"),
        ("P2/1", "send again"),
    ],
)
def test_what_is_parked_takes_only_its_own_decisions(
    journal: SqliteJournal, shop: Shop, target: str, decision: str
) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1"), shop.owed("P1"), shop.parked("P1", "reversal", "parked")])
    journal.append([shop.armed("P2"), shop.sale("P2"), shop.decided("P2", "unknown"), shop.decided("P2", "parked")])
    with pytest.raises(ImpossibleEntry, match=f"cannot be '{decision}'"):
        journal.append([shop.disposed(target, decision, "approved")])


@settings(max_examples=60, deadline=None)
@given(steps=steps)
def test_any_day_projects_the_same_entry_by_entry_in_batches_and_from_nothing(
    new_walk: type[Walk], steps: list[tuple[int, int, bool]]
) -> None:
    walk = new_walk()
    with TemporaryDirectory() as folder:
        journal = SqliteJournal.open(Path(folder) / "journal.db")
        batch = []
        for payment, choice, cut in steps:
            batch.append(walk.step(payment, choice))
            if cut:
                journal.append(batch)
                batch = []
        journal.append(batch)
        shelf = MemoryShelf()
        for record in journal.records():
            shelve(shelf, record.seq, record.entry)
        assert list(journal.payments()) == list(shelf.payments.values())
        assert list(journal.transactions()) == list(shelf.transactions.values())
        assert [without_wire(debt) for debt in journal.debts()] == list(shelf.debts.values())
        assert journal.counters() == shelf.counters()
        assert {row.payment_ref: row.state for row in journal.payments()} == walk.states
        assert {debt.payment_ref: debt.state for debt in journal.debts()} == walk.debt_states
        assert all((debt.wire is not None) == debt.is_open for debt in journal.debts())
        assert journal.verify().count == len(steps)
        journal.close()


def without_wire(debt: DebtRow) -> DebtRow:
    return replace(debt, wire=None)


def test_a_key_finds_the_one_payment_it_made(journal: SqliteJournal, shop: Shop) -> None:
    armed = shop.armed("P1")
    journal.append([replace(armed, entry=msgspec.structs.replace(armed.entry, idempotency_key="key-1"))])
    assert journal.payment_of_key("key-1") == journal.payment("P1")
    assert journal.payment_of_key("key-2") is None
    assert journal.payment_of_key("") is None
