"""The story of one payment."""

from __future__ import annotations

from datetime import timedelta, timezone
from typing import TYPE_CHECKING

from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.explain import explain

if TYPE_CHECKING:
    from tests.journal.conftest import Shop


def test_a_lost_answer_is_told_from_the_tap_to_what_is_owed(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1"), shop.decided("P1", "unknown")])
    journal.append([shop.sale("P1", row="status_query"), shop.owed("P1"), shop.tried("P1", "reversal", "reversing")])
    assert explain(list(journal.records("P1"))) == [
        "2026-01-01 00:00:00.250 UTC: ¥12.50 were asked for as P1 for the cash register's till-P1. "
        "The payment is armed.",
        "2026-01-01 00:00:00.500 UTC: Card 622800******1117 was read at pn532; a sale over ¥12.50 may leave "
        "(STAN 000001, batch 1). The payment is authorizing.",
        "2026-01-01 00:00:00.750 UTC: P1/1 has no acceptable answer. The payment is unknown.",
        "2026-01-01 00:00:01.000 UTC: The host is asked what became of P1/1 (STAN 000002, batch 1). "
        "The payment is unknown.",
        "2026-01-01 00:00:01.250 UTC: The terminal owes the host a reversal of the sale over ¥12.50 "
        "(STAN 000001, batch 1) because: no answer. The payment is reversing.",
        "2026-01-01 00:00:01.500 UTC: P1/1/reversal was tried and is still owed: timeout. The payment is reversing.",
        "Owed since 2026-01-01 00:00:01.250 UTC: a reversal of the sale (P1/1/reversal), tried once, last: timeout. "
        "It waits for the host to take it.",
    ]


def test_a_finished_payment_ends_with_nothing_owed(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1"), shop.decided("P1", "approved", amount_minor=1250)])
    told = explain(list(journal.records("P1")), timezone(timedelta(hours=8), "CST"))
    assert told[-2].endswith(
        "08:00:00.750 CST: P1/1 was approved over ¥12.50 with code 00, by the host, reference 123456789012. "
        "The payment is approved."
    )
    assert told[-1] == "Nothing is open and nothing is owed."


def test_every_open_end_says_what_it_waits_for(journal: SqliteJournal, shop: Shop) -> None:
    for ref in ("P1", "P2", "P3", "P4"):
        journal.append([shop.armed(ref)])
    journal.append([shop.sale("P1"), shop.sale("P2"), shop.decided("P2", "parked")])
    journal.append([shop.owed("P3", "offline_advice"), shop.parked("P3", "offline_advice", "approved_offline")])
    journal.append([shop.owed("P4", "deferred_advice")])
    last = [explain(list(journal.records(ref)))[-1] for ref in ("P1", "P2", "P3", "P4")]
    assert "after a restart it counts as unknown" in last[0]
    assert "only the operator" in last[1]
    assert "refused it with code 30; it waits for the operator" in last[2]
    assert "the deferred authorisation (P4/1/deferred_advice), not tried yet" in last[3]


def test_an_operators_word_is_told_with_name_and_reason(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1"), shop.decided("P1", "unknown"), shop.decided("P1", "parked")])
    journal.append([shop.disposed("P1/1", "paid", "approved")])
    told = explain(list(journal.records("P1")))
    assert told[-2].endswith("Operator li signed that P1/1 was paid: said on the phone. The payment is approved.")
    assert told[-1] == "Nothing is open and nothing is owed."


def test_a_debt_sent_again_by_an_operator_waits_for_the_host(journal: SqliteJournal, shop: Shop) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1"), shop.owed("P1"), shop.parked("P1", "reversal", "parked")])
    journal.append([shop.disposed("P1/1/reversal", "send again", "reversing")])
    told = explain(list(journal.records("P1")))
    assert "signed that P1/1/reversal is to be sent again: said on the phone." in told[-2]
    assert told[-1].endswith("It waits for the host to take it.")


def test_without_records_there_is_no_story() -> None:
    assert explain([]) == []
