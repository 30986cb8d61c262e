"""The states of a payment, as one table.

Comes in: a state and a trigger. Goes out: the next state and the names of what has to follow.
Strategy: triggers are facts that already stand in the journal (plus the two that touch no money: a card was seen, tap
again), so the same table runs a payment and rebuilds it after a power cut. It performs nothing. The README's diagram
is generated from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from transitions import Machine

from taptill.errors import TapTillError


class PaymentState(Enum):
    """Names as the local API shows them (DESIGN 6)."""

    NEW = "new"
    ARMED = "armed"
    READING = "reading"
    AUTHORIZING = "authorizing"
    UNKNOWN = "unknown"
    APPROVED = "approved"
    APPROVED_OFFLINE = "approved_offline"
    DEFERRED = "deferred"
    DEFERRED_DECLINED = "deferred_declined"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    REVERSING = "reversing"
    REVERSED = "reversed"
    PARKED = "parked"


class Trigger(Enum):
    """What moves a payment. All but CARD_SEEN and TAP_AGAIN are synced entries."""

    ARM = "armed"
    CARD_SEEN = "card seen"
    TAP_AGAIN = "tap again"
    CANCEL = "cancelled"
    ASK = "question synced"
    APPROVE = "host approved"
    DECLINE = "declined"
    LOSE = "no acceptable answer"
    PARK = "left to the operator"
    APPROVE_OFFLINE = "card approved, advice owed"
    DEFER = "taken at the merchant's risk"
    UNDO = "reversal owed"
    TRY = "delivery tried"
    DELIVER = "host took the advice"
    REFUSE = "host declined the advice"
    REVERSE = "host reversed"
    PARK_DEBT = "debt parked"
    LATE = "late answer kept as evidence"
    SEND_AGAIN = "operator sends it again"
    SETTLE = "operator settled it with the acquirer"
    PAID = "operator says paid"
    NOT_PAID = "operator says not paid"


class Follow(Enum):
    """What has to follow once a row was taken; the till performs it."""

    LISTEN = "readers listen"
    SEND = "send what was synced"
    TELL = "tell everybody"
    PRINT = "print a receipt"
    QUERY = "ask for the status"
    FORWARD = "forward what is owed"


class ImpossibleStep(TapTillError):
    """A fact that cannot follow from the payment's state: the program, not the world, is wrong."""

    code = 9001


@dataclass(frozen=True, slots=True)
class Row:
    source: PaymentState
    trigger: Trigger
    dest: PaymentState
    follow: tuple[Follow, ...] = ()


S, T, F = PaymentState, Trigger, Follow
_END = (F.TELL, F.PRINT)

