"""The record that travels: a payment, its tenders, their transactions.

Comes in: journal entries of one payment, in order. Goes out: `Payment`, whose state is a projection of them.
Strategy: a payment is what is owed; a tender is one way of paying part of it; a transaction is one financial act with
the host, with its own STAN, state and `original`. Nothing here is set by hand: `fold` applies one synced entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from taptill.journal import disposition
from taptill.journal import entries as e
from taptill.journal.projection import BY_OPERATOR
from taptill.terminal.machine import Follow, PaymentState, Trigger, replay

FINANCIAL_ROWS = frozenset({"sale"})
ADVICE_ROWS = frozenset({"offline_advice", "deferred_advice"})


class TransactionState(Enum):
    INTENDED = "intended"
    APPROVED = "approved"
    DECLINED = "declined"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"
    PARKED = "parked"
    DEFERRED = "deferred"
    REVERSING = "reversing"
    REVERSED = "reversed"


@dataclass(frozen=True, slots=True)
class Transaction:
    """One financial act. `original` names the transaction a void, refund or completion refers to."""

    name: str  # "<payment_ref>/1"
    row: str
    state: TransactionState
    stan: int
    batch: int
    amount_minor: int
    original: str | None = None
    code: str = ""
    auth_code: str = ""
    rrn: str = ""
    decided_by: str = ""
    intended_at_ms: int = 0


@dataclass(frozen=True, slots=True)
class Tender:
    """One way of paying part of what is owed. Only taps exist so far."""

    kind: str
    token: str = ""
    masked_pan: str = ""
    reader: str = ""
    card: Mapping[str, str] = field(default_factory=dict)
    transactions: tuple[Transaction, ...] = ()


@dataclass(frozen=True, slots=True)
class Payment:
    payment_ref: str
    client_ref: str
    state: PaymentState
    amount_minor: int
    currency: str
    armed_at_ms: int
    expires_at_ms: int
    changed_at_ms: int
    decided_at_ms: int  # when it came to its state; what is only learned later about it leaves that alone
    tender: Tender = Tender("tap")
    reason: str = ""  # DE39 or a stable word, when it did not simply succeed
    time_trust: int = 0  # of `decided_at_ms`
    operator: str = ""  # whose signed word ended it

    @property
    def transaction(self) -> Transaction | None:
        """The latest financial act of the tender."""
        return self.tender.transactions[-1] if self.tender.transactions else None

    @property
    def approved_minor(self) -> int:
        last = self.transaction
        paid = {PaymentState.APPROVED, PaymentState.APPROVED_OFFLINE, PaymentState.DEFERRED}
        return last.amount_minor if last and self.state in paid else 0


@dataclass(frozen=True, slots=True)
class Folded:
    """A payment after one entry, and what has to follow."""

    payment: Payment
    follow: tuple[Follow, ...]


def trigger_of(entry: e.PaymentEntry) -> Trigger:
    """Which fact of the state table an entry is."""
    match entry:
        case e.PaymentArmed():
            return Trigger.ARM
        case e.PaymentCancelled():
            return Trigger.CANCEL
        case e.ExchangeIntended():
            return Trigger.ASK
        case e.TransactionDecided(result=result):
            return _DECIDED[result]
        case e.DebtOwed(row=row):
            return _OWED[row]
        case e.DebtTried():
            return Trigger.TRY
        case e.DebtClosed():
            return _closed(entry)
        case e.DebtParked():
            return Trigger.PARK_DEBT
        case e.LateReply():
            return Trigger.LATE
        case e.Disposed(decision=decision):
            return _DISPOSED[decision]
    raise TypeError(f"{type(entry).__name__} belongs to no payment")


_DECIDED = {
    "approved": Trigger.APPROVE,
    "declined": Trigger.DECLINE,
    "not_sent": Trigger.DECLINE,
    "unknown": Trigger.LOSE,
    "parked": Trigger.PARK,
}
_DISPOSED = {
    disposition.SEND_AGAIN: Trigger.SEND_AGAIN,
    disposition.SETTLED: Trigger.SETTLE,
    disposition.PAID: Trigger.PAID,
    disposition.NOT_PAID: Trigger.NOT_PAID,
}
_OWED = {"reversal": Trigger.UNDO, "offline_advice": Trigger.APPROVE_OFFLINE, "deferred_advice": Trigger.DEFER}


def _closed(entry: e.DebtClosed) -> Trigger:
    if entry.debt.endswith("/reversal"):
        return Trigger.REVERSE
    return Trigger.DELIVER if entry.taken else Trigger.REFUSE


def fold(payment: Payment | None, entry: e.PaymentEntry) -> Folded:
    """Apply one synced entry. Raises ImpossibleStep when the table does not allow it."""
    row = replay(payment.state if payment else PaymentState.NEW, trigger_of(entry))
    if payment is None:
        return Folded(_born(entry, row.dest), row.follow)
    changed = replace(payment, state=row.dest, changed_at_ms=entry.at_ms)
    if row.dest is not payment.state:
        changed = replace(changed, decided_at_ms=entry.at_ms, time_trust=entry.trust)
    return Folded(_with(changed, entry), row.follow)


def fold_all(entries: Iterable[e.PaymentEntry]) -> Payment | None:
    """The payment its entries make, None without entries."""
    payment: Payment | None = None
    for entry in entries:
        payment = fold(payment, entry).payment
    return payment


def _born(entry: e.PaymentEntry, state: PaymentState) -> Payment:
    if not isinstance(entry, e.PaymentArmed):
        raise TypeError(f"a payment starts with its arming, not with {type(entry).__name__}")
    return Payment(
        payment_ref=entry.payment_ref,
        client_ref=entry.client_ref,
        state=state,
        amount_minor=entry.amount_minor,
        currency=entry.currency,
        armed_at_ms=entry.at_ms,
        expires_at_ms=entry.expires_at_ms,
        changed_at_ms=entry.at_ms,
        decided_at_ms=entry.at_ms,
        time_trust=entry.trust,
    )


def _with(payment: Payment, entry: e.PaymentEntry) -> Payment:
    match entry:
        case e.ExchangeIntended():
            return _intended(payment, entry) if entry.row in FINANCIAL_ROWS else payment
        case e.TransactionDecided():
            return _decided(payment, entry)
        case e.DebtOwed():
            return _owed(payment, entry)
        case e.DebtClosed():
            return _settled(payment, entry)
        case e.DebtParked():
            return replace(payment, reason=entry.code)
        case e.Disposed():
            return _disposed(payment, entry)
        case e.PaymentCancelled():
            return replace(payment, reason=entry.reason)
    return payment


def _intended(payment: Payment, entry: e.ExchangeIntended) -> Payment:
    act = Transaction(
        name=entry.transaction,
        row=entry.row,
        state=TransactionState.INTENDED,
        stan=entry.stan,
        batch=entry.batch,
        amount_minor=entry.amount_minor,
        intended_at_ms=entry.at_ms,
    )
    return _tapped(payment, entry, act)


def _tapped(payment: Payment, entry: e.ExchangeIntended | e.DebtOwed, act: Transaction) -> Payment:
    tender = replace(
        payment.tender,
        token=entry.token,
        masked_pan=entry.masked_pan,
        reader=entry.reader,
        card=entry.card_facts,
        transactions=(*payment.tender.transactions, act),
    )
    return replace(payment, tender=tender)


def _decided(payment: Payment, entry: e.TransactionDecided) -> Payment:
    payment = replace(payment, reason="" if entry.result == "approved" else entry.code)
    if payment.transaction is None:  # declined by the card or the terminal: no message was ever meant to leave
        tender = replace(payment.tender, masked_pan=entry.masked_pan, reader=entry.reader, card=entry.card_facts)
        return replace(payment, tender=tender)
    return _amend(
        payment,
        state=TransactionState(entry.result),
        code=entry.code,
        decided_by=entry.by,
        auth_code=entry.auth_code,
        rrn=entry.rrn,
    )


def _owed(payment: Payment, entry: e.DebtOwed) -> Payment:
    if entry.row == "reversal":
        return replace(_amend(payment, state=TransactionState.REVERSING), reason=entry.reason)
    state = TransactionState.APPROVED if entry.row == "offline_advice" else TransactionState.DEFERRED
    act = Transaction(
        name=entry.transaction,
        row=entry.row,
        state=state,
        stan=entry.stan,
        batch=entry.batch,
        amount_minor=entry.amount_minor,
        decided_by="card" if entry.row == "offline_advice" else "terminal",
        intended_at_ms=entry.at_ms,
    )
    return _tapped(payment, entry, act)


def _settled(payment: Payment, entry: e.DebtClosed) -> Payment:
    trigger = _closed(entry)
    if trigger is Trigger.REVERSE:
        return _amend(payment, state=TransactionState.REVERSED)
    if trigger is Trigger.DELIVER:
        return _amend(payment, state=TransactionState.APPROVED, rrn=entry.rrn, code=entry.code)
    return replace(_amend(payment, state=TransactionState.DECLINED, code=entry.code), reason=entry.code)


def _disposed(payment: Payment, entry: e.Disposed) -> Payment:
    """`payment` has the state the operator's word led to already."""
    if entry.decision == disposition.SEND_AGAIN:
        undone = payment.state is PaymentState.REVERSING
        return payment if undone else replace(payment, reason="")
    if payment.state is PaymentState.APPROVED_OFFLINE:  # the card approved it; only its advice was settled
        return replace(payment, reason="")
    changed = _amend(payment, state=_STATE_BY_OPERATOR[payment.state], decided_by="operator", code=BY_OPERATOR)
    reason = "" if payment.state is PaymentState.APPROVED else BY_OPERATOR
    return replace(changed, operator=entry.operator, reason=reason)


_STATE_BY_OPERATOR = {
    PaymentState.APPROVED: TransactionState.APPROVED,
    PaymentState.DECLINED: TransactionState.DECLINED,
    PaymentState.DEFERRED_DECLINED: TransactionState.DECLINED,
    PaymentState.REVERSED: TransactionState.REVERSED,
}


def _amend(payment: Payment, **changes: object) -> Payment:
    last = payment.transaction
    if last is None:
        return payment
    amended = replace(last, **changes)  # type: ignore[arg-type]
    tender = replace(payment.tender, transactions=(*payment.tender.transactions[:-1], amended))
    return replace(payment, tender=tender)
