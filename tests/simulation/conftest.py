"""A machine with a disk that can fail, and an empty journal on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import apsw
import pytest
from tests.journal.conftest import Shop

from taplab.simulation.agenda import Agenda
from taplab.simulation.disk import Disk
from taplab.simulation.schedule import Fault, Faults, Kind, Point
from taplab.simulation.story import Story
from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.port import JournalError, Pending

MEMORY_DISK = Path("/dev/shm")
SALE_ENTRIES = 3
MADE = [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_READWRITE, 0]


class Machine:
    """A disk with an empty journal that was made in peace, and the schedule for it."""

    def __init__(self, directory: Path, faults: Iterable[Fault] = (), journal: bytes = b"", seed: int = 1) -> None:
        self.agenda = Agenda()
        self.faults = Faults(faults)
        self.story = Story(self.agenda)
        self.disk = Disk(directory, self.faults, self.story, self.agenda, Random(seed))
        self.shop = Shop()
        if journal:
            self.disk.provide("journal.db", journal)

    def open(self) -> SqliteJournal:
        """After power came back."""
        self.path = self.disk.boot() / "journal.db"
        return SqliteJournal.open(self.path, lambda _: self.disk.reserve)

    def plan(self, after: int, kind: Kind, value: int) -> None:
        """So many operations from now."""
        nth = self.faults.counts[Point.DISK] + after
        self.faults._at[Point.DISK, nth] = Fault(Point.DISK, nth, kind, value)

    def sell(self, journal: SqliteJournal, ref: str) -> int:
        """Entries that were acknowledged before power or disk failed."""
        for acknowledged, make in enumerate((self.shop.armed, self.shop.sale, self.approved)):
            try:
                journal.append([make(ref)])
            except JournalError:
                return acknowledged
            if self.disk.dead:
                return acknowledged
        return SALE_ENTRIES

    def approved(self, ref: str) -> Pending:
        return self.shop.decided(ref, "approved")


def open_file(path: Path) -> apsw.VFSFile:
    """Through the VFS that is the default, as SQLite does it."""
    return apsw.VFSFile(apsw.vfs_names()[0], str(path), list(MADE))


@pytest.fixture
def directory() -> Iterator[Path]:
    with TemporaryDirectory(dir=MEMORY_DISK if MEMORY_DISK.is_dir() else None) as path:
        yield Path(path)


@pytest.fixture(scope="module")
def empty_journal(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("empty") / "journal.db"
    SqliteJournal.open(path).close()
    return path.read_bytes()


class Machines:
    """One after the other: a new one takes the place of the last."""

    def __init__(self, directory: Path, empty_journal: bytes) -> None:
        self._directory, self._empty_journal = directory, empty_journal
        self._disks: list[Disk] = []

    def new(self, faults: Iterable[Fault] = (), has_journal: bool = True, seed: int = 1) -> Machine:
        self.close()
        journal = self._empty_journal if has_journal else b""
        machine = Machine(self._directory / str(len(self._disks)), faults, journal, seed)
        self._disks.append(machine.disk)
        return machine

    def operations_of_a_sale(self) -> int:
        machine = self.new()
        journal = machine.open()
        machine.sell(journal, "P1")
        operations = machine.faults.counts[Point.DISK]
        journal.close()  # which empties the log
        return operations

    def close(self) -> None:
        for disk in self._disks[-1:]:
            disk.close()


@pytest.fixture
def machines(directory: Path, empty_journal: bytes) -> Iterator[Machines]:
    machines = Machines(directory, empty_journal)
    yield machines
    machines.close()


@pytest.fixture
def machine(machines: Machines) -> Machine:
    return machines.new()


def at_operation(nth: int, kind: Kind, value: int = 0) -> list[Fault]:
    return [Fault(Point.DISK, nth, kind, value)]
