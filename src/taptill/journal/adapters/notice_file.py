"""The state of notices in a small SQLite file beside the journal.

Comes in: notices as they are derived, how their deliveries ended. Goes out: what is queued, and how far each receiver
has been told. Strategy: notices and cursor move in one transaction. Without the file, or with one that cannot be used,
telling begins at the journal's end; nobody waits for it and nothing is told twice for its sake. A lock, for several
workers and faces use the one file; its waits are theirs alone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import apsw

from taptill.journal.notice_store import NoticeRow, NoticesUnusable
from taptill.journal.notices import Cursor, Notice

APPLICATION_ID = 0x5461704E  # "TapN"
USER_VERSION = 1
BUSY_TIMEOUT_MS = 2_000

# NORMAL, not FULL: no commit is synced. Power loss may take the last ones, but always notices and cursor together, so
# the same notices are derived again: delivery is at least once either way, and the journal's disk is left in peace.
_SETTINGS = ("journal_mode = wal", "synchronous = normal", f"busy_timeout = {BUSY_TIMEOUT_MS}", "trusted_schema = 0")
_TABLES = """
CREATE TABLE cursor (receiver TEXT PRIMARY KEY, seq INTEGER NOT NULL, digest BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE notice (
    receiver TEXT NOT NULL,
    seq INTEGER NOT NULL,
    payment_ref TEXT NOT NULL,
    payment_state TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    trust INTEGER NOT NULL,
    body BLOB NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent', 'expired', 'refused')),
    attempts INTEGER NOT NULL DEFAULT 0,
    last_result TEXT NOT NULL DEFAULT '',
    expires_at_ms INTEGER,
    ended_at_ms INTEGER,
    PRIMARY KEY (receiver, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX notice_by_state ON notice (receiver, state, seq);
CREATE INDEX notice_by_end ON notice (ended_at_ms) WHERE ended_at_ms IS NOT NULL;
CREATE INDEX notice_by_seq ON notice (seq);
"""
_NOTICE = "seq, payment_ref, payment_state, at_ms, trust, body"


class NoticeFile:
    """A NoticeStore, opened by its first use. A file that is damaged, foreign or of another release is set aside as
    `<path>.unusable`."""

    def __init__(self, path: Path) -> None:
        self.set_aside = ""
        self._path = path
        self._lock = threading.Lock()
        self._connection: apsw.Connection | None = None

    def close(self) -> None:
        with self._lock:
            self._close()

    def cursor(self, receiver: str) -> Cursor | None:
        with self._using() as connection:
            row = connection.execute("SELECT seq, digest FROM cursor WHERE receiver = ?", (receiver,)).fetchone()
        return None if row is None else Cursor(*row)

    def queue(
        self, receiver: str, notices: Sequence[Notice], cursor: Cursor, expire_at_ms: Sequence[int | None]
    ) -> None:
        insert = f"INSERT OR IGNORE INTO notice (receiver, {_NOTICE}, expires_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        rows = [(receiver, *_stored(notice), at) for notice, at in zip(notices, expire_at_ms, strict=True)]
        with self._using() as connection, connection:
            connection.executemany(insert, rows)
            connection.execute("REPLACE INTO cursor VALUES (?, ?, ?)", (receiver, cursor.seq, cursor.digest))

    def queued(self, receiver: str) -> list[Notice]:
        select = f"SELECT {_NOTICE} FROM notice WHERE receiver = ? AND state = 'queued' ORDER BY seq"
        with self._using() as connection:
            return [Notice(*row) for row in connection.execute(select, (receiver,))]

    def tried(self, receiver: str, seq: int, result: str) -> None:
        update = "UPDATE notice SET attempts = attempts + 1, last_result = ? WHERE receiver = ? AND seq = ?"
        with self._using() as connection:
            connection.execute(update, (result, receiver, seq))

    def ended(self, receiver: str, seq: int, state: str, result: str, now_ms: int) -> None:
        update = """UPDATE notice SET state = ?, attempts = attempts + 1, last_result = ?, ended_at_ms = ?
            WHERE receiver = ? AND seq = ?"""
        with self._using() as connection:
            connection.execute(update, (state, result, now_ms, receiver, seq))

    def expire(self, receiver: str, now_ms: int, age_ms_max: int) -> list[Notice]:
        mine = "receiver = ? AND state = 'queued'"
        age = f"UPDATE notice SET expires_at_ms = ? WHERE {mine} AND expires_at_ms IS NULL"
        end = f"""UPDATE notice SET state = 'expired', ended_at_ms = ? WHERE {mine} AND expires_at_ms <= ?
            RETURNING {_NOTICE}"""
        with self._using() as connection:
            connection.execute(age, (now_ms + age_ms_max, receiver))
            return [Notice(*row) for row in connection.execute(end, (now_ms, receiver, now_ms))]

    def expire_beyond(self, receiver: str, count_max: int, now_ms: int) -> list[Notice]:
        end = f"""UPDATE notice SET state = 'expired', last_result = 'too many were queued', ended_at_ms = ?1
            WHERE receiver = ?2 AND state = 'queued' AND seq <= (SELECT seq FROM notice
                WHERE receiver = ?2 AND state = 'queued' ORDER BY seq DESC LIMIT 1 OFFSET ?3)
            RETURNING {_NOTICE}"""
        with self._using() as connection:
            return [Notice(*row) for row in connection.execute(end, (now_ms, receiver, count_max))]

    def leave(self, receivers: Sequence[str], now_ms: int) -> int:
        others = f"receiver NOT IN ({', '.join('?' * len(receivers))})"
        end = f"""UPDATE notice SET state = 'expired', last_result = 'not configured any more', ended_at_ms = ?
            WHERE state = 'queued' AND {others}"""
        with self._using() as connection, connection:
            connection.execute(end, (now_ms, *receivers))
            left = connection.changes()
            connection.execute(f"DELETE FROM cursor WHERE {others}", receivers)
        return left

    def forget_ended(self, before_ms: int) -> None:
        with self._using() as connection:
            connection.execute("DELETE FROM notice WHERE ended_at_ms < ?", (before_ms,))

    def count_ended(self, receiver: str, since_ms: int) -> dict[str, int]:
        select = "SELECT state, count(*) FROM notice WHERE receiver = ? AND ended_at_ms >= ? GROUP BY state"
        with self._using() as connection:
            return {str(state): int(count) for state, count in connection.execute(select, (receiver, since_ms))}

    def newest(self, count_max: int) -> list[NoticeRow]:
        select = f"""SELECT {_NOTICE}, receiver, state, attempts, last_result FROM notice
            ORDER BY seq DESC, receiver DESC LIMIT ?"""
        with self._using() as connection:
            rows: Sequence[tuple[Any, ...]] = connection.execute(select, (count_max,)).fetchall()
        return [NoticeRow(Notice(*row[:6]), *row[6:]) for row in reversed(rows)]

    def refuse(self, what: str) -> None:
        with self._lock:
            self._put_aside(what)

    @contextmanager
    def _using(self) -> Iterator[apsw.Connection]:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._open()
                yield self._connection
            except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError) as error:
                self._put_aside(str(error))
                raise NoticesUnusable(f"{error}; it was set aside", where=str(self._path)) from error
            except (apsw.Error, OSError) as error:
                self._close()
                raise NoticesUnusable(str(error), where=str(self._path), next_step="check the disk") from error

    def _open(self) -> apsw.Connection:
        try:
            return self._connect()
        except (apsw.CorruptError, apsw.NotADBError, _Foreign) as error:
            self._put_aside(str(error))
            return self._connect()

    def _connect(self) -> apsw.Connection:
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))  # the terminal's owner alone reads it
        connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            found = (connection.pragma("application_id"), connection.pragma("user_version"))
            empty = connection.execute("SELECT count(*) FROM sqlite_schema").get == 0
            if found != (APPLICATION_ID, USER_VERSION) and not (empty and found == (0, 0)):
                raise _Foreign(f"it is of release {found[1]} of another program's or this program's format")
            for setting in _SETTINGS:
                connection.execute(f"PRAGMA {setting}").fetchall()
            if empty:
                with connection:
                    connection.execute(_TABLES)
                    connection.execute(
                        f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {USER_VERSION}"
                    )
        except BaseException:
            connection.close()
            raise
        return connection

    def _put_aside(self, what: str) -> None:
        self._close()
        aside = self._path.with_name(self._path.name + ".unusable")
        for suffix in ("", "-wal", "-shm"):  # a log belongs to the file it was written for
            with suppress(FileNotFoundError):
                os.replace(f"{self._path}{suffix}", f"{aside}{suffix}")
        self.set_aside = f"{what}; it was set aside as {aside.name}, telling goes on from where the journal stands"

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _Foreign(Exception):
    """Not a file of this release."""


def _stored(notice: Notice) -> tuple[int, str, str, int, int, bytes]:
    return notice.seq, notice.payment_ref, notice.state, notice.at_ms, notice.trust, notice.body
