"""The host's answers to a sale and to questions about one.

Comes in: how an exchange ended. Goes out: the entry that decides the transaction, or the next question.
Strategy: three-valued. Approved and declined need an authenticated answer; everything else is UNKNOWN, which asks by
itself and has one commit point, the synced debt of a reversal (DESIGN 5.5, 5.6): at the deadline, while its customer
waits. A payment of an earlier start may stand in a restored copy of the journal, and its customer may have been told
"approved": it is undone on the host's word alone, and only by a journal that is proven to be the newest. Nobody is told
here: that happens when the entry is on the disk.
"""

from __future__ import annotations

import hashlib

from taptill.credential.keystore import KeyStoreError
from taptill.host.compose import OriginalRef, RequestFacts, compose
from taptill.host.exchange import ExchangeResult, HostReply, HostRequest, NotSent, Replied, Silent, Verdict
from taptill.journal import entries as e
from taptill.journal.port import Pending
from taptill.journal.wire import wire_digest
from taptill.terminal.desk import Desk
from taptill.terminal.effects import Append, Effect, SetTimer, Tell
from taptill.terminal.inquiry import QUESTION_MS_MIN, Inquiry
from taptill.terminal.machine import PaymentState
from taptill.terminal.payment import Payment, Transaction

QUERY_TIMER = "query:"
DUPLICATE_CODE = "94"
REASON_NO_ANSWER = "98"
REASON_BAD_MAC = "A0"
REASON_OTHER = "06"
PART_NOT_CONFIRMED = "partial-approval-not-confirmed"
NOT_PROVEN = "not-proven"

_NOT_NOW = {Verdict.TRY_LATER, Verdict.SIGN_ON_FIRST}  # nothing is said about the payment


def sale_ended(desk: Desk, request: HostRequest, result: ExchangeResult) -> list[Effect]:
    payment_ref = _ref(request)
    payment = desk.payments.get(payment_ref)
    if payment is None or payment.state is not PaymentState.AUTHORIZING or payment.transaction is None:
        return []
    match result:
        case NotSent(reason):
            return [decide(desk, payment_ref, "not_sent", "terminal", f"not-sent: {reason}")]
        case Silent(reason):
            return [decide(desk, payment_ref, "unknown", "terminal", f"silent: {reason}")]
        case Replied(reply, evidence):
            return _answered(desk, payment_ref, reply, evidence)


def _answered(desk: Desk, payment_ref: str, reply: HostReply, evidence: bytes) -> list[Effect]:
    if not reply.authenticated:
        # Where declines carry no MAC anybody may have written this one: the sale is undone as well (DESIGN 5.9).
        return undo(desk, payment_ref, reply.code)
    match reply.verdict:
        case Verdict.APPROVED:
            return [decide(desk, payment_ref, "approved", "host", reply.code, reply, evidence)]
        case Verdict.PARTIAL:
            # A lower amount nobody confirmed is not what was shown at the tap (DESIGN 5.12): it is undone.
            return undo(desk, payment_ref, PART_NOT_CONFIRMED)
        case Verdict.IN_DOUBT | Verdict.DUPLICATE:
            return [decide(desk, payment_ref, "unknown", "host", reply.code, reply, evidence)]
    return [decide(desk, payment_ref, "declined", "host", reply.code, reply, evidence)]


def decide(
    desk: Desk,
    payment_ref: str,
    result: str,
    by: str,
    code: str,
    reply: HostReply | None = None,
    evidence: bytes = b"",
) -> Append:
    """The entry that ends, or loses, the payment's transaction."""
    transaction = transaction_of(desk, payment_ref)
    entry = e.TransactionDecided(
        **desk.stamp(),
        payment_ref=payment_ref,
        state="",
        transaction=transaction.name,
        result=result,
        by=by,
        code=code,
        amount_minor=transaction.amount_minor if result == "approved" else None,
        auth_code=reply.auth_code if reply else "",
        rrn=reply.rrn if reply else "",
        evidence_digest=hashlib.sha256(evidence).hexdigest() if evidence else "",
    )
    return Append((Pending(desk.with_state(entry)),))


def open_inquiry(desk: Desk, payment_ref: str) -> None:
    """The payment is UNKNOWN and that is synced: its one deadline is set."""
    deadline_us = desk.clock.monotonic_us() + desk.config.host.unknown_wait_ms * 1_000
    desk.inquiries.setdefault(payment_ref, Inquiry(deadline_us))


def begin_query(desk: Desk, payment_ref: str) -> list[Effect]:
    """Ask at once; about a payment of an earlier start, once the sign-on has shown what this journal is worth."""
    if desk.inquiries[payment_ref].earlier and desk.journal_is_newest is None:
        return []
    return [SetTimer(QUERY_TIMER + payment_ref, 0)]


def resume_inquiries(desk: Desk) -> list[Effect]:
    """The host has signed us on: what it could not be asked before is asked now."""
    waiting = [ref for ref, inquiry in desk.inquiries.items() if inquiry.earlier and not inquiry.asked]
    return [SetTimer(QUERY_TIMER + payment_ref, 0) for payment_ref in waiting]


