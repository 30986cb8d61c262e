"""Contenders in turns.

Comes in: for each contender, what makes it ready for a round and gives out what is timed. Goes out: the seconds of
each round, by contender. Strategy: in every round each contender runs once, and another one begins than in the last, so
that whatever else the machine does falls on all alike. The best round says what the program costs; the median, what
this machine made of it.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Seconds:
    """Of all rounds of one contender."""

    each: tuple[float, ...]

    @property
    def best(self) -> float:
        return min(self.each)

    @property
    def median(self) -> float:
        return median(self.each)


Ready = Callable[[], Callable[[], object]]


def in_turns(contenders: Mapping[str, Ready], rounds: int) -> dict[str, Seconds]:
    """A round of each before the first that counts. The collector of garbage waits until a contender is through."""
    names = list(contenders)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for ready in contenders.values():
        ready()()
    for number in range(rounds):
        turn = number % len(names)
        for name in (*names[turn:], *names[:turn]):
            taken[name].append(_seconds(contenders[name]()))
    return {name: Seconds(tuple(each)) for name, each in taken.items()}


def _seconds(act: Callable[[], object]) -> float:
    gc.collect()
    gc.disable()
    try:
        began = time.perf_counter()
        act()
        return time.perf_counter() - began
    finally:
        gc.enable()
