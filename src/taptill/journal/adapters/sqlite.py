"""The journal in one SQLite file: the one writer, and readers beside it.

Comes in: entries with the message bytes they promise. Goes out: records that survive power loss.
Strategy: an append is one transaction in WAL mode with synchronous=FULL: one sync, after which entries, projections,
counters and message bytes stand together. After a disk error the file is asked what it holds; unless that is exactly
what was acknowledged, nothing is written any more. On a full disk a reserve lets what was begun be ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

import apsw

from taptill.journal.adapters.reserve import FileReserve, is_full
from taptill.journal.adapters.sqlite_file import connect, declared, discard_leftovers, identity, make_new, take_lock
from taptill.journal.adapters.sqlite_reader import SqliteJournalReader
from taptill.journal.adapters.sqlite_shelf import SqliteShelf
from taptill.journal.chain import encode_body, link
from taptill.journal.entries import AnyEntry, BatchSealed
from taptill.journal.formats import SEALED_SINCE, refuse_unknown_kind
from taptill.journal.port import ImpossibleEntry, JournalError, JournalStuck, Pending, Record, SpaceGone, Verified
from taptill.journal.projection import shelve
from taptill.journal.seals import seal_before
from taptill.journal.space import Reserve, begins_something
from taptill.journal.wire import keeper, refuse_wrong_wire

__all__ = ["SqliteJournal", "SqliteJournalReader"]


class SqliteJournal(SqliteJournalReader):
    """The writing half of the port. One process holds it at a time, one thread uses it."""

    def __init__(self, connection: apsw.Connection, where: str, lock: IO[str], reserve: Reserve) -> None:
        super().__init__(connection, where)
        self._lock = lock
        self._reserve = reserve
        self._shelf = SqliteShelf(connection)
        self._head = self.verify_recent()
        self.verified_at_open = self._head.count  # entries
        self._sealed_seq = self._last_sealed()
        self._refusal = ""
        self._file = identity(Path(where))
        self._log_pages = 0
        connection.set_wal_hook(self._logged)

    @classmethod
    def open(cls, path: str | Path, reserve: Callable[[Path], Reserve] = FileReserve) -> Self:
        """Makes the file when there is none. A full disk is no hindrance: the reserve is used then. Raises JournalError
        when another process writes to it or the disk refuses, JournalForeign and JournalDamaged as found; then the file
        is as it was."""
        path = Path(path)
        held = reserve(path)
        with declared(str(path)):
            try:
                journal = cls._open(path, held)
            except (apsw.Error, OSError) as error:
                if not is_full(error) or not held.release():
                    raise
                return cls._open(path, held)
            if not held.whole:
                with suppress(OSError):  # the first sale asks again
                    held.restore()
            return journal

    @classmethod
    def _open(cls, path: Path, reserve: Reserve) -> Self:
        lock = take_lock(path)
        try:
            discard_leftovers(path)
            if not path.exists():
                make_new(path)
            return cls._over(connect(path, writable=True), path, lock, reserve)
        except BaseException:
            lock.close()
            raise

    @classmethod
    def _over(cls, connection: apsw.Connection, path: Path, lock: IO[str], reserve: Reserve) -> Self:
        try:
            journal = cls(connection, str(path), lock, reserve)
        except BaseException:
            connection.close()
            raise
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
        return journal

    def append(self, pending: Sequence[Pending]) -> Sequence[Record]:
        if self._refusal:
            raise JournalStuck(self._refusal, where=self._where, next_step="start the terminal again; check the disk")
        for each in pending:
            self._refuse(each)
        with declared(self._where):
            if not pending or any(begins_something(each.entry) for each in pending):
                self._refuse_lost_file()
                self._hold_space(trial=not pending)
                return self._write(pending)
            return self._write_into_the_last_space(pending)

    def _refuse_lost_file(self) -> None:
        """A file that was deleted or exchanged under us goes on taking entries that no start will ever find. What is
        owed is still delivered from here; nothing new begins. Raises JournalError."""
        if identity(Path(self._where)) != self._file:
            step = "put the journal's file back where it was; do not stop the terminal before what it owes is delivered"
            raise JournalError("its file was taken away while it is open", where=self._where, next_step=step)

    def wire_of(self, transaction: str) -> bytes | None:
        statement = "SELECT wire_id FROM act WHERE name = ?1 UNION ALL SELECT wire_id FROM debt WHERE name = ?1"
        return self._one(lambda row: self._message(row[0]), statement, (transaction,))

    @property
    def log_pages(self) -> int:
        return self._log_pages

    def shorten_log(self) -> None:
        with declared(self._where):
            _, logged, moved = self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").get
            if logged == moved:
                self._begin_log()

    def checkpoint(self) -> None:
        with declared(self._where):
            busy, _, _ = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").get
            if not busy:
                self._begin_log()

    def close(self) -> None:
        with declared(self._where):
            self._connection.close()
        self._lock.close()

    def _logged(self, connection: apsw.Connection, database: str, pages: int) -> int:
        """SQLite says after each commit how long the log is now."""
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _begin_log(self) -> None:
        """A log's first commit syncs its head as well. Writing the file's first page with what it holds gets that over
        with, so that the next append is one sync."""
        self._connection.execute(f"PRAGMA user_version = {self._format}")

    def _hold_space(self, trial: bool) -> None:
        """The space for what will follow is held before anything begins (DESIGN 5.1). Raises SpaceGone."""
        if (trial or not self._reserve.whole) and not self._reserve.restore():
            step = "free space on it; sales begin again by themselves"
            raise SpaceGone("no space is left for the outcome of a new sale", where=self._where, next_step=step)

    def _write_into_the_last_space(self, pending: Sequence[Pending]) -> Sequence[Record]:
        """What ends, undoes or asks about a payment may use the reserve."""
        if self._reserve.whole:
            try:
                return self._write(pending)
            except apsw.Error as error:
                if not is_full(error):
                    raise
            self._reserve.release()
        with suppress(apsw.Error):
            # The log begins anew in the space it has: growing, it would soon have eaten what was given back.
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        return self._write(pending)

    def _write(self, pending: Sequence[Pending]) -> Sequence[Record]:
        """All or nothing."""
        if not pending:
            return ()
        try:
            return self._append(pending)
        except BaseException:
            self._undo()
            raise
        finally:
            self._shelf.drop()

    def _append(self, pending: Sequence[Pending]) -> Sequence[Record]:
        self._connection.execute("BEGIN IMMEDIATE")
        records: list[Record] = []
        head, sealed_seq = self._head, self._sealed_seq
        for each in pending:
            if (seal := self._seal_before(each.entry, head, sealed_seq)) is not None:
                head = self._store_seal(seal, head)
                sealed_seq = head.last_seq
            record, head = self._store(each, head)
            records.append(record)
        self._shelf.flush(max(each.entry.at_ms for each in pending), head.last_seq)
        self._connection.execute("COMMIT")
        self._head, self._sealed_seq = head, sealed_seq
        return records

    def _refuse(self, pending: Pending) -> None:
        if isinstance(pending.entry, BatchSealed):
            raise ImpossibleEntry("the journal seals itself", where=self._where)
        refuse_unknown_kind(pending.entry, self._format, self._where)
        refuse_wrong_wire(pending)

    def _seal_before(self, entry: AnyEntry, head: Verified, sealed_seq: int) -> BatchSealed | None:
        if self._format < SEALED_SINCE:
            return None
        return seal_before(entry, head, sealed_seq, self._shelf.counters().batch)

    def _store_seal(self, seal: BatchSealed, head: Verified) -> Verified:
        record, sealed = self._store(Pending(seal), head)
        self._connection.execute("INSERT INTO seal VALUES (?, ?, ?)", (record.seq, seal.batch, head.head))
        return sealed

    def _last_sealed(self) -> int:
        """0 without a seal."""
        return next((seal.seq for seal in self._seals("ORDER BY seq DESC LIMIT 1")), 0)

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
            found = self.verify_recent()
            if (found.last_seq, found.head) != (self._head.last_seq, self._head.head):
                self._refusal = "after a disk error it holds something else than was acknowledged"
        except (apsw.Error, JournalError) as error:
            self._refusal = f"after a disk error it cannot be read any more: {error}"
