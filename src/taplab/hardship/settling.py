"""The end of every hardship: faults stop, everything owed is delivered, and both books are read.

Comes in: the lab and its counter. Goes out: `SettledBooks`.
Strategy: whatever has not settled by the deadline is not an error here but stands in the books as still open.
"""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from taplab.hardship.counter import Counter
from taplab.hardship.verdict import SettledBooks, settled_books
from taplab.register import Register
from taplab.world import World

SETTLE_WAIT_S = 60.0
LOOK_EVERY_S = 0.05
SETTLED = {"ready": True, "host": "reachable", "unknown_payments": 0, "open_debts": 0, "at_counter": None}


def wait_settled(world: World, wanted: dict[str, object] = SETTLED, timeout_s: float = SETTLE_WAIT_S) -> str:
    """Empty once health shows all that is wanted, else what it showed last."""
    deadline = time.monotonic() + timeout_s
    while True:
        shown = _health(world)
        if shown is not None and all(shown[name] == value for name, value in wanted.items()):
            return ""
        if time.monotonic() > deadline:
            return f"after {timeout_s:.0f} s the terminal has not settled: {shown}"
        time.sleep(LOOK_EVERY_S)


def settle(world: World, counter: Counter, wrong: Iterable[str] = ()) -> SettledBooks:
    """The network is up and both programs run; the counter has closed. Stops the terminal. `wrong` was seen before."""
    late = wait_settled(world)
    world.stop_terminal()
    books = settled_books(world, counter.sales)
    return replace(books, wrong=(*filter(None, (counter.fault, late)), *sorted(wrong), *books.wrong))


def _health(world: World) -> dict[str, Any] | None:
    try:
        return Register(world.ecr_url).health()
    except (OSError, http.client.HTTPException, ValueError):
        return None
