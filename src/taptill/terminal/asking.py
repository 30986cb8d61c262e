"""The host's answers to a sale and to questions about one.

Comes in: how an exchange ended. Goes out: the entry that decides the transaction, or the next question.
Strategy: three-valued. Approved and declined need an authenticated answer; everything else is UNKNOWN, which asks by
itself and has one commit point, the synced debt of a reversal (DESIGN 5.5, 5.6). Nobody is told here: that happens
when the entry is on the disk.
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
from taptill.terminal.machine import PaymentState
from taptill.terminal.payment import Transaction

QUERY_TIMER = "query:"
DUPLICATE_CODE = "94"
REASON_NO_ANSWER = "98"
REASON_BAD_MAC = "A0"
REASON_OTHER = "06"
PART_NOT_CONFIRMED = "partial-approval-not-confirmed"


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


def begin_query(desk: Desk, payment_ref: str) -> list[Effect]:
    """The payment is UNKNOWN and that is synced: ask at once, then at intervals."""
    desk.queries.setdefault(payment_ref, 0)
    return [SetTimer(QUERY_TIMER + payment_ref, 0)]


def query(desk: Desk, payment_ref: str) -> list[Effect]:
    """Ask for the status, or, when all questions were used, take the one way out."""
    payment = desk.payments.get(payment_ref)
    if payment is None or payment.state is not PaymentState.UNKNOWN:
        return []
    asked = desk.queries.get(payment_ref, 0)
    if asked >= desk.config.host.queries_max:
        return _give_up(desk, payment_ref)
    try:
        counter = desk.take_key_counter()
    except KeyStoreError as error:
        return desk.storage_failed(error, QUERY_TIMER + payment_ref)
    desk.queries[payment_ref] = asked + 1
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
            return undo(desk, payment_ref, f"query: {reply.original_state}")
    return _ask_later(desk, payment_ref)


def _found_approved(desk: Desk, payment_ref: str, replied: Replied) -> list[Effect]:
    """The whole amount was approved, or it is undone: nobody has confirmed a part (DESIGN 5.12)."""
    reply = replied.reply
    verdict = desk.profile.verdict(desk.profile.row("sale"), reply.original_code)
    whole = reply.amount_minor == transaction_of(desk, payment_ref).amount_minor
    if verdict is Verdict.APPROVED and whole:
        code = reply.original_code
        return [decide(desk, payment_ref, "approved", "status_query", code, reply, replied.evidence)]
    return undo(desk, payment_ref, PART_NOT_CONFIRMED)


def _ask_later(desk: Desk, payment_ref: str) -> list[Effect]:
    host = desk.config.host
    left = (host.queries_max - desk.queries.get(payment_ref, 0)) * host.query_pause_ms // 1000
    return [
        Tell(payment_ref, PaymentState.UNKNOWN.value, "asking-the-bank", left),
        SetTimer(QUERY_TIMER + payment_ref, host.query_pause_ms),
    ]


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
        icc={int(tag, 16): bytes.fromhex(v) for tag, v in payment.tender.card.items() if tag in _REVERSAL_TAGS},
        token=bytes.fromhex(payment.tender.token),
        payment_ref=payment_ref,
        original=OriginalRef(original.batch, original.stan, f"{born:%m%d}", original.auth_code, original.rrn),
        reversal_reason=reversal_reason,
    )


_REVERSAL_TAGS = frozenset({"9F36", "95", "9F10", "9F26"})


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
