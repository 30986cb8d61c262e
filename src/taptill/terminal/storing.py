"""What the disk says: stored, stored slowly, refused; and when it is tried again.

Comes in: `Recorded`, `NotRecorded`, the retry timer. Goes out: the fault that stops new sales, what is written again,
what is given up. Strategy: a full, slow or failing disk stops new sales and nothing else (DESIGN 5.1): the payment
under way is ended, debts leave as long as their entries can be stored. What was only meant is dropped and its people
are told; what happened is written again. Where nothing has to be, an empty append tries the disk, so that it recovers
by itself.
"""

from __future__ import annotations

from taptill.journal import entries as e
from taptill.journal.space import begins_something
from taptill.terminal import arming, asking, disposing, linking, owing
from taptill.terminal.desk import FULL, STORE_RETRY_MS, STORE_TIMER, Desk
from taptill.terminal.effects import Append, Effect, Listen, SetTimer, StopTimer, Tell
from taptill.terminal.events import NotRecorded, Recorded
from taptill.terminal.machine import PaymentState, Trigger

SYNC_MS_MAX = 1_000  # a healthy card syncs in tens of milliseconds; one that takes a second is about to fail
TRIAL_PAUSE_MS_MAX = 15_000
OUTCOME_NOT_STORED = "outcome-not-stored"
OUTCOME_PAUSE_MS_MAX = 2_000  # somebody waits for it, and to be refused costs nothing

_ONLY_MEANT = e.PaymentArmed | e.ExchangeIntended | e.Disposed  # nothing has happened yet, and it can be said again


def recorded(desk: Desk, event: Recorded) -> list[Effect]:
    """The entries are on the disk; what they set off is not looked at here."""
    if desk.storage_kind == FULL and not _shows_space(event):
        return []  # stored in the space that was kept for it: no sign of room for a sale
    if event.took_ms > SYNC_MS_MAX:
        return _stop(desk, f"slow: the disk took {event.took_ms:,} ms")
    return _go_on(desk)


def not_recorded(desk: Desk, event: NotRecorded) -> list[Effect]:
    """Nothing of it is true. What was only meant is dropped; what already happened is written again."""
    dropped = tuple(p for p in event.pending if _is_only_meant(p.entry, event.space_gone))
    desk.written(dropped)
    desk.unsaved += tuple(p for p in event.pending if p not in dropped)
    effects = _stop(desk, f"{FULL if event.space_gone else 'error'}: {event.reason}")
    for pending in dropped:
        effects += _drop(desk, pending.entry, event)
    return effects


def store_again(desk: Desk) -> list[Effect]:
    """What was refused is written again; nothing at all tries the disk."""
    unsaved, desk.unsaved = desk.unsaved, ()
    if not unsaved and not desk.storage_fault:
        desk.storage_pause_ms = 0
        return []
    desk.written(unsaved)
    pause_ms_max = OUTCOME_PAUSE_MS_MAX if unsaved else TRIAL_PAUSE_MS_MAX
    desk.storage_pause_ms = min(2 * desk.storage_pause_ms, pause_ms_max) or STORE_RETRY_MS
    return [desk.store_timer(), Append(unsaved)]


def _shows_space(event: Recorded) -> bool:
    return not event.pending or any(begins_something(pending.entry) for pending in event.pending)


def _is_only_meant(entry: e.AnyEntry, space_gone: bool) -> bool:
    """An advice is an outcome as well, and waits for a disk that failed; a full one may stay full for days."""
    return isinstance(entry, _ONLY_MEANT) or (space_gone and begins_something(entry))


def _stop(desk: Desk, fault: str) -> list[Effect]:
    """No sale begins; who waits with a card, or for a result, is told why."""
    told, timer = desk.storage_reason, desk.storage_stops(fault)
    payment = desk.payments.get(desk.at_counter or "")
    if payment is None or told == desk.storage_reason:
        return timer
    if payment.state is PaymentState.ARMED:
        return [*timer, Tell(payment.payment_ref, payment.state.value, desk.storage_reason)]
    waits = any(_is_about(pending.entry, payment.payment_ref) for pending in desk.unsaved)
    return [*timer, asking.told(desk, payment, OUTCOME_NOT_STORED)] if waits else timer


def _is_about(entry: e.AnyEntry, payment_ref: str) -> bool:
    return isinstance(entry, e.PaymentEntry) and entry.payment_ref == payment_ref


def _go_on(desk: Desk) -> list[Effect]:
    """The disk is as it should be: what was put off meanwhile is looked at again, behind what it had refused."""
    if not desk.storage_fault:
        return []
    if desk.unsaved:
        return [SetTimer(STORE_TIMER, 0)]
    desk.storage_fault, desk.storage_pause_ms = "", 0
    effects: list[Effect] = [StopTimer(STORE_TIMER)]
    payment = desk.payments.get(desk.at_counter or "")
    if payment and payment.state is PaymentState.ARMED and desk.waits_for_link != payment.payment_ref:
        effects.append(Tell(payment.payment_ref, payment.state.value))
    return [*effects, SetTimer(linking.PROBE_TIMER, 0), SetTimer(owing.FORWARD_TIMER, 0)]


def _drop(desk: Desk, entry: e.AnyEntry, event: NotRecorded) -> list[Effect]:
    match entry:
        case e.PaymentArmed(payment_ref=ref):
            desk.at_counter = None
            return arming.not_armed(desk, ref)
        case e.Disposed():
            return disposing.not_disposed(desk, entry, event.reason)
        case e.ExchangeIntended(payment_ref=ref, transaction=name):
            desk.outbox.pop(name, None)
            return _ask_again(desk, ref) or _let_go(desk, ref, event.space_gone)
        case e.DebtOwed(payment_ref=ref, debt=name):
            desk.outbox.pop(name, None)
            return _let_go(desk, ref, event.space_gone)
    return []


def _ask_again(desk: Desk, payment_ref: str) -> list[Effect]:
    """A question about an UNKNOWN payment is put again later."""
    if desk.payments[payment_ref].state is not PaymentState.UNKNOWN:
        return []
    return [SetTimer(asking.QUERY_TIMER + payment_ref, STORE_RETRY_MS)]


def _let_go(desk: Desk, payment_ref: str, space_gone: bool) -> list[Effect]:
    """The card was read and nothing has left. On a full disk the payment ends; otherwise the card may come again."""
    if space_gone:
        told = Tell(payment_ref, PaymentState.READING.value, desk.storage_reason)
        return [told, *arming.drop(desk, payment_ref, desk.storage_reason)]
    moved = desk.move(payment_ref, Trigger.TAP_AGAIN)
    return [Tell(payment_ref, moved.state.value, desk.storage_reason), Listen(payment_ref)]
