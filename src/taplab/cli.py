"""The command `taplab`: the whole lab, to play with (`up`), as a scripted shop day (`demo --headless`), or under
hardship (`hardship kill|cut|full|power`).

Comes in: arguments. Goes out: progress on standard error, results on standard output. Exit status 0 when all went
well, 1 when money was lost, doubled or unexplained, 2 when the lab could not be set up.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from taptill.errors import TapTillError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns its exit status."""
    options = _parser().parse_args(arguments)
    try:
        if hasattr(options, "hardship"):
            return _hardship(options)
        return _day(options) if getattr(options, "headless", False) else _up(options)
    except TapTillError as error:
        print(f"taplab: error {error.code}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="taplab", description="The world around the terminal, in software.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    up = verbs.add_parser("up", help="host, terminal, readers, cards, printer and kiosk until Ctrl-C")
    up.add_argument("--reader", action="append", default=[], metavar="URL", help="a real one beside the virtual ones")
    demo = verbs.add_parser("demo", help="the same, or a scripted shop day")
    demo.add_argument("--headless", action="store_true", help="play the day and end")
    demo.add_argument("--json", type=Path, metavar="FILE", help="with --headless: write what happened")
    hardship = verbs.add_parser("hardship", help="kill, cut off or starve a real terminal, then compare both books")
    hardship.add_argument("hardship", choices=["kill", "cut", "full", "power"], metavar="NAME", help="%(choices)s")
    hardship.add_argument("--count", type=_positive, metavar="N", help="how often; for cut: a cut every N bytes")
    hardship.add_argument("--seed", type=int, default=0, metavar="S", help="draws what is done, and when (default 0)")
    hardship.add_argument("--json", type=Path, metavar="FILE", help="write what happened")
    for verb in (up, demo, hardship):
        verb.add_argument("--directory", type=Path, metavar="DIR", help="keep journal, keys and slips here")
    return parser


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def _directory(options: argparse.Namespace, stack: ExitStack) -> Path:
    """A new one each time, unless it is to be kept: slips stay beside the JSON."""
    if options.directory is not None:
        return Path(options.directory)
    if getattr(options, "json", None) is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix="day-", dir=options.json.parent))
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="taptill-lab-")))


def _say(line: str) -> None:
    print(f"· {line}", file=sys.stderr, flush=True)


def _day(options: argparse.Namespace) -> int:
    from taplab.day import Day
    from taplab.report import as_json, show, went_well, write_json
    from taplab.world import World

    with ExitStack() as stack:
        world = stack.enter_context(World(_directory(options, stack), _say))
        report = Day(world, _say).play()
        told = as_json(report, world)
        jobs = list(world.printer.jobs)
        show(told, jobs, Console(width=None if sys.stdout.isatty() else 120))
        if options.json is not None:
            write_json(told, options.json)
            _say(f"written to {options.json}")
    return 0 if went_well(told) else 1


def _hardship(options: argparse.Namespace) -> int:
    from taplab.hardship.kinds import HARDSHIPS
    from taplab.hardship.report import show, write_json

    run, usual_count = HARDSHIPS[options.hardship]
    with ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, _leave))
        directory = options.directory or stack.enter_context(tempfile.TemporaryDirectory(prefix="taptill-hardship-"))
        report = run(Path(directory).resolve(), options.count or usual_count, options.seed, _say)
        show(report, Console(width=None if sys.stdout.isatty() else 120))
        if options.json is not None:
            write_json(report, options.json)
            _say(f"written to {options.json}")
    if report.skipped:
        return 2
    if not report.sound and options.directory is None:
        _say("again with --directory DIR keeps journal, host database and logs; then: taptill explain REF")
    return 0 if report.sound else 1


def _leave(number: int, frame: object) -> None:
    """As Ctrl-C: whatever is mounted or running is put away on the way out."""
    raise KeyboardInterrupt


def _up(options: argparse.Namespace) -> int:
    from taplab.control import ControlServer
    from taplab.world import World

    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with ExitStack() as stack:
        world = stack.enter_context(World(_directory(options, stack), _say, getattr(options, "reader", ())))
        control = stack.enter_context(ControlServer(world))
        print(f"lab     {control.url}      cards, network, printer, and the kiosk beside them")
        print(f"kiosk   {world.ecr_url}/")
        print(f"folder  {world.directory}")
        print(f"stop    Ctrl-C (process {os.getpid()})", flush=True)
        stopped.wait()
    return 0
