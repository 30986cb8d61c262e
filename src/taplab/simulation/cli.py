"""`tools/simulate`: shop days by the thousand, every schedule of one payment, and the planted mistakes.

Comes in: a range of seeds. Goes out: progress while it runs, a table, a JSON file for machines, exit code 1 when a rule
was broken or a planted mistake was not found. With one seed: the story of that day, shrunk if it fails.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from taplab.simulation.campaign import Tally, judge, judge_all
from taplab.simulation.control import count_lost_rows
from taplab.simulation.day import VISITS_A_DAY, Day, draw_day
from taplab.simulation.explorer import (
    MASTERCARD,
    ONE_PAYMENT,
    TWO_PAYMENTS,
    pairs_of,
    single_faults,
    torn_pairs_of,
    with_faults,
)
from taplab.simulation.mutants import Mutant, hunt_all
from taplab.simulation.shrink import shrink

MUTANT_SEEDS_MAX = 400
CONTROL_CUTS = 400
STORIES_MAX = 2
INTERRUPTED = 130  # as shells have it


@dataclass(slots=True)
class Results:
    """What the JSON file holds."""

    seeds: tuple[int, int]
    schedules: int = 0
    violations: int = 0
    payments: int = 0
    boots: int = 0
    seconds: float = 0
    failing_seeds: list[int] = field(default_factory=list)
    control: dict[str, int] = field(default_factory=dict)
    mutants: list[Mutant] = field(default_factory=list)
    exhaustive: dict[str, int] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        lost = {name: rows for name, rows in self.control.items() if "FULL" in name}
        return (
            not self.violations
            and not self.exhaustive.get("violations")
            and all(mutant.found for mutant in self.mutants)
            and not any(lost.values())
            and self.control.get("synchronous=NORMAL", 1) > 0
        )


class Show:
    """A line of progress on a terminal, a line every half minute into a file."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = self._shown = time.monotonic()

    def progress(self, what: str, of: int | None) -> Callable[[Tally], None]:
        self._began = time.monotonic()

        def show(tally: Tally) -> None:
            now = time.monotonic()
            if now - self._shown < (0.5 if self._console.is_terminal else 30):
                return
            self._shown = now
            total = f" of {of}" if of else ""
            rate = tally.schedules / max(now - self._began, 0.001)
            self.say(f"{what}: {tally.schedules}{total}, {tally.violations} broke a rule, {rate:.1f} a second")

        return show

    def say(self, sentence: str) -> None:
        end = "\r" if self._console.is_terminal else "\n"
        self._console.print(sentence.ljust(self._console.width - 1), end=end, highlight=False, markup=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code; 130 when somebody interrupts it."""
    options = _options(arguments)
    logging.disable()
    console = Console(stderr=True)
    try:
        return _run(options, console)
    except KeyboardInterrupt:
        console.print("interrupted: nothing is known of what was not tried yet")
        return INTERRUPTED


def _run(options: argparse.Namespace, console: Console) -> int:
    if options.seed is not None:
        return _tell(f"seed {options.seed}", draw_day(options.seed, options.visits), console)
    first, last = options.seeds
    results = Results((first, last))
    began = time.monotonic()
    show = Show(console)
    days = (draw_day(seed, options.visits) for seed in range(first, last))
    _note_days(results, judge_all(days, options.jobs, show.progress("shop days", last - first), renders=True))
    results.seconds = round(time.monotonic() - began, 1)
    failing = [(f"seed {seed}", draw_day(seed, options.visits)) for seed in results.failing_seeds[:1]]
    if not options.only_days:
        results.control = {f"synchronous={mode}": count_lost_rows(mode, CONTROL_CUTS) for mode in ("FULL", "NORMAL")}
        results.exhaustive, explored = _explore(show, options.jobs, options.payments)
        failing += explored
        patches = sorted(options.mutants.glob("*.patch"))
        results.mutants = hunt_all(
            patches, options.sources, MUTANT_SEEDS_MAX, options.jobs, lambda mutant: show.say(_found(mutant))
        )
    _report(results, console)
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(results), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for name, day in failing[:STORIES_MAX]:
        _tell(name, day, console)
    return 0 if results.is_good else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools/simulate", description=__doc__)
    parser.add_argument("--seeds", type=_range, default=(0, 200), help="A..B: the days of seeds A up to, not with, B")
    parser.add_argument("--seed", type=int, help="tell the story of one day, shrunk if it fails")
    parser.add_argument("--visits", type=int, default=VISITS_A_DAY, help="customers a day")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--payments", type=int, choices=(0, 1, 2), default=2, help="explore days of so many payments")
    parser.add_argument("--only-days", action="store_true", help="no explorer, no planted mistakes")
    parser.add_argument("--json", type=Path, help="write the results there")
    parser.add_argument("--mutants", type=Path, default=Path("tools/mutants"), help="folder of patches")
    parser.add_argument("--sources", type=Path, default=Path("src"), help="what the patches are applied to")
    options = parser.parse_args(arguments)
    _refuse_what_fails_late(parser, options)
    return options


def _refuse_what_fails_late(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Before minutes of work, not after them."""
    if options.jobs < 1:
        parser.error(f"--jobs {options.jobs}: at least one process is needed")
    if options.seed is None and not options.only_days and not any(options.mutants.glob("*.patch")):
        parser.error(f"--mutants {options.mutants}: there is no patch in that folder")
    if options.json is not None:
        try:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.touch()
        except OSError as error:
            parser.error(f"--json {options.json}: {error.strerror}")


def _range(text: str) -> tuple[int, int]:
    first, dots, last = text.partition("..")
    if not dots or not first.isdigit() or not last.isdigit() or int(first) >= int(last):
        raise argparse.ArgumentTypeError(f"{text!r} is no range: write it like 0..200")
    return int(first), int(last)


def _note_days(results: Results, tally: Tally) -> None:
    results.schedules, results.violations = tally.schedules, tally.violations
    results.payments, results.boots = tally.payments, tally.boots
    results.failing_seeds = [verdict.day.seed for verdict in tally.failing]


def _explore(show: Show, jobs: int, payments: int) -> tuple[dict[str, int], list[tuple[str, Day]]]:
    """All schedules of a day of one payment, and of two, and of a Mastercard that is torn away; the days among them
    that broke a rule."""
    explored: dict[str, int] = {"schedules": 0, "violations": 0}
    failing: list[tuple[str, Day]] = []
    for day in (ONE_PAYMENT, TWO_PAYMENTS)[:payments]:
        fine = judge(day)
        name = f"{len(day.visits)} payment{'s' * (len(day.visits) > 1)}"
        singles = [with_faults(day, fault) for fault in single_faults(fine)]
        one = judge_all(singles, jobs, show.progress(f"{name}, one fault", len(singles)))
        failing += _add(explored, f"{name}, one fault", one)
        pairs = pairs_of(day, every_operation=len(day.visits) == 1)
        two = judge_all(pairs, jobs, show.progress(f"{name}, two faults", None))
        failing += _add(explored, f"{name}, two faults", two)
    if payments:
        singles = [with_faults(MASTERCARD, fault) for fault in single_faults(judge(MASTERCARD))]
        one = judge_all(singles, jobs, show.progress("a Mastercard, one fault", len(singles)))
        failing += _add(explored, "a Mastercard, one fault", one)
        two = judge_all(torn_pairs_of(MASTERCARD), jobs, show.progress("a torn Mastercard, two faults", None))
        failing += _add(explored, "a torn Mastercard, two faults", two)
    return explored, failing


def _add(explored: dict[str, int], name: str, tally: Tally) -> list[tuple[str, Day]]:
    explored[name] = tally.schedules
    explored["schedules"] += tally.schedules
    explored["violations"] += tally.violations
    for verdict in tally.failing:
        faults = " and ".join(map(str, verdict.day.faults))
        explored.setdefault("failing", 0)
        explored["failing"] += 1
        Console(stderr=True).print(f"{name}: {faults}: {verdict.broken[0]}", highlight=False, markup=False)
    return [(f"{name}: {' and '.join(map(str, verdict.day.faults))}", verdict.day) for verdict in tally.failing]


def _found(mutant: Mutant) -> str:
    how = f"found within {mutant.seeds} days: {mutant.rule}" if mutant.found else f"NOT found in {mutant.seeds} days"
    return f"planted mistake {mutant.name!r} {how}"


def _tell(name: str, day: Day, console: Console) -> int:
    """The story of a day; of one that fails, the shortest that does."""
    if judge(day).broken:
        console.print(f"{name} breaks a rule; looking for the shortest story that does ...", markup=False)
        day = shrink(day, lambda candidate: bool(judge(candidate).broken))
    verdict = judge(day, told=True)
    for line in (*map(str, verdict.day.visits), *map(str, verdict.day.faults), *verdict.story, *verdict.broken):
        print(line)
    print(f"journal head {verdict.head}")
    return 1 if verdict.broken else 0


def _report(results: Results, console: Console) -> None:
    table = Table(title="What was tried", title_justify="left")
    table.add_column("part")
    table.add_column("schedules", justify="right")
    table.add_column("result")
    days = f"{results.violations} broke a rule" + (f": seeds {results.failing_seeds}" if results.failing_seeds else "")
    table.add_row("shop days", str(results.schedules), f"{results.payments} payments, {results.boots} starts, {days}")
    for name, schedules in results.exhaustive.items():
        if name not in {"schedules", "violations", "failing"}:
            table.add_row(name, str(schedules), "all of them run")
    if results.exhaustive:
        broke = f"{results.exhaustive['violations']} broke a rule"
        table.add_row("explored in all", str(results.exhaustive["schedules"]), broke)
    for name, rows in results.control.items():
        table.add_row(f"control, {name}", str(CONTROL_CUTS), f"{rows} acknowledged rows lost")
    for mutant in results.mutants:
        table.add_row(mutant.name, str(mutant.seeds), "found: " + mutant.rule if mutant.found else "NOT FOUND")
    console.print(table)
