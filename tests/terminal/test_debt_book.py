"""The book of debts says what a search through all debts would say."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from taptill.journal.port import DebtRow, OfflineUse
from taptill.terminal.debt_book import DebtBook

ROWS = ("reversal", "offline_advice", "deferred_advice")
STATES = ("open", "parked", "closed")


def _debt(number: int, state: str) -> DebtRow:
    """Two debts a payment, three cards, clocks that jump."""
    return DebtRow(
        debt=f"d{number}",
        payment_ref=f"P{number // 2}",
        transaction=f"P{number // 2}/1",
        row=ROWS[number % 3],
        state=state,
        stan=number // 2 + 1,
        batch=1,
        key_counter=number,
        amount_minor=100 + number,
        attempts=0,
        last_result="",
        created_at_ms=(number * 7) % 5,
        created_seq=number,
        wire=b"wire %d" % number,
        token=f"card {number % 3}",
    )


def _searched(debts: list[DebtRow]) -> OfflineUse:
    tokens = [debt.token for debt in debts]
    return OfflineUse(
        count=len(debts),
        total_minor=sum(debt.amount_minor for debt in debts),
        oldest_at_ms=min((debt.created_at_ms for debt in debts), default=None),
        per_token_count={token: tokens.count(token) for token in set(tokens)},
    )


@given(st.lists(st.tuples(st.integers(0, 11), st.sampled_from(STATES)), max_size=60))
def test_whatever_happens_to_debts_every_look_into_the_book_agrees_with_a_search(story: list[tuple[int, str]]) -> None:
    book, owed = DebtBook(), dict[str, DebtRow]()
    for number, state in story:
        debt = _debt(number, state)
        if state != "closed" and debt.debt not in owed:
            book.put(replace(debt, state="open"))
        owed[debt.debt] = debt
        if state == "closed":
            del owed[debt.debt]
        book.put(debt)
        assert dict(book) == owed
        assert book.payments() == {each.payment_ref for each in owed.values()}
        for row in ROWS:
            assert book.standing_out(row) == _searched([each for each in owed.values() if each.row == row])
        for number_looked_at in range(12):
            looked_at = _debt(number_looked_at, "open")
            assert book.of_wire(looked_at.wire or b"") == owed.get(looked_at.debt)
    open_ones = {each.payment_ref for each in owed.values() if each.state == "open"}
    assert {each.payment_ref for each in book.queue.take(99, 0)} == open_ones
