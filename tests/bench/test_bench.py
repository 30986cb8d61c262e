"""The tool runs, and what it writes for machines has the documented keys. No time is judged here."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import apsw
import pytest

from taplab.bench.cli import MEASUREMENTS
from taplab.bench.far_line import trip
from taplab.bench.measurement import Better, Result
from taplab.bench.replay import BooksDiffer, refuse_other_books
from taplab.bench.rounds import in_turns
from taplab.bench.slow_sync import slow_syncs

KEYS = {"ratio", "bar", "met", "better", "contenders", "details", "notes"}
RUN_WAIT_S = 240


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """All measurements, a hundredth of each."""
    folder = tmp_path_factory.mktemp("bench")
    place = folder / "bench.json"
    command = [sys.executable, "-m", "taplab.bench", "--quick", "--divide", "100"]
    command += ["--directory", str(folder / "disk"), "--json", str(place)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=RUN_WAIT_S, check=False)
    assert ended.returncode == 0, ended.stderr
    assert list((folder / "disk").iterdir()) == [], "a measurement leaves its files behind"
    found: dict[str, dict[str, Any]] = json.loads(place.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_a_measurement_gives_what_is_documented(document: dict[str, dict[str, Any]], name: str) -> None:
    found = document[name]
    if "skipped" in found:
        pytest.skip(found["skipped"])
    assert found.keys() == KEYS
    assert found["ratio"] > 0
    assert found["better"] in {better.value for better in Better}
    assert len(found["contenders"]) > 1
    assert all(figures for figures in found["contenders"].values())


def test_the_journal_is_measured_beside_what_a_user_might_take(document: dict[str, dict[str, Any]]) -> None:
    contenders = document["append"]["contenders"]
    assert next(iter(contenders)) == "taptill journal"
    names = " ".join(contenders)
    assert all(name in names for name in ("bare insert", "persist-queue", "litequeue", "huey"))
    assert [name for name, figures in contenders.items() if not figures["durable"]] == ["litequeue as shipped"]


def test_the_sync_of_an_sd_card_is_waited_for_by_journal_and_bare_insert_alike(tmp_path: Path) -> None:
    with slow_syncs(20):
        connection = apsw.Connection(str(tmp_path / "slow.sqlite"))
        connection.execute("PRAGMA journal_mode = wal").fetchall()
        connection.execute("PRAGMA synchronous = FULL; CREATE TABLE a (b)").fetchall()
        began_s = time.monotonic()
        for _ in range(5):
            connection.execute("INSERT INTO a VALUES (1)")
        taken_s = time.monotonic() - began_s
        connection.close()
    assert 0.1 <= taken_s < 1
    assert "slow sync" not in apsw.vfs_names()


def test_the_slow_disk_is_shown_for_those_that_write_to_it(document: dict[str, dict[str, Any]]) -> None:
    shown = [name for name, figures in document["append"]["contenders"].items() if "ratio, syncs of 8 ms" in figures]
    assert shown == ["taptill journal", "bare insert"]


def test_what_ships_without_syncs_does_not_sync(document: dict[str, dict[str, Any]]) -> None:
    """The negative control: the count can come out as none."""
    if "skipped" in document["syncs"]:
        pytest.skip(document["syncs"]["skipped"])
    contenders = document["syncs"]["contenders"]
    assert contenders["litequeue as shipped"]["syncs per put"] == 0
    assert contenders["bare insert"]["syncs per put"] == 1


def test_a_bar_is_met_from_the_side_that_is_better() -> None:
    def met(ratio: float, better: Better) -> bool | None:
        return Result(ratio, 0.9, better, {}).met

    assert [met(0.91, Better.HIGHER), met(0.89, Better.HIGHER)] == [True, False]
    assert [met(0.91, Better.LOWER), met(0.89, Better.LOWER)] == [False, True]
    assert Result(1.0, None, Better.LOWER, {}).met is None


def test_contenders_take_turns_and_each_begins_a_round() -> None:
    order: list[str] = []

    def ready(name: str) -> Any:
        return lambda: lambda: order.append(name)

    seconds = in_turns({name: ready(name) for name in "abc"}, 3)
    assert "".join(order) == "abc" + "abc" + "bca" + "cab"
    assert [len(each.each) for each in seconds.values()] == [3, 3, 3]


def test_the_line_delays_and_does_not_narrow(tmp_path: Path) -> None:
    """32 messages in a burst come back with the first one's round trip, in their order."""
    line = trip(20, tmp_path / "line.log")
    assert line.alone_s >= 0.040
    assert line.burst_s < 2 * line.alone_s


@pytest.mark.parametrize(
    ("states", "came", "again"),
    [(["closed", "open"], 2, 0), (["closed", "closed"], 1, 0), (["closed", "closed"], 2, 1), (["closed"], 2, 0)],
)
def test_what_was_lost_or_doubled_is_no_figure(states: list[str], came: int, again: int) -> None:
    refuse_other_books(["closed", "closed"], {"came": 2, "came again": 0}, 2)
    with pytest.raises(BooksDiffer):
        refuse_other_books(states, {"came": came, "came again": again}, 2)


def test_an_unknown_measurement_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "taplab.bench", "applause", "--directory", str(tmp_path / "disk")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "no measurement applause" in ended.stderr
    assert "replay" in ended.stderr
