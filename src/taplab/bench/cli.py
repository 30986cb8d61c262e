"""`tools/bench`: what was measured, as a table for people and as JSON for machines.

Comes in: names of measurements, how much to do. Goes out: progress while it runs, the tables, the file; exit code 0
also where a bar was missed, because a bar is judged where nothing else runs. Strategy: each measurement works in a
folder of its own, on the disk it is to measure, and its folder is gone afterwards.
"""

from __future__ import annotations

import argparse
import inspect
import json
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from taplab.bench import append, kernel, recovery, replay, sale_during_drain, syncs, tlv
from taplab.bench.disk import MEMORY_DISKS, kind_of
from taplab.bench.measurement import Better, Measure, Plan, Result, Skipped

MEASUREMENTS: dict[str, Measure] = {
    "append": append.measure,
    "syncs": syncs.measure,
    "replay": replay.measure,
    "recovery": recovery.measure,
    "sale_during_drain": sale_during_drain.measure,
    "tlv": tlv.measure,
    "kernel": kernel.measure,
}
DIRECTORY = Path("build/bench")
FILE_COLUMNS = 120


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    logging.disable()
    console = Console(stderr=True)
    if not console.is_terminal:
        console.width = FILE_COLUMNS
    directory: Path = options.directory
    directory.mkdir(parents=True, exist_ok=True)
    if kind_of(directory) in MEMORY_DISKS:
        console.print(f"{directory} is memory, not a disk: what is said about syncs means nothing", style="red")
    found: dict[str, Result | Skipped] = {}
    for name in options.names or MEASUREMENTS:
        found[name] = _measure(name, options, console)
        _show(name, found[name], console)
    if options.json is not None:
        document = {name: result.as_json() for name, result in found.items()}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tools/bench",
        description="Ratios of contenders that ran in turns on this machine. Seconds are for orientation only.",
        epilog=_what_is_measured(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="one of " + ", ".join(MEASUREMENTS) + "; all of them")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="fewer rounds, about a minute in all")
    size.add_argument("--full", action="store_true", help="everything at full size, about a quarter of an hour")
    parser.add_argument("--divide", type=_natural, default=1, metavar="N", help="N times less still: no figures to use")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="a folder on the disk to measure")
    options = parser.parse_args(arguments)
    unknown = set(options.names) - MEASUREMENTS.keys()
    if unknown:
        parser.error(f"no measurement {', '.join(sorted(unknown))}: choose from {', '.join(MEASUREMENTS)}")
    return options


def _what_is_measured() -> str:
    """A line for each measurement: the first of its file."""
    told = [(inspect.getdoc(inspect.getmodule(act)) or "").splitlines()[0] for act in MEASUREMENTS.values()]
    file = "The file has for each name ratio, bar, met, better, contenders, details and notes; or why it was skipped."
    return "\n".join(["measurements:", *(f"  {line}" for line in told), "", file])


def _natural(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def _measure(name: str, options: argparse.Namespace, console: Console) -> Result | Skipped:
    directory = options.directory.resolve() / f"{name}-{os.getpid()}"
    with console.status(f"{name} ...") as status:
        plan = Plan(
            directory=directory,
            progress=lambda line: status.update(f"{name}: {line}"),
            quick=options.quick,
            full=options.full,
            divide=options.divide,
        )
        try:
            return MEASUREMENTS[name](plan)
        finally:
            shutil.rmtree(directory, ignore_errors=True)


def _show(name: str, result: Result | Skipped, console: Console) -> None:
    if isinstance(result, Skipped):
        console.print(f"{name}: skipped, {result.reason}", highlight=False)
        return
    columns = list(dict.fromkeys(key for figures in result.contenders.values() for key in figures))
    table = Table(title=f"{name}: {_verdict(result)}", title_justify="left")
    table.add_column("contender", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right")
    for contender, figures in result.contenders.items():
        table.add_row(contender, *(_text(figures.get(column, "")) for column in columns))
    console.print(table)
    if result.details:
        console.print("; ".join(f"{key} {_text(value)}" for key, value in result.details.items()), highlight=False)
    for note in result.notes:
        console.print(note, highlight=False)
    console.print()


def _verdict(result: Result) -> str:
    if result.bar is None:
        return f"{result.ratio:.3f}"
    sign = "at least" if result.better is Better.HIGHER else "at most"
    return f"{result.ratio:.3f}, wanted {sign} {result.bar:g}: {'met' if result.met else 'MISSED'}"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:,}" if isinstance(value, int | float) else str(value)
