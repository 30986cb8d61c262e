"""A payment as faces and scripts see it.

Comes in: the folded payment, its open debts, the latest word for people. Goes out: plain JSON-able dictionaries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict

from taptill.host.profile import Profile, Texts
from taptill.journal.port import DebtRow
from taptill.terminal.effects import Tell
from taptill.terminal.payment import Payment, Transaction
from taptill.terminal.reasons import Reason, explain_reason
from taptill.terminal.situation import Situation
from taptill.terminal.telling import reason_of
from taptill.terminal.why import Wait, why_debts, why_payment


class TransactionView(TypedDict):
    transaction: str
    row: str
    state: str
    stan: int
    batch: int
    amount_minor: int
    original: str | None
    code: str
    auth_code: str
    rrn: str
    decided_by: str


class DebtView(TypedDict):
    debt: str
    payment_ref: str
    row: str
    state: str
    amount_minor: int
    attempts: int
    last_result: str
    created_at_ms: int


class ReasonView(TypedDict):
    code: str
    cashier: dict[str, str]
    customer: dict[str, str]
    next_step: dict[str, str]


class PaymentView(TypedDict):
    payment_ref: str
    client_ref: str
    state: str
    amount_minor: int
    approved_minor: int
    currency: str
    masked_pan: str
    reader: str
    oda: str
    cvm: str
    armed_at_ms: int
    changed_at_ms: int
    reason: ReasonView | None
    message: ReasonView | None
    seconds_left: int | None
    waits_for: dict[str, str] | None
    operator: str
    transactions: list[TransactionView]
    debts: list[DebtView]


class PaymentsView(TypedDict):
    """The newest last."""

    payments: list[PaymentView]


class OwedView(DebtView):
    """`why` is what it waits for, in both languages; `next_try_in_ms` is null where something else comes first."""

    age_ms: int
    next_try_in_ms: int | None
    why: dict[str, str]


class DebtsView(TypedDict):
    """Open and parked ones, the oldest first."""

    debts: list[OwedView]


class ErrorView(TypedDict):
    """`code` is stable; `reason` has texts for people where somebody at the counter has to act."""

    code: str
    what: str
    next_step: str
    reason: ReasonView | None


class RefusalView(TypedDict):
    """`payment` is the one that stands in the way, or is asked about."""

    error: ErrorView
    payment: PaymentView | None


def refusal_view(code: str, payment: PaymentView | None, profile: Profile) -> RefusalView:
    """What the till refused, by the word it gave; a detail may follow behind a colon."""
    word, _, detail = code.partition(": ")
    reason = explain_reason(word, profile)
    what = f"{reason.cashier.en}: {detail}" if detail else reason.cashier.en
    error = ErrorView(code=word, what=what, next_step=reason.next_step.en, reason=reason_view(word, profile))
    return RefusalView(error=error, payment=payment)


def payment_view(
    payment: Payment,
    debts: Iterable[DebtRow],
    latest: Tell | None,
    profile: Profile,
    situation: Situation | None = None,
) -> PaymentView:
    """`latest` overlays what is not journaled: that a card is being read, and a word for the customer. Without a
    situation nothing is said about what it waits for."""
    own = [debt for debt in debts if debt.payment_ref == payment.payment_ref]
    wait = why_payment(payment, own, situation) if situation else None
    state = payment.state.value
    if latest is not None and state == "armed" and latest.state == "reading":
        state = latest.state
    shown = latest if latest is not None and latest.state == state else None
    return PaymentView(
        payment_ref=payment.payment_ref,
        client_ref=payment.client_ref,
        state=state,
        amount_minor=payment.amount_minor,
        approved_minor=payment.approved_minor,
        currency=payment.currency,
        masked_pan=payment.tender.masked_pan,
        reader=payment.tender.reader,
        oda=payment.tender.card.get("oda", ""),
        cvm=payment.tender.card.get("cvm", ""),
        armed_at_ms=payment.armed_at_ms,
        changed_at_ms=payment.changed_at_ms,
        reason=_told(payment.reason, reason_of(payment, profile)),
        message=_message(payment, shown.message, profile) if shown else None,
        seconds_left=shown.seconds_left if shown else None,
        waits_for=_both(wait.texts) if wait else None,
        operator=payment.operator,
        transactions=[_transaction(act) for act in payment.tender.transactions],
        debts=[debt_view(debt) for debt in own],
    )


def _transaction(act: Transaction) -> TransactionView:
    return TransactionView(
        transaction=act.name,
        row=act.row,
        state=act.state.value,
        stan=act.stan,
        batch=act.batch,
        amount_minor=act.amount_minor,
        original=act.original,
        code=act.code,
        auth_code=act.auth_code,
        rrn=act.rrn,
        decided_by=act.decided_by,
    )


def debt_view(debt: DebtRow) -> DebtView:
    return DebtView(
        debt=debt.debt,
        payment_ref=debt.payment_ref,
        row=debt.row,
        state=debt.state,
        amount_minor=debt.amount_minor,
        attempts=debt.attempts,
        last_result=debt.last_result,
        created_at_ms=debt.created_at_ms,
    )


def debts_view(debts: Sequence[DebtRow], situation: Situation) -> DebtsView:
    waits = why_debts(debts, situation)
    return DebtsView(debts=[_owed(debt, waits[debt.debt], situation) for debt in debts])


def _owed(debt: DebtRow, wait: Wait, situation: Situation) -> OwedView:
    return OwedView(
        **debt_view(debt),
        age_ms=max(0, situation.at_ms - debt.created_at_ms),
        next_try_in_ms=wait.next_try_in_ms,
        why=_both(wait.texts),
    )


def reason_view(code: str, profile: Profile) -> ReasonView | None:
    """None for no code."""
    return _told(code, explain_reason(code, profile)) if code else None


def _message(payment: Payment, word: str, profile: Profile) -> ReasonView | None:
    return _told(word, reason_of(payment, profile)) if word == payment.reason else reason_view(word, profile)


def _told(code: str, reason: Reason | None) -> ReasonView | None:
    if reason is None:
        return None
    return ReasonView(
        code=code,
        cashier=_both(reason.cashier),
        customer=_both(reason.customer),
        next_step=_both(reason.next_step),
    )


def _both(texts: Texts) -> dict[str, str]:
    return {"zh-CN": texts.zh, "en": texts.en}
