"""`tools/fuzz`: hostile cards, lines and files, for as long as wanted.

Comes in: targets and how long. Goes out: progress; a crashing input as a file with the command that replays it, and
exit code 1.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from taplab.fuzz.engines import Plan, fuzz_with_atheris, fuzz_with_hypothesis, has_atheris, world_in
from taplab.fuzz.targets import TARGETS

DIRECTORY = Path("build/fuzz")
ENGINES = {"atheris": fuzz_with_atheris, "hypothesis": fuzz_with_hypothesis}
MINUTES = 1.0


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    if options.input is not None:
        return _replay(options.target[0], options.input, options.directory)
    engine = options.engine or ("atheris" if has_atheris() else "hypothesis")
    if engine == "hypothesis" and not options.engine:
        _say("atheris is not installed here: Hypothesis makes up the inputs, and follows no branches")
    seconds = None if options.executions else (options.minutes or MINUTES) * 60 / len(options.target)
    found = 0
    for target in options.target:
        _say(f"{target}: {TARGETS[target].what}, with {engine}")
        plan = Plan(target, options.directory, _say, seconds, options.executions, options.seed)
        crash = ENGINES[engine](plan)
        if crash is not None:
            found += 1
            _say(f"{target}: CRASH; replay it with: tools/fuzz --target {target} --input {crash}")
    return 1 if found else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="tools/fuzz",
        description="A hostile card can cost one customer one try again, never the terminal. This looks for another.",
        epilog="\n".join(["targets:", *(f"  {name:14} {target.what}" for name, target in TARGETS.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--target", action="append", choices=TARGETS, metavar="NAME", help="one of those below; all")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help=f"how long in all; {MINUTES:g} if nothing is said")
    length.add_argument("--executions", type=int, metavar="N", help="so many inputs for each target")
    parser.add_argument("--engine", choices=ENGINES, help="atheris where it is installed")
    parser.add_argument("--seed", type=int, default=0, help="other inputs for another number")
    parser.add_argument("--input", type=Path, metavar="FILE", help="run one kept input and tell what it does")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where inputs and keys are kept")
    options = parser.parse_args(arguments)
    options.target = options.target or list(TARGETS)
    if options.input is not None and len(options.target) != 1:
        parser.error("--input needs one --target")
    return options


def _replay(target: str, path: Path, directory: Path) -> int:
    try:
        told = TARGETS[target].run(path.read_bytes(), world_in(directory))
    except Exception:
        traceback.print_exc()
        return 1
    print("\n".join(told))
    return 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