def told(desk: Desk, payment: Payment, message: str) -> Tell:
    """The state for every face, with the countdown where somebody waits for the result."""
    inquiry = desk.inquiries.get(payment.payment_ref) if payment.state is PaymentState.UNKNOWN else None
    left_s = inquiry.seconds_left(desk.clock.monotonic_us()) if inquiry else None
    return Tell(payment.payment_ref, payment.state.value, message, left_s)


def timeout_ms(desk: Desk, payment_ref: str) -> int:
    """Of a question about the payment that leaves now."""
    return desk.inquiries[payment_ref].timeout_ms(desk.clock.monotonic_us(), desk.config.host.query_timeout_ms)


def query(desk: Desk, payment_ref: str) -> list[Effect]:
    """Ask for the status, or, at the deadline, take the one way out."""
    payment = desk.payments.get(payment_ref)
    if payment is None or payment.state is not PaymentState.UNKNOWN:
        return []
    inquiry, now_us = desk.inquiries[payment_ref], desk.clock.monotonic_us()
    left_ms = inquiry.left_ms(now_us)
    if not inquiry.earlier and left_ms < QUESTION_MS_MIN:
        return [SetTimer(QUERY_TIMER + payment_ref, left_ms)] if left_ms else _give_up(desk, payment_ref)
    try:
        counter = desk.take_key_counter()
    except KeyStoreError as error:
        return desk.storage_failed(error, QUERY_TIMER + payment_ref)
    desk.inquiries[payment_ref] = inquiry.asked_once_more()
    transaction = transaction_of(desk, payment_ref)
    request = compose(desk.profile, "status_query", _facts(desk, payment_ref, desk.take_stan(), counter), desk.keys)
    name = f"{transaction.name}/query"
    desk.outbox[name] = request
    entry = e.ExchangeIntended(
        **desk.stamp(),
        payment_ref=payment_ref,
        state="",
        transaction=name,
        row="status_query",
        stan=request.key.stan,
        batch=request.key.batch,
        key_counter=counter,
        amount_minor=transaction.amount_minor,
        token="",
        masked_pan="",
        reader="",
        card_facts={},
        wire_digest=wire_digest(request.wire),
    )
    return [Append((Pending(desk.with_state(entry)),))]


def _give_up(desk: Desk, payment_ref: str) -> list[Effect]:
    """94 may speak of an older, legitimate sale under our STAN: it is parked, never reversed (DESIGN 5.6)."""
    code = desk.payments[payment_ref].reason
    if code == DUPLICATE_CODE:
        return [decide(desk, payment_ref, "parked", "terminal", code)]
    return undo(desk, payment_ref, code)


def query_ended(desk: Desk, request: HostRequest, result: ExchangeResult) -> list[Effect]:
    payment_ref = _ref(request)
    payment = desk.payments.get(payment_ref)
    if payment is None or payment.state is not PaymentState.UNKNOWN:
        return []
    if isinstance(result, Replied):
        return _status_told(desk, payment_ref, result)
    return _ask_later(desk, payment_ref)


def _status_told(desk: Desk, payment_ref: str, replied: Replied) -> list[Effect]:
    reply = replied.reply
    match reply.original_state:
        case "approved":
            return _found_approved(desk, payment_ref, replied)
        case "declined":
            code = reply.original_code
            return [decide(desk, payment_ref, "declined", "status_query", code, reply, replied.evidence)]
        case "not found" | "reversed" if desk.payments[payment_ref].reason != DUPLICATE_CODE:
            # "Not found" proves nothing, the sale may still be on its way; the host remembers the reversal.
            return _undo_or_park(desk, payment_ref, f"query: {reply.original_state}")
    return _ask_later(desk, payment_ref) if reply.verdict in _NOT_NOW else _told_nothing(desk, payment_ref)


def _found_approved(desk: Desk, payment_ref: str, replied: Replied) -> list[Effect]:
    """The whole amount was approved, or it is undone: nobody has confirmed a part (DESIGN 5.12)."""
    reply = replied.reply
    verdict = desk.profile.verdict(desk.profile.row("sale"), reply.original_code)
    whole = reply.amount_minor == transaction_of(desk, payment_ref).amount_minor
    if verdict is Verdict.APPROVED and whole:
        code = reply.original_code
        return [decide(desk, payment_ref, "approved", "status_query", code, reply, replied.evidence)]
    return _undo_or_park(desk, payment_ref, PART_NOT_CONFIRMED)


def _undo_or_park(desk: Desk, payment_ref: str, reason: str) -> list[Effect]:
    """A batch that was opened after the sale says that the journal was older than the host's memory (linking), in this
    start or in one before: what the host denies now may have been approved, told and booked otherwise since."""
    proven = desk.journal_is_newest and transaction_of(desk, payment_ref).batch == desk.counters.batch
    if desk.inquiries[payment_ref].earlier and not proven:
        return [decide(desk, payment_ref, "parked", "terminal", f"{NOT_PROVEN}: {reason}")]
    return undo(desk, payment_ref, reason)


