"""One run of each hardship, shared by the tests that look at it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from taplab.hardship.kinds import HARDSHIPS
from taplab.hardship.report import Report


@dataclass(frozen=True)
class Ran:
    report: Report
    directory: Path


RUNS = {"kill": (200, 7), "cut": (32, 7), "full": (4, 7), "power": (20, 7)}  # count or step, seed


@pytest.fixture(scope="module", params=list(RUNS))
def hardship(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A run in a lab of its own; skipped where this machine cannot do it."""
    name: str = request.param
    run, _ = HARDSHIPS[name]
    directory = tmp_path_factory.mktemp(name)
    report = run(directory, *RUNS[name], lambda line: None)
    if report.skipped:
        pytest.skip(report.skipped)
    return Ran(report, directory)


@pytest.fixture(scope="module")
def report(hardship: Ran) -> Report:
    return hardship.report


@pytest.fixture(scope="module")
def directory(hardship: Ran) -> Path:
    return hardship.directory
