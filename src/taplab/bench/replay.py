"""`replay`: what a terminal owes after an outage, drained over a line with a round trip of 50 ms.

Strategy: the product's loop, journal, session and TLS link, behind the lab's network, against the product's host, whose
judgements are made beforehand (far_host). The bound is window over round trip: nobody can do more with this window.
Each round drains a copy of the same journal, and is looked at afterwards: every debt closed, every advice come once,
the chain verified.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from taplab.bench.far_host import judge_beforehand
from taplab.bench.far_line import Trip, far_line, trip
from taplab.bench.inline_till import open_shop, owe_advices, point_at
from taplab.bench.measurement import Better, Figure, Plan, Result
from taplab.bench.threaded_till import LookOn, TerminalHangs, running_terminal
from taplab.child import Child
from taplab.provision import LabFiles
from taptill.errors import TapTillError
from taptill.journal.adapters.sqlite import SqliteJournalReader
from taptill.journal.entries import DebtClosed
from taptill.terminal.effects import Ask, Effect
from taptill.terminal.events import Event, Recorded

RTT_MS = 50
BAR = 0.9
ADVICE = "offline_advice"
DEBTS = {1: 400, 32: 10_000}  # by window
QUICK_DEBTS = {1: 100, 32: 2_000}
FULL_DEBTS = {1: 10_000, 32: 10_000}
ROUNDS = 3
SPARE_TIME = 4.0  # so many times the bound is waited


class BooksDiffer(TapTillError):
    """Something was lost or doubled: no figure is worth anything then."""

    code = 6107


@dataclass(slots=True)
class _Drain:
    """Looks on while `count` debts leave."""

    count: int
    began: float = 0.0
    ended: float = 0.0
    closed: int = 0
    commits: int = 0
    cpu_s: float = 0.0
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    def effect(self, effect: Effect) -> None:
        if not self.began and isinstance(effect, Ask) and effect.request.row == ADVICE:
            self.began, self.cpu_s = time.perf_counter(), -time.process_time()

    def event(self, event: Event) -> None:
        if isinstance(event, Recorded):
            closed = sum(isinstance(record.entry, DebtClosed) for record in event.records)
            self.closed += closed
            self.commits += bool(closed)
            if closed and self.closed >= self.count:
                self.ended = time.perf_counter()
                self.cpu_s += time.process_time()
                self.done.set()


def measure(plan: Plan) -> Result:
    folder = plan.folder("replay")
    counts = {window: plan.count(DEBTS[window], QUICK_DEBTS[window], FULL_DEBTS[window]) for window in DEBTS}
    plan.progress("a line is measured")
    line = trip(RTT_MS // 2, folder / "line.log")
    shops = {window: shop_that_owes(folder / f"owes-{window}", count, plan) for window, count in counts.items()}
    drains: dict[int, list[_Drain]] = {window: [] for window in counts}
    hosts: dict[int, list[dict[str, float]]] = {window: [] for window in counts}
    for number in range(1 if plan.quick or plan.full else ROUNDS):
        for window, shop in shops.items():
            plan.progress(f"round {number + 1}, window {window}: {counts[window]} debts")
            drain, books = _drain(shop, folder / f"round-{number}-{window}", window, counts[window])
            drains[window].append(drain)
            hosts[window].append(books)
    contenders = {
        f"window {window}": _figures(window, counts[window], drains[window], hosts[window], line) for window in counts
    }
    shares = [float(figures["of window/RTT"]) for figures in contenders.values()]
    return Result(
        ratio=min(shares),
        bar=BAR,
        better=Better.HIGHER,
        contenders=contenders,
        details={
            "RTT ms": RTT_MS,
            "measured alone ms": round(line.alone_s * 1000, 2),
            f"measured last of {32} ms": round(line.burst_s * 1000, 2),
            "rounds": len(drains[1]),
        },
        notes=(
            "the ratio is the lower one of both windows, against a round trip of 50 ms and not the measured one",
            "after each round every debt was closed, every advice had come to the host once, and the journal verified",
        )
        + (() if counts[1] == counts[32] else (f"window 1 with {counts[1]} debts; --full drains 10,000",)),
    )


def _figures(
    window: int, count: int, drains: list[_Drain], hosts: list[dict[str, float]], line: Trip
) -> dict[str, Figure]:
    best, usual = min(drain.seconds for drain in drains), median(drain.seconds for drain in drains)
    bound_s = count / window * RTT_MS / 1000
    return {
        "debts": count,
        "best s": round(best, 2),
        "per s": round(count / best, 1),
        "of window/RTT": round(bound_s / best, 4),
        "median": round(bound_s / usual, 4),
        "of measured RTT": round(bound_s / best * line.alone_s * 1000 / RTT_MS, 4),
        "commits per debt": round(min(drain.commits for drain in drains) / count, 3),
        "terminal busy": round(min(drain.cpu_s / drain.seconds for drain in drains), 2),
        "host CPU s": min(books["cpu_s"] for books in hosts),
    }


def shop_that_owes(folder: Path, count: int, plan: Plan) -> LabFiles:
    plan.progress(f"{count} sales are made in an outage")
    files = open_shop(folder)
    owe_advices(files, count)
    judge_debts(files)
    return files


def judge_debts(files: LabFiles) -> None:
    """The host's answers to all that is owed. Raises BooksDiffer when it would not book an advice."""
    journal = SqliteJournalReader.open(files.journal)
    debts = journal.open_debts()
    journal.close()
    judged = judge_beforehand(files.host_config, (debt.wire for debt in debts if debt.wire), _judged(files))
    if (judged.captured, judged.captured_minor) != (len(debts), sum(debt.amount_minor for debt in debts)):
        raise BooksDiffer(f"the host books {judged.captured} of {len(debts)} advices", where="replay")


