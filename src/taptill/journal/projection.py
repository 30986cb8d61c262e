"""What the entries add up to: payments, transactions, debts and counters.

Comes in: the rows one entry touches, as they are, and the entry. Goes out: the same rows as they become.
Strategy: `project` is a pure function of one entry and a handful of rows. A `Shelf` keeps the rows: the journal's file
shelves them in the transaction of the entry; `MemoryShelf` rebuilds them from nothing, which is how a journal is
checked against itself. An entry that contradicts its rows is refused before anything is stored.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field, replace
from typing import Protocol

import msgspec
from msgspec.structs import replace as with_rows

from taptill.journal import entries as e
from taptill.journal.counters import FIRST_COUNTERS, counters_after, takes_stan
from taptill.journal.disposition import OF_A_DEBT, OF_A_DEFERRED_DEBT, OF_A_TRANSACTION, PAID, SEND_AGAIN
from taptill.journal.port import Counters, DebtRow, ImpossibleEntry, PaymentRow, TransactionRow

QUESTION_ROWS = frozenset({"status_query"})  # rows of the host profile that move no money
ADVICE_ROWS = frozenset({"offline_advice", "deferred_advice"})  # the outcome of a payment and a debt in one
RETRY_RESULTS = frozenset({"declined", "not_sent", "reversed"})  # proven: a new attempt may follow (DESIGN 5.3)
REVERSED_RESULTS = frozenset({"reversing", "reversed"})
BY_OPERATOR = "operator"  # in place of a host's code: an operator's signed word


class Rows(msgspec.Struct, frozen=True):
    """What one entry can touch."""

    counters: Counters
    payment: PaymentRow | None = None
    transaction: TransactionRow | None = None
    debt: DebtRow | None = None


class Shelf(Protocol):
    """Where the rows stand. Rows are given without their message bytes."""

    def counters(self) -> Counters: ...

    def payment(self, payment_ref: str) -> PaymentRow | None: ...

    def transaction(self, name: str) -> TransactionRow | None: ...

    def debt(self, name: str) -> DebtRow | None: ...

    def open_stans(self, batch: int) -> Container[int]:
        """STANs of transactions and debts of `batch` that are not closed."""

    def put(self, before: Rows, after: Rows) -> None: ...


def shelve(shelf: Shelf, seq: int, entry: e.AnyEntry) -> None:
    """Bring the shelf up to `entry`. Raises ImpossibleEntry, and leaves the shelf alone."""
    before = _gather(shelf, entry)
    batch = entry.batch if isinstance(entry, e.BatchOpened) else before.counters.batch
    _refuse_used_stan(shelf, entry)
    shelf.put(before, project(before, seq, entry, shelf.open_stans(batch)))


def project(before: Rows, seq: int, entry: e.AnyEntry, open_stans: Container[int] = frozenset()) -> Rows:
    """The rows after `entry`; `open_stans` are those of the batch that is then current. Raises ImpossibleEntry."""
    rows = with_rows(before, counters=counters_after(before.counters, entry, open_stans))
    if not isinstance(entry, e.PaymentEntry):
        return rows
    rows = with_rows(rows, payment=_payment(before.payment, seq, entry))
    match entry:
        case e.ExchangeIntended():
            return _intended(rows, seq, entry)
        case e.TransactionDecided():
            return _decided(rows, entry)
        case e.DebtOwed():
            return _owed(rows, seq, entry)
        case e.DebtTried() | e.DebtClosed() | e.DebtParked():
            return _answered(rows, entry)
        case e.Disposed():
            return _disposed(rows, entry)
    return rows


def closes(before: TransactionRow | DebtRow | None, after: TransactionRow | DebtRow | None) -> bool:
    """Nothing is owed or asked any more, so the message bytes kept for the row are to be erased (DESIGN 5.16)."""
    return before is not None and before.is_open and after is not None and not after.is_open


def _gather(shelf: Shelf, entry: e.AnyEntry) -> Rows:
    if not isinstance(entry, e.PaymentEntry):
        return Rows(shelf.counters())
    transaction: str | None = None
    debt: DebtRow | None = None
    match entry:
        case e.ExchangeIntended(transaction=name) | e.TransactionDecided(transaction=name):
            transaction = name
        case e.DebtOwed(transaction=name, debt=debt_name):
            transaction, debt = name, shelf.debt(debt_name)
        case e.DebtTried(debt=debt_name) | e.DebtClosed(debt=debt_name) | e.DebtParked(debt=debt_name):
            debt = shelf.debt(debt_name)
            transaction = debt.transaction if debt else None
        case e.Disposed(target=target):
            debt = shelf.debt(target)
            transaction = debt.transaction if debt else target
    act = shelf.transaction(transaction) if transaction else None
    return Rows(shelf.counters(), shelf.payment(entry.payment_ref), act, debt)


def _refuse_used_stan(shelf: Shelf, entry: e.AnyEntry) -> None:
    stan = takes_stan(entry)
    if stan is None or not isinstance(entry, e.ExchangeIntended | e.LinkIntended | e.DebtOwed):
        return
    if stan in shelf.open_stans(entry.batch):
        raise ImpossibleEntry("something is still open with this STAN", where=f"batch {entry.batch} STAN {stan}")


def _payment(row: PaymentRow | None, seq: int, entry: e.PaymentEntry) -> PaymentRow:
    if isinstance(entry, e.PaymentArmed):
        if row is not None:
            raise ImpossibleEntry("the reference was minted before", where=f"payment {entry.payment_ref}")
        return PaymentRow(
            payment_ref=entry.payment_ref,
            client_ref=entry.client_ref,
            state=entry.state,
            amount_minor=entry.amount_minor,
            currency=entry.currency,
            approved_minor=0,
            masked_pan="",
            reader="",
            opened_at_ms=entry.at_ms,
            changed_at_ms=entry.at_ms,
            first_seq=seq,
            last_seq=seq,
            idempotency_key=entry.idempotency_key,
        )
    if row is None:
        raise ImpossibleEntry("no such payment was armed", where=f"payment {entry.payment_ref}")
    masked_pan, reader = row.masked_pan, row.reader
    if isinstance(entry, e.ExchangeIntended | e.TransactionDecided | e.DebtOwed):
        masked_pan, reader = entry.masked_pan or masked_pan, entry.reader or reader
    return PaymentRow(  # field by field: every append comes through here, and `replace` takes three times as long
        payment_ref=row.payment_ref,
        client_ref=row.client_ref,
        state=entry.state,
        amount_minor=row.amount_minor,
        currency=row.currency,
        approved_minor=row.approved_minor,
        masked_pan=masked_pan,
        reader=reader,
        opened_at_ms=row.opened_at_ms,
        changed_at_ms=entry.at_ms,
        first_seq=row.first_seq,
        last_seq=seq,
        refunded_minor=row.refunded_minor,
        idempotency_key=row.idempotency_key,
    )


def _act(seq: int, entry: e.ExchangeIntended | e.DebtOwed, result: str, approved_minor: int) -> TransactionRow:
    return TransactionRow(
        transaction=entry.transaction,
        payment_ref=entry.payment_ref,
        row=entry.row,
        result=result,
        stan=entry.stan,
        batch=entry.batch,
        key_counter=entry.key_counter,
        amount_minor=entry.amount_minor,
        approved_minor=approved_minor,
        token=entry.token,
        masked_pan=entry.masked_pan,
        reader=entry.reader,
        card_facts=entry.card_facts,
        code="",
        auth_code="",
        rrn="",
        intended_at_ms=entry.at_ms,
        intended_seq=seq,
    )


def _intended(rows: Rows, seq: int, entry: e.ExchangeIntended) -> Rows:
    if entry.row in QUESTION_ROWS:
        return rows
    _refuse_second_attempt(rows.transaction)
    return with_rows(rows, transaction=_act(seq, entry, "", 0))


def _decided(rows: Rows, entry: e.TransactionDecided) -> Rows:
    act = rows.transaction
    if act is None:  # refused by the card or the terminal: no message was ever meant to leave
        if entry.result == "approved":
            raise ImpossibleEntry("approved without an intent", where=f"transaction {entry.transaction}")
        return rows
    if act.result in REVERSED_RESULTS:
        if entry.result == "approved":  # DESIGN 5.6: evidence, not a sale
            raise ImpossibleEntry("approved after its reversal was owed", where=f"transaction {entry.transaction}")
        return rows
    amount_minor = act.amount_minor if entry.amount_minor is None else entry.amount_minor
    decided = replace(
        act,
        result="confirming" if entry.result == "approved" and entry.state == "confirming" else entry.result,
        approved_minor=amount_minor if entry.result == "approved" else 0,
        masked_pan=entry.masked_pan or act.masked_pan,
        reader=entry.reader or act.reader,
        card_facts={**act.card_facts, **entry.card_facts},
        code=entry.code,
        auth_code=entry.auth_code or act.auth_code,
        rrn=entry.rrn or act.rrn,
    )
    return _standing(with_rows(rows, transaction=decided), act)


def new_debt(entry: e.DebtOwed, seq: int, wire: bytes | None = None) -> DebtRow:
    """A debt as it begins. A `Shelf` keeps it without its bytes."""
    return DebtRow(
        debt=entry.debt,
        payment_ref=entry.payment_ref,
        transaction=entry.transaction,
        row=entry.row,
        state="open",
        stan=entry.stan,
        batch=entry.batch,
        key_counter=entry.key_counter,
        amount_minor=entry.amount_minor,
        attempts=0,
        last_result="",
        created_at_ms=entry.at_ms,
        created_seq=seq,
        wire=wire,
        token=entry.token,
    )


def _owed(rows: Rows, seq: int, entry: e.DebtOwed) -> Rows:
    if rows.debt is not None:
        raise ImpossibleEntry("it is owed already", where=f"debt {entry.debt}")
    debt = new_debt(entry, seq)
    rows, before = with_rows(rows, debt=debt), rows.transaction
    if entry.row in ADVICE_ROWS:
        _refuse_second_attempt(before)
        return _standing(with_rows(rows, transaction=_act(seq, entry, entry.state, entry.amount_minor)), before)
    if entry.row != "reversal" or before is None:
        return rows
    return _standing(with_rows(rows, transaction=replace(before, result="reversing", approved_minor=0)), before)


def _refuse_second_attempt(before: TransactionRow | None) -> None:
    if before is not None and before.result not in RETRY_RESULTS:
        raise ImpossibleEntry(
            f"the last attempt is {before.result or 'without outcome'}", where=f"transaction {before.transaction}"
        )


def _answered(rows: Rows, entry: e.DebtTried | e.DebtClosed | e.DebtParked) -> Rows:
    debt = rows.debt
    if debt is None:
        raise ImpossibleEntry("no such debt", where=f"debt {entry.debt}")
    if not debt.is_open:
        return rows
    match entry:
        case e.DebtTried(result=result):
            return with_rows(rows, debt=replace(debt, attempts=debt.attempts + 1, last_result=result))
        case e.DebtParked(code=code):
            return with_rows(rows, debt=replace(debt, state="parked", last_result=code))
    closed = with_rows(rows, debt=replace(debt, state="closed", last_result=entry.code))
    return _let_go(closed, entry.state, entry.code, entry.rrn)


def _let_go(rows: Rows, state: str, code: str, rrn: str) -> Rows:
    """What the closing of its debt makes of a transaction; `state` is the payment's after it."""
    act, debt = rows.transaction, rows.debt
    if act is None or debt is None:
        return rows
    if debt.row == "reversal":
        return with_rows(rows, transaction=replace(act, result="reversed", code=code))
    if debt.row not in ADVICE_ROWS:
        return rows
    refused = state.endswith("declined")
    closed = replace(
        act,
        result=state,
        approved_minor=0 if refused else act.approved_minor,
        code=code,
        rrn=rrn or act.rrn,
    )
    return _standing(with_rows(rows, transaction=closed), act)


