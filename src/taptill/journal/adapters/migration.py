"""A journal moved on to the newest format.

Comes in: the path of a journal that nobody has open. Goes out: the same journal in the newest format under the same
name, the old file beside it, and what was done.
Strategy: copy, verify, swap. The copy is built and upgraded under another name and audited against the old file: the
same entries, the same head, the same bytes for all that is owed or asked. One rename puts it in place, so that a power
cut leaves either journal whole under its name, and never none.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import apsw

from taptill.journal.adapters.schema import upgrade
from taptill.journal.adapters.sqlite_file import (
    WRITER_SETTINGS,
    begin_unborn,
    connect,
    damaged,
    declared,
    discard_leftovers,
    kept_name,
    look_at,
    settle,
    sync,
    take_lock,
)
from taptill.journal.adapters.sqlite_reader import SqliteJournalReader
from taptill.journal.formats import NEWEST_FORMAT
from taptill.journal.port import JournalError, Verified


@dataclass(frozen=True, slots=True)
class Contents:
    """What must not change on the way."""

    verified: Verified
    debts: Mapping[str, bytes | None]  # message bytes of all that is owed
    asked: Mapping[str, bytes | None]  # and of every transaction without an outcome


@dataclass(frozen=True, slots=True)
class Migrated:
    """`kept` is where the old file lies; None when there was nothing to do."""

    path: Path
    before: int
    after: int
    contents: Contents
    kept: Path | None

    def as_text(self) -> str:
        if self.kept is None:
            return f"{self.path} is of format {self.after} already; nothing was changed"
        entries, head = self.contents.verified.count, self.contents.verified.head.hex()
        return (
            f"{self.path} is of format {self.after} now, it was of format {self.before}: "
            f"the same {entries} entries with the head {head}, "
            f"{len(self.contents.debts)} open debts with the same bytes. The old file is kept as {self.kept}"
        )


def migrate(path: Path) -> Migrated:
    """For a release that has proven healthy: the one before it cannot read the file any more. Raises JournalError while
    a terminal or a reader has it open, JournalForeign and JournalDamaged as found; then the old journal stands."""
    with declared(str(path)):
        look_at(path)
        lock = take_lock(path)
        try:
            discard_leftovers(path)
            return _migrate(path)
        finally:
            lock.close()


def _migrate(path: Path) -> Migrated:
    old = connect(path, writable=True)
    try:
        before = SqliteJournalReader(old, str(path)).format
        contents = _contents(old, path)
        if before == NEWEST_FORMAT:
            return Migrated(path, before, before, contents, None)
        kept = kept_name(path, before)
        if kept.exists():
            raise JournalError("an older journal lies there already", where=str(kept), next_step="move it away first")
        _have_alone(old, path)
        unborn = begin_unborn(path)
        _copy(old, unborn)
    finally:
        old.close()
    _verify_copy(unborn, contents)
    _swap(path, unborn, kept)
    return Migrated(path, before, NEWEST_FORMAT, contents, kept)


def _contents(connection: apsw.Connection, path: Path) -> Contents:
    journal = SqliteJournalReader(connection, str(path))
    return Contents(
        verified=journal.verify(),
        debts={debt.debt: debt.wire for debt in journal.open_debts()},
        asked={act.transaction: act.wire for act in journal.open_transactions()},
    )


def _have_alone(connection: apsw.Connection, path: Path) -> None:
    """Leaving WAL mode moves the log into the file and removes it, and SQLite refuses that while anybody else has the
    file open. A log left under the old file's name would be taken for one of the new file."""
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    found = connection.execute("PRAGMA journal_mode = delete").get
    if found != "delete":
        raise JournalError("another program reads it", where=str(path), next_step="close that program")


def _copy(old: apsw.Connection, unborn: Path) -> None:
    """Page by page, so that an erased slot is as empty in the copy."""
    copy = apsw.Connection(str(unborn))
    try:
        with copy.backup("main", old, "main") as backup:
            backup.step()
        settle(copy, WRITER_SETTINGS, str(unborn))
        upgrade(copy)
    finally:
        copy.close()
    sync(unborn)


def _verify_copy(unborn: Path, contents: Contents) -> None:
    """Read anew from its file."""
    connection = connect(unborn, writable=True)
    try:
        if _contents(connection, unborn) != contents:
            raise damaged(str(unborn), "the copy is not what was copied; the old journal stands")
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0)
    finally:
        connection.close()


def _swap(path: Path, unborn: Path, kept: Path) -> None:
    """The removed log of the old file is gone for good before the new file takes its name."""
    os.chmod(path, 0o600)
    os.link(path, kept)
    sync(path.parent)
    unborn.rename(path)
    sync(path.parent)
