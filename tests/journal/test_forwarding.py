"""Which debts go next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taptill.journal.forwarding import DELAY_US_MAX, BackOff, ForwardingQueue, back_off
from taptill.journal.port import DebtRow

LEAST_JITTER = b"\0\0"


def debt(seq: int, payment_ref: str) -> DebtRow:
    return DebtRow(f"d{seq}", payment_ref, f"{payment_ref}/1", "reversal", "open", 1, 1, 1, 100, 0, "", 0, seq, b"wire")


def queue_of(*debts: DebtRow) -> ForwardingQueue:
    queue = ForwardingQueue()
    for each in debts:
        queue.put(each)
    return queue


A1, A2, B3, C4 = debt(1, "A"), debt(2, "A"), debt(3, "B"), debt(4, "C")


def test_debts_of_one_payment_go_in_order_and_one_at_a_time() -> None:
    queue = queue_of(A1, A2, B3)
    assert queue.take(8, 0) == [A1, B3]
    assert queue.take(8, 0) == []
    queue.answer("d1")
    assert queue.take(8, 0) == []
    queue.drop("d1")
    assert queue.take(8, 0) == [A2]


def test_no_more_leave_than_there_is_room_for_and_the_oldest_go_first() -> None:
    queue = queue_of(C4, B3, A1)
    assert queue.take(0, 0) == queue.take(-1, 0) == []
    assert queue.take(2, 0) == [A1, B3]
    assert queue.in_flight == {"d1", "d3"}


def test_what_was_answered_makes_room_and_does_not_leave_again() -> None:
    queue = queue_of(A1)
    queue.take(1, 0)
    queue.answer("d1")
    assert (queue.in_flight, queue.answered) == (set(), {"d1"})
    assert queue.take(1, DELAY_US_MAX) == []


def test_a_debt_that_backs_off_holds_up_its_own_payment_only() -> None:
    queue = queue_of(A1, A2, B3)
    queue.take(1, 0)
    queue.fail("d1", 0, LEAST_JITTER)
    assert queue.take(8, 0) == [B3]
    assert queue.look_again_us() == 500_000
    assert queue.take(8, 499_999) == []
    assert queue.take(8, 500_000) == [A1]
    assert queue.look_again_us() is None


def test_a_forgiven_wait_is_over_at_once() -> None:
    queue = queue_of(A1)
    queue.take(1, 0)
    queue.fail("d1", 0, LEAST_JITTER)
    queue.forgive("d1")
    assert queue.take(1, 0) == [A1]


def test_what_left_the_queue_while_under_way_blocks_nothing_and_may_come_back() -> None:
    queue = queue_of(A1, A2)
    queue.take(1, 0)
    queue.drop("d1")
    queue.fail("d1", 0, LEAST_JITTER)
    assert queue.take(1, 0) == [A2]
    queue.put(A1)
    queue.drop("d2")
    assert queue.take(1, 0) == [A1]


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
    """A host that takes every debt at the second try at the latest, and parks some: all leave, each payment's in order
    and never two at a time."""
    queue = queue_of(*(debt(n, f"P{who}") for n, who in enumerate(owners)))
    sent: list[DebtRow] = []
    now_us = 0
    while (taken := queue.take(window, now_us)) or (now_us := queue.look_again_us() or 0):
        assert len({each.payment_ref for each in taken}) == len(taken) <= window
        for each in taken:
            if each.created_seq in failing and queue.back_off_of(each.debt) is None:
                queue.fail(each.debt, now_us, b"\x80\x00")
            else:
                queue.drop(each.debt)
                sent += [] if each.created_seq in parked else [each]
    assert len(sent) == len(owners) - len(parked & set(range(len(owners))))
    for who in set(owners):
        numbers = [each.created_seq for each in sent if each.payment_ref == f"P{who}"]
        assert numbers == sorted(numbers)
