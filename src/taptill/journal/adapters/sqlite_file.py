"""Opening a journal's file: whose it is, who may write, and how SQLite is set.

Comes in: a path. Goes out: a connection whose every setting was read back, or a refusal that touched nothing.
Strategy: a file that is not a sound journal of this release is refused before SQLite may write to it, and is never
made anew. A new journal is built whole under another name, synced, and then renamed into its place.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import apsw

from taptill.journal.adapters.reserve import RESERVE_SUFFIX
from taptill.journal.adapters.schema import APPLICATION_ID, provision
from taptill.journal.formats import NEWEST_FORMAT, OLDEST_FORMAT, is_read
from taptill.journal.port import JournalDamaged, JournalError, JournalForeign, SpaceGone

BUSY_TIMEOUT_MS = 5_000
_MAGIC = b"SQLite format 3\0"
_HEADER_OCTETS = 100
_USER_VERSION_AT, _APPLICATION_ID_AT = 60, 68  # sqlite.org/fileformat.html, 1.3

WRITER_SETTINGS: tuple[tuple[str, str | int], ...] = (
    ("busy_timeout", BUSY_TIMEOUT_MS),
    ("journal_mode", "wal"),
    ("synchronous", 2),  # FULL: a commit that returned survives power loss
    ("locking_mode", "normal"),  # a reader may run beside the writer
    ("foreign_keys", 1),
    ("secure_delete", 1),
    ("cell_size_check", 1),
    ("trusted_schema", 0),
    ("temp_store", 2),  # memory: no copy of an envelope in a temporary file
    ("wal_autocheckpoint", 0),  # it would fall into an append, and sync more than once before a request leaves
)
READER_SETTINGS: tuple[tuple[str, str | int], ...] = (
    ("busy_timeout", BUSY_TIMEOUT_MS),
    ("query_only", 1),
    ("cell_size_check", 1),
    ("trusted_schema", 0),
    ("temp_store", 2),
)


@contextmanager
def declared(where: str) -> Iterator[None]:
    """Whatever SQLite raises becomes a JournalError with a next step."""
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError, apsw.FormatError) as error:
        raise damaged(where, f"SQLite finds it damaged: {error}") from error
    except apsw.FullError as error:
        raise SpaceGone("the disk is full", where=where, next_step="free space, then try again") from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise JournalError("another program holds it", where=where, next_step="close that program") from error
    except FileNotFoundError as error:
        raise JournalError(f"there is no journal at {where}", where="journal", next_step="check the path") from error
    except IsADirectoryError as error:
        raise JournalForeign("it is a folder", where=where, next_step="name the journal in it") from error
    except apsw.CantOpenError as error:
        step = "check path and rights; to read from a read-only disk, copy the file with its -wal first"
        raise JournalError("it cannot be opened", where=where, next_step=step) from error
    except (apsw.Error, OSError) as error:
        if isinstance(error, apsw.SQLError) and str(error).startswith("no such"):
            raise damaged(where, f"its tables are not those of its format: {error}") from error
        raise JournalError(
            f"the disk refuses: {error}", where=where, next_step="check the disk; sell no more"
        ) from error


def damaged(where: str, what: str) -> JournalDamaged:
    return JournalDamaged(what, where=where, next_step="keep the file as it is; run: taptill journal verify")


def take_lock(path: Path) -> IO[str]:
    """Hold `<path>.lock` until it is closed. Raises JournalError when another terminal holds it."""
    if not path.parent.is_dir():
        raise JournalError("its folder does not exist", where=str(path), next_step="make it, or check the path")
    lock = open(path.with_name(path.name + ".lock"), "a+", encoding="ascii")  # noqa: SIM115 - held while writing
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        owner = lock.read(20).strip() or "unknown"
        lock.close()
        raise JournalError(
            f"another terminal writes to it (process {owner})",
            where=str(path),
            next_step="stop that one, or give this one a journal of its own",
        ) from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock


def unborn_name(path: Path) -> Path:
    """Where a journal is built before it is put at `path`."""
    return path.with_name(path.name + ".new")


def kept_name(path: Path, version: int) -> Path:
    """Where the journal of an older format is kept after it was moved on."""
    return path.with_name(f"{path.name}.format{version}")


def discard_leftovers(path: Path) -> None:
    """What making or moving on a journal left behind when it was cut short: a file that was never put in place, and a
    second name of the file that still is. For whoever holds the lock."""
    unborn = unborn_name(path)
    for suffix in ("", "-wal", "-shm", "-journal"):
        unborn.with_name(unborn.name + suffix).unlink(missing_ok=True)
    for version in range(OLDEST_FORMAT, NEWEST_FORMAT):
        kept = kept_name(path, version)
        if kept.exists() and path.exists() and kept.samefile(path):
            kept.unlink()


def begin_unborn(path: Path) -> Path:
    """An empty file beside `path` that only its owner may read."""
    discard_leftovers(path)
    unborn = unborn_name(path)
    os.close(os.open(unborn, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    return unborn


def make_new(path: Path) -> None:
    """Build a journal whole and put it at `path`. Raises JournalDamaged when a log without its file lies there."""
    if path.with_name(path.name + "-wal").exists():
        raise damaged(str(path), "the file is gone, but its write-ahead log is still there")
    if path.with_name(path.name + RESERVE_SUFFIX).exists():
        raise JournalDamaged(
            "the file is gone, but its space reserve is still there: there was a journal",
            where=str(path),
            next_step=f"put the journal or its copy back; to begin a new one, remove {path.name}{RESERVE_SUFFIX}",
        )
    unborn = begin_unborn(path)
    connection = apsw.Connection(str(unborn))
    try:
        settle(connection, WRITER_SETTINGS, str(path))
        provision(connection)
    finally:
        connection.close()
    sync(unborn)
    unborn.rename(path)
    sync(path.parent)


def identity(path: Path) -> tuple[int, int] | None:
    """Which file this is, on which device; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def look_at(path: Path) -> None:
    """Judge the first bytes of the file without SQLite. Raises JournalDamaged or JournalForeign."""
    with open(path, "rb") as file:
        header = file.read(_HEADER_OCTETS)
    if len(header) < _HEADER_OCTETS:
        raise damaged(str(path), f"only {len(header)} bytes are left of it")
    if not header.startswith(_MAGIC):
        raise _foreign(path, "its first bytes are not those of a journal")
    if int.from_bytes(header[_APPLICATION_ID_AT : _APPLICATION_ID_AT + 4], "big") != APPLICATION_ID:
        raise _foreign(path, "it belongs to another program")
    _refuse_release(path, int.from_bytes(header[_USER_VERSION_AT : _USER_VERSION_AT + 4], "big"))


