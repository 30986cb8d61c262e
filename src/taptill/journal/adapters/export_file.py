"""An export on the disk.

Comes in: a path. Goes out: whether it is an export, and what it verifies to.
Strategy: the first bytes tell an export from a journal's file. Bytes that are no text become a character that breaks
the chain at their line, which is then named.
"""

from __future__ import annotations

from pathlib import Path

from taptill.journal.adapters.sqlite_file import declared
from taptill.journal.export import FORMAT, verify_export
from taptill.journal.port import Verified

_BEGINS = f'{{"format":"{FORMAT}"'.encode()


def is_export(path: Path) -> bool:
    """Raises JournalError for a file that cannot be read."""
    with declared(str(path)), open(path, "rb") as file:
        return file.read(len(_BEGINS)) == _BEGINS


def verify_export_file(path: Path) -> Verified:
    """Raises JournalError, JournalForeign, JournalDamaged naming the first bad line."""
    with declared(str(path)), open(path, encoding="utf-8", errors="replace", newline="\n") as lines:
        return verify_export(line.removesuffix("\n") for line in lines)
