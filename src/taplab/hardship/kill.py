"""The terminal is killed at random moments while the counter goes on selling, and now and then the host as well.

Comes in: a directory, how often, a seed. Goes out: a `Report`.
Strategy: the seed draws every kill's kind, pause and network fault. The kinds are placed by what the register sees
(while starting, in the middle of a sale, at any time), so that a slow machine is killed in the same situations as a
fast one. Real processes: the same seed draws the same plan, and never the same microsecond.
"""

from __future__ import annotations

import threading
import time
from collections import Counter as Tally
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from taplab.child import ChildFailed
from taplab.hardship.counter import TERMINAL_AWAY, Counter
from taplab.hardship.forked_program import ForkedProgram
from taplab.hardship.report import Report
from taplab.hardship.settling import settle
from taplab.hardship.verdict import taken_back
from taplab.world import World

Progress = Callable[[str], None]

STARTING_MS = 120
IN_A_SALE_MS = 80
ANY_TIME_MS = 900
SALE_WAIT_S = 3.0
CARD_IS_READ = frozenset({"reading", "authorizing", "unknown"})
LOOK_EVERY_S = 0.005
KINDS = ("starting", "in a sale", "in a sale", "any time", "any time")
HOST_KILLED_EVERY = 10
NETWORK_FAULTS = ("", "", "", "cut request", "cut reply", "lose reply", "down", "black hole", "slow")
REQUEST_OCTETS_MAX = 1_200
REPLY_OCTETS_MAX = 1_200
SLOW_MS = 40


def run(directory: Path, count: int, seed: int, progress: Progress) -> Report:
    """Raises TapTillError when the lab cannot be set up."""
    began = time.monotonic()
    chance = Random(seed)
    progress("the lab starts")
    with World(directory, pcsc=False, program=ForkedProgram) as world:
        counter = Counter(world, Random(chance.getrandbits(64)))
        killing = _Killing(world, counter, chance)
        counter.open()
        for number in range(1, count + 1):
            killing.kill_once(number)
            if number % 20 == 0:
                progress(f"{number} kills, {len(counter.sales)} sales, {time.monotonic() - began:.0f} s")
        progress("the faults stop, everything settles")
        world.network.delay_ms = 0
        world.network.up()
        world.start_terminal()
        counter.close()
        books = settle(world, counter, killing.wrong)
    seconds = time.monotonic() - began
    seen = {f"killed: {what}": times for what, times in sorted(killing.seen.items())} | _sales(counter)
    return Report("kill", count, seed, seconds, dict(sorted(killing.done.items())), seen, books, _rig(killing, count))


def _sales(counter: Counter) -> dict[str, int]:
    return {"sales": len(counter.sales), "sales over a kill": sum(sale.interrupted for sale in counter.sales)}


def _rig(killing: _Killing, count: int) -> tuple[str, ...]:
    """A run whose kills never met a sale says nothing."""
    if count >= 20 and not killing.seen.keys() & CARD_IS_READ:
        return ("no kill fell into a sale: this run proves nothing",)
    return ()


class _Killing:
    """`done` counts faults by kind, `seen` what the register saw when the kill came."""

    def __init__(self, world: World, counter: Counter, chance: Random) -> None:
        self.done: Tally[str] = Tally()
        self.seen: Tally[str] = Tally()
        self.wrong: set[str] = set()  # results that a kill took back
        self._world = world
        self._counter = counter
        self._chance = chance

    def kill_once(self, number: int) -> None:
        """From a terminal that is down, or just started, to one that is down."""
        kind = self._chance.choice(KINDS)
        pause_s = (
            self._chance.uniform(0, {"starting": STARTING_MS, "in a sale": IN_A_SALE_MS}.get(kind, ANY_TIME_MS)) / 1000
        )
        self._spoil_network()
        if number % HOST_KILLED_EVERY == 0:
            self._kill_host()
        self.done[f"kill {kind}"] += 1
        if kind == "starting":
            self._kill_while_starting(pause_s)
            return
        self._world.start_terminal()
        if kind == "in a sale":
            self._wait_for_sale()
        time.sleep(pause_s)
        self._kill()

    def _kill_while_starting(self, pause_s: float) -> None:
        killer = threading.Timer(pause_s, self._kill)
        killer.start()
        with suppress(ChildFailed):
            self._world.start_terminal()
        killer.join()

    def _kill(self) -> None:
        doing = self._counter.doing
        self.seen["starting" if doing == TERMINAL_AWAY else doing] += 1
        self._world.kill_terminal()
        self.wrong.update(taken_back(self._world, self._counter.sales))

    def _wait_for_sale(self) -> None:
        deadline = time.monotonic() + SALE_WAIT_S
        while self._counter.doing not in CARD_IS_READ and time.monotonic() < deadline:
            time.sleep(LOOK_EVERY_S)

    def _kill_host(self) -> None:
        """It is back before the terminal is."""
        self.done["host killed"] += 1
        self._world.kill_host()
        self._world.start_host()

    def _spoil_network(self) -> None:
        fault = self._chance.choice(NETWORK_FAULTS)
        octets = self._chance.randrange(REQUEST_OCTETS_MAX)
        network = self._world.network
        network.delay_ms = SLOW_MS if fault == "slow" else 0
        network.up()
        match fault:
            case "cut request":
                network.cut_after(client_bytes=octets)
            case "cut reply":
                network.cut_after(server_bytes=octets)
            case "lose reply":
                network.lose_next_reply()
            case "down":
                network.down()
            case "black hole":
                network.blackhole()
        self.done[f"network {fault}" if fault else "network sound"] += 1
