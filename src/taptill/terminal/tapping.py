"""The tap: a card was seen, its kernel runs, the result is judged, and what follows is made ready to be synced.

Strategy: the way through (online, offline, deferred) is chosen before GPO from host health and budgets and travels to
the card in the TTQ. Messages are composed before their entry is synced and leave only after it. A card number lives
from the kernel's result to the sealing, in this file's hands only.
"""

from __future__ import annotations

from typing import TypedDict

from taptill.amount.money import CURRENCIES, Money
from taptill.card.kernels.c2.relay_resistance import ATTEMPTS_MAX
from taptill.card.outcome import CardRead, OutcomeKind
from taptill.card.parameters import TapRequest
from taptill.card.rules.risk_management import card_digest
from taptill.card.sensitive import mask_pan
from taptill.credential.credential import Credential
from taptill.credential.keystore import KeyStoreError
from taptill.credential.seal_card import UnusableCardNumber, seal_card
from taptill.decision.decide import (
    ApproveOffline,
    Decision,
    Decline,
    Defer,
    GoOnline,
    HostHealth,
    TapAgain,
    choose_way,
    judge,
)
from taptill.host.codec import MalformedMessage
from taptill.host.compose import ComposeError, RequestFacts, compose
from taptill.host.exchange import HostRequest
from taptill.journal import entries as e
from taptill.journal.port import Pending
from taptill.journal.wire import wire_digest
from taptill.terminal.arming import drop
from taptill.terminal.card_facts import AUTHORISATION_RESPONSE_CODE, card_facts
from taptill.terminal.desk import STORE_TIMER, Desk
from taptill.terminal.effects import Append, Effect, Listen, RunKernel, SetTimer, StopTimer, Tell
from taptill.terminal.events import CardDone, CardSeen
from taptill.terminal.machine import PaymentState, Trigger

READ_TIMER = "read:"
READING_MS_MAX = 60_000  # no card dialogue is longer; a reader that has not come back by then will not
OFFLINE_APPROVED, OFFLINE_DECLINED = b"Y1", b"Z1"
ONLINE_FAILED_APPROVED, ONLINE_FAILED_DECLINED = b"Y3", b"Z3"
ENVELOPE_NONCE_OCTETS = 12
UNPREDICTABLE_NUMBER_OCTETS = 4


def card_seen(desk: Desk, seen: CardSeen) -> list[Effect]:
    payment_ref = desk.at_counter
    payment = desk.payments.get(payment_ref) if payment_ref else None
    if payment is None or payment.state is not PaymentState.ARMED or payment.payment_ref in desk.writing:
        return []  # nobody waits for a card, or the payment is just being cancelled
    if seen.presentation.cards_in_field > 1:
        return [Tell(payment.payment_ref, payment.state.value, "one-card-only")]
    if not seen.presentation.takes_apdus:
        return [Tell(payment.payment_ref, payment.state.value, "not-a-payment-card")]
    if desk.storage_fault:
        return [Tell(payment.payment_ref, payment.state.value, desk.storage_reason)]
    if desk.health() is HostHealth.CONNECTING:
        # Which batch is the host's is not known yet (DESIGN 5.4); the card has to come again.
        desk.waits_for_link = payment.payment_ref
        return [Tell(payment.payment_ref, payment.state.value, "connecting")]
    now = desk.clock.now()
    desk.way = choose_way(
        desk.health(),
        desk.offline_budget(),
        desk.deferred_budget(),
        payment.amount_minor,
        now.unix_ms,
        desk.time_trusted(),
    )
    moved = desk.move(payment.payment_ref, Trigger.CARD_SEEN)
    run = RunKernel(seen.reader, payment.payment_ref, _tap_request(desk, payment.amount_minor))
    deadline = SetTimer(READ_TIMER + payment.payment_ref, READING_MS_MAX)
    return [run, deadline, Tell(payment.payment_ref, moved.state.value)]


