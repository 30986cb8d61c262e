"""What makes up octets, and what happens to those that crash something.

Comes in: a target's name, how long, where to keep things. Goes out: the file of the first crashing input, or None.
Strategy: atheris (libFuzzer) where it is installed, because it follows the terminal's own branches; it runs in a
process of its own, which may hang or die. Elsewhere Hypothesis, which follows nothing but shrinks what it finds.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from taplab.card import Scheme
from taplab.fuzz.good_cards import GoodWorld, good_world
from taplab.fuzz.targets import OCTETS_MAX, TARGETS, Run
from taptill.entropy import SystemEntropy

CHUNK_EXECUTIONS = 2_000  # between two lines of progress
HANGS_AFTER_S = 10
_SHORT_OCTETS = 64

# Zeros behave: a hostile card of the second kind is good until some answer, and bad from there on.
_INPUTS = st.one_of(
    st.binary(max_size=_SHORT_OCTETS),
    st.builds(
        lambda chosen, good, bad: chosen + bytes(good) + bad,
        st.binary(min_size=2, max_size=2),
        st.integers(0, 16),
        st.binary(max_size=_SHORT_OCTETS),
    ),
    st.binary(min_size=_SHORT_OCTETS, max_size=OCTETS_MAX),
)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """`directory` keeps the lab's keys, the inputs that led on and those that crashed. One limit may be None."""

    target: str
    directory: Path
    say: Say
    seconds: float | None = None
    executions: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Crash:
    """The shortest input that was found, and what it raised."""

    octets: bytes
    error: BaseException


def world_in(directory: Path) -> GoodWorld:
    """The cards, with keys that stay: an input means the same tomorrow."""
    directory.mkdir(parents=True, exist_ok=True)
    return good_world(Scheme.load_or_generate(directory / "scheme.json", SystemEntropy()))


def has_atheris() -> bool:
    return importlib.util.find_spec("atheris") is not None


def fuzz_with_atheris(plan: Plan) -> Path | None:
    """One target in a child process; its progress goes to the terminal as libFuzzer tells it."""
    corpus = plan.directory / "corpus" / plan.target
    corpus.mkdir(parents=True, exist_ok=True)
    before = set(_crashes(plan))
    command = [sys.executable, "-m", "taplab.fuzz.atheris_child", plan.target, str(plan.directory), str(corpus)]
    command += [f"-max_len={OCTETS_MAX}", f"-timeout={HANGS_AFTER_S}", f"-seed={plan.seed + 1}"]
    command += [f"-artifact_prefix={plan.directory / plan.target}-", "-print_final_stats=1"]
    if plan.seconds is not None:
        command.append(f"-max_total_time={max(1, round(plan.seconds))}")
    if plan.executions is not None:
        command.append(f"-runs={plan.executions}")
    ended = subprocess.run(command, check=False)
    found = sorted(set(_crashes(plan)) - before)
    if ended.returncode and not found:
        raise RuntimeError(f"the fuzzer itself failed with {ended.returncode}")
    return found[0] if found else None


def fuzz_with_hypothesis(plan: Plan) -> Path | None:
    """One target here, in chunks, until time or executions are used up."""
    world = world_in(plan.directory)
    began_s, done, chunk = time.monotonic(), 0, 0
    while not _used_up(plan, done, time.monotonic() - began_s):
        wanted = min(CHUNK_EXECUTIONS, (plan.executions or sys.maxsize) - done)
        crash = explore(TARGETS[plan.target].run, world, wanted, plan.seed + chunk)
        done, chunk = done + wanted, chunk + 1
        plan.say(f"{plan.target}: {done:,} executions, {done / (time.monotonic() - began_s):,.0f} a second")
        if crash is not None:
            return _kept(plan, crash)
    return None


def explore(run: Run, world: GoodWorld, executions: int, first: int) -> Crash | None:
    """So many inputs from this seed, the same ones each time."""
    failing: list[bytes] = []

    @seed(first)
    @settings(
        max_examples=executions,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
        report_multiple_bugs=False,
    )
    @given(_INPUTS)
    def once(octets: bytes) -> None:
        try:
            run(octets, world)
        except Exception:
            failing.append(octets)
            raise

    try:
        once()
    except Exception as error:
        return Crash(failing[-1] if failing else b"", error)
    return None


def _used_up(plan: Plan, done: int, seconds: float) -> bool:
    if plan.executions is not None and done >= plan.executions:
        return True
    return plan.seconds is not None and seconds >= plan.seconds


def _crashes(plan: Plan) -> list[Path]:
    return [path for path in plan.directory.glob(f"{plan.target}-*") if path.is_file()]


def _kept(plan: Plan, crash: Crash) -> Path:
    name = hashlib.sha256(crash.octets).hexdigest()[:16]
    path = plan.directory / f"{plan.target}-crash-{name}"
    path.write_bytes(crash.octets)
    plan.say(f"{plan.target}: {type(crash.error).__name__}: {crash.error}")
    return path
