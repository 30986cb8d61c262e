"""An operator's signed word about what is parked (DESIGN 5.7).

Comes in: an offered statement. Goes out: the entry that ends the parking, or the one reason why it does not count.
Strategy: it is judged against the journal itself, while nothing of its payment is on the way to the disk. There is no
other way to "force" a payment: who decides it, has to sign for it, and the slip says so.
"""

from __future__ import annotations

from dataclasses import replace

from taptill.journal import entries as e
from taptill.journal.disposition import SEND_AGAIN, parking_of, refusal_of
from taptill.journal.formats import is_known
from taptill.journal.port import Pending
from taptill.terminal.desk import Desk
from taptill.terminal.effects import Answer, Append, Effect
from taptill.terminal.events import DispositionOffered

NOT_STORED = "disposition-not-stored"
FORMAT_TOO_OLD = "journal-format-too-old"


def offered(desk: Desk, event: DispositionOffered) -> list[Effect]:
    offer = event.offer
    statement = offer.statement
    row = desk.journal.payment(statement.payment_ref)
    shown_ref = row.payment_ref if row else None
    if not desk.can_store:
        return [Answer(event.ticket, shown_ref, "journal-not-writable")]
    parking = parking_of(desk.journal.records(shown_ref), statement.target) if shown_ref else None
    keys = {operator.name: bytes.fromhex(operator.key) for operator in desk.config.operators}
    refusal = refusal_of(offer, keys, desk.config.identity.terminal_id, parking)
    if refusal is not None:
        return [Answer(event.ticket, shown_ref, refusal.value)]
    entry = e.Disposed(
        **desk.stamp(),
        payment_ref=statement.payment_ref,
        state="",
        target=statement.target,
        decision=statement.decision,
        operator=statement.operator,
        reason=statement.reason,
        statement=offer.text,
        signature=offer.signature.lower(),
    )
    if not is_known(entry, desk.journal.format):
        return [Answer(event.ticket, shown_ref, FORMAT_TOO_OLD)]
    desk.tickets[statement.target] = [event.ticket]
    return [Append((Pending(desk.with_state(entry)),))]


def disposed(desk: Desk, entry: e.Disposed) -> list[Effect]:
    """It is on the disk: what may go out again is back in the queue, what was settled is owed no more."""
    debt = desk.debts.get(entry.target)
    if debt is not None:
        desk.debts.put(replace(debt, state="open" if entry.decision == SEND_AGAIN else "closed"))
    return _answers(desk, entry, None)


def not_disposed(desk: Desk, entry: e.Disposed, reason: str) -> list[Effect]:
    """It could not be stored, so it was not said: the operator says it again."""
    return _answers(desk, entry, f"{NOT_STORED}: {reason}")


def _answers(desk: Desk, entry: e.Disposed, refusal: str | None) -> list[Effect]:
    return [Answer(ticket, entry.payment_ref, refusal) for ticket in desk.tickets.pop(entry.target, [])]