def reading_hangs(desk: Desk, payment_ref: str) -> list[Effect]:
    """The reader never came back: nothing was sent, the counter is freed, a later outcome finds nobody waiting."""
    payment = desk.payments.get(payment_ref)
    if payment is None or payment.state is not PaymentState.READING:
        return []
    desk.cancel_wanted = None
    return drop(desk, payment_ref, "reader-lost")


def _tap_request(desk: Desk, amount_minor: int) -> TapRequest:
    assert desk.way is not None
    at = desk.local_time()
    currency = CURRENCIES[desk.config.identity.currency]
    return TapRequest(
        amount=Money(amount_minor, currency),
        amount_other=Money(0, currency),
        transaction_type=0x00,
        date_yymmdd=f"{at:%y%m%d}",
        time_hhmmss=f"{at:%H%M%S}",
        country=desk.config.identity.country,
        unpredictable_number=desk.entropy.octets(UNPREDICTABLE_NUMBER_OCTETS),
        online_possible=desk.way.online,
        offline_allowed=desk.way.offline_allowed,
        serial_number=desk.config.identity.terminal_id,
        merchant_name=desk.config.identity.merchant_name,
        exceptions=desk.exceptions,
        sequence_counter=desk.counters.next_stan,
        fresh_numbers=tuple(desk.entropy.octets(UNPREDICTABLE_NUMBER_OCTETS) for _ in range(ATTEMPTS_MAX)),
    )


def card_done(desk: Desk, done: CardDone) -> list[Effect]:
    payment = desk.payments.get(done.payment_ref)
    if payment is None or payment.state is not PaymentState.READING:
        _wipe(done.card)
        return []
    return [StopTimer(READ_TIMER + done.payment_ref), *_judged(desk, done)]


def _judged(desk: Desk, done: CardDone) -> list[Effect]:
    if desk.cancel_wanted == done.payment_ref:
        _wipe(done.card)
        desk.cancel_wanted = None
        return drop(desk, done.payment_ref, "cancelled")
    try:
        return _act(desk, done, _judge(desk, done.card))
    except KeyStoreError as error:
        again = desk.storage_failed(error, STORE_TIMER)
        return [*again, *_act(desk, done, TapAgain(desk.storage_reason))]
    except (UnusableCardNumber, ComposeError, MalformedMessage):
        # What the card gave makes no message: it costs this customer one more try, and the terminal nothing.
        return _act(desk, done, TapAgain("card-data-malformed"))


def _judge(desk: Desk, card: CardRead) -> Decision:
    assert desk.way is not None
    pan = card.number.pan.reveal() if card.number else b""
    token = desk.keys.tokenize(pan).hex() if pan else ""
    today = f"{desk.local_time():%y%m%d}"
    listed = bool(pan) and card_digest(pan.decode("ascii")) in desk.exceptions
    return judge(card, desk.way, desk.offline_budget(), desk.deferred_budget(), token, today, listed)


def _act(desk: Desk, done: CardDone, decision: Decision) -> list[Effect]:
    match decision:
        case TapAgain(reason):
            _wipe(done.card)
            moved = desk.move(done.payment_ref, Trigger.TAP_AGAIN)
            return [Tell(done.payment_ref, moved.state.value, reason), Listen(done.payment_ref)]
        case Decline(reason):
            return _declined(desk, done, reason)
        case GoOnline():
            return _go_online(desk, done)
        case ApproveOffline():
            return _owe_advice(desk, done, "offline_advice", OFFLINE_APPROVED, "offline")
        case Defer():
            return _owe_advice(desk, done, "deferred_advice", ONLINE_FAILED_APPROVED, "host-unreachable")


def _declined(desk: Desk, done: CardDone, reason: str) -> list[Effect]:
    masked = ""
    if done.card.number is not None:
        masked = mask_pan(done.card.number.pan.reveal().decode("ascii"))
        _wipe(done.card)
    entry = e.TransactionDecided(
        **desk.stamp(),
        payment_ref=done.payment_ref,
        state="",
        transaction=f"{done.payment_ref}/1",
        result="declined",
        by="card",
        code=reason,
        reader=done.reader,
        masked_pan=masked,
        card_facts=card_facts(done.card, _refused_as(done.card)),
    )
    return [Append((Pending(desk.with_state(entry)),))]