TABLE: tuple[Row, ...] = (
    Row(S.NEW, T.ARM, S.ARMED, (F.TELL, F.LISTEN)),
    Row(S.ARMED, T.CARD_SEEN, S.READING, (F.TELL,)),
    Row(S.ARMED, T.CANCEL, S.CANCELLED, (F.TELL,)),
    Row(S.READING, T.TAP_AGAIN, S.ARMED, (F.TELL, F.LISTEN)),
    Row(S.READING, T.CANCEL, S.CANCELLED, (F.TELL,)),
    Row(S.READING, T.ASK, S.AUTHORIZING, (F.TELL, F.SEND)),
    Row(S.READING, T.DECLINE, S.DECLINED, _END),
    Row(S.READING, T.APPROVE_OFFLINE, S.APPROVED_OFFLINE, (*_END, F.FORWARD)),
    Row(S.READING, T.DEFER, S.DEFERRED, (*_END, F.FORWARD)),
    Row(S.AUTHORIZING, T.APPROVE, S.APPROVED, (*_END, F.FORWARD)),
    Row(S.AUTHORIZING, T.DECLINE, S.DECLINED, _END),
    Row(S.AUTHORIZING, T.LOSE, S.UNKNOWN, (F.TELL, F.QUERY)),
    Row(S.AUTHORIZING, T.UNDO, S.REVERSING, (*_END, F.FORWARD)),
    Row(S.UNKNOWN, T.ASK, S.UNKNOWN, (F.TELL, F.SEND)),
    Row(S.UNKNOWN, T.LOSE, S.UNKNOWN),
    Row(S.UNKNOWN, T.APPROVE, S.APPROVED, (*_END, F.FORWARD)),
    Row(S.UNKNOWN, T.DECLINE, S.DECLINED, _END),
    Row(S.UNKNOWN, T.UNDO, S.REVERSING, (*_END, F.FORWARD)),
    Row(S.UNKNOWN, T.PARK, S.PARKED, _END),
    Row(S.REVERSING, T.TRY, S.REVERSING),
    Row(S.REVERSING, T.REVERSE, S.REVERSED, (*_END, F.FORWARD)),
    Row(S.REVERSING, T.PARK_DEBT, S.PARKED, _END),
    Row(S.APPROVED_OFFLINE, T.TRY, S.APPROVED_OFFLINE),
    Row(S.APPROVED_OFFLINE, T.DELIVER, S.APPROVED_OFFLINE, (F.TELL, F.FORWARD)),
    Row(S.APPROVED_OFFLINE, T.PARK_DEBT, S.APPROVED_OFFLINE, (F.TELL,)),
    Row(S.DEFERRED, T.TRY, S.DEFERRED),
    Row(S.DEFERRED, T.DELIVER, S.APPROVED, (*_END, F.FORWARD)),
    Row(S.DEFERRED, T.REFUSE, S.DEFERRED_DECLINED, (*_END, F.FORWARD)),
    Row(S.DEFERRED, T.PARK_DEBT, S.DEFERRED, (F.TELL,)),
    # What only an operator can end ends by a signed word (DESIGN 5.7); nothing but what was parked is approved by it.
    Row(S.PARKED, T.SEND_AGAIN, S.REVERSING, (F.TELL, F.FORWARD)),
    Row(S.PARKED, T.SETTLE, S.REVERSED, _END),
    Row(S.PARKED, T.PAID, S.APPROVED, _END),
    Row(S.PARKED, T.NOT_PAID, S.DECLINED, _END),
    Row(S.APPROVED_OFFLINE, T.SEND_AGAIN, S.APPROVED_OFFLINE, (F.TELL, F.FORWARD)),
    Row(S.APPROVED_OFFLINE, T.SETTLE, S.APPROVED_OFFLINE, (F.TELL,)),
    Row(S.DEFERRED, T.SEND_AGAIN, S.DEFERRED, (F.TELL, F.FORWARD)),
    Row(S.DEFERRED, T.SETTLE, S.APPROVED, _END),
    Row(S.DEFERRED, T.NOT_PAID, S.DEFERRED_DECLINED, _END),
    # An answer that comes after the decision is kept and changes nothing (DESIGN 5.6).
    *(Row(s, T.LATE, s) for s in (S.UNKNOWN, S.APPROVED, S.DECLINED, S.REVERSING, S.REVERSED, S.PARKED)),
)

_machine = Machine(
    model=None,
    states=PaymentState,
    initial=PaymentState.NEW,
    auto_transitions=False,
    transitions=[{"trigger": r.trigger.name, "source": r.source, "dest": r.dest} for r in TABLE],
)
_rows = {(row.source, row.trigger): row for row in TABLE}


def step(state: PaymentState, trigger: Trigger) -> Row:
    """The row taken. Raises ImpossibleStep where the table has none."""
    if not _machine.get_transitions(trigger.name, state):
        raise ImpossibleStep(f"{trigger.value!r} cannot follow {state.value!r}", where="payment state table")
    return _rows[(state, trigger)]


def replay(state: PaymentState, trigger: Trigger) -> Row:
    """As `step`, for entries read back: that a card was seen is not journaled, so ARMED stands for READING."""
    if state is PaymentState.ARMED and (PaymentState.READING, trigger) in _rows:
        return step(PaymentState.READING, trigger)
    return step(state, trigger)


def diagram() -> str:
    """The table as a Mermaid state diagram, one arrow per row, self-loops left out."""
    arrows = [f"    {r.source.value} --> {r.dest.value}: {r.trigger.value}" for r in TABLE if r.source is not r.dest]
    ends = [f"    {s.value} --> [*]" for s in PaymentState if _is_final(s)]
    return "\n".join(["stateDiagram-v2", "    [*] --> new", *arrows, *ends]) + "\n"


def is_open(state: PaymentState) -> bool:
    """Something still has to happen before anybody can call this payment settled."""
    return state in {
        PaymentState.NEW,
        PaymentState.ARMED,
        PaymentState.READING,
        PaymentState.AUTHORIZING,
        PaymentState.UNKNOWN,
        PaymentState.REVERSING,
        PaymentState.DEFERRED,
        PaymentState.PARKED,
    }


def _is_final(state: PaymentState) -> bool:
    return not any(row.source is state and row.dest is not state for row in TABLE)
