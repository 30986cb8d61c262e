"""The ballast beside a journal: octets that are written only to be given up.

Comes in: the journal's path. Goes out: space for outcomes and debts, held in a file of its own.
Strategy: a file system promises no space but that which a file already holds, so the reserve is a file really written
and synced. It stands for the database and for its log alike: both lie on the same file system, and what the one gives
back the other may grow into. Its octets are random, so that no compressing file system keeps less than was asked for.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import apsw

RESERVE_SUFFIX = ".reserve"
RESERVE_OCTETS = 2 * 1024 * 1024  # a log of 500 pages: outcome and reversal of a sale take about ten
TRIAL_OCTETS = 4096  # written and synced in any case, so that `restore` says something about the disk of today
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


def is_full(error: Exception) -> bool:
    """The disk refused for want of space. SQLite says so with a code of its own where its shared memory cannot grow."""
    if isinstance(error, apsw.Error):
        extended = getattr(error, "extendedresult", None)  # not every error comes from SQLite
        return isinstance(error, apsw.FullError) or extended == apsw.SQLITE_IOERR_SHMSIZE
    return isinstance(error, OSError) and error.errno in _NO_SPACE


class FileReserve:
    """`<journal>.reserve`. Used by the journal's writer alone; its size is looked up all the same, because a large file
    that nobody reads is what people tidy away on a full disk."""

    def __init__(self, journal: Path) -> None:
        self._path = journal.with_name(journal.name + RESERVE_SUFFIX)
        self._whole = True  # unless its size says otherwise: `release` and `restore` may end half-way

    @property
    def whole(self) -> bool:
        return self._whole and self._size() == RESERVE_OCTETS

    def release(self) -> bool:
        self._whole = False
        if not self._size():
            return False
        with open(self._path, "r+b") as ballast:
            ballast.truncate(0)  # and not unlink: a directory of a full copy-on-write file system may refuse that
            os.fsync(ballast.fileno())  # freed blocks can be used once the file system's own journal has them
        return True

    def restore(self) -> bool:
        self._whole = False
        descriptor = os.open(self._path, os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            start = min(os.fstat(descriptor).st_size, RESERVE_OCTETS - TRIAL_OCTETS)
            _write_at(descriptor, os.urandom(RESERVE_OCTETS - start), start)
            os.ftruncate(descriptor, RESERVE_OCTETS)
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise
            os.ftruncate(descriptor, 0)  # half a reserve only takes away what an outcome could use now
            return False
        finally:
            os.close(descriptor)
        self._whole = True
        return True

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0


class NoReserve:
    """For a journal that may stop at a full disk, because it is only a copy."""

    def __init__(self, journal: Path) -> None:
        self._where = journal

    @property
    def whole(self) -> bool:
        return True

    def release(self) -> bool:
        return False

    def restore(self) -> bool:
        return True


def _write_at(descriptor: int, octets: bytes, position: int) -> None:
    while octets:
        written = os.pwrite(descriptor, octets, position)
        octets, position = octets[written:], position + written