def _refused_as(card: CardRead) -> bytes:
    """EMV Book 4, A6: declined offline, or because the host it asked for cannot be reached; nothing where the card was
    not asked."""
    if card.cryptogram_type is None:
        return b""
    return ONLINE_FAILED_DECLINED if card.outcome.kind is OutcomeKind.ONLINE_REQUEST else OFFLINE_DECLINED


class _Tapped(TypedDict):
    """What an intent and an advice say alike about the tap and its message."""

    at_ms: int
    trust: int
    payment_ref: str
    state: str
    transaction: str
    row: str
    stan: int
    batch: int
    key_counter: int
    amount_minor: int
    token: str
    masked_pan: str
    reader: str
    card_facts: dict[str, str]
    wire_digest: str


def _go_online(desk: Desk, done: CardDone) -> list[Effect]:
    request, tapped = _compose(desk, done, "sale", b"")
    desk.outbox[tapped["transaction"]] = request
    return _commit(desk, e.ExchangeIntended(**tapped), request)


def _owe_advice(desk: Desk, done: CardDone, row: str, response_code: bytes, reason: str) -> list[Effect]:
    request, tapped = _compose(desk, done, row, response_code)
    debt = f"{tapped['transaction']}/advice"
    desk.outbox[debt] = request
    return _commit(desk, e.DebtOwed(**tapped, debt=debt, reason=reason), request)


def _commit(desk: Desk, entry: e.ExchangeIntended | e.DebtOwed, request: HostRequest) -> list[Effect]:
    """The card may go; the message may leave once the entry is on the disk."""
    return [
        Tell(entry.payment_ref, PaymentState.READING.value, "card-read"),
        Append((Pending(desk.with_state(entry), request.wire),)),
    ]


def _compose(desk: Desk, done: CardDone, row: str, response_code: bytes) -> tuple[HostRequest, _Tapped]:
    credential = _seal(desk, done, desk.take_key_counter())
    request = _message(desk, done, credential, row, response_code)
    return request, _Tapped(
        **desk.stamp(),
        payment_ref=done.payment_ref,
        state="",
        transaction=f"{done.payment_ref}/1",
        row=row,
        stan=request.key.stan,
        batch=request.key.batch,
        key_counter=credential.key_counter,
        amount_minor=desk.payments[done.payment_ref].amount_minor,
        token=credential.token.hex(),
        masked_pan=credential.masked_pan,
        reader=done.reader,
        card_facts=card_facts(done.card, response_code),
        wire_digest=wire_digest(request.wire),
    )


def _seal(desk: Desk, done: CardDone, counter: int) -> Credential:
    assert done.card.number is not None
    nonce = desk.entropy.octets(ENVELOPE_NONCE_OCTETS)
    return seal_card(done.card.number, desk.keys, counter, nonce, done.payment_ref)


def _message(desk: Desk, done: CardDone, credential: Credential, row: str, response_code: bytes) -> HostRequest:
    icc = dict(done.card.data)
    if response_code:
        icc[AUTHORISATION_RESPONSE_CODE] = response_code
    facts = RequestFacts(
        terminal_id=desk.config.identity.terminal_id,
        merchant_id=desk.config.identity.merchant_id,
        stan=desk.take_stan(),
        batch=desk.counters.batch,
        key_counter=credential.key_counter,
        amount_minor=desk.payments[done.payment_ref].amount_minor,
        local_time=f"{desk.local_time():%Y%m%d%H%M%S}",
        card_sequence=credential.sequence_number,
        icc=icc,
        token=credential.token,
        envelope=credential.envelope,
        payment_ref=done.payment_ref,
    )
    return compose(desk.profile, row, facts, desk.keys)


def _wipe(card: CardRead) -> None:
    if card.number is not None:
        card.number.pan.wipe()
        card.number.track2.wipe()
