"""A disk whose syncs take as long as an SD card's, for everything that SQLite writes through apsw.

Comes in: how long a sync takes. Goes out: nothing; connections that are opened meanwhile wait in each sync. Strategy: a
VFS in front of SQLite's own that sleeps after the real sync. Libraries on the standard library's SQLite do not see it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import apsw

BASE = "unix"
SYNC_MS = 8  # what an SD card may nominally take


class _SlowFile(apsw.VFSFile):
    def __init__(self, name: str | apsw.URIFilename | None, flags: list[int], sync_s: float) -> None:
        super().__init__(BASE, name, flags)
        self._sync_s = sync_s

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        time.sleep(self._sync_s)


class _SlowVfs(apsw.VFS):
    def __init__(self, sync_s: float) -> None:
        self._sync_s = sync_s
        super().__init__("slow sync", BASE, makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _SlowFile(name, flags, self._sync_s)


@contextmanager
def slow_syncs(sync_ms: int = SYNC_MS) -> Iterator[None]:
    """Connections made in here stay slow, and have to be closed in here."""
    vfs = _SlowVfs(sync_ms / 1000)
    try:
        yield
    finally:
        vfs.unregister()