def _told_nothing(desk: Desk, payment_ref: str) -> list[Effect]:
    """Where nobody waits, silence decides nothing; a host that goes on to speak and say nothing is the operator's."""
    now_us = desk.clock.monotonic_us()
    inquiry = desk.inquiries[payment_ref].told_nothing(now_us, desk.config.host.unknown_wait_ms)
    desk.inquiries[payment_ref] = inquiry
    if inquiry.left_ms(now_us) or not inquiry.earlier:
        return _ask_later(desk, payment_ref)
    reason = desk.payments[payment_ref].reason
    code = reason if reason == DUPLICATE_CODE else f"{NOT_PROVEN}: no clear answer"
    return [decide(desk, payment_ref, "parked", "terminal", code)]


def _ask_later(desk: Desk, payment_ref: str) -> list[Effect]:
    inquiry, now_us, host = desk.inquiries[payment_ref], desk.clock.monotonic_us(), desk.config.host
    pause_ms = inquiry.pause_ms(now_us, host.query_pause_ms, host.probe_pause_max_ms)
    news = told(desk, desk.payments[payment_ref], "asking-the-bank")
    return [news, SetTimer(QUERY_TIMER + payment_ref, pause_ms)]


def undo(desk: Desk, payment_ref: str, reason: str) -> list[Effect]:
    """The one commit point that turns UNKNOWN into "will be undone"."""
    transaction = transaction_of(desk, payment_ref)
    payment = desk.payments[payment_ref]
    try:
        counter = desk.take_key_counter()
    except KeyStoreError as error:
        return [*desk.storage_failed(error, QUERY_TIMER + payment_ref), *_unless_unknown(desk, payment_ref, reason)]
    request = compose(
        desk.profile, "reversal", _facts(desk, payment_ref, transaction.stan, counter, _de39(reason)), desk.keys
    )
    debt = f"{transaction.name}/reversal"
    entry = e.DebtOwed(
        **desk.stamp(),
        payment_ref=payment_ref,
        state="",
        debt=debt,
        transaction=transaction.name,
        row="reversal",
        reason=reason,
        stan=transaction.stan,
        batch=transaction.batch,
        key_counter=counter,
        amount_minor=transaction.amount_minor,
        token=payment.tender.token,
        masked_pan=payment.tender.masked_pan,
        reader=payment.tender.reader,
        card_facts=dict(payment.tender.card),
        wire_digest=wire_digest(request.wire),
    )
    desk.outbox[debt] = request
    return [Append((Pending(desk.with_state(entry), request.wire),))]


def _unless_unknown(desk: Desk, payment_ref: str, reason: str) -> list[Effect]:
    """What cannot be undone at once is UNKNOWN until it can."""
    if desk.payments[payment_ref].state is PaymentState.UNKNOWN:
        return []
    return [decide(desk, payment_ref, "unknown", "terminal", reason)]


def _de39(reason: str) -> str:
    """DE39 of a 0400 is the reason: 98 no answer, A0 response MAC wrong, 06 other."""
    if "MAC" in reason:
        return REASON_BAD_MAC
    return REASON_NO_ANSWER if reason.startswith("silent") else REASON_OTHER


def _facts(desk: Desk, payment_ref: str, stan: int, counter: int, reversal_reason: str = "") -> RequestFacts:
    payment = desk.payments[payment_ref]
    original = transaction_of(desk, payment_ref)
    at = desk.local_time()
    born = desk.local_time(original.intended_at_ms)
    return RequestFacts(
        terminal_id=desk.config.identity.terminal_id,
        merchant_id=desk.config.identity.merchant_id,
        stan=stan,
        batch=original.batch if reversal_reason else desk.counters.batch,
        key_counter=counter,
        amount_minor=original.amount_minor,
        local_time=f"{at:%Y%m%d%H%M%S}",
        icc={int(tag, 16): bytes.fromhex(v) for tag, v in payment.tender.card.items() if tag in REVERSAL_TAGS},
        token=bytes.fromhex(payment.tender.token),
        payment_ref=payment_ref,
        original=OriginalRef(original.batch, original.stan, f"{born:%m%d}", original.auth_code, original.rrn),
        reversal_reason=reversal_reason,
    )


REVERSAL_TAGS = frozenset({"9F36", "95", "9F10", "9F26"})


def keep_late(desk: Desk, payment_ref: str, reply: HostReply) -> Append:
    """An answer that came after the decision: evidence, never a sale."""
    entry = e.LateReply(
        **desk.stamp(),
        payment_ref=payment_ref,
        state="",
        transaction=transaction_of(desk, payment_ref).name,
        code=reply.code,
        evidence_digest="",
    )
    return Append((Pending(desk.with_state(entry)),))


def transaction_of(desk: Desk, payment_ref: str) -> Transaction:
    transaction = desk.payments[payment_ref].transaction
    assert transaction is not None, "a payment that was sent has a transaction"
    return transaction


def _ref(request: HostRequest) -> str:
    assert request.payment_ref is not None, "questions about money name their payment"
    return request.payment_ref
