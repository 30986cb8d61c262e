"""The world can fail: mistakes planted in a copy of the sources are found, and every one still fits today's code."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from taplab.simulation.control import count_lost_rows
from taplab.simulation.mutants import PatchRefused, apply_patch, hunt, hunt_all

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src"
PATCHES = sorted((ROOT / "tools" / "mutants").glob("*.patch"))
SEEDS_MAX = 400


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SOURCES, tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_a_planted_mistake_fits_the_sources(patch: Path, sources: Path) -> None:
    before = {path: path.read_bytes() for path in sources.rglob("*.py")}
    apply_patch(patch, sources)
    assert {path for path, octets in before.items() if path.read_bytes() != octets}
    assert not list(sources.rglob("*.rej"))


def test_every_planted_mistake_is_found() -> None:
    mutants = hunt_all(PATCHES, SOURCES, SEEDS_MAX, os.cpu_count() or 1, lambda mutant: print(mutant))
    assert [mutant.name for mutant in mutants if not mutant.found] == []
    assert len(mutants) >= 13


def test_a_mistake_that_changes_nothing_is_not_found(tmp_path: Path) -> None:
    patch = tmp_path / "nothing.patch"
    name = "src/taptill/terminal/owing.py"
    first = (ROOT / name).read_text(encoding="utf-8").splitlines()[0]
    patch.write_text(f"--- a/{name}\n+++ b/{name}\n@@ -1 +1,2 @@\n+# nothing\n {first}\n", encoding="utf-8")
    mutant = hunt(patch, SOURCES, 3)
    assert (mutant.found, mutant.seeds) == (False, 3)


def test_a_patch_that_does_not_fit_is_named(sources: Path, tmp_path: Path) -> None:
    patch = tmp_path / "stale.patch"
    patch.write_text("--- a/src/taptill/clock.py\n+++ b/src/taptill/clock.py\n@@ -1 +1 @@\n-never there\n+x\n")
    with pytest.raises(PatchRefused, match=r"stale\.patch"):
        apply_patch(patch, sources)


def test_the_disk_loses_what_sqlite_does_not_promise_to_keep_and_nothing_else() -> None:
    assert count_lost_rows("FULL", 200) == 0
    assert count_lost_rows("NORMAL", 200) > 0
