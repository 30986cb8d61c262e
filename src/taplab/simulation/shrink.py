"""From a day that breaks a rule to the shortest one that does.

Comes in: a failing day and a way to judge another. Goes out: a day from which nothing more can be left out.
Strategy: leave out ever smaller groups of faults, then visits, as long as what is left still fails. A fault names the
n-th time something happens, so leaving out a visit may move it elsewhere; then it stays in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from taplab.simulation.day import Day

RUNS_MAX = 300
Item = TypeVar("Item")


def shrink(day: Day, fails: Callable[[Day], bool], runs_max: int = RUNS_MAX) -> Day:
    """`fails(day)` is True, and stays so for what is returned."""
    runs = 0

    def still_fails(candidate: Day) -> bool:
        nonlocal runs
        runs += 1
        return runs <= runs_max and fails(candidate)

    shortest, before = day, None
    while shortest != before:
        before = shortest
        for faults in _shorter(shortest.faults):
            if still_fails(replace(shortest, faults=faults)):
                shortest = replace(shortest, faults=faults)
                break
        else:
            for visits in _shorter(shortest.visits):
                if still_fails(replace(shortest, visits=visits)):
                    shortest = replace(shortest, visits=visits)
                    break
    return shortest


def _shorter(items: tuple[Item, ...]) -> Iterator[tuple[Item, ...]]:
    """`items` without one half, without one quarter, ... without one item, from the end on."""
    size = len(items)
    while size > 1:
        size = (size + 1) // 2
        for end in range(len(items), 0, -size):
            yield items[: max(end - size, 0)] + items[end:]
    if len(items) == 1:
        yield ()
