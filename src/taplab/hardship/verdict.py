"""What a hardship came to: both books record by record, and what the register was shown beside them.

Comes in: the lab once everything has settled and the terminal has stopped, and the counter's sales. Goes out: `Books`
in figures, and one sentence for each rule that is broken.
Strategy: neither program is asked; the journal's file and the host's database are read, and what the register was
shown is held against both. Nothing that a register may have believed is allowed to have been forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from taphost.cli import ledger_row
from taphost.ledger import Entry
from taphost.sql_store import SqlStore
from taplab.hardship.counter import BEFORE_THE_END, Sale
from taplab.world import World
from taptill.journal.adapters.sqlite import SqliteJournalReader
from taptill.journal.port import DebtRow, PaymentRow
from taptill.settlement.host_records import HostRecord
from taptill.settlement.reconcile import Reconciliation, reconcile

# What a payment may have become after the register was shown this.
MAY_BECOME: Mapping[str, frozenset[str]] = {
    "approved": frozenset({"approved"}),
    "approved_offline": frozenset({"approved_offline"}),
    "deferred": frozenset({"approved", "deferred_declined"}),
    "declined": frozenset({"declined"}),
    "cancelled": frozenset({"cancelled"}),
    "reversing": frozenset({"reversed"}),
    "reversed": frozenset({"reversed"}),
}
CAPTURED = frozenset({"approved", "approved_offline"})
ENDED = CAPTURED | {"declined", "cancelled", "reversed", "deferred_declined"}


@dataclass(frozen=True, slots=True)
class SettledBooks:
    """Figures of both sides, and what is wrong with them, one sentence each."""

    journal_entries: int
    payments: Mapping[str, int]  # by final state
    host_records: int
    matched: int
    terminal_minor: int
    host_minor: int
    shown_as_paid: int
    wrong: tuple[str, ...]


def taken_back(world: World, sales: Sequence[Sale]) -> list[str]:
    """Between a kill and the next start: results that the register was shown and the disk does not hold. Raises
    JournalError when the journal cannot be read."""
    journal = SqliteJournalReader.open(world.files.journal)
    try:
        states = {row.payment_ref: row.state for row in journal.payments()}
    finally:
        journal.close()
    return [
        f"payment {sale.payment_ref} was shown as {sale.state}, and the disk holds {states.get(sale.payment_ref)}"
        for sale in list(sales)
        if sale.ended and states.get(sale.payment_ref) in {None, *BEFORE_THE_END}
    ]


def settled_books(world: World, sales: Sequence[Sale]) -> SettledBooks:
    """Both programs have stopped or rest. Raises JournalError when the journal does not verify or cannot be read."""
    entries = _host_entries(world)
    journal = SqliteJournalReader.open(world.files.journal)
    try:
        with journal.snapshot():
            verified = journal.verify_now()
            payments, transactions, debts = journal.payments(), journal.transactions(), journal.debts()
    finally:
        journal.close()
    records = [msgspec.convert(ledger_row(entry), HostRecord) for entry in entries]
    compared = reconcile(payments, transactions, debts, records)
    rows = {row.payment_ref: row for row in payments}
    wrong = [*_still_open(payments, debts), *_differences(compared), *_doubled(entries)]
    for sale in sales:
        wrong += _broken_words(sale, rows.get(sale.payment_ref), entries)
    return SettledBooks(
        journal_entries=verified.count,
        payments=dict(sorted(Counter(row.state for row in payments).items())),
        host_records=len(records),
        matched=compared.matched,
        terminal_minor=compared.terminal_minor,
        host_minor=compared.host_minor,
        shown_as_paid=sum(bool(CAPTURED & set(sale.shown)) for sale in sales),
        wrong=tuple(wrong),
    )


def _host_entries(world: World) -> Sequence[Entry]:
    store = SqlStore(world.host_database)
    try:
        with store.transaction() as books:
            return tuple(books.entries(captured_only=False))
    finally:
        store.close()


def _still_open(payments: Sequence[PaymentRow], debts: Sequence[DebtRow]) -> Iterator[str]:
    yield from (f"payment {row.payment_ref} is still {row.state}" for row in payments if row.state not in ENDED)
    yield from (f"{debt.debt} is still owed to the host ({debt.state})" for debt in debts if debt.is_open)


def _differences(compared: Reconciliation) -> Iterator[str]:
    for found in compared.findings:
        yield f"payment {found.payment_ref}, STAN {found.stan:06d}: {found.cause.sentence}"
    if compared.terminal_minor != compared.host_minor:
        yield f"the terminal booked {compared.terminal_minor} fen, the host holds {compared.host_minor}"


def _doubled(entries: Sequence[Entry]) -> Iterator[str]:
    """A payment, and a presentation of a card (account and transaction counter), is captured once at most."""
    captured = [entry for entry in entries if entry.captured_minor]
    for payment_ref, count in Counter(entry.payment_ref for entry in captured).items():
        if count > 1:
            yield f"the host captured payment {payment_ref} {count} times"
    taps = Counter((entry.account_id, entry.sequence, entry.atc) for entry in captured if entry.atc is not None)
    for (_, _, atc), count in taps.items():
        if count > 1:
            yield f"one tap (card's counter {atc}) was captured {count} times"


def _broken_words(sale: Sale, row: PaymentRow | None, entries: Sequence[Entry]) -> Iterator[str]:
    """Whatever the register was shown has to have stayed true."""
    if not sale.payment_ref:
        return
    if row is None or sale.forgotten:
        yield f"payment {sale.payment_ref} was given to the register and is forgotten; it was shown {sale.shown}"
        return
    for shown in sale.shown:
        if row.state not in MAY_BECOME.get(shown, ENDED):
            yield f"payment {sale.payment_ref} was shown as {shown} and ended as {row.state}"
    captured = [entry.captured_minor for entry in entries if entry.payment_ref == sale.payment_ref]
    due_minor = sale.amount_minor if row.state in CAPTURED else 0
    if sum(captured) != due_minor:
        yield f"payment {sale.payment_ref} ended as {row.state}, {due_minor} fen are due, the host has {sum(captured)}"
