"""Every schedule of one payment: each octet, file operation, step, card command and slip fails in every way, and each
message's fault meets each later file operation's.

`tools/simulate` explores two payments as well.
"""

from __future__ import annotations

import os
from itertools import islice

import pytest

from taplab.simulation.campaign import Tally, judge, judge_all
from taplab.simulation.day import Day
from taplab.simulation.explorer import (
    MASTERCARD,
    ONE_PAYMENT,
    TWO_PAYMENTS,
    boundary_faults,
    pairs_of,
    single_faults,
    torn_pairs_of,
    with_faults,
)
from taplab.simulation.schedule import Fault, Kind, Point
from taplab.simulation.tap import COMPUTED

JOBS = os.cpu_count() or 1


def _broken(tally: Tally) -> list[str]:
    return [f"{' and '.join(map(str, v.day.faults))}: {v.broken[0]}" for v in tally.failing]


@pytest.mark.parametrize("day", [ONE_PAYMENT, MASTERCARD], ids=["UnionPay", "Mastercard"])
def test_no_single_fault_breaks_a_rule_of_one_payment(day: Day) -> None:
    fine = judge(day)
    days = [with_faults(day, fault) for fault in single_faults(fine)]
    tally = judge_all(days, JOBS, lambda _: None)
    assert _broken(tally) == []
    assert tally.schedules == len(days) > 1_500


def test_no_pair_of_a_message_and_an_operation_breaks_a_rule_of_one_payment() -> None:
    tally = judge_all(pairs_of(ONE_PAYMENT, every_operation=True), JOBS, lambda _: None)
    assert _broken(tally) == []
    assert tally.schedules > 5_000


def test_no_fault_after_a_torn_generate_ac_breaks_a_rule() -> None:
    tally = judge_all(torn_pairs_of(MASTERCARD), JOBS, lambda _: None)
    assert _broken(tally) == []
    assert tally.schedules > 300


def test_a_torn_card_is_asked_for_what_it_has_made_and_makes_no_other() -> None:
    last = judge(MASTERCARD).counts[Point.APDU] - 1
    torn = (with_faults(MASTERCARD, Fault(Point.APDU, last, Kind.PULLED, made)) for made in (0, COMPUTED))
    asked_anew, recovered = (judge(day).counts[Point.APDU] for day in torn)
    assert recovered == asked_anew - 1


def test_single_faults_name_every_octet_and_every_operation_of_the_day() -> None:
    fine = judge(ONE_PAYMENT)
    faults = list(single_faults(fine))
    assert len(set(faults)) == len(faults)
    cuts = [fault for fault in faults if fault.kind is Kind.CUT]
    assert len(cuts) == sum(octets + 1 for _, octets in fine.frames)
    operations = {fault.nth for fault in faults if fault.point is Point.DISK}
    assert operations == set(range(fine.counts[Point.DISK]))


def test_two_payments_have_their_schedules_too() -> None:
    fine = judge(TWO_PAYMENTS)
    some = [with_faults(TWO_PAYMENTS, fault) for fault in islice(single_faults(fine), 0, None, 97)]
    assert _broken(judge_all(some, JOBS, lambda _: None)) == []
    assert sum(1 for _ in boundary_faults(fine)) > sum(1 for _ in boundary_faults(judge(ONE_PAYMENT)))
