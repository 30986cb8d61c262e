"""The projection's shelf in the journal's file.

Comes in: the rows one append touches. Goes out: the same rows, written once, in the append's own transaction.
Strategy: rows are read when first touched, changed in memory, and written by `flush`; `drop` forgets them, after a
commit as after a rollback. Counters and the STANs held open stay in memory from one append to the next. Message bytes
move with the row that keeps them.
"""

from __future__ import annotations

from collections.abc import Container

import apsw

from taptill.journal.adapters import sqlite_rows as rows
from taptill.journal.adapters.wire_slots import WireSlots
from taptill.journal.port import Counters, DebtRow, PaymentRow, TransactionRow
from taptill.journal.projection import Rows, StanHolders, closes

_HOLDERS = """SELECT batch, stan, name FROM act WHERE result IN ('', 'unknown', 'parked', 'confirming')
    UNION ALL SELECT batch, stan, name FROM debt WHERE state <> 'closed'"""


class SqliteShelf:
    """Rows of one append; one writer."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._slots = WireSlots(connection)
        self._holders = self._held()
        self._counters: Counters | None = None
        self._payments: dict[str, PaymentRow] = {}
        self._acts: dict[str, TransactionRow] = {}
        self._debts: dict[str, DebtRow] = {}
        self._wire_ids: dict[str, int | None] = {}  # debts are named after their transaction: no name is both

    def counters(self) -> Counters:
        if self._counters is None:
            statement = "SELECT batch, next_stan, next_key_counter, next_payment FROM counter"
            self._counters = Counters(*self._connection.execute(statement).get)
        return self._counters

    def payment(self, payment_ref: str) -> PaymentRow | None:
        if payment_ref not in self._payments:
            row = self._connection.execute(rows.PAYMENT + "WHERE payment_ref = ?", (payment_ref,)).get
            if row is None:
                return None
            self._payments[payment_ref] = rows.payment_of(row)
        return self._payments[payment_ref]

    def transaction(self, name: str) -> TransactionRow | None:
        if name not in self._acts:
            row = self._connection.execute(rows.ACT + "WHERE name = ?", (name,)).get
            if row is None:
                return None
            self._acts[name], self._wire_ids[name] = rows.act_of(row), row[-1]
        return self._acts[name]

    def debt(self, name: str) -> DebtRow | None:
        if name not in self._debts:
            row = self._connection.execute(rows.DEBT + "WHERE name = ?", (name,)).get
            if row is None:
                return None
            self._debts[name], self._wire_ids[name] = rows.debt_of(row), row[-1]
        return self._debts[name]

    def open_stans(self, batch: int) -> Container[int]:
        return self._holders.of(batch)

    def put(self, before: Rows, after: Rows) -> None:
        self._counters = after.counters
        self._holders.follow(before, after)
        if after.payment is not None:
            self._payments[after.payment.payment_ref] = after.payment
        if after.transaction is not None:
            self._put_act(before.transaction, after.transaction)
        if after.debt is not None:
            self._debts[after.debt.debt] = after.debt
            if closes(before.debt, after.debt):
                self._forget_wire(after.debt.debt)

    def keep_wire(self, name: str, message: bytes) -> None:
        """Keep `message` for the transaction or debt `name` until it closes."""
        self._wire_ids[name] = self._slots.keep(message)

    def flush(self, last_time_ms: int, head_seq: int) -> None:
        """Write what was touched."""
        for payment in self._payments.values():
            self._connection.execute(rows.PUT_PAYMENT, rows.payment_values(payment))
        for act in self._acts.values():
            self._connection.execute(rows.PUT_ACT, rows.act_values(act, self._wire_ids.get(act.transaction)))
        for debt in self._debts.values():
            self._connection.execute(rows.PUT_DEBT, rows.debt_values(debt, self._wire_ids.get(debt.debt)))
        counters = self.counters()
        self._connection.execute(
            """UPDATE counter SET batch = ?, next_stan = ?, next_key_counter = ?, next_payment = ?,
            last_time_ms = max(last_time_ms, ?), head_seq = ?""",
            (
                counters.batch,
                counters.next_stan,
                counters.next_key_counter,
                counters.next_payment,
                last_time_ms,
                head_seq,
            ),
        )

    def drop(self) -> None:
        """Forget what was touched: it stands in the file now, or never happened."""
        for touched in (self._payments, self._acts, self._debts, self._wire_ids):
            touched.clear()

    def look_again(self) -> None:
        """After a rollback: nothing that was touched, used or kept counts."""
        self.drop()
        self._counters = None
        self._holders = self._held()
        self._slots.look_again()

    def _held(self) -> StanHolders:
        holders = StanHolders()
        for batch, stan, name in self._connection.execute(_HOLDERS):
            holders.hold(batch, stan, name)
        return holders

    def _put_act(self, before: TransactionRow | None, after: TransactionRow) -> None:
        self._acts[after.transaction] = after
        if closes(before, after):
            self._forget_wire(after.transaction)
        if before is not None and before.intended_seq != after.intended_seq:  # a new attempt takes its place
            self._connection.execute(rows.DROP_ACT, (after.transaction,))

    def _forget_wire(self, name: str) -> None:
        slot = self._wire_ids.get(name)
        if slot is not None:
            self._slots.erase(slot)
            self._wire_ids[name] = None
