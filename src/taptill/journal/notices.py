"""Notices: what others are told of payments, for instance by webhook.

Comes in: the journal's records after a cursor. Goes out: one notice per change of a payment's state, in order, with the
exact bytes of its body. Strategy: the journal is the outbox. A notice follows from a record that stands there anyway,
so telling costs the sale nothing, and what was not delivered before a power cut is derived again from the same records.
A notice is no debt: it expires visibly and never blocks anything (DESIGN 5.7).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from taptill.journal.entries import PaymentArmed, PaymentEntry
from taptill.journal.port import JournalReader, PaymentRow, Record
from taptill.journal.projection import MemoryShelf, shelve

NOTICE_AGE_MS_MAX = 24 * 60 * 60 * 1_000
PIECE_RECORDS = 500

# The customer still stands there; whatever else a payment becomes is told.
AT_THE_COUNTER = frozenset({"armed", "reading", "authorizing", "confirming", "cancelling"})


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last record that was looked at. The digest tells this journal from another one under its name."""

    seq: int
    digest: bytes


AT_THE_BEGINNING = Cursor(0, b"")


@dataclass(frozen=True, slots=True)
class Notice:
    """One change of a payment's state. `seq` is that of its record, `trust` says how far `at_ms` can be believed."""

    seq: int
    payment_ref: str
    state: str
    at_ms: int
    trust: int
    body: bytes = field(repr=False)


class NoticeBody(msgspec.Struct, frozen=True, kw_only=True):
    """What a receiver reads, as JSON. A repeat has the same `id` and the same bytes; the same `id` with another
    `digest` comes from a journal that was restored. Of the card there is nothing but the masked number."""

    id: str
    digest: str  # hex, of the journal's record
    terminal_id: str
    payment_ref: str
    client_ref: str
    state: str
    amount_minor: int
    approved_minor: int
    currency: str
    masked_pan: str
    at_ms: int
    time_trust: int  # clock.Trust: 0 is a guess


def end_of(journal: JournalReader) -> Cursor:
    """After everything there is. Raises JournalError."""
    last = AT_THE_BEGINNING
    for record in journal.records_after(journal.last_seq() - 1):
        last = Cursor(record.seq, record.digest)
    return last


def holds(journal: JournalReader, cursor: Cursor) -> bool:
    """The cursor was taken from this journal. Raises JournalError."""
    if cursor == AT_THE_BEGINNING:
        return True
    found = next(iter(journal.records_after(cursor.seq - 1)), None)
    return found is not None and (found.seq, found.digest) == (cursor.seq, cursor.digest)


class NoticeMaker:
    """Follows the payments of a journal from a cursor on. What is ended and owes nothing is forgotten, and read again
    should another record speak of it."""

    def __init__(self, journal: JournalReader, terminal_id: str, cursor: Cursor) -> None:
        """Raises JournalError."""
        self.cursor = cursor
        self._journal = journal
        self._terminal_id = terminal_id
        self._shelves: dict[str, MemoryShelf] = {}
        # All at once: ten thousand debts are closed one by one, and each alone may span the whole journal.
        self._learn(journal.open_payments())

    def next_piece(self) -> tuple[list[Notice], bool]:
        """What follows from the next records, and whether more may follow. Moves the cursor. Raises JournalError."""
        piece = list(islice(self._journal.records_after(self.cursor.seq), PIECE_RECORDS))
        self._learn(self._unknown(piece))
        made = [notice for record in piece if (notice := self._follow(record)) is not None]
        self._forget(piece)
        if piece:
            self.cursor = Cursor(piece[-1].seq, piece[-1].digest)
        return made, len(piece) == PIECE_RECORDS

    def _unknown(self, piece: Sequence[Record]) -> list[PaymentRow]:
        armed, refs = set(self._shelves), dict[str, None]()
        for record in piece:
            if isinstance(record.entry, PaymentArmed):
                armed.add(record.entry.payment_ref)
            elif isinstance(record.entry, PaymentEntry) and record.entry.payment_ref not in armed:
                refs[record.entry.payment_ref] = None
        return [row for ref in refs if (row := self._journal.payment(ref)) is not None]

    def _learn(self, payments: Sequence[PaymentRow]) -> None:
        for record in self._journal.records_of(payments):
            if record.seq <= self.cursor.seq and isinstance(record.entry, PaymentEntry):
                shelve(self._shelf(record.entry), record.seq, record.entry)

    def _follow(self, record: Record) -> Notice | None:
        if not isinstance(record.entry, PaymentEntry):
            return None
        shelf, ref = self._shelf(record.entry), record.entry.payment_ref
        before = shelf.payment(ref)
        shelve(shelf, record.seq, record.entry)
        after = shelf.payment(ref)
        assert after is not None, "an entry about a payment leaves a row"
        if after.state in AT_THE_COUNTER or (before is not None and before.state == after.state):
            return None
        return self._notice(record, record.entry, after)

    def _forget(self, piece: Sequence[Record]) -> None:
        for ref in {record.entry.payment_ref for record in piece if isinstance(record.entry, PaymentEntry)}:
            payment = self._shelves[ref].payment(ref)
            if payment is not None and payment.state not in AT_THE_COUNTER and not _owes(self._shelves[ref]):
                del self._shelves[ref]

    def _shelf(self, entry: PaymentEntry) -> MemoryShelf:
        """One for each payment: what it adds up to concerns no other."""
        return self._shelves.setdefault(entry.payment_ref, MemoryShelf())

    def _notice(self, record: Record, entry: PaymentEntry, payment: PaymentRow) -> Notice:
        body = NoticeBody(
            id=str(record.seq),
            digest=record.digest.hex(),
            terminal_id=self._terminal_id,
            payment_ref=payment.payment_ref,
            client_ref=payment.client_ref,
            state=payment.state,
            amount_minor=payment.amount_minor,
            approved_minor=payment.approved_minor,
            currency=payment.currency,
            masked_pan=payment.masked_pan,
            at_ms=entry.at_ms,
            time_trust=entry.trust,
        )
        octets = msgspec.json.encode(body)
        return Notice(record.seq, payment.payment_ref, payment.state, entry.at_ms, entry.trust, octets)


def _owes(shelf: MemoryShelf) -> bool:
    return any(act.is_open for act in shelf.transactions.values()) or any(debt.is_open for debt in shelf.debts.values())