def _judged(files: LabFiles) -> Path:
    return files.directory / "judged"


def copy_of(shop: LabFiles, folder: Path) -> LabFiles:
    shutil.copytree(shop.directory, folder)
    return LabFiles.of(folder)


def _drain(shop: LabFiles, folder: Path, window: int, count: int) -> tuple[_Drain, dict[str, float]]:
    """Raises BooksDiffer, TerminalHangs."""
    files = copy_of(shop, folder)
    report = folder / "host-report.json"
    host = far_host(files, report)
    drain = _Drain(count)
    bound_s = count / window * RTT_MS / 1000
    try:
        with far_line(host.start()["listening"], RTT_MS // 2, folder / "line.log") as address:
            point_at(files, f"tls://{address}")
            with running_terminal(files, window, LookOn(drain.event, drain.effect)):
                if not drain.done.wait(SPARE_TIME * bound_s + 10):
                    raise TerminalHangs(f"{drain.closed} of {count} debts closed", where=f"window {window}")
    finally:
        host.stop()
    books: dict[str, float] = json.loads(report.read_text(encoding="utf-8"))
    _look_at_books(files, books, count)
    shutil.rmtree(folder)
    return drain, books


def far_host(files: LabFiles, report: Path) -> Child:
    arguments = ["--config", str(files.host_config), "--judged", str(_judged(files)), "--report", str(report)]
    return Child("host", "taplab.bench.far_host", arguments, report.with_suffix(".log"))


def _look_at_books(files: LabFiles, books: dict[str, float], count: int) -> None:
    """Raises BooksDiffer, JournalDamaged."""
    journal = SqliteJournalReader.open(files.journal)
    journal.verify()
    debts = journal.debts()
    journal.close()
    refuse_other_books([debt.state for debt in debts], books, count)


def refuse_other_books(states: Sequence[str], books: Mapping[str, float], count: int) -> None:
    """Of a round that drained `count` debts: their states, and what came to the host. Raises BooksDiffer."""
    found = (len(states), states.count("closed"), books["came"], books["came again"])
    if found != (count, count, count, 0):
        raise BooksDiffer(f"owed, closed, came, came again: {found}, of {count}", where="replay")
