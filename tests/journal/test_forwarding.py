"""Which debts go next."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from taptill.journal.forwarding import DELAY_US_MAX, BackOff, back_off, plan_forwarding
from taptill.journal.port import DebtRow


def debt(name: str, payment_ref: str, state: str = "open") -> DebtRow:
    return DebtRow(name, payment_ref, f"{payment_ref}/1", "reversal", state, 1, 1, 1, 100, 0, "", 0, 1, b"wire")


A1, A2, B1, C1 = debt("a1", "A"), debt("a2", "A"), debt("b1", "B"), debt("c1", "C")


def test_debts_of_one_payment_go_in_order_and_one_at_a_time() -> None:
    plan = plan_forwarding([A1, A2, B1], frozenset(), 8, 0, {})
    assert plan.send == (A1, B1)
    assert plan_forwarding([A1, A2, B1], {"a1", "b1"}, 8, 0, {}).send == ()
    assert plan_forwarding([A2], frozenset(), 8, 0, {}).send == (A2,)


def test_the_window_counts_what_is_under_way() -> None:
    assert plan_forwarding([A1, B1, C1], {"a1"}, 2, 0, {}).send == (B1,)
    assert plan_forwarding([A1, B1, C1], frozenset(), 0, 0, {}).send == ()


def test_a_debt_that_backs_off_holds_up_its_own_payment_only() -> None:
    plan = plan_forwarding([A1, A2, B1], frozenset(), 8, 1000, {"a1": BackOff(3, 5000)})
    assert plan.send == (B1,)
    assert plan.look_again_us == 5000
    assert plan_forwarding([A1], frozenset(), 8, 5000, {"a1": BackOff(3, 5000)}).send == (A1,)


def test_a_parked_debt_blocks_nothing() -> None:
    parked = debt("a0", "A", "parked")
    assert plan_forwarding([parked, A1, B1], frozenset(), 8, 0, {}).send == (A1, B1)


def test_a_long_queue_is_read_only_until_the_window_is_full() -> None:
    read: list[int] = []

    def queue() -> Iterator[DebtRow]:
        for number in range(10_000):
            read.append(number)
            yield debt(f"d{number}", f"P{number}")

    plan_forwarding(queue(), frozenset(), 32, 0, {})
    assert len(read) == 32


@given(failures=st.integers(0, 10_000), jitter=st.binary(min_size=2, max_size=2))
def test_back_off_grows_to_a_ceiling_and_never_gives_up(failures: int, jitter: bytes) -> None:
    waiting = back_off(BackOff(failures, 0) if failures else None, 0, jitter)
    assert waiting.failures == failures + 1
    assert 500_000 <= waiting.not_before_us <= DELAY_US_MAX
    if failures >= 9:
        assert waiting.not_before_us >= DELAY_US_MAX // 2


def test_the_first_delays_double() -> None:
    """Half of 1, 2, 4 seconds with the least jitter, the whole of it with the most."""
    least = [back_off(BackOff(n, 0) if n else None, 0, b"\0\0").not_before_us for n in range(3)]
    most = [back_off(BackOff(n, 0) if n else None, 0, b"\xff\xff").not_before_us for n in range(3)]
    assert least == [500_000, 1_000_000, 2_000_000]
    assert most == [1_000_000, 2_000_000, 4_000_000]


@given(
    owners=st.lists(st.integers(0, 4), max_size=30),
    parked=st.sets(st.integers(0, 29)),
    failing=st.sets(st.integers(0, 29)),
    window=st.integers(1, 6),
)
def test_every_debt_is_sent_in_the_end(owners: list[int], parked: set[int], failing: set[int], window: int) -> None:
    """A host that takes every debt at the second try at the latest: all but the parked ones close, in order."""
    queue = [debt(f"d{n}", f"P{who}", "parked" if n in parked else "open") for n, who in enumerate(owners)]
    back_offs: dict[str, BackOff] = {}
    sent: list[DebtRow] = []
    now_us = 0
    for _ in range(1000):
        plan = plan_forwarding(queue, frozenset(), window, now_us, back_offs)
        assert len(plan.send) <= window
        if not plan.send and plan.look_again_us is None:
            break
        now_us = now_us if plan.send else plan.look_again_us or 0
        for each in plan.send:
            if int(each.debt[1:]) in failing and each.debt not in back_offs:
                back_offs[each.debt] = back_off(None, now_us, b"\x80\x00")
            else:
                queue.remove(each)
                sent.append(each)
    assert all(each.state == "parked" for each in queue)
    for who in set(owners):
        numbers = [int(each.debt[1:]) for each in sent if each.payment_ref == f"P{who}"]
        assert numbers == sorted(numbers)
