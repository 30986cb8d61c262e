"""Before the tap: a payment is armed, cancelled, or expires.

Strategy: one payment at the counter at a time; a new one never overlaps and never inherits (DESIGN 5.12). The
reference is minted once, here. The same request again is answered with the payment it already made.
"""

from __future__ import annotations

from dataclasses import replace

from taptill.amount.money import AMOUNT_MINOR_MAX
from taptill.journal import entries as e
from taptill.journal.port import Pending
from taptill.terminal.desk import KEYS_AHEAD_AT_ARMING, Desk
from taptill.terminal.effects import Answer, Append, Effect, SetTimer, StopListening, StopTimer
from taptill.terminal.events import ArmRequested, CancelRequested
from taptill.terminal.machine import PaymentState

ARM_TIMER = "arm:"
NOT_PAID = frozenset({"cancelled", "declined", "deferred_declined", "reversed"})


def arm(desk: Desk, asked: ArmRequested) -> list[Effect]:
    known = desk.journal.payment_of_key(asked.idempotency_key)
    if known is not None:
        return [_answer_again(desk, asked, known.payment_ref)]
    sold = desk.journal.payment_of_client(asked.client_ref)
    if sold is not None and sold.state not in NOT_PAID:
        # The register asks twice for one order with two keys: what is paid, or may be, is not charged again.
        return [Answer(asked.ticket, sold.payment_ref, "client-ref-used")]
    refusal = _refusal(desk, asked)
    if refusal is not None:
        return [Answer(asked.ticket, desk.at_counter, refusal)]
    desk.reserve_keys(KEYS_AHEAD_AT_ARMING)
    payment_ref = desk.take_payment_ref()
    desk.at_counter = payment_ref
    desk.tickets[payment_ref] = [asked.ticket]
    entry = e.PaymentArmed(
        **desk.stamp(),
        payment_ref=payment_ref,
        state=PaymentState.ARMED.value,
        client_ref=asked.client_ref,
        idempotency_key=asked.idempotency_key,
        amount_minor=asked.amount_minor,
        currency=asked.currency,
        request_digest=asked.digest,
        expires_at_ms=desk.clock.now().unix_ms + desk.config.arm_expiry_ms,
    )
    return [Append((Pending(entry),))]


def _answer_again(desk: Desk, asked: ArmRequested, payment_ref: str) -> Answer:
    first = next(record.entry for record in desk.journal.records(payment_ref))
    same = isinstance(first, e.PaymentArmed) and first.request_digest == asked.digest
    return Answer(asked.ticket, payment_ref, None if same else "idempotency-key-used")


def _refusal(desk: Desk, asked: ArmRequested) -> str | None:
    if desk.storage_fault:
        return desk.storage_reason
    if desk.at_counter is not None:
        return "counter-busy"
    if not 0 < asked.amount_minor <= AMOUNT_MINOR_MAX:
        return "amount-not-accepted"
    if asked.currency != desk.config.identity.currency:
        return "currency-not-accepted"
    return None


def armed(desk: Desk, payment_ref: str) -> list[Effect]:
    """The arming is on the disk."""
    timer = SetTimer(ARM_TIMER + payment_ref, desk.config.arm_expiry_ms)
    return [*_answers(desk, payment_ref, payment_ref), timer]


def _answers(desk: Desk, payment_ref: str, shown_ref: str | None, refusal: str | None = None) -> list[Effect]:
    """For everybody who waits for this payment."""
    return [Answer(ticket, shown_ref, refusal) for ticket in desk.tickets.pop(payment_ref, [])]


def cancel(desk: Desk, asked: CancelRequested) -> list[Effect]:
    payment = desk.payments.get(asked.payment_ref)
    if payment is None or payment.state not in {PaymentState.ARMED, PaymentState.READING}:
        return [Answer(asked.ticket, asked.payment_ref, "too-late-to-cancel")]
    desk.tickets.setdefault(asked.payment_ref, []).append(asked.ticket)
    if payment.state is PaymentState.READING:
        desk.cancel_wanted = asked.payment_ref
        return []
    return drop(desk, asked.payment_ref, "cancelled")


def expire(desk: Desk, payment_ref: str) -> list[Effect]:
    """The arming ran out. While a card is being read its outcome comes first."""
    payment = desk.payments.get(payment_ref)
    if payment is None:
        return []
    if payment.state is PaymentState.READING:
        desk.cancel_wanted = payment_ref
        return []
    return drop(desk, payment_ref, "nobody-tapped") if payment.state is PaymentState.ARMED else []


def drop(desk: Desk, payment_ref: str, reason: str) -> list[Effect]:
    """End a payment of which nothing was sent."""
    entry = e.PaymentCancelled(**desk.stamp(), payment_ref=payment_ref, state="", reason=reason)
    return [StopListening(), Append((Pending(desk.with_state(entry)),))]


def cancelled(desk: Desk, payment_ref: str) -> list[Effect]:
    """The cancellation is on the disk."""
    return [StopTimer(ARM_TIMER + payment_ref), *_answers(desk, payment_ref, payment_ref)]


def not_armed(desk: Desk, payment_ref: str) -> list[Effect]:
    """The arming could not be stored: the payment does not exist, and its number is free again."""
    desk.counters = replace(desk.counters, next_payment=desk.counters.next_payment - 1)
    return _answers(desk, payment_ref, None, desk.storage_reason)
