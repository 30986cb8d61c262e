"""What holds for every test: a skip has to be one of the listed ones. And a small disk of its own for who needs one.

Comes in: the reasons in tests/skips_allowed.txt. Goes out: with TAPTILL_STRICT_SKIPS=1 (tools/test sets it) a test or
file skipped for any other reason is reported as failed, so that a missing part of the machine cannot pass for green.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest_plugins = ["tests.conformance"]

PAGE_OCTETS = 4096
SKIPS_ALLOWED = Path(__file__).with_name("skips_allowed.txt")


def allowed_reasons() -> list[re.Pattern[str]]:
    lines = SKIPS_ALLOWED.read_text(encoding="utf-8").splitlines()
    return [re.compile(line) for line in lines if line.strip() and not line.startswith("#")]


def fail_unlisted_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turns a skipped report into a failed one unless its reason is listed. Expected failures are no skips."""
    if os.environ.get("TAPTILL_STRICT_SKIPS") != "1" or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not any(pattern.search(reason) for pattern in allowed_reasons()):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: {reason}\nno line of {SKIPS_ALLOWED.name} allows this skip"


@dataclass(frozen=True)
class SmallDisk:
    """A file system of 3 MiB: what does not fit is refused by the kernel."""

    folder: Path

    def fill(self) -> None:
        """Another program takes all that is left."""
        with open(self._hog, "ab", buffering=0) as file, suppress(OSError):
            while file.write(bytes(PAGE_OCTETS)):
                pass

    def free(self) -> None:
        """And gives it back."""
        self._hog.unlink()

    @property
    def _hog(self) -> Path:
        return self.folder / "log of another program"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "small disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("no small file system may be mounted here")
    yield SmallDisk(folder)
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_unlisted_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_unlisted_skip(report)
    return report