def connect(path: Path, writable: bool) -> apsw.Connection:
    """A connection to a journal of this release, settings made and read back. Raises JournalError."""
    look_at(path)
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE if writable else apsw.SQLITE_OPEN_READONLY)
    try:
        # A file that will be refused stays as it is, its log included.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        _refuse_release(path, int(str(connection.pragma("user_version"))))
        settle(connection, WRITER_SETTINGS if writable else READER_SETTINGS, str(path))
    except BaseException:
        connection.close()
        raise
    return connection


def settle(connection: apsw.Connection, settings: tuple[tuple[str, str | int], ...], where: str) -> None:
    """Make every setting with a statement of its own and read it back: of several in one text SQLite leaves out what
    follows the first that answers. Raises JournalError for one that was not taken."""
    for name, value in settings:
        connection.execute(f"PRAGMA {name} = {value}").fetchall()
        found = connection.execute(f"PRAGMA {name}").get
        if found != value:
            raise JournalError(f"{name} is {found!r} and not {value!r}", where=where, next_step="check the disk's type")


def _refuse_release(path: Path, version: int) -> None:
    if not is_read(version):
        raise _foreign(
            path, f"it is of release {version} of the format, this program reads {OLDEST_FORMAT} to {NEWEST_FORMAT}"
        )


def _foreign(path: Path, what: str) -> JournalForeign:
    return JournalForeign(what, where=str(path), next_step="nothing was changed; name the right file or program")


def sync(path: Path) -> None:
    """A file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
