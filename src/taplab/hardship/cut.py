"""The network is cut at every byte, below TLS: of a sale's request, of its reply, and of the connection being made.

Comes in: a directory, the step between two positions. Goes out: a `Report`.
Strategy: the bytes of one undisturbed sale and of one new connection are counted first; then each position gets a
sale of its own, and the next one waits until everything is settled. A handshake varies by a few bytes, so positions
are counted from the moment the cut is ordered.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from taplab.hardship.counter import Counter
from taplab.hardship.forked_program import ForkedProgram
from taplab.hardship.report import Report
from taplab.hardship.settling import settle, wait_settled
from taplab.network import LabNetwork
from taplab.world import World

Progress = Callable[[str], None]

CONNECTED = {"ready": True, "host": "reachable", "signed_on": True}
QUIET_MS = 150  # what still runs after a sale is over by then
CONNECTION_WIDER = 8  # a handshake is eight times as long as a sale, and less depends on each of its bytes
AFTER_THE_END_OCTETS = 8  # a cut that comes too late for the sale belongs to what follows


@dataclass(frozen=True, slots=True)
class Place:
    """`octets` of one side pass, then the connection is reset."""

    during: str  # "sale" or "connection"
    side: str  # whose bytes: "terminal" or "host"
    octets: int

    def order(self, network: LabNetwork) -> None:
        if self.side == "terminal":
            network.cut_after(client_bytes=self.octets)
        else:
            network.cut_after(server_bytes=self.octets)


def run(directory: Path, step: int, seed: int, progress: Progress) -> Report:
    """`step` is in bytes of the sale; 1 is every byte of the connection, too. Raises TapTillError when the lab cannot
    be set up."""
    began = time.monotonic()
    done: Tally[str] = Tally()
    seen: Tally[str] = Tally()
    rig: list[str] = []
    progress("the lab starts")
    with World(directory, pcsc=False, program=ForkedProgram) as world:
        counter = Counter(world, Random(seed))
        lengths = _lengths(world, counter)
        places = list(_places(lengths, step))
        progress(f"{len(places)} places to cut at: " + ", ".join(f"{side} {n} B" for side, n in lengths.items()))
        for number, place in enumerate(places, 1):
            _cut_once(world, counter, place, rig)
            done[f"cut {place.during}, bytes of the {place.side}"] += 1
            seen[f"shown {counter.sales[-1].state} when cut in the {place.during}"] += 1
            if number % 20 == 0:
                progress(f"{number} of {len(places)} cuts, {time.monotonic() - began:.0f} s")
        books = settle(world, counter)
    seconds = time.monotonic() - began
    return Report("cut", len(places), seed, seconds, dict(done), dict(sorted(seen.items())), books, tuple(rig))


def _lengths(world: World, counter: Counter) -> dict[str, int]:
    """Bytes of each side during each, counted without any fault."""
    wait_settled(world, CONNECTED)
    lengths = {}
    for during, what in (("sale", counter.sell), ("connection", lambda: _connect_anew(world))):
        time.sleep(QUIET_MS / 1000)
        terminal, host = world.network.bytes_to_server, world.network.bytes_to_client
        what()
        time.sleep(QUIET_MS / 1000)
        lengths[f"{during}/terminal"] = world.network.bytes_to_server - terminal
        lengths[f"{during}/host"] = world.network.bytes_to_client - host
    return lengths


def _places(lengths: dict[str, int], step: int) -> Iterator[Place]:
    for name, octets in lengths.items():
        during, _, side = name.partition("/")
        wide = step * CONNECTION_WIDER if during == "connection" and step > 1 else step
        yield from (Place(during, side, at) for at in range(0, octets + AFTER_THE_END_OCTETS, wide))


def _connect_anew(world: World) -> None:
    world.network.down()
    world.network.up()
    wait_settled(world, CONNECTED)


def _cut_once(world: World, counter: Counter, place: Place, rig: list[str]) -> None:
    """One cut and one sale over it; a customer comes while the line is being made again, too."""
    if place.during == "connection":
        world.network.down()
        place.order(world.network)
        world.network.up()
    else:
        place.order(world.network)
    counter.sell()
    late = wait_settled(world)
    if late:
        rig.append(f"cut after {place.octets} bytes of the {place.side}, {place.during}: {late}")
