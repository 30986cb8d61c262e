"""The power of the terminal's disk is cut while the counter sells; only what was flushed is there afterwards.

Comes in: a directory, how often, a seed. Goes out: a `Report`, skipped where no such disk can be made.
Strategy: the disk dies first and the terminal is killed a moment later, so that it also meets a disk that answers
nothing but errors. Every third time the network is away, so that what was sold lies on this disk alone; every third
time the disk dies while the host is asked. A control writes beside it: what is not synced must be lost, or the cuts
prove nothing; what is synced must be there.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter as Tally
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from taplab.hardship.careless_writer import CAREFUL, NORMAL, UNSYNCED, prepare, rows_in
from taplab.hardship.counter import TERMINAL_AWAY, Counter
from taplab.hardship.forked_program import ForkedProgram
from taplab.hardship.losing_disk import LosingDisk, NoLosingDisk
from taplab.hardship.report import Report
from taplab.hardship.settling import settle
from taplab.hardship.verdict import taken_back
from taplab.world import World

Progress = Callable[[str], None]

TERMINAL_FOLDER = "terminal"
CONTROL_FOLDER = "control"
POWERED_S_MIN, POWERED_S_MAX = 0.6, 2.0
DEAD_DISK_MS_MAX = 300
SLOW_MS = 40  # each way: an answer that comes when the disk is dead already
SALE_WAIT_S = 3.0
LOOK_EVERY_S = 0.005
CUTS = ("network away meanwhile", "while the host is asked", "at any time")
CONTROL_CUTS_MIN = 5  # fewer cuts may miss an unsynced row by luck


def run(directory: Path, count: int, seed: int, progress: Progress) -> Report:
    """Raises TapTillError when the lab cannot be set up."""
    began = time.monotonic()
    chance = Random(seed)
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(LosingDisk(directory / "rig", directory / TERMINAL_FOLDER))
        except NoLosingDisk as error:
            return Report("power", count, seed, skipped=f"no disk that loses power may be made here: {error}")
        control = stack.enter_context(_Control(disk.mount_point / CONTROL_FOLDER))
        progress("the lab starts")
        world = stack.enter_context(
            World(directory, pcsc=False, program=ForkedProgram, terminal_folder=TERMINAL_FOLDER)
        )
        counter = Counter(world, Random(chance.getrandbits(64)))
        cutting = _Cutting(world, counter, disk, control)
        counter.open()
        for number in range(1, count + 1):
            cutting.cut_once(chance, number % len(CUTS))
            progress(f"{number} power cuts, {len(counter.sales)} sales, {time.monotonic() - began:.0f} s")
        world.network.up()
        counter.close()
        control.kill()
        books = settle(world, counter, cutting.wrong)
    seconds = time.monotonic() - began
    lost = {f"control lost rows of {store}": rows for store, rows in control.lost.items()}
    seen = dict(sorted(cutting.seen.items())) | {"sales": len(counter.sales), "control rows": control.rows} | lost
    return Report("power", count, seed, seconds, dict(cutting.done), seen, books, control.verdict(count))


class _Cutting:
    """`seen` is what the register saw when the power went."""

    def __init__(self, world: World, counter: Counter, disk: LosingDisk, control: _Control) -> None:
        self.done: Tally[str] = Tally()
        self.seen: Tally[str] = Tally()
        self.wrong: set[str] = set()  # results that a cut took back
        self._world = world
        self._counter = counter
        self._disk = disk
        self._control = control

    def cut_once(self, chance: Random, kind: int) -> None:
        """From a terminal that sells to one that has been started again on what was flushed."""
        self.done[f"power cut, {CUTS[kind]}"] += 1
        if kind == 0:
            self._world.network.down()
        time.sleep(chance.uniform(POWERED_S_MIN, POWERED_S_MAX))
        if kind == 1:
            self._wait_for_question()
        doing = self._counter.doing
        self.seen["cut: starting" if doing == TERMINAL_AWAY else f"cut: {doing}"] += 1
        self._disk.take_power()
        time.sleep(chance.uniform(0, DEAD_DISK_MS_MAX) / 1000)
        self._world.kill_terminal()
        self._control.kill()
        self._disk.clear_away()
        self._disk.power_on()
        self.wrong.update(taken_back(self._world, self._counter.sales))
        self._control.start()
        self._world.network.delay_ms = 0
        self._world.network.up()
        self._world.start_terminal()

    def _wait_for_question(self) -> None:
        self._world.network.delay_ms = SLOW_MS
        deadline = time.monotonic() + SALE_WAIT_S
        while self._counter.doing != "authorizing" and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S)


class _Control:
    """The careless writer as a process, and what it has lost so far by store."""

    def __init__(self, folder: Path) -> None:
        self.lost = {CAREFUL: 0, NORMAL: 0, UNSYNCED: 0}
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None
        self._first, self._last = 1, 0  # rows of this time of power

    def __enter__(self) -> Self:
        self._folder.mkdir()
        prepare(self._folder)
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        """Counts what is left of the rows before the cut, then writes on."""
        written = self._last - self._first + 1
        for store in self.lost if written else ():
            self.lost[store] += max(0, written - rows_in(self._folder, store, self._first))
        self._first = self._last + 1
        self._process = subprocess.Popen(
            [sys.executable, "-m", "taplab.hardship.careless_writer", str(self._folder), str(self._first)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def kill(self) -> None:
        """What it had said was written counts as owed by the disk."""
        if self._process is None:
            return
        self._process.kill()
        said, _ = self._process.communicate()
        self._process = None
        self._last = int(said.split()[-1]) if said.split() else self._first - 1

    @property
    def rows(self) -> int:
        return self._last

    def verdict(self, cuts: int) -> tuple[str, ...]:
        """Why this run proves nothing; empty where it does."""
        wrong = []
        if self.lost[CAREFUL]:
            wrong.append(f"the disk lost {self.lost[CAREFUL]} rows that were synced: the rig is broken")
        for store in (NORMAL, UNSYNCED):
            if not self.lost[store] and cuts >= CONTROL_CUTS_MIN:
                wrong.append(f"{store} lost nothing: these power cuts prove nothing")
        return tuple(wrong)
