"""What puts a sale's intent on a disk: the journal, a bare insert, and queues that a user might take instead.

Comes in: a folder. Goes out: by name, something whose `put` is durable on return, unless its name says otherwise.
Strategy: everybody gets the same octets. The queues are used as their documentation says, with the one setting that
makes SQLite sync each commit; a queue that ships without it runs both ways. None of them keeps a chain, projections or
counters, and none gives out what a payment's state is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from taplab.bench.intents import Intent

BARE = "bare insert"
_MORE_SYNC = "PRAGMA synchronous = FULL"


@dataclass(frozen=True, slots=True)
class Contender:
    """`open` gives a `put` for as long as it is open. `durable` False: a commit may be lost in a power cut."""

    name: str
    open: Callable[[Path], Any]  # a context manager; its value takes an Intent
    durable: bool = True


Put = Callable[[Intent], object]


@contextmanager
def bare_insert(folder: Path) -> Iterator[Put]:
    """One row of the same bytes in one table, one transaction each: what SQLite itself costs."""
    connection = apsw.Connection(str(folder / "bare.sqlite"))
    for name, value in (("journal_mode", "wal"), ("synchronous", 2)):
        connection.execute(f"PRAGMA {name} = {value}").fetchall()
        assert connection.execute(f"PRAGMA {name}").get == value, f"SQLite does not take {name}"
    connection.execute("CREATE TABLE intent (seq INTEGER PRIMARY KEY, body BLOB, digest BLOB, wire BLOB) STRICT")
    insert = "INSERT INTO intent (body, digest, wire) VALUES (?, ?, ?)"
    with closing(connection):
        yield lambda intent: connection.execute(insert, (intent.body, intent.digest, intent.wire))


@contextmanager
def ack_queue(folder: Path) -> Iterator[Put]:
    from persistqueue import SQLiteAckQueue

    queue: Any = SQLiteAckQueue(str(folder / "ack"), auto_commit=True)
    queue._putter.execute(_MORE_SYNC)
    with closing(queue):
        yield lambda intent: queue.put(intent.octets)


@contextmanager
def fifo_queue(folder: Path) -> Iterator[Put]:
    from persistqueue import FIFOSQLiteQueue

    queue: Any = FIFOSQLiteQueue(str(folder / "fifo"), auto_commit=True)
    queue._putter.execute(_MORE_SYNC)
    with closing(queue):
        yield lambda intent: queue.put(intent.octets)


@contextmanager
def lite_queue(folder: Path, setting: str = _MORE_SYNC) -> Iterator[Put]:
    from litequeue import LiteQueue

    queue = LiteQueue(str(folder / "lite.sqlite"))
    if setting:
        queue.conn.execute(setting)
    with closing(queue):
        yield lambda intent: queue.put(intent.octets)


@contextmanager
def lite_queue_as_shipped(folder: Path) -> Iterator[Put]:
    with lite_queue(folder, setting="") as put:
        yield put


@contextmanager
def huey_storage(folder: Path) -> Iterator[Put]:
    from huey.storage import SqliteStorage

    storage = SqliteStorage(filename=str(folder / "huey.sqlite"), fsync=True)
    try:
        yield lambda intent: storage.enqueue(intent.octets)
    finally:
        storage.close()


CONTENDERS = (
    Contender(BARE, bare_insert),
    Contender("persist-queue SQLiteAckQueue", ack_queue),
    Contender("persist-queue FIFOSQLiteQueue", fifo_queue),
    Contender("litequeue, FULL", lite_queue),
    Contender("litequeue as shipped", lite_queue_as_shipped, durable=False),
    Contender("huey SqliteStorage", huey_storage),
)
