"""The till: one event in, effects out. It decides everything and touches nothing.

Strategy: events go to the file of their moment (arming, tapping, asking, owing, linking, storing). Entries that come
back from the disk move the payment by the state table and set off what the row says has to follow. While an entry of a
payment is on its way to the disk, other events about that payment wait, so a decision is never made on a state not yet
true.
"""

from __future__ import annotations

from dataclasses import replace

from taptill.host.exchange import HostReply, Verdict
from taptill.host.link import ExchangeEnded, LateAnswer, LinkChanged
from taptill.journal import entries as e
from taptill.journal.port import Record
from taptill.journal.projection import new_debt
from taptill.receipt.compose import is_signed
from taptill.receipt.facts import Copy, Language
from taptill.terminal import arming, asking, disposing, linking, owing, recovering, storing, tapping
from taptill.terminal.desk import Desk
from taptill.terminal.effects import Answer, Append, Ask, Effect, Listen, Print, SetTimer, StopTimer, Tell
from taptill.terminal.events import (
    ArmRequested,
    CancelRequested,
    CardDone,
    CardSeen,
    DispositionOffered,
    Event,
    NotRecorded,
    Printed,
    ReaderChanged,
    Recorded,
    SendNow,
    Started,
    Tick,
    WhyRequested,
)
from taptill.terminal.machine import Follow, PaymentState, is_open
from taptill.terminal.payment import Payment, fold
from taptill.terminal.telling import language_of, receipt_facts
from taptill.terminal.why import situation_of

_PAYMENT_TIMERS = {arming.ARM_TIMER, asking.QUERY_TIMER, tapping.READ_TIMER}
# A late 94 is no proof either way, but it forbids to reverse by ourselves (DESIGN 5.6).
_LATE_RESULTS = {Verdict.APPROVED: "approved", Verdict.DECLINED: "declined", Verdict.DUPLICATE: "unknown"}


