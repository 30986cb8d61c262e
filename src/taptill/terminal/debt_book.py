"""What is owed to the host, found by whatever is asked about it.

Comes in: debts as they are owed, tried, parked and closed (`put`, the one way to change it). Goes out: the rows by
name, by their bytes and by payment; what stands out per kind and card; the queue of those that may leave.
Strategy: every sum is kept as it changes, so that a sale, a delivery and a look at the terminal's health cost the same
with ten thousand debts as with ten. Parked debts stay in every sum: the host has not taken them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from heapq import heappop, heappush

from taptill.journal.forwarding import ForwardingQueue
from taptill.journal.port import DebtRow, OfflineUse


class _Sum:
    """What stands out in one row of the host's profile."""

    def __init__(self) -> None:
        self.count = 0
        self.total_minor = 0
        self.tokens: Counter[str] = Counter()
        self.ages: list[tuple[int, str]] = []  # a heap; who left is passed over at its top

    def add(self, debt: DebtRow, sign: int) -> None:
        self.count += sign
        self.total_minor += sign * debt.amount_minor
        self.tokens[debt.token] += sign
        if not self.tokens[debt.token]:
            del self.tokens[debt.token]


class DebtBook(Mapping[str, DebtRow]):
    """Open and parked debts by name, in the order they came."""

    def __init__(self) -> None:
        self.queue = ForwardingQueue()
        self._rows: dict[str, DebtRow] = {}
        self._of_wire: dict[bytes, str] = {}
        self._of_payment: dict[str, list[str]] = {}
        self._sums: defaultdict[str, _Sum] = defaultdict(_Sum)

    def __getitem__(self, name: str) -> DebtRow:
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def put(self, debt: DebtRow) -> None:
        """The debt as it is now; a closed one leaves the book."""
        before = self._rows.get(debt.debt)
        if debt.is_open:
            self._rows[debt.debt] = debt
            if before is None:
                self._enter(debt)
        elif before is not None:
            self._leave(before)
        if debt.state == "open":
            self.queue.put(debt)
        else:
            self.queue.drop(debt.debt)

    def of_wire(self, wire: bytes) -> DebtRow | None:
        """The debt these bytes were kept for."""
        name = self._of_wire.get(wire)
        return None if name is None else self._rows[name]

    def of_payment(self, payment_ref: str) -> tuple[DebtRow, ...]:
        """In the order they were owed; empty when nothing of it is owed."""
        return tuple(self._rows[name] for name in self._of_payment.get(payment_ref, ()))

    def payments(self) -> AbstractSet[str]:
        """Payments that owe something."""
        return self._of_payment.keys()

    def standing_out(self, row: str) -> OfflineUse:
        """What the host has not taken of one row of its profile. Safe to call from another thread, except that
        `per_token_count` goes on changing."""
        found = self._sums.get(row)
        if found is None:
            return OfflineUse(0, 0, None, {})
        return OfflineUse(found.count, found.total_minor, self._oldest_at_ms(found), found.tokens)

    def total_minor(self, row: str) -> int:
        """The money that stands out in one row, also for other threads."""
        found = self._sums.get(row)
        return found.total_minor if found else 0

    def _enter(self, debt: DebtRow) -> None:
        assert debt.wire is not None, "an open debt keeps its bytes"
        self._of_wire[debt.wire] = debt.debt
        self._of_payment.setdefault(debt.payment_ref, []).append(debt.debt)
        self._sums[debt.row].add(debt, 1)
        heappush(self._sums[debt.row].ages, (debt.created_at_ms, debt.debt))

    def _leave(self, debt: DebtRow) -> None:
        del self._rows[debt.debt]
        if debt.wire is not None:
            self._of_wire.pop(debt.wire, None)
        names = self._of_payment[debt.payment_ref]
        names.remove(debt.debt)
        if not names:
            del self._of_payment[debt.payment_ref]
        self._sums[debt.row].add(debt, -1)

    def _oldest_at_ms(self, found: _Sum) -> int | None:
        while found.ages and found.ages[0][1] not in self._rows:
            heappop(found.ages)
        return found.ages[0][0] if found.ages else None
