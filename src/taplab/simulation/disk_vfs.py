"""How SQLite reaches a disk that can fail: a VFS in front of SQLite's own.

Comes in: file operations. Goes out: the same ones, on real files, after the disk was told of each that changes
something.
Strategy: reading, locking and shared memory pass through untouched, so WAL works with normal locking and readers run
beside the writer. Each boot has a VFS of its own. Once the power is gone, what its connections still write ends in
files that nobody will read again, and they are told that all went well. Syncs are only told to the disk: it alone
knows what is durable.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Protocol

import apsw

from taplab.simulation.disk_directory import DiskDirectory
from taplab.simulation.disk_file import DiskFile

if TYPE_CHECKING:
    from typing_extensions import Buffer

BASE = "unix"


class Platter(Protocol):
    """Told before it is done; may raise apsw.Error, and then it is not done."""

    def write(self, file: DiskFile, offset: int, octets: bytes) -> None: ...

    def truncate(self, file: DiskFile, length: int) -> None: ...

    def sync(self, file: DiskFile) -> None: ...

    def remove(self, name: str, durably: bool) -> None: ...

    def wait(self, wait_us: int) -> None: ...


class BootVfs(apsw.VFS):
    """`powered` until the cut. `random` seeds SQLite's own random numbers, which it writes into its files."""

    def __init__(self, name: str, directory: DiskDirectory, platter: Platter, random: Random) -> None:
        super().__init__(name, BASE)
        self.name, self.directory, self.platter = name, directory, platter
        self.powered = True
        self._random = random

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name or "")
        if path.parent != self.directory.path or not self.powered:
            return apsw.VFSFile(BASE, name, flags)
        file = self.directory.find(path.name)
        opened = BootFile(self, file, name, flags)
        self.directory.opened(file)
        return opened

    def xDelete(self, filename: str, syncdir: bool) -> None:
        path = Path(filename)
        if self.powered and path.parent == self.directory.path:
            self.platter.remove(path.name, syncdir)
        super().xDelete(filename, False)

    def xSleep(self, microseconds: int) -> int:
        self.platter.wait(microseconds)
        return microseconds

    def xRandomness(self, numbytes: int) -> bytes:
        return self._random.randbytes(numbytes)


class BootFile(apsw.VFSFile):
    def __init__(self, vfs: BootVfs, file: DiskFile, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__(BASE, name, flags)
        self._vfs, self._platter, self._file = vfs, vfs.platter, file

    def xWrite(self, data: Buffer, offset: int) -> None:
        if self._vfs.powered:
            self._platter.write(self._file, offset, bytes(data))
        super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        if self._vfs.powered:
            self._platter.truncate(self._file, newsize)
        super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        if self._vfs.powered:
            self._platter.sync(self._file)
