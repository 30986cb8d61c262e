"""A rig that finds nothing may be blind: the same disk has to lose rows where SQLite does not promise to keep them.

Comes in: a setting of `PRAGMA synchronous` and a number of power cuts. Goes out: how many rows were lost whose commit
had returned. Strategy: a plain table in WAL mode on the world's disk, cut off while it grows; FULL may lose none, and
NORMAL, which syncs only at checkpoints, must.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from random import Random

import apsw

from taplab.simulation.agenda import Agenda
from taplab.simulation.disk import Disk
from taplab.simulation.schedule import Fault, Faults, Kind, Point
from taplab.simulation.story import Story

ROWS_BETWEEN_CUTS = 8
OPERATIONS_BETWEEN_CUTS = 12
NAME = "control.sqlite"


def count_lost_rows(synchronous: str, cuts: int, seed: int = 0) -> int:
    """Acknowledged rows that were gone after one of `cuts` power cuts."""
    random = Random(f"{seed} control {synchronous}")
    agenda = Agenda()
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="taptill-control-", dir=place) as directory:
        _provide(Path(directory, NAME))
        octets = Path(directory, NAME).read_bytes()
        lost = 0
        for number in range(cuts):
            fault = Fault(Point.DISK, random.randrange(OPERATIONS_BETWEEN_CUTS), Kind.POWER_CUT, random.getrandbits(30))
            disk = Disk(Path(directory, str(number)), Faults([fault]), Story(agenda, False), agenda, random)
            disk.provide(NAME, octets)
            lost += _lost_in_one_cut(disk, synchronous, random)
            disk.close()
        return lost


def _provide(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = wal").fetchall()
    connection.execute("CREATE TABLE row (number INTEGER PRIMARY KEY, octets BLOB)")
    connection.close()


def _lost_in_one_cut(disk: Disk, synchronous: str, random: Random) -> int:
    connection = _open(disk.boot(), synchronous)
    acknowledged = 0
    for number in range(1, ROWS_BETWEEN_CUTS + 1):
        connection.execute("INSERT INTO row VALUES (?, ?)", (number, random.randbytes(400)))
        if disk.dead:
            break
        acknowledged = number
    disk.cut(random.getrandbits(30))
    connection.close()
    found = _open(disk.boot(), synchronous)
    kept = found.execute("SELECT count(*) FROM row WHERE number <= ?", (acknowledged,)).get
    found.close()
    return acknowledged - int(kept)


def _open(directory: Path, synchronous: str) -> apsw.Connection:
    """Settings are read back: one that is not taken would make a control of nothing."""
    connection = apsw.Connection(str(directory / NAME))
    connection.execute(f"PRAGMA synchronous = {synchronous}").fetchall()
    found = connection.execute("PRAGMA journal_mode").get, connection.execute("PRAGMA synchronous").get
    assert found == ("wal", {"NORMAL": 1, "FULL": 2}[synchronous]), found
    return connection
