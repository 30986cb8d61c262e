"""The names on a disk while the power may fail: files made and removed since the last sync of their directory.

Comes in: files as SQLite opens and deletes them. Goes out: names and contents that a power cut may leave.
Strategy: a new file is durably named from its own first sync, a removed one durably gone when its directory was synced.
What SQLite has not opened since the machine started lies there as it was, or was written with calls of the operating
system: that is taken as it is, for what the program writes so (key store, a new journal's renaming) it syncs itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from taplab.simulation.disk_file import DiskFile, Fate

OF_ONE_BOOT = ("-shm", ".lock")  # SQLite's wal-index and the writer's lock mean nothing to the next boot


class DiskDirectory:
    """One boot's files, without sub-directories."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._files: dict[str, DiskFile] = {}
        self._removed: dict[str, DiskFile] = {}  # and not durably so

    def find(self, name: str) -> DiskFile:
        """The file that SQLite is about to open or make; what the operating system was told about it meanwhile
        counts."""
        path, known = self.path / name, self._files.get(name)
        if not path.exists():
            return DiskFile(name, b"", entered=False)
        if known is not None and path.stat().st_size == known.length:
            return known
        return DiskFile(name, path.read_bytes(), entered=True)

    def opened(self, file: DiskFile) -> None:
        self._files[file.name] = file

    def remove(self, name: str, durably: bool) -> None:
        """`durably`: the directory is synced, with all that was done in it."""
        file = self._files.pop(name, None)
        if durably:
            self._removed.clear()
            for other in self._files.values():
                other.entered = True
        elif file is not None and (file.entered or name not in self._removed):
            self._removed[name] = file

    def after_cut(self, fate: Fate) -> dict[str, bytes]:
        """What is found when the power is back."""
        there = set(self._names())
        found = {name: self._as_it_is(name) for name in sorted(there - self._files.keys() - self._removed.keys())}
        for name, file in self._removed.items():
            if (file.entered or fate.reached(1)) and not fate.reached(1):
                found[name] = file.after_cut(fate)
        for name, file in self._files.items():
            if name in there and (file.entered or fate.reached(1)):
                found[name] = file.after_cut(fate)
        return found

    def as_it_is(self) -> dict[str, bytes]:
        """What a program reads now. (That closing a file drops this process's locks on it does no harm: SQLite's
        connections inside one process do not rest on them.)"""
        return {name: self._as_it_is(name) for name in self._names()}

    def _names(self) -> Iterator[str]:
        for path in self.path.iterdir():
            if path.is_file() and not path.name.endswith(OF_ONE_BOOT):
                yield path.name

    def _as_it_is(self, name: str) -> bytes:
        return (self.path / name).read_bytes()