def _disposed(rows: Rows, entry: e.Disposed) -> Rows:
    """An operator's word ends only what is parked (DESIGN 5.7)."""
    act, debt = rows.transaction, rows.debt
    if debt is None:
        if act is None or act.result != "parked" or entry.decision not in OF_A_TRANSACTION:
            raise ImpossibleEntry(f"it cannot be {entry.decision!r}", where=f"transaction {entry.target}")
        paid = entry.decision == PAID
        decided = replace(
            act,
            result="approved" if paid else "declined",
            approved_minor=act.amount_minor if paid else 0,
            code=BY_OPERATOR,
        )
        return _standing(with_rows(rows, transaction=decided), act)
    allowed = OF_A_DEFERRED_DEBT if debt.row == "deferred_advice" else OF_A_DEBT
    if debt.state != "parked" or entry.decision not in allowed:
        raise ImpossibleEntry(f"it cannot be {entry.decision!r}", where=f"debt {entry.target}")
    if entry.decision == SEND_AGAIN:
        return with_rows(rows, debt=replace(debt, state="open"))
    rows = with_rows(rows, debt=replace(debt, state="closed", last_result=BY_OPERATOR))
    return _let_go(rows, entry.state, BY_OPERATOR, "")


def _standing(rows: Rows, before: TransactionRow | None) -> Rows:
    """The payment's sums after its transaction changed: what stands approved, and what was given back."""
    act, payment = rows.transaction, rows.payment
    if act is None or payment is None:
        return rows
    change = act.approved_minor - (before.approved_minor if before else 0)
    if act.row == "refund":
        return with_rows(rows, payment=replace(payment, refunded_minor=payment.refunded_minor + change))
    if act.row == "void":
        change = -change
    return with_rows(rows, payment=replace(payment, approved_minor=payment.approved_minor + change))


