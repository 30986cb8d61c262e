"""Every schedule there is, for a day of one or two payments.

Comes in: a day without faults and what happened in it. Goes out: all days with one fault, and those with a fault at a
message's boundary, or at a card's last command, and a second one at each later file operation or message.
Strategy: a run without faults says how often each thing happens and how long each frame is; the schedules follow from
that by counting. The full product of two faults is out of reach; a fault between messages and one anywhere after it is
where the money rules have to hold (facts: one payment has some 100 file operations and 700 octets on the wire).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from taplab.simulation.campaign import judge
from taplab.simulation.day import Day, Visit
from taplab.simulation.schedule import Fault, Kind, Point
from taplab.simulation.tap import COMPUTED
from taplab.simulation.world import Verdict

ONE_PAYMENT = Day(seed=0, visits=(Visit(1_250, "good_credit", pause_s=5),))
MASTERCARD = Day(seed=0, visits=(Visit(1_250, "mastercard_offline", pause_s=5),))  # ends with GENERATE AC
TWO_PAYMENTS = Day(seed=0, visits=(Visit(1_250, "good_credit", pause_s=5), Visit(4_000, "offline_funds", pause_s=5)))

_SURVIVALS = (0, 1, 2, 3)  # what of the unsynced is kept is drawn from these
_LATE_MS = (4_000, 50_000, 100_000)  # within the reply's time, while it is asked about, after it is undone
_MINUTE_MS = 60_000
_AT_BOTH = (Kind.LOST, Kind.TWICE, Kind.OVERTAKEN, Kind.HALF_OPEN)
_AT_HOST = (Kind.SILENT, Kind.BUSY, Kind.REFUSES, Kind.DUPLICATE, Kind.POISON, Kind.HOST_RESTART)
_FROM_HOST = (Kind.WRONG_MAC, Kind.FORGED_DECLINE, Kind.NONSENSE)


def single_faults(fine: Verdict) -> Iterator[Fault]:
    """All there are in the day that went `fine`: every octet, file operation, step and command, each in every way."""
    counts = fine.counts
    for nth in range(counts.get(Point.STEP, 0)):
        yield Fault(Point.STEP, nth, Kind.POWER_CUT)
        yield from (Fault(Point.STEP, nth, Kind.CLOCK_JUMP, days * 86_400_000) for days in (-400, 400))
    for nth in range(counts.get(Point.DISK, 0)):
        yield from (Fault(Point.DISK, nth, Kind.POWER_CUT, survival) for survival in _SURVIVALS)
        yield Fault(Point.DISK, nth, Kind.IO_ERROR)
        yield from (Fault(Point.DISK, nth, kind, _MINUTE_MS) for kind in (Kind.FULL, Kind.SLOW))
    for nth in range(counts.get(Point.CONNECT, 0)):
        yield from (Fault(Point.CONNECT, nth, kind) for kind in (Kind.REFUSED, Kind.HANGS, Kind.POWER_CUT))
    for nth in range(counts.get(Point.APDU, 0)):
        yield from card_faults(nth)
    for nth in range(counts.get(Point.SLIP, 0)):
        yield from (Fault(Point.SLIP, nth, kind) for kind in (Kind.PAPER_OUT, Kind.NO_CONFIRMATION, Kind.POWER_CUT))
    for point, nth, octets in _frames(fine):
        yield from message_faults(point, nth)
        for arrived in range(octets + 1):
            yield Fault(point, nth, Kind.CUT, arrived)
            yield Fault(point, nth, Kind.POWER_CUT, arrived)


def card_faults(nth: int) -> Iterator[Fault]:
    """At one command: the card leaves, or the power fails, before the card was asked or when it has done it."""
    for kind in (Kind.PULLED, Kind.POWER_CUT):
        yield from (Fault(Point.APDU, nth, kind, reached) for reached in (0, COMPUTED))


def message_faults(point: Point, nth: int) -> Iterator[Fault]:
    """What can happen to a whole message."""
    yield from (Fault(point, nth, kind) for kind in _AT_BOTH)
    yield from (Fault(point, nth, Kind.LATE, value) for value in _LATE_MS)
    yield Fault(point, nth, Kind.AWAY, 5 * _MINUTE_MS)
    if point is Point.REQUEST:
        yield from (Fault(point, nth, kind) for kind in _AT_HOST)
        yield Fault(point, nth, Kind.SLOW_HOST, 20_000)
    else:
        yield from (Fault(point, nth, kind) for kind in _FROM_HOST)


def boundary_faults(fine: Verdict) -> Iterator[Fault]:
    """First halves of pairs: a fault of each message, or the power failing just before or after it."""
    for point, nth, octets in _frames(fine):
        yield from message_faults(point, nth)
        yield from (Fault(point, nth, Kind.POWER_CUT, arrived) for arrived in (0, octets))


def second_faults(first: Fault, after_it: Verdict, every_operation: bool) -> Iterator[Fault]:
    """Second halves: what happened after `first` struck, failing too. `after_it` is the day with `first` alone."""
    for point, nth, octets in _frames(after_it):
        if point is not first.point or nth > first.nth:
            yield from (Fault(point, nth, kind) for kind in (Kind.LOST, Kind.TWICE))
            yield from (Fault(point, nth, Kind.POWER_CUT, arrived) for arrived in (0, octets))
    if every_operation:
        for nth in range(after_it.counts.get(Point.DISK, 0)):
            yield Fault(Point.DISK, nth, Kind.POWER_CUT, nth)
            yield Fault(Point.DISK, nth, Kind.IO_ERROR)


def pairs_of(day: Day, every_operation: bool) -> Iterator[Day]:
    """`day` with each boundary fault and each later one. Lives it once per boundary fault to see what comes later."""
    for first in boundary_faults(judge(day)):
        for second in second_faults(first, judge(with_faults(day, first)), every_operation):
            yield with_faults(day, first, second)


def torn_pairs_of(day: Day) -> Iterator[Day]:
    """`day` with its last card command interrupted (EMV Book C-2, 3.7), and each later message or operation failing."""
    for first in card_faults(judge(day).counts[Point.APDU] - 1):
        for second in second_faults(first, judge(with_faults(day, first)), every_operation=True):
            yield with_faults(day, first, second)


def with_faults(day: Day, *faults: Fault) -> Day:
    return replace(day, faults=faults)


def _frames(verdict: Verdict) -> Iterator[tuple[Point, int, int]]:
    """Point, number and octets of each frame."""
    counted = {Point.REQUEST: 0, Point.REPLY: 0}
    for point, octets in verdict.frames:
        yield point, counted[point], octets
        counted[point] += 1
