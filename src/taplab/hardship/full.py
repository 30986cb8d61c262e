"""The terminal's disk runs full in the middle of a sale: the sale ends well, the next one is refused with the reason,
and selling goes on by itself once there is space.

Comes in: a directory, how often. Goes out: a `Report`, skipped where no small file system may be mounted.
Strategy: journal and keys lie on a file system of a few MiB that is filled while the host is being asked. Every second
time the terminal is killed while nothing fits, and has to come up on the full disk.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Callable
from pathlib import Path
from random import Random

from taplab.hardship.counter import Counter, Sale
from taplab.hardship.forked_program import ForkedProgram
from taplab.hardship.report import Report
from taplab.hardship.settling import settle, wait_settled
from taplab.hardship.small_disk import MountForbidden, SmallDisk
from taplab.register import RegisterError
from taplab.world import World

Progress = Callable[[str], None]

TERMINAL_FOLDER = "terminal"
DISK_FULL = "disk-full"
HOST_IS_SLOW_MS = 150  # long enough to fill a disk of a few MiB meanwhile
SALES_ON_FULL_DISK_MAX = 50  # what the journal's log already holds can be written over


def run(directory: Path, count: int, seed: int, progress: Progress) -> Report:
    """Raises TapTillError when the lab cannot be set up."""
    began = time.monotonic()
    try:
        with SmallDisk(directory / TERMINAL_FOLDER) as disk:
            progress("the lab starts")
            with World(directory, pcsc=False, program=ForkedProgram, terminal_folder=TERMINAL_FOLDER) as world:
                filling = _Filling(world, disk, Counter(world, Random(seed)))
                try:
                    for number in range(1, count + 1):
                        progress(f"the disk runs full, {number} of {count}")
                        filling.fill_once(killed=number % 2 == 0)
                except RegisterError as error:
                    filling.wrong.append(f"a sale did not end: {error}")
                    disk.free()
                books = settle(world, filling.counter)
    except MountForbidden as error:
        return Report("full", count, seed, skipped=str(error))
    seconds = time.monotonic() - began
    return Report("full", count, seed, seconds, dict(filling.done), dict(filling.seen), books, tuple(filling.wrong))


class _Filling:
    """`wrong` are promises about a full disk that were not kept."""

    def __init__(self, world: World, disk: SmallDisk, counter: Counter) -> None:
        self.counter = counter
        self.done: Tally[str] = Tally()
        self.seen: Tally[str] = Tally()
        self.wrong: list[str] = []
        self._world = world
        self._disk = disk

    def fill_once(self, *, killed: bool) -> None:
        late = wait_settled(self._world)
        if late:
            self.wrong.append(late)
        self._fill_during_a_sale(killed=killed)
        refused = self._sell_until_refused()
        self._disk.free()
        if refused is not None:
            self._sell_again(refused)

    def _fill_during_a_sale(self, *, killed: bool) -> None:
        sale = self.counter.order()
        self._world.network.delay_ms = HOST_IS_SLOW_MS
        self.counter.serve(sale, lambda: sale.state == "authorizing" or sale.ended)
        self._disk.fill()
        self.done["disk filled while the host was asked"] += 1
        if sale.ended:
            self.wrong.append(f"the sale was {sale.state} before the disk was full: this round proves nothing")
        if killed:
            self._world.kill_terminal()
            self._world.start_terminal()
            self.done["killed and started on the full disk"] += 1
        self._world.network.delay_ms = 0
        self._serve(sale)
        self.seen[f"its sale ended as {sale.state}"] += 1
        if self._disk.free_octets:
            self.seen["the journal gave its reserve to the outcome"] += 1

    def _sell_until_refused(self) -> Sale | None:
        """The order that was refused because of the disk."""
        for _ in range(SALES_ON_FULL_DISK_MAX):
            sale = self.counter.order()
            self._disk.fill()
            self._serve(sale, lambda sale=sale: DISK_FULL in sale.refused)  # type: ignore[misc]
            if DISK_FULL in sale.refused:
                self.seen["a new sale was refused: disk-full"] += 1
                return sale
            self.seen[f"a sale fitted into the log there was: {sale.state}"] += 1
        self.wrong.append(f"{SALES_ON_FULL_DISK_MAX} sales on a full disk, and none was refused")
        return None

    def _sell_again(self, refused: Sale) -> None:
        """The register tries the same order until the terminal has found out by itself."""
        freed_at = time.monotonic()
        self._serve(refused)
        waited_s = time.monotonic() - freed_at
        self.seen[f"sold again by itself: {refused.state}"] += 1
        self.seen["longest wait for that, in seconds"] = max(
            self.seen["longest wait for that, in seconds"], round(waited_s)
        )

    def _serve(self, sale: Sale, until: Callable[[], bool] = lambda: False) -> None:
        try:
            self.counter.serve(sale, lambda: sale.ended or until())
        finally:
            self.counter.take_card_away()
