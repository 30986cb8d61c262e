"""The formats of a journal's file that this release reads and writes.

Comes in: the format a file says it has, and entries to store in it. Goes out: a refusal, or nothing.
Strategy: this release reads its own format and the one before. It goes on in the format it finds, so that the release
before can take the file back; `taptill journal migrate` moves it on once this release has proven healthy. New files are
made in the newest format.
"""

from __future__ import annotations

from taptill.journal.entries import AnyEntry, BatchSealed, Disposed, Entry
from taptill.journal.port import JournalError

NEWEST_FORMAT = 2
OLDEST_FORMAT = 1
SEALED_SINCE = 2  # the first format with seals
SINCE: dict[type[Entry], int] = {BatchSealed: 2, Disposed: 2}  # all other kinds are as old as the journal


class FormatTooOld(JournalError):
    """The release before this one could not read the entry, and may still have to take the journal back."""

    code = 4008


def is_read(version: int) -> bool:
    return OLDEST_FORMAT <= version <= NEWEST_FORMAT


def is_known(entry: AnyEntry, version: int) -> bool:
    """A reader of format `version` knows this kind of entry."""
    return SINCE.get(type(entry), OLDEST_FORMAT) <= version


def refuse_unknown_kind(entry: AnyEntry, version: int, where: str) -> None:
    """Raises FormatTooOld for an entry that a reader of format `version` does not know."""
    if is_known(entry, version):
        return
    raise FormatTooOld(
        f"it is of format {version}, which has no entry of the kind {type(entry).__struct_config__.tag}",
        where=where,
        next_step=f"stop the terminal and run: taptill journal migrate {where}",
    )
