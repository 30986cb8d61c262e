"""The day's totals and the comparison with the host's lines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taptill.amount.money import Money
from taptill.journal import entries as e
from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.port import DebtRow, PaymentRow, Pending, TransactionRow
from taptill.journal.wire import wire_digest
from taptill.settlement.totals import KNOWN_STATES, TotalsError, TotalsLine, compare, terminal_lines, totals


def payment(
    ref: str, state: str, approved_minor: int = 0, refunded_minor: int = 0, currency: str = "CNY"
) -> PaymentRow:
    return PaymentRow(ref, "", state, 1000, currency, approved_minor, "", "", 0, 0, 1, 2, refunded_minor)


def act(ref: str, result: str, approved_minor: int, stan: int = 1, row: str = "sale") -> TransactionRow:
    return TransactionRow(
        f"{ref}/1", ref, row, result, stan, 7, 1, 1000, approved_minor, "", "", "", {}, "", "", "", 0, 1
    )


def debt(ref: str, row: str, state: str, attempts: int = 0, last_result: str = "") -> DebtRow:
    return DebtRow(f"{ref}/1/{row}", ref, f"{ref}/1", row, state, 1, 7, 1, 1000, attempts, last_result, 0, 1, None)


DAY = [
    payment("P1", "approved", 1000),
    payment("P2", "approved_offline", 1000),
    payment("P3", "approved", 600),
    payment("P4", "partially_refunded", 1000, 300),
    payment("P5", "refunded", 1000, 1000),
    payment("P6", "voided", 1000),
    payment("P7", "reversed"),
    payment("P8", "declined"),
    payment("P9", "deferred", 1000),
    payment("P10", "deferred_declined"),
    payment("P11", "unknown"),
    payment("P12", "reversing"),
    payment("P13", "cancelled"),
]


def test_the_net_sum_counts_what_stands_and_nothing_else() -> None:
    """1000 + 1000 + 600 + (1000 - 300) + (1000 - 1000), added up by hand."""
    day = totals(DAY, [])
    assert day.sales == Money(4600)
    assert day.refunds == Money(1300)
    assert day.net == Money(3300)
    assert day.at_risk == Money(1000)
    assert day.count_by_state["approved"] == 2
    assert sum(day.count_by_state.values()) == len(DAY)


def test_every_open_question_is_a_line_of_its_own() -> None:
    debts = [
        debt("P2", "offline_advice", "parked", 1, "30"),
        debt("P1", "script_result", "open", 4),
        debt("P12", "reversal", "open", 2),
        debt("P7", "reversal", "closed"),
    ]
    questions = totals(DAY, debts).open_questions
    assert [(q.payment_ref, q.debt) for q in questions] == [
        ("P9", ""),
        ("P11", ""),
        ("P12", ""),
        ("P2", "P2/1/offline_advice"),
        ("P1", "P1/1/script_result"),
    ]
    assert questions[3].why == "the host refused it with code 30; it waits for the operator"
    assert questions[4].why == "the host has not taken it yet, after 4 tries"


def test_an_empty_day_sums_to_nothing() -> None:
    day = totals([], [])
    assert (day.net, day.open_questions, dict(day.count_by_state)) == (Money(0), (), {})


def test_a_state_or_currency_that_is_not_known_is_never_left_out_in_silence() -> None:
    with pytest.raises(TotalsError, match="'balanced' is not known"):
        totals([payment("P1", "balanced", 1000)], [])
    with pytest.raises(TotalsError, match="in EUR, not CNY"):
        totals([payment("P1", "approved", 1000, currency="EUR")], [])


def test_sides_that_agree_have_no_differences() -> None:
    ours = [TotalsLine("P1", 1, 7, 1000, "approved"), TotalsLine("P2", 2, 7, 0, "reversed")]
    theirs = [TotalsLine("P1", 1, 7, 1000, "captured"), TotalsLine("P3", 3, 7, 0, "reversed")]
    assert compare(ours, theirs) == ()


def test_each_difference_is_one_sentence() -> None:
    ours = [TotalsLine("P1", 1, 7, 1000, "approved"), TotalsLine("P2", 2, 7, 0, "unknown")]
    theirs = [TotalsLine("P2", 2, 7, 1000, "captured"), TotalsLine("P3", 3, 7, 50, "captured")]
    assert [difference.sentence for difference in compare(ours, theirs)] == [
        "P1 (batch 7, STAN 000001): the terminal booked 1000 (approved), the host has no such line; "
        "a difference of 1000 minor units.",
        "P2 (batch 7, STAN 000002): the terminal booked 0 (unknown), the host booked 1000 (captured); "
        "a difference of 1000 minor units.",
        "P3 (batch 7, STAN 000003): the terminal has no such line, the host booked 50 (captured); "
        "a difference of 50 minor units.",
    ]


def test_a_line_under_another_stan_is_another_line() -> None:
    ours, theirs = TotalsLine("P1", 1, 7, 1000, "approved"), TotalsLine("P1", 2, 7, 1000, "captured")
    assert len(compare([ours], [theirs])) == 2


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(KNOWN_STATES)), st.integers(0, 10_000_000)),
        max_size=20,
    )
)
def test_the_terminals_lines_add_up_to_its_sales(day: list[tuple[str, int]]) -> None:
    rows = [payment(f"P{n}", state, approved) for n, (state, approved) in enumerate(day)]
    acts = [act(row.payment_ref, "approved", row.approved_minor, stan) for stan, row in enumerate(rows, 1)]
    lines = terminal_lines(rows, acts)
    assert Money(sum(line.amount_minor for line in lines)) == totals(rows, []).sales
    assert compare(lines, [replace(line, state="captured") for line in lines]) == ()


def test_totals_come_from_a_journal_on_the_disk(tmp_path: Path) -> None:
    """A sale approved for less, and one declined, as the journal projects them."""
    journal = SqliteJournal.open(tmp_path / "journal.db")
    for number, (result, amount) in enumerate([("approved", 700), ("declined", None)], 1):
        journal.append(sale(f"P{number}", number, result, amount))
    day = totals(journal.payments(), journal.debts())
    lines = terminal_lines(journal.payments(), journal.transactions())
    journal.close()
    assert day.net == Money(700)
    assert lines == [TotalsLine("P1", 1, 1, 700, "approved")]


def sale(ref: str, stan: int, result: str, amount_minor: int | None) -> list[Pending]:
    wire, name = b"message", f"{ref}/1"
    armed = e.PaymentArmed(
        at_ms=1,
        trust=2,
        payment_ref=ref,
        state="armed",
        client_ref="",
        amount_minor=1000,
        currency="CNY",
        request_digest="",
        expires_at_ms=9,
    )
    intended = e.ExchangeIntended(
        at_ms=2,
        trust=2,
        payment_ref=ref,
        state="authorizing",
        transaction=name,
        row="sale",
        stan=stan,
        batch=1,
        key_counter=stan,
        amount_minor=1000,
        token="",
        masked_pan="622800******1117",
        reader="",
        card_facts={},
        wire_digest=wire_digest(wire),
    )
    decided = e.TransactionDecided(
        at_ms=3,
        trust=2,
        payment_ref=ref,
        state=result,
        transaction=name,
        result=result,
        by="host",
        amount_minor=amount_minor,
    )
    return [Pending(armed), Pending(intended, wire), Pending(decided)]
