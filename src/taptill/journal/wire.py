"""Which message bytes are kept beside an entry, and under whose name.

Comes in: an entry with the bytes it promises. Goes out: the name that keeps them, or a refusal.
Strategy: the entry holds only their digest, for ever; the bytes hold the card's envelope and live until nothing is
asked or owed with them any more (DESIGN 5.7, 5.16).
"""

from __future__ import annotations

from hashlib import sha256

from taptill.journal.entries import AnyEntry, DebtOwed, ExchangeIntended
from taptill.journal.port import ImpossibleEntry, Pending
from taptill.journal.projection import QUESTION_ROWS


def wire_digest(wire: bytes) -> str:
    """What an entry says about the bytes kept beside it: SHA-256 in hex."""
    return sha256(wire).hexdigest()


def keeper(entry: AnyEntry) -> str | None:
    """The transaction or debt for which bytes are kept; a question is asked anew, never repeated."""
    match entry:
        case ExchangeIntended(transaction=name, row=row) if row not in QUESTION_ROWS:
            return name
        case DebtOwed(debt=name):
            return name
    return None


def refuse_wrong_wire(pending: Pending) -> None:
    """Raises ImpossibleEntry for a debt without bytes, and for bytes that are not those the entry names."""
    entry, wire = pending.entry, pending.wire
    name = keeper(entry)
    if name is None or not isinstance(entry, ExchangeIntended | DebtOwed):
        return
    if wire is None:
        if isinstance(entry, DebtOwed):
            raise ImpossibleEntry("owed without the bytes to send", where=f"debt {name}")
        return
    if wire_digest(wire) != entry.wire_digest:
        raise ImpossibleEntry("the bytes are not those the entry names", where=name)
