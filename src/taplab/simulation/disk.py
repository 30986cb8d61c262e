"""The terminal's disk: it can lose power, report errors, be full and be slow, and remembers what it had made durable.

Comes in: the schedule's faults, and every change SQLite asks for. Goes out: what the next boot finds.
Strategy: real SQLite works on real files in a directory of each boot (callers put it on a memory disk); beside them
stands what is durable. A cut draws what survives of the rest; the next boot begins with that in a fresh directory and
behind a VFS of its own, so that nothing of the dead boot can reach it. One disk is in use at a time, for it serves
every connection that names no VFS.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random

import apsw

from taplab.simulation.agenda import Agenda
from taplab.simulation.disk_directory import DiskDirectory
from taplab.simulation.disk_file import DiskFile, Fate
from taplab.simulation.disk_space import DiskReserve, DiskSpace
from taplab.simulation.disk_vfs import BootVfs
from taplab.simulation.schedule import Fault, Faults, Kind, Point
from taplab.simulation.story import Story

SYNC_US = 8_000  # a middling SD card
SLOW_SYNC_US = 1_500_000  # a worn one while it erases blocks
VFS_PREFIX = "taplab-disk-"
_NOTHING = Fate(0.0, Random(0))
_EVERYTHING = Fate(1.0, Random(0))
_serial = count()


@dataclass(frozen=True, slots=True)
class Image:
    """Names and contents of the durable files at some moment, by name."""

    files: tuple[tuple[str, bytes], ...]


class Disk:
    """`dead`: the power is gone, and nothing that is written any more will be found. It is so before the first boot.
    `busy_us`: virtual time that file operations took since `take_busy_us`. `reserve`: for the journal."""

    def __init__(self, directory: Path, faults: Faults, story: Story, agenda: Agenda, random: Random) -> None:
        self.dead = True
        self.busy_us = 0
        self.space = DiskSpace(agenda)
        self.reserve = DiskReserve(self.space)
        self._directory, self._faults, self._story, self._agenda = directory, faults, story, agenda
        self._random = random
        self._left: dict[str, bytes] = {}  # what the next boot finds
        self._files: DiskDirectory | None = None
        self._vfs: BootVfs | None = None
        self._default_before = ""
        self._boots = 0
        self._slow_until_us = 0

    def provide(self, name: str, octets: bytes) -> None:
        """A file that is there, durably, at the next boot."""
        self._refuse_running("files are put on a disk whose power is off")
        self._left[name] = octets

    def boot(self) -> Path:
        """The power is back: a fresh directory with what survived, served by a VFS of its own. A machine that still
        ran is shut down in order first: all that was written is there. Raises RuntimeError while another disk is in
        use."""
        self._shut_down()
        self._clear_away()
        path = self._directory / f"boot-{self._boots}"
        self._boots += 1
        path.mkdir(parents=True)
        for name, octets in self._left.items():
            _write(path / name, octets)
        self._files = DiskDirectory(path)
        self._serve(self._files)
        self.dead = False
        return path

    def cut(self, value: int) -> None:
        """The power fails now; `value` decides what survives of all that was not synced: everything, nothing, or a
        random part, sector by sector."""
        if self.dead:
            return
        self._power_off(Fate.drawn(Random(value)))
        self._story.tell("the power is gone")

    def image(self) -> Image:
        """What is durable now; of a disk without power, what the next boot finds."""
        return Image(tuple(sorted(self._durable().items())))

    def put_in(self, image: Image) -> None:
        """The next boot finds these files and no others."""
        self._refuse_running("a disk is changed while the power is off")
        self._left = dict(image.files)

    def mend(self) -> None:
        """Somebody made room, and it is as fast as ever."""
        self.space.mend()
        self._slow_until_us = 0

    def take_busy_us(self) -> int:
        """Virtual time that file operations took since this was last asked."""
        busy_us, self.busy_us = self.busy_us, 0
        return busy_us

    def everything(self) -> Iterator[tuple[str, bytes]]:
        """Names and contents: what is durable, then what a program would read now."""
        yield from self._durable().items()
        if self._files is not None and not self.dead:
            yield from self._files.as_it_is().items()

    def close(self) -> None:
        """The end of this disk: connections that name no VFS meet the one they met before. Takes its files away."""
        self._shut_down()
        self._clear_away()
        if self._default_before:
            apsw.set_default_vfs(self._default_before)
            apsw.randomness(0)  # SQLite seeds itself anew, from the real machine
            self._default_before = ""

    def write(self, file: DiskFile, offset: int, octets: bytes) -> None:
        cut = self._struck(file.name)
        grows_by = offset + len(octets) - file.length
        if grows_by > 0 and cut is None:
            self.space.grow(grows_by)
        file.write(offset, octets)
        self._cut_by(cut)

    def truncate(self, file: DiskFile, length: int) -> None:
        cut = self._struck(file.name)
        file.truncate(length)
        self._cut_by(cut)

    def sync(self, file: DiskFile) -> None:
        try:
            cut = self._struck(file.name)
        except apsw.IOError:
            file.fail_to_sync(Fate.drawn(self._random))
            raise
        if cut is not None:
            self.cut(cut.value)
            return
        self.busy_us += SLOW_SYNC_US if self._agenda.now_us < self._slow_until_us else SYNC_US
        file.sync()

    def remove(self, name: str, durably: bool) -> None:
        cut = self._struck(name)
        if self._files is not None:
            self._files.remove(name, durably and cut is None)
        self._cut_by(cut)

    def wait(self, wait_us: int) -> None:
        self.busy_us += wait_us

    def _struck(self, name: str) -> Fault | None:
        """Count an operation; the power cut that comes in it, if any. Raises apsw.IOError."""
        fault = self._faults.strike(Point.DISK)
        if fault is None:
            return None
        self._story.tell(f"{fault}, in {name}")
        if fault.kind is Kind.IO_ERROR:
            raise apsw.IOError(f"the disk reports an error in {name}")
        if fault.kind is Kind.FULL:
            self.space.fill(fault.value)
        elif fault.kind is Kind.SLOW:
            self._slow_until_us = self._agenda.now_us + fault.value * 1_000
        return fault if fault.kind is Kind.POWER_CUT else None

    def _cut_by(self, fault: Fault | None) -> None:
        if fault is not None:
            self.cut(fault.value)

    def _durable(self) -> dict[str, bytes]:
        return self._left if self.dead or self._files is None else self._files.after_cut(_NOTHING)

    def _shut_down(self) -> None:
        if not self.dead:
            self._power_off(_EVERYTHING)

    def _power_off(self, fate: Fate) -> None:
        assert self._files is not None
        assert self._vfs is not None
        self._left = self._files.after_cut(fate)
        self._vfs.powered = False
        self.dead = True

    def _serve(self, files: DiskDirectory) -> None:
        served_by = apsw.vfs_names()[0]
        if served_by.startswith(VFS_PREFIX) and not self._default_before:
            raise RuntimeError(f"{served_by} is still in use: close that disk first")
        self._default_before = self._default_before or served_by
        self._vfs = BootVfs(f"{VFS_PREFIX}{next(_serial)}", files, self, self._random)
        apsw.set_default_vfs(self._vfs.name)
        apsw.randomness(0)  # SQLite seeds itself anew, from this VFS

    def _clear_away(self) -> None:
        """Connections that are still open keep their files, which have no names any more."""
        if self._vfs is not None:
            self._vfs.unregister()
            self._vfs = None
        if self._files is not None:
            shutil.rmtree(self._files.path, ignore_errors=True)
            self._files = None

    def _refuse_running(self, why: str) -> None:
        if not self.dead:
            raise RuntimeError(why)


def _write(path: Path, octets: bytes) -> None:
    """Readable by the owner alone, as the program makes its files: a key store would be refused otherwise."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(octets)