class Till:
    """Used by one thread. `desk` may be looked at by others between events."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def handle(self, event: Event) -> list[Effect]:
        """What has to be done about `event`, in order."""
        if _subject(event) in self.desk.writing:
            self.desk.held.append(event)
            return []
        effects = self._dispatch(event)
        self._mark_writing(effects)
        self._note_times(event, effects)
        if isinstance(event, Recorded | NotRecorded):
            effects += self._release()
        return effects

    def _dispatch(self, event: Event) -> list[Effect]:  # noqa: C901 one line per event
        desk = self.desk
        match event:
            case Started():
                return recovering.recover(desk)
            case ArmRequested():
                return arming.arm(desk, event)
            case CancelRequested():
                return arming.cancel(desk, event)
            case DispositionOffered():
                return disposing.offered(desk, event)
            case SendNow(ticket):
                return [*linking.send_now(desk), Answer(ticket, None)]
            case WhyRequested(ticket):
                return [Answer(ticket, None, situation=situation_of(desk))]
            case CardSeen():
                return tapping.card_seen(desk, event)
            case CardDone():
                return tapping.card_done(desk, event)
            case Recorded():
                return self._recorded(event)
            case NotRecorded():
                return storing.not_recorded(desk, event)
            case ExchangeEnded():
                return self._exchange_ended(event)
            case LateAnswer(request, reply):
                return self._late(request.payment_ref, request.row, reply)
            case Tick(name):
                return self._tick(name)
            case ReaderChanged(reader, up):
                desk.readers[reader] = up
            case LinkChanged(up):
                # An echo finds out at once whether the host is gone, before a customer's card does.
                return [] if up or not desk.signed_on else [SetTimer(linking.PROBE_TIMER, 0)]
            case Printed():
                pass
        return []

    def _mark_writing(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Append):
                for pending in effect.pending:
                    if isinstance(pending.entry, e.PaymentEntry):
                        ref = pending.entry.payment_ref
                        self.desk.writing[ref] = self.desk.writing.get(ref, 0) + 1

    def _note_times(self, event: Event, effects: list[Effect]) -> None:
        """What `why` tells people: when timers run out, and since when the host is away."""
        desk = self.desk
        if isinstance(event, Tick):
            desk.due_us.pop(event.name, None)
        now_us = desk.clock.monotonic_us()
        for effect in effects:
            if isinstance(effect, SetTimer):
                desk.due_us[effect.name] = now_us + effect.delay_ms * 1_000
            elif isinstance(effect, StopTimer):
                desk.due_us.pop(effect.name, None)
        if not desk.breaker.open:
            desk.away_since_us = None
        elif desk.away_since_us is None:
            desk.away_since_us = now_us

    def _recorded(self, event: Recorded) -> list[Effect]:
        self.desk.written(event.pending)
        effects = storing.recorded(self.desk, event)
        for record in event.records:
            effects += self._apply(record)
        return effects

    def _release(self) -> list[Effect]:
        """Events that waited for the disk, in their order."""
        held, self.desk.held = self.desk.held, []
        effects: list[Effect] = []
        for event in held:
            effects += self.handle(event)
        return effects

    def _apply(self, record: Record) -> list[Effect]:
        desk, entry = self.desk, record.entry
        if isinstance(entry, e.LinkIntended):
            return [Ask(desk.outbox.pop(entry.row), desk.config.host.query_timeout_ms)]
        if not isinstance(entry, e.PaymentEntry):
            return []
        folded = fold(desk.payments.get(entry.payment_ref), entry)
        desk.remember(folded.payment)
        effects = self._keep_books(entry, record.seq)
        for follow in folded.follow:
            effects += self._follow(follow, folded.payment, entry)
        return effects + self._leave_counter(folded.payment)

    def _keep_books(self, entry: e.PaymentEntry, seq: int) -> list[Effect]:
        """Debts and tickets that an entry opens or closes."""
        desk = self.desk
        match entry:
            case e.PaymentArmed():
                return arming.armed(desk, entry.payment_ref)
            case e.PaymentCancelled():
                return arming.cancelled(desk, entry.payment_ref)
            case e.TransactionDecided(result="unknown"):
                asking.open_inquiry(desk, entry.payment_ref)
            case e.DebtOwed():
                desk.debts.put(new_debt(entry, seq, desk.outbox.pop(entry.debt).wire))
            case e.DebtTried():
                debt = desk.debts[entry.debt]
                desk.debts.put(replace(debt, attempts=debt.attempts + 1, last_result=entry.result))
            case e.DebtClosed():
                desk.debts.put(replace(desk.debts[entry.debt], state="closed"))
            case e.DebtParked():
                desk.debts.put(replace(desk.debts[entry.debt], state="parked"))
                return owing.forward(desk)
            case e.Disposed():
                return disposing.disposed(desk, entry)
        return []

    def _follow(self, follow: Follow, payment: Payment, entry: e.PaymentEntry) -> list[Effect]:
        desk = self.desk
        match follow:
            case Follow.TELL:
                return [asking.told(desk, payment, payment.reason)]
            case Follow.LISTEN:
                return self._listen(payment.payment_ref)
            case Follow.SEND:
                assert isinstance(entry, e.ExchangeIntended)
                return self._send(entry)
            case Follow.PRINT:
                return self._slips(payment)
            case Follow.QUERY:
                return asking.begin_query(desk, payment.payment_ref)
            case Follow.FORWARD:
                return owing.forward(desk)

    def _slips(self, payment: Payment) -> list[Effect]:
        """The customer's, and before it the shop's where the customer is here to sign it."""
        config = self.desk.config
        facts = receipt_facts(payment, config, self.desk.profile, reprint=0)
        slips: list[Effect] = [Print(facts, language_of(payment, config))]
        if is_signed(facts) and payment.payment_ref == self.desk.at_counter:
            slips.insert(0, Print(replace(facts, copy=Copy.MERCHANT), Language(config.identity.language)))
        return slips

    def _listen(self, payment_ref: str) -> list[Effect]:
        """No card before it is known whether the host can be asked, and in which batch (DESIGN 5.4)."""
        if self.desk.signed_on or self.desk.breaker.open:
            return [Listen(payment_ref)]
        self.desk.waits_for_link = payment_ref
        return [Tell(payment_ref, PaymentState.ARMED.value, "connecting")]

    def _link_settled(self) -> list[Effect]:
        payment_ref = self.desk.waits_for_link
        payment = self.desk.payments.get(payment_ref) if payment_ref else None
        if payment is None or not (self.desk.signed_on or self.desk.breaker.open):
            return []
        self.desk.waits_for_link = None
        listens = payment.state is PaymentState.ARMED
        return [Listen(payment.payment_ref), Tell(payment.payment_ref, "armed")] if listens else []

    def _send(self, entry: e.ExchangeIntended) -> list[Effect]:
        host = self.desk.config.host
        timeout_ms = host.reply_timeout_ms if entry.row == "sale" else asking.timeout_ms(self.desk, entry.payment_ref)
        return [
            StopTimer(arming.ARM_TIMER + entry.payment_ref),
            Ask(self.desk.outbox.pop(entry.transaction), timeout_ms),
        ]

    def _leave_counter(self, payment: Payment) -> list[Effect]:
        """The counter is free once the payment has a result the customer can leave with, and debts may leave again; it
        is forgotten here once nothing of it is open."""
        desk = self.desk
        busy = {PaymentState.ARMED, PaymentState.READING, PaymentState.AUTHORIZING, PaymentState.UNKNOWN}
        leaves = payment.payment_ref == desk.at_counter and payment.state not in busy
        if leaves:
            desk.at_counter = None
        if payment.state is not PaymentState.UNKNOWN:
            desk.inquiries.pop(payment.payment_ref, None)
        if not is_open(payment.state) and desk.is_finished(payment.payment_ref):
            desk.forget(payment.payment_ref)
        return owing.forward(desk) if leaves else []

    def _exchange_ended(self, event: ExchangeEnded) -> list[Effect]:
        request, result = event.request, event.result
        if request.row in {"sign_on", "echo"}:
            effects = linking.question_ended(self.desk, request, result)
            effects += linking.note_result(self.desk, request, result)
            return [*effects, *self._link_settled()]
        effects = linking.note_result(self.desk, request, result)
        if request.row == "sale":
            effects += asking.sale_ended(self.desk, request, result)
        elif request.row == "status_query":
            effects += asking.query_ended(self.desk, request, result)
        else:
            effects += owing.delivery_ended(self.desk, request, result)
        return [*effects, *self._link_settled()]

    def _late(self, payment_ref: str | None, row: str, reply: HostReply) -> list[Effect]:
        """Before the commit point a late answer is an answer, if it is authentic; after it, evidence."""
        payment = self._remembered(payment_ref or "")
        if payment is None or row != "sale":
            return []
        result = _LATE_RESULTS.get(reply.verdict) if reply.authenticated else None
        if payment.state is PaymentState.UNKNOWN and result is not None:
            return [asking.decide(self.desk, payment.payment_ref, result, "host", reply.code, reply)]
        return [asking.keep_late(self.desk, payment.payment_ref, reply)]

    def _remembered(self, payment_ref: str) -> Payment | None:
        """From the desk, or brought back from the journal for as long as it takes."""
        payment = self.desk.payments.get(payment_ref) or recovering.read_payment(self.desk.journal, payment_ref)
        if payment is not None:
            self.desk.remember(payment)
        return payment

    def _tick(self, name: str) -> list[Effect]:
        desk = self.desk
        kind, _, rest = name.partition(":")
        match kind + ":" if rest else kind:
            case arming.ARM_TIMER:
                return arming.expire(desk, rest)
            case asking.QUERY_TIMER:
                return asking.query(desk, rest)
            case owing.FORWARD_TIMER:
                return owing.forward(desk)
            case linking.PROBE_TIMER:
                return linking.question(desk)
            case tapping.READ_TIMER:
                return tapping.reading_hangs(desk, rest)
            case "store":
                return storing.store_again(desk)
        return []


def _subject(event: Event) -> str | None:
    """The payment an event is about, when it has to wait for that payment's entry."""
    match event:
        case CardDone(payment_ref=ref) | CancelRequested(payment_ref=ref):
            return ref
        case ExchangeEnded(request=request) | LateAnswer(request=request):
            return request.payment_ref
        case DispositionOffered(offer=offer):
            return offer.statement.payment_ref
        case Tick(name):
            kind, _, rest = name.partition(":")
            return rest.split("/")[0] if kind + ":" in _PAYMENT_TIMERS else None
    return None
