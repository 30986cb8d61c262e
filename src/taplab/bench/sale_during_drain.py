"""`sale_during_drain`: how much longer a customer waits while the terminal pays off what it owes.

Strategy: the same sale over the same line, with an empty queue and while 1,000 debts drain, at window 1 and 32. No debt
leaves while a customer waits for the host, so that a sale is held up by those in flight only.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from taplab.bench.far_line import far_line
from taplab.bench.inline_till import point_at
from taplab.bench.live_sales import Counter
from taplab.bench.measurement import Better, Figure, Plan, Result
from taplab.bench.replay import RTT_MS, copy_of, far_host, shop_that_owes
from taplab.bench.threaded_till import LookOn, running_terminal
from taplab.provision import LabFiles
from taptill.journal.entries import DebtClosed
from taptill.terminal.events import Event, Recorded

DEBTS = 1_000
SALES = 12  # a round; fewer where the queue is empty before
NEXT_CUSTOMER_S = 0.1
ROUNDS = 3
WITHOUT = "empty queue"
WINDOWS = (1, 32)


class _Queue:
    """How many debts are left."""

    def __init__(self, counter: Counter, debts: int) -> None:
        self._counter = counter
        self.left = debts

    def event(self, event: Event) -> None:
        self._counter.event(event)
        if isinstance(event, Recorded):
            self.left -= sum(isinstance(record.entry, DebtClosed) for record in event.records)


def measure(plan: Plan) -> Result:
    folder = plan.folder("sale-during-drain")
    debts, sales = plan.count(DEBTS, quick=DEBTS), plan.count(SALES, quick=6)
    owes = shop_that_owes(folder / "owes", debts, plan)
    owes_nothing = shop_that_owes(folder / "owes-nothing", 0, plan)
    cases: dict[str, tuple[LabFiles, int, int]] = {WITHOUT: (owes_nothing, 0, 1)}
    cases |= {f"window {window}": (owes, debts, window) for window in WINDOWS}
    waits: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(1 if plan.quick else ROUNDS):
        for name, (shop, owed, window) in cases.items():
            plan.progress(f"round {number + 1}, {name}")
            waits[name] += _sell(shop, folder / "round", owed, window, sales)
    usual = median(waits[WITHOUT])
    contenders: dict[str, dict[str, Figure]] = {
        name: {
            "sales": len(each),
            "median ms": round(median(each) * 1000, 1),
            "longest ms": round(max(each) * 1000, 1),
            "median to empty queue": round(median(each) / usual, 3),
        }
        for name, each in waits.items()
    }
    return Result(
        ratio=max(median(waits[f"window {window}"]) for window in WINDOWS) / usual,
        bar=None,
        better=Better.LOWER,
        contenders=contenders,
        details={"RTT ms": RTT_MS, "debts": debts},
        notes=("from the end of the tap to the result, which is on the disk then; the ratio is of the slower window",),
    )


def _sell(shop: LabFiles, folder: Path, owed: int, window: int, sales: int) -> Sequence[float]:
    """The waits of those sales that began while something was owed, or of all where nothing was."""
    files = copy_of(shop, folder)
    counter = Counter(files)
    queue = _Queue(counter, owed)
    host = far_host(files, folder / "host-report.json")
    waits: list[float] = []
    try:
        with far_line(host.start()["listening"], RTT_MS // 2, folder / "line.log") as address:
            point_at(files, f"tls://{address}")
            with running_terminal(files, window, LookOn(queue.event, counter.effect), [counter]) as loop:
                counter.open(loop)
                while len(waits) < sales and (queue.left or not owed or not waits):
                    time.sleep(NEXT_CUSTOMER_S)
                    waits.append(counter.sell(loop))
    finally:
        host.stop()
        shutil.rmtree(folder)
    return waits
