"""The second copy of a journal, made level with it.

Comes in: the paths of both. Goes out: the copy, opened for writing and holding every entry the journal holds.
Strategy: a copy that is missing or behind is made anew as a whole, page by page beside its place, verified there entry
by entry, and renamed. A copy that does not follow from the journal is refused with the place and stays as it is.
"""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

import apsw

from taptill.journal.adapters.reserve import NoReserve
from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.adapters.sqlite_file import (
    WRITER_SETTINGS,
    begin_unborn,
    connect,
    declared,
    discard_leftovers,
    settle,
    sync,
    take_lock,
)
from taptill.journal.adapters.sqlite_reader import SqliteJournalReader
from taptill.journal.copying import CopyRefused, entries_behind
from taptill.journal.port import JournalError

BLANK_OCTETS = 1 << 20


def device_of(path: Path) -> int:
    """The file system a path lies on."""
    return os.stat(path).st_dev


def open_level(journal: Path, copy: Path) -> SqliteJournal:
    """Raises CopyRefused for a copy that does not follow from the journal, JournalError where either disk refuses."""
    with declared(str(copy)):
        held = SqliteJournal.open(copy, NoReserve)
        reader = SqliteJournalReader.open(journal)
        try:
            if _is_level(reader, held, copy):
                return held
        except BaseException:
            held.close()
            raise
        finally:
            reader.close()
        held.close()
        _make_anew(journal, copy)
        return SqliteJournal.open(copy, NoReserve)


def _is_level(journal: SqliteJournalReader, copy: SqliteJournal, where: Path) -> bool:
    """As far as the journal reaches now, and in the same format: only then both write the same bytes from here on."""

    def same(seq: int) -> bool:
        (ours,), (theirs,) = journal.stored(seq, seq), copy.stored(seq, seq)
        return ours.digest == theirs.digest

    behind = entries_behind(journal.verify_recent().last_seq, copy.verify_recent().last_seq, same, str(where))
    return behind == 0 and journal.format == copy.format


def _make_anew(journal: Path, copy: Path) -> None:
    lock = take_lock(copy)
    try:
        _refuse_log(copy)
        try:
            unborn = _build(journal, copy)
            _verify(unborn)
        except BaseException:
            discard_leftovers(copy)  # half a copy would keep the rest of the medium from whoever needs it
            raise
        with open(copy, "r+b", buffering=0) as old:
            unborn.rename(copy)
            sync(copy.parent)
            _blank(old)
    finally:
        lock.close()


def _blank(old: FileIO) -> None:
    """The file that was replaced held envelopes of debts that may be closed by now."""
    left = os.fstat(old.fileno()).st_size
    while left > 0:
        left -= old.write(bytes(min(left, BLANK_OCTETS)))
    os.fsync(old.fileno())


def _refuse_log(copy: Path) -> None:
    """A log left under the old file's name would be taken for one of the new file."""
    if copy.with_name(copy.name + "-wal").exists():
        raise JournalError("another program reads it", where=str(copy), next_step="close that program")


def _build(journal: Path, copy: Path) -> Path:
    """One snapshot, while the journal's writer goes on."""
    unborn = begin_unborn(copy)
    source = connect(journal, writable=False)
    made = apsw.Connection(str(unborn))
    try:
        with made.backup("main", source, "main") as backup:
            backup.step()
        settle(made, WRITER_SETTINGS, str(unborn))
    finally:
        made.close()
        source.close()
    sync(unborn)
    return unborn


def _verify(unborn: Path) -> None:
    """Every entry and projection, read anew from its file."""
    connection = connect(unborn, writable=True)
    try:
        SqliteJournalReader(connection, str(unborn)).verify()
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)  # and no log is left under a name of its own
    finally:
        connection.close()


def refuse_same_medium(journal_medium: int, copy_medium: int, copy: Path) -> None:
    """A card that dies takes both. A mount that failed leaves the folder on the journal's own card."""
    if journal_medium == copy_medium:
        raise CopyRefused("it lies on the journal's own medium", where=str(copy), next_step="mount the other medium")
