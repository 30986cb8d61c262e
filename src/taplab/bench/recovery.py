"""`recovery`: ready again after SIGKILL, with a journal of 100,000 entries.

Strategy: a terminal's journal is filled, its last entries are written one by one by a process that is killed, and each
round starts from a copy of what that left: log, lock and an intent without outcome. Beside the whole start from exec to
listening: the same start with an empty journal, the journal's opening alone, and SQLite opening the same file.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
from collections.abc import Callable
from contextlib import ExitStack, closing
from itertools import chain, islice
from pathlib import Path

import apsw

from taplab.bench.inline_till import ENTRIES_PER_SYNC, one_sale, open_shop
from taplab.bench.intents import many_sales
from taplab.bench.measurement import Better, Figure, Plan, Result
from taplab.bench.rounds import Ready, in_turns
from taplab.child import Child
from taplab.provision import LabFiles
from taptill.journal.adapters.sqlite import SqliteJournal

ENTRIES = 100_000
ENTRIES_PER_SALE = 3
SINGLY = 300  # sales whose entries the killed process syncs one by one
READY_S_MAX = 2.0
ROUNDS = 5
START, EMPTY, OPEN, BARE = "taptill run", "taptill run, empty journal", "SqliteJournal.open", "bare apsw"


Act = Callable[[LabFiles, ExitStack], None]  # what is to be ended afterwards goes on the stack


def main(arguments: list[str] | None = None) -> int:
    """The process that is killed: it says when it has written, and waits."""
    parser = argparse.ArgumentParser(prog="recovery", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--sales", type=int, required=True)
    options = parser.parse_args(arguments)
    files = LabFiles.of(options.directory)
    first = one_sale(files, options.directory)
    journal = SqliteJournal.open(files.journal)
    known = len(journal.payments())
    sales = islice(many_sales(first, known + options.sales), known, None)
    pending = list(chain.from_iterable(sale.entries for sale in sales))
    for each in pending[:-1]:  # the last sale stays without its outcome
        journal.append([each])
    print(json.dumps({"written": str(journal.verify_recent().last_seq)}), flush=True)
    signal.pause()
    return 1


def measure(plan: Plan) -> Result:
    folder = plan.folder("recovery")
    entries, rounds = plan.count(ENTRIES, quick=20_000), plan.count(ROUNDS, quick=3)
    empty = open_shop(folder / "empty")
    dead = _killed(folder / "dead", entries, plan)
    plan.progress(f"{rounds} starts")
    shop = _Round(folder / "round")
    taken = in_turns(
        {
            START: _on_a_copy(dead, shop, _start),
            EMPTY: _on_a_copy(empty, shop, _start),
            OPEN: _on_a_copy(dead, shop, _open),
            BARE: _on_a_copy(dead, shop, _open_bare),
        },
        rounds,
    )
    shop.end()
    contenders: dict[str, dict[str, Figure]] = {
        name: {"best s": round(seconds.best, 4), "median s": round(seconds.median, 4)}
        for name, seconds in taken.items()
    }
    return Result(
        ratio=taken[START].median / READY_S_MAX,
        bar=1.0,
        better=Better.LOWER,
        contenders=contenders,
        details={
            "entries": entries,
            "journal octets": dead.journal.stat().st_size,
            "log octets": dead.journal.with_name(dead.journal.name + "-wal").stat().st_size,
            "rounds": rounds,
        },
        notes=("the ratio is the median time to ready over the two seconds that are allowed",),
    )


class _Round:
    """A copy of a shop, until the next."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._stack = ExitStack()

    def begin(self, shop: LabFiles) -> tuple[LabFiles, ExitStack]:
        self.end()
        shutil.copytree(shop.directory, self._place)
        return LabFiles.of(self._place), self._stack

    def end(self) -> None:
        self._stack.close()
        shutil.rmtree(self._place, ignore_errors=True)


def _on_a_copy(shop: LabFiles, place: _Round, act: Act) -> Ready:
    def ready() -> Callable[[], None]:
        files, stack = place.begin(shop)
        return lambda: act(files, stack)

    return ready


def _start(files: LabFiles, stack: ExitStack) -> None:
    arguments = ["run", "--config", str(files.terminal_config)]
    terminal = Child("terminal", "taptill.cli", arguments, files.directory / "terminal.log")
    stack.callback(terminal.kill)
    terminal.start()


def _open(files: LabFiles, stack: ExitStack) -> None:
    stack.callback(SqliteJournal.open(files.journal).close)


def _open_bare(files: LabFiles, stack: ExitStack) -> None:
    connection = apsw.Connection(str(files.journal))
    stack.callback(connection.close)
    connection.execute("SELECT seq, digest FROM entry ORDER BY seq DESC LIMIT 1").fetchall()


def _killed(folder: Path, entries: int, plan: Plan) -> LabFiles:
    """A shop whose terminal wrote so many entries and lost its power."""
    files = open_shop(folder)
    singly = min(SINGLY, entries // ENTRIES_PER_SALE // 2 + 1)
    plan.progress(f"{entries} entries are written")
    first = one_sale(files, folder)
    sales = many_sales(first, entries // ENTRIES_PER_SALE - singly)
    pending = chain.from_iterable(sale.entries for sale in sales)
    with closing(SqliteJournal.open(files.journal)) as journal:
        while batch := list(islice(pending, ENTRIES_PER_SYNC)):
            journal.append(batch)
    writer = Child("writer", __name__, ["--directory", str(folder), "--sales", str(singly)], folder / "writer.log")
    writer.start()
    writer.kill()
    return files
