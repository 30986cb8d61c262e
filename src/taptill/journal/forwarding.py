"""Which debts to send next.

Comes in: what is owed, what is under way, the window, the time and how debts fared in this run. Goes out: the debts to
send now, and when to look again.
Strategy: debts of one payment go in order, one at a time; across payments there is no order, so a stuck or parked debt
holds up nobody else (DESIGN 5.8). Back-off doubles up to a ceiling, with jitter, and lives in memory: a restart tries
at once. A network failure never parks anything and no count of tries ends a debt (DESIGN 5.7).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from taptill.journal.port import DebtRow

FIRST_DELAY_US = 1_000_000
DELAY_US_MAX = 300_000_000
JITTER_OCTETS = 2


@dataclass(frozen=True, slots=True)
class BackOff:
    """How often a debt failed in this run, and before which monotonic time it is not tried again."""

    failures: int
    not_before_us: int


@dataclass(frozen=True, slots=True)
class ForwardPlan:
    """`look_again_us` is None when nothing has to be looked at before one of those under way ends."""

    send: tuple[DebtRow, ...]
    look_again_us: int | None


def back_off(before: BackOff | None, now_us: int, jitter: bytes) -> BackOff:
    """After a failed try: half of the delay is fixed, half is spread by `jitter` (two octets), so that terminals that
    lost the same host do not come back in step."""
    failures = before.failures + 1 if before else 1
    delay_us = min(DELAY_US_MAX, FIRST_DELAY_US << min(failures - 1, DELAY_US_MAX.bit_length()))
    spread = int.from_bytes(jitter[:JITTER_OCTETS], "big") / ((1 << 8 * JITTER_OCTETS) - 1)
    return BackOff(failures, now_us + delay_us // 2 + int(delay_us / 2 * spread))


def plan_forwarding(
    debts: Iterable[DebtRow],
    in_flight: AbstractSet[str],
    window: int,
    now_us: int,
    back_offs: Mapping[str, BackOff],
) -> ForwardPlan:
    """`debts` in the order they were owed; it is read only until the window (0: the host is away) is full, so a long
    queue costs no more than a short one. `in_flight` and `back_offs` go by the debt's name."""
    room = window - len(in_flight)
    send: list[DebtRow] = []
    held_up: set[str] = set()  # payments whose earlier debt has to go first
    waits: list[int] = []
    if room <= 0:
        return ForwardPlan((), None)
    for debt in debts:
        if debt.state != "open" or debt.payment_ref in held_up:
            continue
        held_up.add(debt.payment_ref)
        if debt.debt in in_flight:
            continue
        waiting = back_offs.get(debt.debt)
        if waiting is not None and waiting.not_before_us > now_us:
            waits.append(waiting.not_before_us)
            continue
        send.append(debt)
        if len(send) == room:
            return ForwardPlan(tuple(send), None)
    return ForwardPlan(tuple(send), min(waits, default=None))
