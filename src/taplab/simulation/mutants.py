"""Planted mistakes, to see that the world finds them.

Comes in: patches, each the kind of mistake that terminals are known for. Goes out: for each, whether a rule was seen
broken, and within how many days. Strategy: a copy of the sources is patched and days are run from it in a process of
its own, one after the other until one fails; the product has no switch for any of this.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from taptill.errors import TapTillError

HUNT = "taplab.simulation.hunt"


class PatchRefused(TapTillError):
    """A patch does not fit the sources: the code it mutates has changed."""

    code = 9101


@dataclass(frozen=True, slots=True)
class Mutant:
    """`seeds` is how many days were run until the first that broke a rule, or all of them."""

    name: str
    found: bool
    seeds: int
    rule: str = ""


def hunt_all(
    patches: Iterable[Path], sources: Path, seeds_max: int, jobs: int, progress: Callable[[Mutant], None]
) -> list[Mutant]:
    """In the order of `patches`. One that does not fit is not found, and `rule` says why."""

    def hunt_one(patch: Path) -> Mutant:
        try:
            mutant = hunt(patch, sources, seeds_max)
        except PatchRefused as error:
            mutant = Mutant(patch.stem, False, 0, str(error))
        progress(mutant)
        return mutant

    pool = ThreadPoolExecutor(jobs)
    try:
        return list(pool.map(hunt_one, patches))
    finally:
        pool.shutdown(cancel_futures=True)  # whoever interrupts it does not wait for the rest


def hunt(patch: Path, sources: Path, seeds_max: int) -> Mutant:
    """Run days with the mistake in. Raises PatchRefused."""
    with tempfile.TemporaryDirectory(prefix="taptill-mutant-") as directory:
        copy = Path(directory) / "src"
        shutil.copytree(sources, copy, ignore=shutil.ignore_patterns("__pycache__"))
        apply_patch(patch, copy)
        environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", HUNT, str(copy), str(seeds_max)]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(ended.stdout)
    return Mutant(patch.stem, found["found"], found["seeds"], found["rule"])


def apply_patch(patch: Path, sources: Path) -> None:
    """Raises PatchRefused unless every hunk fits exactly."""
    command = ["patch", "--strip=2", "--fuzz=0", "--no-backup-if-mismatch", "--directory", str(sources)]
    ended = subprocess.run([*command, "--input", str(patch.resolve())], capture_output=True, text=True)
    if ended.returncode != 0:
        raise PatchRefused(ended.stdout.strip(), where=patch.name, next_step="make the same mistake in today's code")
