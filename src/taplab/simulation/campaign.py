"""Many days on all cores.

Comes in: days. Goes out: a verdict for each, without what nobody reads of a sound one, and a running count for whoever
waits. Strategy: one process per core, days in small handfuls, each world in a folder of its own on a memory disk.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from taplab.simulation.day import Day
from taplab.simulation.world import Verdict, World

MEMORY_DISK = Path("/dev/shm")
HANDFUL = 16
HANDFULS_AHEAD = 4  # per process: enough to keep it busy, few enough to keep memory flat


@dataclass(slots=True)
class Tally:
    """What a campaign came to. `failing` holds at most FAILING_KEPT days, the first ones."""

    schedules: int = 0
    violations: int = 0
    payments: int = 0
    boots: int = 0
    failing: tuple[Verdict, ...] = ()

    def add(self, verdict: Verdict) -> None:
        self.schedules += 1
        self.payments += verdict.payments
        self.boots += verdict.boots
        if verdict.broken:
            self.violations += 1
            self.failing = (*self.failing, verdict)[:FAILING_KEPT]


FAILING_KEPT = 20


def judge(day: Day, told: bool = False, renders: bool = False) -> Verdict:
    """Run one day in a folder that is gone afterwards."""
    place = MEMORY_DISK if os.access(MEMORY_DISK, os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="taptill-world-", dir=place))
    try:
        return World(day, directory, told, renders).run()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def judge_all(days: Iterable[Day], jobs: int, progress: Callable[[Tally], None], renders: bool = False) -> Tally:
    """`progress` hears after each handful."""
    tally = Tally()
    for verdicts in _in_handfuls(iter(days), jobs, renders):
        for verdict in verdicts:
            tally.add(verdict)
        progress(tally)
    return tally


def _in_handfuls(days: Iterator[Day], jobs: int, renders: bool) -> Iterator[list[Verdict]]:
    if jobs == 1:
        while handful := list(islice(days, HANDFUL)):
            yield _judge_handful(handful, renders)
        return
    pool = ProcessPoolExecutor(jobs)
    running: list[Future[list[Verdict]]] = []
    try:
        for handful in iter(lambda: list(islice(days, HANDFUL)), []):
            running.append(pool.submit(_judge_handful, handful, renders))
            if len(running) >= jobs * HANDFULS_AHEAD:
                yield running.pop(0).result()
        for future in running:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)  # whoever interrupts it does not wait for the handfuls ahead


def _judge_handful(days: list[Day], renders: bool) -> list[Verdict]:
    return [replace(verdict, frames=(), counts={}) for verdict in (judge(day, renders=renders) for day in days)]
