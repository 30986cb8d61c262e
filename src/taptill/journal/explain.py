"""The causal story of one payment in plain English.

Comes in: the records of one payment, in order. Goes out: sentences, the last of which say what is owed and what it
waits for.
Strategy: one sentence per entry, then the projection of the same entries tells what still stands open. Nothing here is
known from anywhere but the journal.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from functools import singledispatch

from taptill.amount.money import CURRENCIES, Money
from taptill.clock import Trust
from taptill.journal import entries as e
from taptill.journal.disposition import NOT_PAID, PAID, SEND_AGAIN, SETTLED
from taptill.journal.port import DebtRow, Record, TransactionRow
from taptill.journal.projection import QUESTION_ROWS, MemoryShelf, shelve

OWED = {
    "reversal": "a reversal of the sale",
    "offline_advice": "the advice of an offline approval",
    "deferred_advice": "the deferred authorisation",
}
WAITING = {
    "": "its message may have left and no outcome is stored: after a restart it counts as unknown",
    "unknown": "the outcome is unknown: the terminal goes on asking the host",
    "parked": "only the operator can decide it",
    "confirming": "the customer has not confirmed the lower amount yet",
}


def explain(records: Sequence[Record], zone: tzinfo = UTC) -> list[str]:
    """Empty without records. Times are those of the entries, shown in `zone`."""
    sentences: list[str] = []
    currency = "CNY"
    for record in records:
        if isinstance(record.entry, e.PaymentArmed):
            currency = record.entry.currency
        sentences.append(f"{_when(record.entry, zone)} {_tell(record.entry, currency)}{_state(record.entry)}")
    return sentences + open_ends(records, zone) if sentences else []


def open_ends(records: Sequence[Record], zone: tzinfo = UTC) -> list[str]:
    """What is open or owed after the records, and what it waits for: one sentence each."""
    shelf = MemoryShelf()
    for record in records:
        shelve(shelf, record.seq, record.entry)
    waiting = [_waits(act) for act in shelf.transactions.values() if act.is_open]
    waiting += [_owes(debt, zone) for debt in shelf.debts.values() if debt.is_open]
    return waiting or ["Nothing is open and nothing is owed."]


def _when(entry: e.Entry, zone: tzinfo) -> str:
    guess = " (clock not set)" if entry.trust == Trust.GUESS else ""
    return f"{_time(entry.at_ms, zone)}{guess}:"


def _time(at_ms: int, zone: tzinfo) -> str:
    moment = datetime.fromtimestamp(at_ms // 1000, zone)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{at_ms % 1000:03d} {moment:%Z}".rstrip()


def _state(entry: e.Entry) -> str:
    return f" The payment is {entry.state}." if isinstance(entry, e.PaymentEntry) else ""


def _money(amount_minor: int, currency: str) -> str:
    known = CURRENCIES.get(currency)
    return str(Money(amount_minor, known)) if known else f"{amount_minor} minor units of {currency}"


@singledispatch
def _tell(entry: e.Entry, currency: str) -> str:
    return f"{type(entry).__name__} was stored."


@_tell.register
def _(entry: e.PaymentArmed, currency: str) -> str:
    register = f" for the cash register's {entry.client_ref}" if entry.client_ref else ""
    return f"{_money(entry.amount_minor, currency)} were asked for as {entry.payment_ref}{register}."


@_tell.register
def _(entry: e.ExchangeIntended, currency: str) -> str:
    numbers = f"STAN {entry.stan:06d}, batch {entry.batch}"
    if entry.row in QUESTION_ROWS:
        return f"The host is asked what became of {entry.transaction} ({numbers})."
    card = f"Card {entry.masked_pan} was read at {entry.reader}; " if entry.masked_pan else ""
    return f"{card}a {entry.row} over {_money(entry.amount_minor, currency)} may leave ({numbers})."


@_tell.register
def _(entry: e.TransactionDecided, currency: str) -> str:
    code = f" with code {entry.code}" if entry.code else ""
    amount = f" over {_money(entry.amount_minor, currency)}" if entry.amount_minor is not None else ""
    means = {
        "approved": f"was approved{amount}{code}",
        "declined": f"was declined{code}",
        "not_sent": f"never left this terminal{code}",
        "unknown": f"has no acceptable answer{code}",
        "parked": f"is left to the operator{code}",
    }
    reference = f", reference {entry.rrn}" if entry.rrn else ""
    by = "" if entry.result == "unknown" else f", by {_by(entry.by)}"
    return f"{entry.transaction} {means.get(entry.result, entry.result)}{by}{reference}."


def _by(by: str) -> str:
    return {"host": "the host", "status_query": "the host's status answer", "card": "the card"}.get(by, "the terminal")


@_tell.register
def _(entry: e.DebtOwed, currency: str) -> str:
    what = OWED.get(entry.row, f"a {entry.row}")
    why = f" because: {entry.reason}" if entry.reason else ""
    numbers = f"STAN {entry.stan:06d}, batch {entry.batch}"
    return f"The terminal owes the host {what} over {_money(entry.amount_minor, currency)} ({numbers}){why}."


@_tell.register
def _(entry: e.DebtTried, currency: str) -> str:
    return f"{entry.debt} was tried and is still owed: {entry.result}."


@_tell.register
def _(entry: e.DebtClosed, currency: str) -> str:
    return f"{entry.debt} was taken by the host with code {entry.code}; its message was erased."


@_tell.register
def _(entry: e.DebtParked, currency: str) -> str:
    return f"{entry.debt} was refused with code {entry.code} and waits for the operator."


@_tell.register
def _(entry: e.Disposed, currency: str) -> str:
    means = {
        SEND_AGAIN: "is to be sent again",
        SETTLED: "is settled with the acquirer by hand",
        PAID: "was paid",
        NOT_PAID: "was not paid",
    }
    decided = means.get(entry.decision, entry.decision)
    return f"Operator {entry.operator} signed that {entry.target} {decided}: {entry.reason}."


@_tell.register
def _(entry: e.PaymentCancelled, currency: str) -> str:
    return f"It ended before anything was sent: {entry.reason}."


@_tell.register
def _(entry: e.LateReply, currency: str) -> str:
    return f"An answer for {entry.transaction} came late with code {entry.code}; it is kept as evidence only."


def _waits(act: TransactionRow) -> str:
    return f"Open: {act.transaction} (STAN {act.stan:06d}, batch {act.batch}), {WAITING[act.result]}."


def _owes(debt: DebtRow, zone: tzinfo) -> str:
    what = f"Owed since {_time(debt.created_at_ms, zone)}: {OWED.get(debt.row, debt.row)} ({debt.debt})"
    if debt.state == "parked":
        return f"{what}. The host refused it with code {debt.last_result}; it waits for the operator."
    times = "once" if debt.attempts == 1 else f"{debt.attempts} times"
    tries = f"tried {times}, last: {debt.last_result}" if debt.attempts else "not tried yet"
    return f"{what}, {tries}. It waits for the host to take it."
