"""Which debts to send next.

Comes in: debts as they are owed, parked and closed, how tries of them ended, the window and the time. Goes out: the
debts that may leave now, and when to look again.
Strategy: debts of one payment go in order, one at a time; across payments the oldest goes first, and a stuck or parked
debt holds up nobody else's (DESIGN 5.8). Back-off doubles up to a ceiling, with jitter, and lives in memory: a restart
tries at once. A network failure never parks anything and no count of tries ends a debt (DESIGN 5.7). Nothing here looks
at the whole queue: ten thousand debts cost a step no more than ten.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from heapq import heappop, heappush

from taptill.journal.port import DebtRow

FIRST_DELAY_US = 1_000_000
DELAY_US_MAX = 300_000_000
JITTER_OCTETS = 2


@dataclass(frozen=True, slots=True)
class BackOff:
    """How often a debt failed in this run, and before which monotonic time it is not tried again."""

    failures: int
    not_before_us: int


def back_off(before: BackOff | None, now_us: int, jitter: bytes) -> BackOff:
    """After a failed try: half of the delay is fixed, half is spread by `jitter` (two octets), so that terminals that
    lost the same host do not come back in step."""
    failures = before.failures + 1 if before else 1
    delay_us = min(DELAY_US_MAX, FIRST_DELAY_US << min(failures - 1, DELAY_US_MAX.bit_length()))
    spread = int.from_bytes(jitter[:JITTER_OCTETS], "big") / ((1 << 8 * JITTER_OCTETS) - 1)
    return BackOff(failures, now_us + delay_us // 2 + int(delay_us / 2 * spread))


class ForwardingQueue:
    """Open debts only. Names that may leave stand in a heap by age, those that back off in a heap by time; a name whose
    turn is over stays in its heap until it comes to the top and is passed over there."""

    def __init__(self) -> None:
        self._open: dict[str, DebtRow] = {}
        self._lines: dict[str, list[str]] = {}  # per payment, the oldest first
        self._ready: list[tuple[int, str]] = []
        self._waiting: list[tuple[int, str]] = []
        self._in_flight: set[str] = set()
        self._answered: set[str] = set()
        self._back_offs: dict[str, BackOff] = {}

    @property
    def in_flight(self) -> AbstractSet[str]:
        """Sent, and neither answered nor given up."""
        return self._in_flight

    @property
    def answered(self) -> AbstractSet[str]:
        """What the host said of it is on its way to the disk."""
        return self._answered

    def back_off_of(self, name: str) -> BackOff | None:
        return self._back_offs.get(name)

    def put(self, debt: DebtRow) -> None:
        """A debt is open."""
        known = debt.debt in self._open
        self._open[debt.debt] = debt
        if known:
            return
        line = self._lines.setdefault(debt.payment_ref, [])
        line.append(debt.debt)
        line.sort(key=lambda name: self._open[name].created_seq)
        self._call(line[0])

    def drop(self, name: str) -> None:
        """A debt was closed or parked: the next one of its payment may go."""
        debt = self._open.pop(name, None)
        if debt is None:
            return
        self._in_flight.discard(name)
        self._answered.discard(name)
        self._back_offs.pop(name, None)
        line = self._lines[debt.payment_ref]
        line.remove(name)
        if line:
            self._call(line[0])
        else:
            del self._lines[debt.payment_ref]

    def take(self, room: int, now_us: int) -> list[DebtRow]:
        """At most `room` debts that may leave now, the oldest first; from here on they are in flight."""
        while self._waiting and self._waiting[0][0] <= now_us:
            self._call(heappop(self._waiting)[1])
        taken: list[DebtRow] = []
        while self._ready and len(taken) < room:
            _, name = heappop(self._ready)
            if self._may_leave(name, now_us):
                self._in_flight.add(name)
                taken.append(self._open[name])
        return taken

    def answer(self, name: str) -> None:
        """It makes room for another one, and does not leave again before the answer is on the disk."""
        self._in_flight.discard(name)
        self._answered.add(name)

    def fail(self, name: str, now_us: int, jitter: bytes) -> None:
        """A try ended without an answer that counts."""
        self._in_flight.discard(name)
        if name not in self._open:
            return
        waiting = self._back_offs[name] = back_off(self._back_offs.get(name), now_us, jitter)
        heappush(self._waiting, (waiting.not_before_us, name))

    def forgive(self, name: str) -> None:
        """It need not wait any longer."""
        if self._back_offs.pop(name, None) is not None:
            self._call(name)

    def look_again_us(self) -> int | None:
        """When the first of those that back off may leave, None if none does."""
        while self._waiting and not self._waits(*self._waiting[0]):
            heappop(self._waiting)
        return self._waiting[0][0] if self._waiting else None

    def _call(self, name: str) -> None:
        if name in self._open:
            heappush(self._ready, (self._open[name].created_seq, name))

    def _waits(self, at_us: int, name: str) -> bool:
        waiting = self._back_offs.get(name)
        return name not in self._in_flight and waiting is not None and waiting.not_before_us == at_us

    def _may_leave(self, name: str, now_us: int) -> bool:
        debt = self._open.get(name)
        if debt is None or name in self._in_flight or name in self._answered:
            return False
        waiting = self._back_offs.get(name)
        return self._lines[debt.payment_ref][0] == name and (waiting is None or waiting.not_before_us <= now_us)
