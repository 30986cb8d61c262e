"""The control beside the terminal: the same disk, written to with care and without.

Comes in: a folder on the disk and the first row's number, on the command line. Goes out: on standard output the number
of each row once all three stores have taken it; `rows_in` tells later what is left of them.
Strategy: one store syncs every commit (it must lose nothing), one is SQLite with synchronous=NORMAL, one a file that
is never synced (these must lose rows: otherwise the power cuts of this rig cut nothing).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import apsw

CAREFUL, NORMAL, UNSYNCED = "synchronous=FULL", "synchronous=NORMAL", "a file without fsync"
PAUSE_S = 0.02


class WrongPragma(Exception):
    """SQLite did not take over what it was told."""


def main() -> None:
    """Writes until it is killed."""
    folder = Path(sys.argv[1])
    careful, normal = _connect(folder, CAREFUL, "FULL"), _connect(folder, NORMAL, "NORMAL")
    number = int(sys.argv[2])
    with open(folder / UNSYNCED, "ab", buffering=0) as file:
        while True:
            for connection in (careful, normal):
                connection.execute("INSERT OR REPLACE INTO row VALUES (?)", (number,))
            file.write(b"%d\n" % number)
            print(number, flush=True)
            number += 1
            time.sleep(PAUSE_S)


def rows_in(folder: Path, store: str, first: int) -> int:
    """How many rows there are from `first` on."""
    path = folder / store
    if not path.exists():
        return 0
    if store == UNSYNCED:
        return sum(line.isdigit() and int(line) >= first for line in path.read_bytes().split(b"\n"))
    connection = apsw.Connection(str(path))
    try:
        return int(connection.execute("SELECT count(*) FROM row WHERE number >= ?", (first,)).get)
    finally:
        connection.close()


def prepare(folder: Path) -> None:
    """Makes the stores before the first cut."""
    for store, synchronous in ((CAREFUL, "FULL"), (NORMAL, "NORMAL")):
        _connect(folder, store, synchronous).close()


def _connect(folder: Path, store: str, synchronous: str) -> apsw.Connection:
    """Every pragma is read back: one that was not taken over would make the control a lie."""
    connection = apsw.Connection(str(folder / store))
    connection.execute("CREATE TABLE IF NOT EXISTS row (number INTEGER PRIMARY KEY)")
    if connection.pragma("journal_mode", "wal") != "wal":
        raise WrongPragma("journal_mode")
    connection.pragma("synchronous", synchronous)
    if connection.pragma("synchronous") != {"NORMAL": 1, "FULL": 2}[synchronous]:
        raise WrongPragma("synchronous")
    return connection


if __name__ == "__main__":
    main()
