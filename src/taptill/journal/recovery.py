"""What a restart finds, and what is to be done about it.

Comes in: open payments, open transactions and open debts, as the journal projects them. Goes out: `Recovery`.
Strategy: nothing is guessed. An intent without outcome is UNKNOWN, for its bytes may have reached the host; a payment
for which nothing was meant to leave is cancelled; what was unknown stays so and is asked about; what is owed is owed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from taptill.journal.port import DebtRow, PaymentRow, TransactionRow

RESTARTED = "restarted"  # the reason of a payment cancelled here
NOT_SENT_STATES = frozenset({"armed", "reading", "authorizing", "cancelling"})


@dataclass(frozen=True, slots=True)
class Recovery:
    """What the terminal does before it sells again, in this order. Every tuple is oldest first."""

    lose: tuple[TransactionRow, ...]  # intent without outcome: becomes unknown (DESIGN 5.1)
    undo: tuple[TransactionRow, ...]  # approved for less, never confirmed: a reversal is owed (DESIGN 5.12)
    cancel: tuple[PaymentRow, ...]  # nothing was meant to leave: reason "restarted"
    unfinished: tuple[PaymentRow, ...]  # part of it stands approved: the merchant decides about the rest
    ask: tuple[TransactionRow, ...]  # unknown before the restart: goes on asking
    parked: tuple[TransactionRow, ...]  # waits for the operator
    forward: tuple[DebtRow, ...]  # open debts, in the order they were owed


def what_is_open(
    payments: Iterable[PaymentRow], transactions: Iterable[TransactionRow], debts: Iterable[DebtRow]
) -> Recovery:
    """Sort what is open. Rows that are not open are left out."""
    acts = tuple(transactions)
    owed = tuple(debt for debt in debts if debt.is_open)
    busy = {act.payment_ref for act in acts if act.is_open} | {debt.payment_ref for debt in owed}
    idle = [row for row in payments if row.state in NOT_SENT_STATES and row.payment_ref not in busy]
    return Recovery(
        lose=tuple(act for act in acts if act.result == ""),
        undo=tuple(act for act in acts if act.result == "confirming"),
        cancel=tuple(row for row in idle if row.approved_minor == 0),
        unfinished=tuple(row for row in idle if row.approved_minor > 0),
        ask=tuple(act for act in acts if act.result == "unknown"),
        parked=tuple(act for act in acts if act.result == "parked"),
        forward=tuple(debt for debt in owed if debt.state == "open"),
    )