class StanHolders:
    """Who holds which STAN open: a reversal shares the one of its original."""

    def __init__(self) -> None:
        self._names: dict[int, dict[int, set[str]]] = {}  # batch -> STAN -> transactions and debts

    def of(self, batch: int) -> Container[int]:
        return self._names.get(batch, {})

    def hold(self, batch: int, stan: int, name: str) -> None:
        self._names.setdefault(batch, {}).setdefault(stan, set()).add(name)

    def follow(self, before: Rows, after: Rows) -> None:
        """Let go of what `before` held open, hold what `after` holds."""
        for row in (before.transaction, before.debt):
            if row is not None and row.is_open:
                self._let_go(row.batch, row.stan, _name(row))
        for row in (after.transaction, after.debt):
            if row is not None and row.is_open:
                self.hold(row.batch, row.stan, _name(row))

    def _let_go(self, batch: int, stan: int, name: str) -> None:
        stans = self._names[batch]
        stans[stan].discard(name)
        if not stans[stan]:
            del stans[stan]


def _name(row: TransactionRow | DebtRow) -> str:
    return row.debt if isinstance(row, DebtRow) else row.transaction


@dataclass(slots=True)
class MemoryShelf:
    """Rows kept in dictionaries, in the order in which they were first put."""

    _counters: Counters = FIRST_COUNTERS
    payments: dict[str, PaymentRow] = field(default_factory=dict)
    transactions: dict[str, TransactionRow] = field(default_factory=dict)
    debts: dict[str, DebtRow] = field(default_factory=dict)
    _holders: StanHolders = field(default_factory=StanHolders)

    def counters(self) -> Counters:
        return self._counters

    def payment(self, payment_ref: str) -> PaymentRow | None:
        return self.payments.get(payment_ref)

    def transaction(self, name: str) -> TransactionRow | None:
        return self.transactions.get(name)

    def debt(self, name: str) -> DebtRow | None:
        return self.debts.get(name)

    def open_stans(self, batch: int) -> Container[int]:
        return self._holders.of(batch)

    def put(self, before: Rows, after: Rows) -> None:
        self._counters = after.counters
        self._holders.follow(before, after)
        if after.payment is not None:
            self.payments[after.payment.payment_ref] = after.payment
        if after.transaction is not None:
            self.transactions[after.transaction.transaction] = after.transaction
        if after.debt is not None:
            self.debts[after.debt.debt] = after.debt
