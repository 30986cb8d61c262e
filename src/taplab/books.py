"""Both sides' books, read from their files: the terminal's journal and the host's database.

Comes in: a `World`. Goes out: rows, totals and differences. Strategy: neither program is asked; what counts is what a
restart would find.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from taphost.ledger import Entry
from taphost.sql_store import SqlStore
from taplab.world import World
from taptill.journal.adapters.sqlite import SqliteJournalReader
from taptill.journal.port import DebtRow, PaymentRow
from taptill.settlement.totals import Difference, TotalsLine, compare, terminal_lines, totals


@dataclass(frozen=True, slots=True)
class Books:
    """`captured` are the host's net captures, one row each."""

    payments: tuple[PaymentRow, ...]
    debts: tuple[DebtRow, ...]
    captured: tuple[Entry, ...]
    terminal_total_minor: int
    host_total_minor: int
    differences: tuple[Difference, ...]

    @property
    def balanced(self) -> bool:
        """Nothing differs, line by line and in sum."""
        return not self.differences and self.terminal_total_minor == self.host_total_minor

    @property
    def doubled(self) -> int:
        """Payments the host has captured more than once."""
        return sum(1 for count in Counter(entry.payment_ref for entry in self.captured).values() if count > 1)

    def delivered(self, debt: DebtRow) -> bool:
        """The host has what this debt owed it: an advice captured under its key and amount, a reversal undone. The
        journal must have closed it as well."""
        now = next(row for row in self.debts if row.debt == debt.debt)
        here = [e for e in self.captured if (e.key.batch, e.key.stan) == (debt.batch, debt.stan)]
        if debt.row == "reversal":
            return now.state == "closed" and not here
        return now.state == "closed" and [e.captured_minor for e in here] == [debt.amount_minor]


def read_books(world: World) -> Books:
    """Raises JournalError when the journal does not verify or cannot be read."""
    journal = SqliteJournalReader.open(world.files.journal)
    payments, debts = journal.payments(), journal.debts()
    ours = terminal_lines(payments, journal.transactions())
    captured = _captured(world)
    theirs = [TotalsLine(e.payment_ref, e.key.stan, e.key.batch, e.captured_minor, e.state.value) for e in captured]
    return Books(
        payments=tuple(payments),
        debts=tuple(debts),
        captured=tuple(captured),
        terminal_total_minor=totals(payments, debts).net.minor,
        host_total_minor=sum(entry.captured_minor for entry in captured),
        differences=tuple(compare(ours, theirs)),
    )


def _captured(world: World) -> Sequence[Entry]:
    store = SqlStore(world.host_database)
    try:
        with store.transaction() as books:
            return tuple(books.entries(captured_only=True))
    finally:
        store.close()
