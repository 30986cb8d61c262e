"""`tools/simulate` from outside: what it prints, what it writes, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taplab.simulation.cli import main

ROOT = Path(__file__).parents[2]


def test_the_results_of_a_run_stand_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "made" / "results.json"
    assert main(["--seeds", "3..5", "--only-days", "--jobs", "1", "--json", str(path)]) == 0
    results = json.loads(path.read_text(encoding="utf-8"))
    assert (results["schedules"], results["violations"], results["seeds"]) == (2, 0, [3, 5])
    assert {"mutants", "exhaustive", "failing_seeds"} <= results.keys()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--seeds", "5..5"], "5..5"),
        (["--seeds", "all"], "all"),
        (["--only-days", "--jobs", "0"], "--jobs 0"),
        (["--only-days", "--json", "/dev/null/results.json"], "/dev/null/results.json"),
        (["--mutants", "nowhere"], "no patch"),
    ],
)
def test_what_would_fail_after_minutes_is_refused_at_once(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert named in capsys.readouterr().err


def test_the_story_of_a_day_ends_with_its_journal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "1", "--visits", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("customer 0 comes" in line for line in lines)
    assert lines[-1].startswith("journal head ")


def test_a_patch_that_does_not_fit_is_a_mistake_that_was_not_found(tmp_path: Path) -> None:
    patch = "--- a/src/taptill/clock.py\n+++ b/src/taptill/clock.py\n@@ -1 +1 @@\n-never there\n+x\n"
    (tmp_path / "stale.patch").write_text(patch, encoding="utf-8")
    path = tmp_path / "results.json"
    run = ["--seeds", "0..1", "--payments", "0", "--jobs", "1", "--sources", str(ROOT / "src")]
    assert main([*run, "--mutants", str(tmp_path), "--json", str(path)]) == 1
    (mutant,) = json.loads(path.read_text(encoding="utf-8"))["mutants"]
    assert (mutant["name"], mutant["found"]) == ("stale", False)
    assert "stale.patch" in mutant["rule"]
