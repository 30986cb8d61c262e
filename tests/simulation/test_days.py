"""Shop days on which everything fails: no money rule breaks, and a day is the same wherever it is lived.

`TAPTILL_DAYS=5000` lives more of them than usual; `tools/simulate --seed N` tells the story of one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from taplab.simulation.campaign import judge
from taplab.simulation.day import Day, Habit, Visit, draw_day
from taplab.simulation.schedule import Fault, Kind, Point

DAYS = int(os.environ.get("TAPTILL_DAYS", "300"))
DAYS_A_TEST = 25
HEADS_OF = """
import json, sys
from taplab.simulation.campaign import judge
from taplab.simulation.day import draw_day
print(json.dumps([judge(draw_day(seed)).head for seed in range(int(sys.argv[1]))]))
"""


@pytest.mark.parametrize("first", range(0, DAYS, DAYS_A_TEST), ids="from-seed-{}".format)
def test_no_rule_breaks_whatever_fails(first: int) -> None:
    for seed in range(first, first + DAYS_A_TEST):
        assert judge(draw_day(seed), renders=True).broken == (), f"tell its story: tools/simulate --seed {seed}"


def test_the_same_seed_is_the_same_day_in_another_process_with_other_hashes() -> None:
    heads = [_heads(5, hash_seed) for hash_seed in ("1", "2")]
    assert heads[0] == heads[1]
    assert len(set(heads[0])) == 5


def _heads(days: int, hash_seed: str) -> list[str]:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", HEADS_OF, str(days)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    heads: list[str] = json.loads(ended.stdout)
    return heads


def test_on_a_fine_day_everybody_pays() -> None:
    visits = tuple(Visit(1_250, "good_credit", Habit.PAYS, 5) for _ in range(4))
    verdict = judge(Day(1, visits), told=True)
    assert verdict.broken == ()
    assert sum("leaves, shown approved" in sentence for sentence in verdict.story) == 5  # and the one after closing


def test_every_kind_of_fault_strikes_within_the_days_of_one_run() -> None:
    struck = Counter(fault.kind for seed in range(120) for fault in judge(draw_day(seed)).struck)
    assert set(Kind) <= set(struck)


def test_a_fault_is_told_in_the_story() -> None:
    day = replace(draw_day(1), faults=(Fault(Point.REPLY, 1, Kind.LOST), Fault(Point.STEP, 60, Kind.POWER_CUT)))
    story = "\n".join(judge(day, told=True).story)
    assert "the frame is lost" in story
    assert "the power fails" in story
    assert "the terminal starts for the 2. time" in story


@pytest.mark.parametrize("kind", [Kind.NONSENSE, Kind.WRONG_MAC, Kind.FORGED_DECLINE, Kind.LOST])
@pytest.mark.parametrize("since", [0, 3], ids="from-reply-{}-on".format)
def test_a_host_that_never_again_says_anything_credible_costs_nobody_anything(since: int, kind: Kind) -> None:
    cards = ("good_credit", "offline_funds", "good_credit", "low_limit", "offline_funds", "good_credit")
    visits = tuple(Visit(1_250, card, Habit.PAYS, 20) for card in cards)
    day = Day(3, visits, tuple(Fault(Point.REPLY, nth, kind, nth) for nth in range(since, 1_000)))
    verdict = judge(day, told=True)
    shown = [sentence.partition("leaves, shown ")[2] for sentence in verdict.story if "leaves, shown" in sentence]
    assert verdict.broken == ()
    assert set(shown[since:]) <= {"deferred", "approved_offline", "reversing", "approved"}
    assert "approved_offline" in shown
    assert shown[-1] == "approved"  # once the host is credible again


def test_what_stops_the_program_is_a_finding_and_no_restart() -> None:
    impossible = Fault(Point.REQUEST, 0, Kind.PULLED)
    assert any("a fault of the program" in rule for rule in judge(replace(draw_day(1), faults=(impossible,))).broken)


def test_what_was_parked_ends_by_an_operators_word() -> None:
    called_duplicate = Fault(Point.REQUEST, 1, Kind.DUPLICATE)
    silent = tuple(Fault(Point.REQUEST, nth, Kind.SILENT) for nth in range(2, 12))
    refused = (Fault(Point.REQUEST, 1, Kind.LOST), Fault(Point.REQUEST, 4, Kind.REFUSES))
    for faults, word in (((called_duplicate, *silent), "/1 paid"), (refused, "/1/reversal send again")):
        verdict = judge(Day(1, (Visit(1_250, "good_credit"),), faults), told=True)
        assert verdict.broken == ()
        assert any(word in sentence for sentence in verdict.story if "the operator signs" in sentence)
