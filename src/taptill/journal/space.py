"""Which entries may use the space that is kept for outcomes, and which have to leave it alone.

Comes in: an entry. Goes out: whether it begins something that will need an outcome later.
Strategy: space for outcome and debts is reserved before the intent (DESIGN 5.1). Whatever ends, undoes or asks about
what was begun may use that space; nothing new begins while it is not whole.
"""

from __future__ import annotations

from typing import Protocol

from taptill.journal.entries import AnyEntry, DebtOwed, ExchangeIntended, PaymentArmed
from taptill.journal.projection import ADVICE_ROWS, QUESTION_ROWS


class Reserve(Protocol):
    """Space on the journal's disk, held by something that can be given up. Raises OSError where the disk fails."""

    @property
    def whole(self) -> bool:
        """All of it is held."""

    def release(self) -> bool:
        """Give the space back to the disk. False if none was held."""

    def restore(self) -> bool:
        """Hold all of it again; always really writes and syncs. False when the disk does not have the space."""


def begins_something(entry: AnyEntry) -> bool:
    """Nothing stands behind it yet: an arming, a sale, an advice that is intent and outcome in one."""
    match entry:
        case PaymentArmed():
            return True
        case ExchangeIntended(row=row):
            return row not in QUESTION_ROWS
        case DebtOwed(row=row):
            return row in ADVICE_ROWS
    return False
