"""A journal checked against itself.

Comes in: the stored entries, and everything else the file holds. Goes out: `Verified`, or the place of the damage.
Strategy: the entries are the truth. The chain says that they are whole; the projections, counters and kept messages
have to be what the entries make from nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from taptill.journal.chain import StoredEntry, walk
from taptill.journal.entries import AnyEntry, DebtOwed, ExchangeIntended
from taptill.journal.formats import NEWEST_FORMAT, is_known
from taptill.journal.port import (
    Counters,
    DebtRow,
    ImpossibleEntry,
    JournalDamaged,
    PaymentRow,
    TransactionRow,
    Verified,
)
from taptill.journal.projection import MemoryShelf, shelve
from taptill.journal.seals import Seal, refuse_strays, seal_of
from taptill.journal.wire import keeper, wire_digest

NEXT_STEP = "the entries are whole and say what happened; keep the file and export it before anything else"


@dataclass(frozen=True, slots=True)
class Held:
    """What stands beside the entries. Rows without their bytes; `messages` by transaction or debt."""

    payments: Sequence[PaymentRow]
    transactions: Sequence[TransactionRow]
    debts: Sequence[DebtRow]
    counters: Counters
    last_time_ms: int
    head_seq: int
    messages: Mapping[str, bytes]
    seals: Sequence[Seal] = ()


def audit(stored: Iterable[StoredEntry], held: Held, version: int = NEWEST_FORMAT) -> Verified:
    """Raises JournalDamaged naming the first thing that does not follow from the entries."""
    shelf, digests, seals = MemoryShelf(), dict[str, str](), list[Seal]()
    count, head, last_time_ms = 0, bytes(32), 0
    for record in walk(stored):
        if not is_known(record.entry, version):
            _differs(f"entry {record.seq}", f"format {version} has no entry of this kind")
        if (seal := seal_of(record)) is not None:
            seals.append(seal)
        _shelve(shelf, record.seq, record.entry)
        count, head, last_time_ms = record.seq, record.digest, max(last_time_ms, record.entry.at_ms)
        name = keeper(record.entry)
        if name is not None and isinstance(record.entry, ExchangeIntended | DebtOwed):
            digests[name] = record.entry.wire_digest
    if held.head_seq != count:
        _differs("head", f"the journal ends at entry {count} and was written up to {held.head_seq}")
    refuse_strays(held.seals, seals)
    _compare("payment", {row.payment_ref: row for row in held.payments}, shelf.payments)
    _compare("transaction", {row.transaction: row for row in held.transactions}, shelf.transactions)
    _compare("debt", {row.debt: row for row in held.debts}, shelf.debts)
    if (held.counters, held.last_time_ms) != (shelf.counters(), last_time_ms):
        _differs("counters", f"{held.counters} and not {shelf.counters()}")
    _check_messages(held.messages, shelf, digests)
    return Verified(count, count, head)


def _shelve(shelf: MemoryShelf, seq: int, entry: AnyEntry) -> None:
    try:
        shelve(shelf, seq, entry)
    except ImpossibleEntry as error:
        _differs(f"entry {seq}", f"it contradicts the entries before: {error}")


def _compare(kind: str, held: Mapping[str, object], made: Mapping[str, object]) -> None:
    for name in (*made, *held):
        if held.get(name) != made.get(name):
            _differs(f"{kind} {name}", "the row is not what the entries say")


def _check_messages(messages: Mapping[str, bytes], shelf: MemoryShelf, digests: Mapping[str, str]) -> None:
    for debt in shelf.debts.values():
        if debt.is_open and debt.debt not in messages:
            _differs(f"debt {debt.debt}", "the bytes to send are missing")
    for name, message in messages.items():
        row = shelf.debts.get(name) or shelf.transactions.get(name)
        if row is None or not row.is_open:
            _differs(f"message of {name}", "it should have been erased")
        if wire_digest(message) != digests.get(name):
            _differs(f"message of {name}", "the bytes are not those the entry names")


def _differs(where: str, what: str) -> None:
    raise JournalDamaged(what, where=f"journal {where}", next_step=NEXT_STEP)
