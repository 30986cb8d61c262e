"""Messages in every order: no sequence of sale, query and reversal leaves money captured that nobody has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import permutations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from tests.taphost.conftest import Host

PAYMENTS = 3
CLOSES_A_REVERSAL = {"00", "12", "25"}
ORDERS = sorted(set(permutations(["sale", "sale", "reversal", "reversal", "query"])))


@pytest.mark.parametrize("row", ["sale", "offline_advice", "deferred_advice"])
def test_whatever_the_order_a_reversed_payment_is_not_captured(new_host: Callable[[], Host], row: str) -> None:
    for order in ORDERS:
        host = new_host()
        payment = host.till.pay(row)
        messages = {
            "sale": payment,
            "reversal": host.till.about("reversal", payment),
            "query": host.till.about("status_query", payment),
        }
        replies = [host.ask(messages[name]) for name in order]
        assert host.captured_minor() == 0, order
        closed = {reply.code for reply, name in zip(replies, order, strict=True) if name == "reversal"}
        assert closed <= CLOSES_A_REVERSAL, order


@pytest.mark.parametrize("sale_arrives_before", ["query", "reversal", "reversal repeated", "never", "the end"])
def test_a_terminal_that_heard_nothing_ends_in_agreement(
    new_host: Callable[[], Host], sale_arrives_before: str
) -> None:
    """The terminal's side of silence: query, take A for approved, and answer everything else with a reversal."""
    host = new_host()
    sale = host.till.pay()
    believed = "unknown"
    for step in ("query", "reversal", "reversal repeated", "the end"):
        if step == sale_arrives_before:
            host.ask(sale)
        if step == "query" and host.ask(host.till.about("status_query", sale)).original_state == "approved":
            believed = "approved"
        if step.startswith("reversal") and believed != "approved":
            assert host.ask(host.till.about("reversal", sale)).code in CLOSES_A_REVERSAL
            believed = "undone"
    assert host.captured_minor() == (1_000 if believed == "approved" else 0)
    assert believed == ("approved" if sale_arrives_before == "query" else "undone")


def test_any_mix_of_payments_is_booked_as_each_one_alone(new_host: Callable[[], Host]) -> None:
    """A payment is captured when it was asked for and no reversal of it was; a query never says otherwise."""
    act = st.tuples(st.integers(0, PAYMENTS - 1), st.sampled_from(["sale", "reversal", "query"]))

    @settings(max_examples=60, deadline=None)
    @given(acts=st.lists(act, max_size=15))
    def check(acts: list[tuple[int, str]]) -> None:
        host = new_host()
        payments = [host.till.pay(amount_minor=100 * 2**number) for number in range(PAYMENTS)]
        seen: Counter[tuple[int, str]] = Counter()
        for number, name in acts:
            asked = {"sale": payments[number]}.get(name)
            row = "status_query" if name == "query" else name
            reply = host.ask(asked or host.till.about(row, payments[number]))
            if name == "query":
                assert reply.original_state == expected_state(seen, number)
            seen[number, name] += 1
        captured = [n for n in range(PAYMENTS) if expected_state(seen, n) == "approved"]
        assert host.captured_minor() == sum(100 * 2**number for number in captured)

    check()


def expected_state(seen: Counter[tuple[int, str]], number: int) -> str:
    if seen[number, "reversal"]:
        return "reversed"
    return "approved" if seen[number, "sale"] else "not found"
