"""The journal in one SQLite file: the one writer, and readers beside it.

Comes in: entries with the message bytes they promise. Goes out: records that survive power loss.
Strategy: an append is one transaction in WAL mode with synchronous=FULL: one sync, after which entries, projections,
counters and message bytes stand together. After a disk error the file is asked what it holds; unless that is exactly
what was acknowledged, nothing is written any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self

import apsw

from taptill.journal.adapters.sqlite_file import connect, damaged, declared, make_new, take_lock
from taptill.journal.adapters.sqlite_reader import SqliteJournalReader
from taptill.journal.adapters.sqlite_shelf import SqliteShelf
from taptill.journal.chain import GENESIS, encode_body, link, verify_chain
from taptill.journal.port import JournalError, Pending, Record, Verified
from taptill.journal.projection import shelve
from taptill.journal.wire import keeper, refuse_wrong_wire

__all__ = ["SqliteJournal", "SqliteJournalReader"]

TAIL_ENTRIES = 256  # looked at when the file is opened; `verify` looks at all


class SqliteJournal(SqliteJournalReader):
    """The writing half of the port. One process holds it at a time, one thread uses it."""

    def __init__(self, connection: apsw.Connection, where: str, lock: IO[str] | None = None) -> None:
        super().__init__(connection, where)
        self._lock = lock
        self._shelf = SqliteShelf(connection)
        self._head = self._verify_tail()
        self._refusal = ""

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Makes the file when there is none. Raises JournalError when another process writes to it or the disk
        refuses, JournalForeign and JournalDamaged as found; then the file is as it was."""
        path = Path(path)
        with declared(str(path)):
            lock = take_lock(path)
            try:
                if not path.exists():
                    make_new(path)
                return cls._over(connect(path, writable=True), path, lock)
            except BaseException:
                lock.close()
                raise

    @classmethod
    def _over(cls, connection: apsw.Connection, path: Path, lock: IO[str]) -> Self:
        try:
            journal = cls(connection, str(path), lock)
        except BaseException:
            connection.close()
            raise
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        return journal

    def append(self, pending: Sequence[Pending]) -> Sequence[Record]:
        if self._refusal:
            raise JournalError(self._refusal, where=self._where, next_step="check the disk, then start again")
        if not pending:
            return ()
        for each in pending:
            refuse_wrong_wire(each)
        with declared(self._where):
            try:
                return self._append(pending)
            except BaseException:
                self._undo()
                raise
            finally:
                self._shelf.drop()

    def wire_of(self, transaction: str) -> bytes | None:
        statement = "SELECT wire_id FROM act WHERE name = ?1 UNION ALL SELECT wire_id FROM debt WHERE name = ?1"
        return self._one(lambda row: self._message(row[0]), statement, (transaction,))

    def checkpoint(self) -> None:
        with declared(self._where):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        with declared(self._where):
            self._connection.close()
        if self._lock is not None:
            self._lock.close()

    def _append(self, pending: Sequence[Pending]) -> Sequence[Record]:
        self._connection.execute("BEGIN IMMEDIATE")
        records: list[Record] = []
        head = self._head
        for each in pending:
            record, head = self._store(each, head)
            records.append(record)
        self._shelf.flush(max(each.entry.at_ms for each in pending), head.last_seq)
        self._connection.execute("COMMIT")
        self._head = head
        return records

    def _store(self, pending: Pending, head: Verified) -> tuple[Record, Verified]:
        seq = head.last_seq + 1
        body = encode_body(seq, pending.entry)
        digest = link(head.head, body)
        self._connection.execute("INSERT INTO entry VALUES (?, ?, ?)", (seq, body, digest))
        shelve(self._shelf, seq, pending.entry)
        name = keeper(pending.entry)
        if name is not None and pending.wire is not None:
            self._shelf.keep_wire(name, pending.wire)
        return Record(seq, pending.entry, digest), Verified(seq, seq, digest)

    def _undo(self) -> None:
        """Roll back, and go on only if the file holds exactly what was acknowledged."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            self._shelf.look_again()
            if self._verify_tail() != self._head:
                self._refusal = "after a disk error it holds something else than was acknowledged"
        except (apsw.Error, JournalError) as error:
            self._refusal = f"after a disk error it cannot be read any more: {error}"

    def _verify_tail(self) -> Verified:
        """The head of the chain, after looking at its last entries. Raises JournalDamaged."""
        last = self._last_seq()
        if last != self._number("SELECT head_seq FROM counter"):
            raise damaged(self._where, f"entries after {last} are missing")
        first = max(1, last - TAIL_ENTRIES)
        before: Verified | None = None
        if first > 1:
            (anchor,) = self.stored(first - 1, first - 1)
            before = Verified(anchor.seq, anchor.seq, anchor.digest)
        return verify_chain(self.stored(first, last), before or Verified(0, 0, GENESIS))
