"""The journal on a disk that loses power at any file operation, thousands of times, and a control that must lose."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import apsw
import pytest
from tests.journal.conftest import Walk

from taplab.simulation.agenda import Agenda
from taplab.simulation.disk import Disk
from taplab.simulation.schedule import Fault, Faults, Kind, Point
from taplab.simulation.story import Story
from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.port import JournalError

CUTS = int(os.environ.get("TAPTILL_CUTS", "10000"))
CUTS_IN_A_ROW = 50  # over one journal; verifying it after each cut takes longer and longer
OPERATIONS_MAX = 40  # between the first append of a boot and its cut
GROUP_MAX = 3
CONTROL_CUTS = 300


class Cutter(Faults):
    """The power fails at the file operation after so many more."""

    def __init__(self) -> None:
        super().__init__()
        self._left, self._value = -1, 0

    def cut_after(self, operations: int, value: int) -> None:
        self._left, self._value = operations, value

    def strike(self, point: Point) -> Fault | None:
        self._left -= 1
        return Fault(point, 0, Kind.POWER_CUT, self._value) if self._left == -1 else None


class Rig:
    """A disk with a file that was made in peace."""

    def __init__(self, directory: Path, seed: str, name: str, octets: bytes) -> None:
        agenda = Agenda()
        self.random = Random(seed)
        self.cutter = Cutter()
        self.disk = Disk(directory, self.cutter, Story(agenda, told=False), agenda, Random(f"{seed} disk"))
        self.disk.provide(name, octets)
        self._name = name

    def boot(self) -> Path:
        return self.disk.boot() / self._name

    def cut_soon(self) -> None:
        self.cutter.cut_after(self.random.randrange(OPERATIONS_MAX), self.random.getrandbits(32))


def append_until_the_cut(rig: Rig, journal: SqliteJournal, walk: Walk, first_payment: int) -> tuple[int, int]:
    """Entries that were acknowledged, and entries of the group that was cut, which may be there or not."""
    acknowledged = 0
    while True:
        steps = rig.random.randint(0, GROUP_MAX)
        group = [walk.step(first_payment + rig.random.randrange(3), rig.random.randrange(9)) for _ in range(steps)]
        try:
            if group:
                journal.append(group)
            else:
                journal.checkpoint()
        except JournalError:
            assert rig.disk.dead
        if rig.disk.dead:
            return acknowledged, steps
        acknowledged += steps


@pytest.mark.parametrize("first_cut", range(0, CUTS, CUTS_IN_A_ROW))
def test_no_acknowledged_entry_is_lost(directory: Path, empty_journal: bytes, first_cut: int) -> None:
    """After each cut the journal opens, verifies, has what was acknowledged and takes the next entry."""
    rig = Rig(directory, f"cuts from {first_cut}", "journal.db", empty_journal)
    walk, acknowledged, in_doubt = Walk(), 0, 0
    cuts = min(CUTS_IN_A_ROW, CUTS - first_cut)
    for cut in range(cuts):
        journal = SqliteJournal.open(rig.boot(), lambda _: rig.disk.reserve)
        found = journal.verify().count
        assert found in {acknowledged, acknowledged + in_doubt}
        walk = Walk(shop=walk.shop)
        journal.append([walk.shop.link()])
        rig.cut_soon()
        more, in_doubt = append_until_the_cut(rig, journal, walk, first_payment=cut * 3)
        acknowledged = found + 1 + more
        journal.close()
    rig.disk.close()
    assert acknowledged >= cuts


def test_the_same_cuts_take_rows_from_a_database_that_does_not_wait_for_the_disk(directory: Path) -> None:
    """The control: where SQLite is told to sync less, this disk loses what was acknowledged, and tears pages."""
    lost = {setting: cuts_that_lose_rows(directory, "wal", setting) for setting in ("FULL", "NORMAL", "OFF")}
    print(f"of {CONTROL_CUTS} cuts these took acknowledged rows: {lost}")
    assert lost["FULL"] == 0
    assert lost["NORMAL"] > CONTROL_CUTS // 10
    assert lost["OFF"] > CONTROL_CUTS // 10


def test_a_rollback_journal_comes_back_unless_its_removal_is_synced(directory: Path) -> None:
    """What sqlite.org/pragma.html says of synchronous=EXTRA, and why the journal is not in this mode."""
    lost = {setting: cuts_that_lose_rows(directory, "delete", setting) for setting in ("FULL", "EXTRA")}
    assert lost["EXTRA"] == 0
    assert lost["FULL"] > 0


def cuts_that_lose_rows(directory: Path, mode: str, synchronous: str) -> int:
    rig = Rig(directory / f"{mode} {synchronous}", f"control {mode} {synchronous}", "rows.db", empty_rows(mode))
    new = rig.disk.image()
    lost = acknowledged = 0
    for _ in range(CONTROL_CUTS):
        connection = apsw.Connection(str(rig.boot()))
        found = whole_rows(connection, mode, synchronous)
        lost += found not in {acknowledged, acknowledged + 1}
        if found is None:
            rig.disk.cut(0)
            rig.disk.put_in(new)
            acknowledged = 0
        else:
            rig.cut_soon()
            acknowledged = found + insert_until_the_cut(rig, connection)
        connection.close()
    rig.disk.close()
    return lost


def empty_rows(mode: str) -> bytes:
    with TemporaryDirectory() as directory:
        connection = apsw.Connection(f"{directory}/rows.db")
        assert connection.pragma("journal_mode", mode) == mode
        connection.execute("CREATE TABLE row (number INTEGER PRIMARY KEY, octets BLOB)")
        connection.close()
        return Path(directory, "rows.db").read_bytes()


def whole_rows(connection: apsw.Connection, mode: str, synchronous: str) -> int | None:
    """How many there are; None in a database that is damaged."""
    try:
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        assert connection.pragma("journal_mode") == mode
        whole = connection.execute("PRAGMA integrity_check(1)").get == "ok"
        return int(str(connection.execute("SELECT count(*) FROM row").get)) if whole else None
    except apsw.Error:
        return None


def insert_until_the_cut(rig: Rig, connection: apsw.Connection) -> int:
    """Rows that were acknowledged."""
    acknowledged = 0
    while not rig.disk.dead:
        if rig.random.randrange(4):
            connection.execute("INSERT INTO row (octets) VALUES (zeroblob(700))")
            acknowledged += not rig.disk.dead
        else:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return acknowledged
