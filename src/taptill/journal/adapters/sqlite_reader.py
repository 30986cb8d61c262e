"""Reading a journal's file beside its writer.

Comes in: a path. Goes out: entries, projections, and the verdict whether they belong together.
Strategy: a read-only connection; long readings go in pieces, so that no reader keeps the writer's log from being
emptied. `verify` reads everything in one snapshot and makes the projections again from nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeVar

import apsw

from taptill.clock import Trust
from taptill.journal import chain
from taptill.journal.adapters import sqlite_rows as rows
from taptill.journal.adapters.schema import SLOT_OCTETS
from taptill.journal.adapters.sqlite_file import connect, damaged, declared
from taptill.journal.adapters.wire_slots import chain_of, message_in
from taptill.journal.audit import Held, audit
from taptill.journal.entries import PaymentEntry
from taptill.journal.formats import SEALED_SINCE
from taptill.journal.port import (
    Counters,
    DebtRow,
    JournalDamaged,
    OfflineUse,
    PaymentRow,
    Record,
    TransactionRow,
    Verified,
)
from taptill.journal.seals import SEAL_ENTRIES_MAX, Seal, refuse_strays, seal_of

PIECE_ROWS = 500
VOUCHED_ENTRIES_MAX = 4_000  # looked back for a time that somebody vouched for
Row = tuple[Any, ...]
Shape = TypeVar("Shape")
_OPEN_STATES = """('armed', 'reading', 'authorizing', 'confirming', 'unknown', 'cancelling', 'reversing', 'deferred',
    'parked')"""


class SqliteJournalReader:
    """The reading half of the port. One thread at a time."""

    def __init__(self, connection: apsw.Connection, where: str) -> None:
        self._connection = connection
        self._where = where
        self._format = int(str(connection.pragma("user_version")))

    @property
    def format(self) -> int:
        """The format the file is read and written in."""
        return self._format

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Raises JournalError when there is none, JournalForeign, JournalDamaged. Changes nothing."""
        with declared(str(path)):
            return cls(connect(Path(path), writable=False), str(path))

    def close(self) -> None:
        self._connection.close()

    def stored(self, first_seq: int = 1, last_seq: int | None = None) -> Iterator[chain.StoredEntry]:
        """Rows as they lie on the disk, in order, up to the last one there was when the reading began."""
        last = self.last_seq() if last_seq is None else last_seq
        while first_seq <= last:
            piece = self._select(
                lambda row: chain.StoredEntry(*row),
                "SELECT seq, body, digest FROM entry WHERE seq BETWEEN ? AND ? ORDER BY seq",
                (first_seq, min(last, first_seq + PIECE_ROWS - 1)),
            )
            yield from piece
            first_seq += PIECE_ROWS

    def records(self, payment_ref: str | None = None) -> Iterator[Record]:
        if payment_ref is None:
            yield from map(chain.read_entry, self.stored())
            return
        payment = self.payment(payment_ref)
        if payment is None:
            return
        for record in map(chain.read_entry, self.stored(payment.first_seq, payment.last_seq)):
            if isinstance(record.entry, PaymentEntry) and record.entry.payment_ref == payment_ref:
                yield record

    def records_after(self, seq: int) -> Iterator[Record]:
        yield from map(chain.read_entry, self.stored(seq + 1))

    def last_seq(self) -> int:
        return self._number("SELECT ifnull(max(seq), 0) FROM entry")

    def records_of(self, payments: Iterable[PaymentRow]) -> Iterator[Record]:
        wanted = {row.payment_ref: row for row in payments}
        for first_seq, last_seq in _spans(wanted.values()):
            for record in map(chain.read_entry, self.stored(first_seq, last_seq)):
                if isinstance(record.entry, PaymentEntry) and record.entry.payment_ref in wanted:
                    yield record

    def payment(self, payment_ref: str) -> PaymentRow | None:
        return self._one(rows.payment_of, rows.PAYMENT + "WHERE payment_ref = ?", (payment_ref,))

    def payment_of_client(self, client_ref: str) -> PaymentRow | None:
        """The latest with this reference of the cash register."""
        statement = rows.PAYMENT + "WHERE client_ref = ? ORDER BY first_seq DESC LIMIT 1"
        return self._one(rows.payment_of, statement, (client_ref,))

    def payment_of_key(self, idempotency_key: str) -> PaymentRow | None:
        """None for an empty key, which names nothing."""
        statement = rows.PAYMENT + "WHERE idempotency_key = ? AND idempotency_key <> ''"
        return self._one(rows.payment_of, statement, (idempotency_key,))

    def payments(self) -> Sequence[PaymentRow]:
        return self._select(rows.payment_of, rows.PAYMENT + "ORDER BY first_seq")

    def open_payments(self) -> Sequence[PaymentRow]:
        owing = "SELECT payment_ref FROM debt WHERE state <> 'closed'"
        condition = f"WHERE state IN {_OPEN_STATES} OR payment_ref IN ({owing}) ORDER BY first_seq"
        return self._select(rows.payment_of, rows.PAYMENT + condition)

    def transactions(self, payment_ref: str | None = None) -> Sequence[TransactionRow]:
        if payment_ref is None:
            return self._select(rows.act_of, rows.ACT + "ORDER BY intended_seq")
        payment = self.payment(payment_ref)
        if payment is None:
            return ()
        statement = rows.ACT + "WHERE intended_seq BETWEEN ? AND ? AND payment_ref = ? ORDER BY intended_seq"
        return self._select(rows.act_of, statement, (payment.first_seq, payment.last_seq, payment_ref))

    def open_transactions(self) -> Sequence[TransactionRow]:
        statement = rows.ACT + "WHERE result IN ('', 'unknown', 'parked', 'confirming') ORDER BY intended_seq"
        return self._select(lambda row: rows.act_of(row, self._message(row[-1])), statement)

    def open_debts(self, payment_ref: str | None = None) -> Sequence[DebtRow]:
        if payment_ref is None:
            return self._debts("WHERE state <> 'closed' ORDER BY created_seq")
        # Debts are named after their payment, with a stroke behind it, and "0" follows "/".
        condition = "WHERE name > ? AND name < ? AND payment_ref = ? AND state <> 'closed' ORDER BY created_seq"
        return self._debts(condition, (f"{payment_ref}/", f"{payment_ref}0", payment_ref))

    def debts(self) -> Sequence[DebtRow]:
        return self._debts("ORDER BY created_seq")

    def counters(self) -> Counters:
        statement = "SELECT batch, next_stan, next_key_counter, next_payment FROM counter"
        found = self._one(lambda row: Counters(*row), statement)
        if found is None:
            raise damaged(self._where, "the counters are missing")
        return found

    def offline_use(self) -> OfflineUse:
        """Advices that the host has not taken yet, the parked ones included."""
        groups: Sequence[tuple[str, int, int, int]] = self._select(
            lambda row: (row[0], row[1], row[2], row[3]),
            """SELECT token, count(*), sum(amount_minor), min(created_at_ms) FROM debt
            WHERE state <> 'closed' AND profile_row IN ('offline_advice', 'deferred_advice') GROUP BY token""",
        )
        return OfflineUse(
            count=sum(count for _, count, _, _ in groups),
            total_minor=sum(total for _, _, total, _ in groups),
            oldest_at_ms=min((oldest for _, _, _, oldest in groups), default=None),
            per_token_count={token: count for token, count, _, _ in groups},
        )

    def last_time_ms(self) -> int:
        return self._number("SELECT last_time_ms FROM counter")

    def vouched_time_ms(self) -> int:
        last = self.last_seq()
        for end in range(last, max(0, last - VOUCHED_ENTRIES_MAX), -PIECE_ROWS):
            for row in reversed(list(self.stored(max(1, end - PIECE_ROWS + 1), end))):
                entry = chain.read_entry(row).entry
                if entry.trust >= Trust.NTP:
                    return entry.at_ms
        return 0

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """What is read inside belongs to one moment, whatever the writer does meanwhile. Raises JournalError."""
        with declared(self._where):
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("ROLLBACK")

    def verify(self) -> Verified:
        with self.snapshot():
            return self.verify_now()

    def verify_now(self) -> Verified:
        """`verify` inside of a `snapshot`."""
        verdict = self._connection.execute("PRAGMA integrity_check(1)").get
        if verdict != "ok":
            raise damaged(self._where, f"SQLite finds it damaged: {verdict}")
        verified = audit(self.stored(), self._held(), self._format)
        self._check_slots()
        return verified

    def verify_recent(self) -> Verified:
        """The entries from the last seal on, or the last SEAL_ENTRIES_MAX where there is none; `count` says how many
        were looked at. Raises JournalDamaged, naming the first bad entry of all."""
        last = self.last_seq()
        if last != self._number("SELECT head_seq FROM counter"):
            raise damaged(self._where, f"entries after {last} are missing")
        try:
            return self._follow_anchor(last)
        except JournalDamaged:
            chain.verify_chain(self.stored())
            raise

    def _follow_anchor(self, last: int) -> Verified:
        seals = self._seals("ORDER BY seq DESC LIMIT 1")
        first = seals[0].seq if seals else max(1, last - SEAL_ENTRIES_MAX + 1)
        before = next(self.stored(first - 1, first - 1), None)
        if before is None and first > 1:
            raise chain.broken_at(first - 1, "the entry is missing")
        count, head, made = 0, before.digest if before else chain.GENESIS, list[Seal]()
        for record in chain.walk(self.stored(first, last), Verified(0, first - 1, head)):
            count, head = count + 1, record.digest
            made += filter(None, [seal_of(record)])
        refuse_strays(seals, made)
        return Verified(count, last, head)

    def _check_slots(self) -> None:
        """Every slot that is not empty belongs to a message that is still kept."""
        statement = (
            "SELECT wire_id FROM act WHERE wire_id NOTNULL UNION ALL SELECT wire_id FROM debt WHERE wire_id NOTNULL"
        )
        kept = sum(len(chain_of(self._connection, slot)) for slot in self._select(lambda row: int(row[0]), statement))
        filled = self._number(f"SELECT count(*) FROM wire WHERE octets <> zeroblob({SLOT_OCTETS})")
        if kept != filled:
            raise damaged(f"{self._where}: journal wire", f"{filled} slots are filled, {kept} belong to something open")

    def _held(self) -> Held:
        debts = self.debts()
        messages = {act.transaction: act.wire for act in self.open_transactions()}
        messages.update({debt.debt: debt.wire for debt in debts})
        return Held(
            payments=self.payments(),
            transactions=self.transactions(),
            debts=[replace(debt, wire=None) for debt in debts],
            counters=self.counters(),
            last_time_ms=self.last_time_ms(),
            head_seq=self._number("SELECT head_seq FROM counter"),
            messages={name: wire for name, wire in messages.items() if wire is not None},
            seals=self._seals(),
        )

    def _seals(self, condition: str = "ORDER BY seq") -> Sequence[Seal]:
        if self._format < SEALED_SINCE:
            return ()
        return self._select(lambda row: Seal(*row), "SELECT seq, batch, head FROM seal " + condition)

    def _number(self, statement: str) -> int:
        found = self._one(lambda row: int(row[0]), statement)
        if found is None:
            raise damaged(self._where, "the counters are missing")
        return found

    def _debts(self, condition: str, bindings: rows.Values = ()) -> Sequence[DebtRow]:
        return self._select(lambda row: rows.debt_of(row, self._message(row[-1])), rows.DEBT + condition, bindings)

    def _message(self, slot: int | None) -> bytes | None:
        return None if slot is None else message_in(self._connection, slot)

    def _select(self, shape: Callable[[Row], Shape], statement: str, bindings: rows.Values = ()) -> list[Shape]:
        with declared(self._where):
            return [shape(row) for row in self._connection.execute(statement, bindings)]

    def _one(self, shape: Callable[[Row], Shape], statement: str, bindings: rows.Values = ()) -> Shape | None:
        return next(iter(self._select(shape, statement, bindings)), None)


def _spans(payments: Iterable[PaymentRow]) -> Iterator[tuple[int, int]]:
    """The stretches of the journal in which these payments lie, in order, none twice; near ones are read in one go."""
    spans: list[tuple[int, int]] = []
    for row in sorted(payments, key=lambda row: row.first_seq):
        if spans and row.first_seq <= spans[-1][1] + PIECE_ROWS:
            spans[-1] = (spans[-1][0], max(spans[-1][1], row.last_seq))
        else:
            spans.append((row.first_seq, row.last_seq))
    yield from spans
