"""Terminal risk management: emv-utils' cases with their recorded commands, and the sums by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taptill.card.apdu import ResponseApdu
from taptill.card.rules.risk_management import (
    Findings,
    LoggedSale,
    RandomSelection,
    RiskParameters,
    card_digest,
    check_floor_limit,
    judge_velocity,
    manage_risk,
    select_at_random,
    spent_before,
)
from taptill.card.rules.tvr import NO_TVR

Case = dict[str, Any]
PAN = "6228000100001117"
BOTH, LOWER, NONE, NEW = "0000006000", "0000004000", "0000000000", "0008000000"


def risk_cases(document: Case) -> Iterator[tuple[str, Case]]:
    for case in document.get("terminal_risk_management", []):
        yield case["name"], case


def run(parameters: RiskParameters, amount_minor: int, card: dict[int, bytes], answers: list[str]) -> tuple[Any, ...]:
    """The findings, and the commands it took."""
    dialogue = manage_risk(Findings(), parameters, amount_minor, card)
    commands: list[str] = []
    remaining = [ResponseApdu.decode(bytes.fromhex(answer)) for answer in answers]
    try:
        command = next(dialogue)
        while True:
            commands.append(command.encode().hex().upper())
            command = dialogue.send(remaining.pop(0))
    except StopIteration as finished:
        return finished.value, commands


@pytest.mark.vectors(folder="kernel-logic", cases=risk_cases)
def test_risk_is_found_as_the_origin_says(vector: Case) -> None:
    card = {int(tag, 16): bytes.fromhex(value) for tag, value in vector["icc"].items()}
    log = [
        LoggedSale(card_digest(each["pan"].rstrip("F")), each.get("psn"), each["amount"])
        for each in vector.get("txn_log", [])
    ]
    floor = vector["config"].get("9F1B")
    parameters = RiskParameters(int(floor, 16) if floor else None, log=log)
    amounts = vector["params"]
    amount_minor = int(amounts["81"], 16) if "81" in amounts else int(amounts["9F02"])
    apdus = vector.get("apdus", [])
    found, commands = run(parameters, amount_minor, card, [each["r"] for each in apdus])
    assert commands == [each["c"].upper() for each in apdus]
    assert found.tvr.hex().upper() == vector["expected_tvr"]
    assert found.tsi.hex().upper() == vector["expected_tsi"]


def test_what_the_merchant_forces_and_refuses_is_told() -> None:
    parameters = RiskParameters(forced_online=True, exceptions=frozenset({card_digest(PAN)}))
    found, commands = run(parameters, 100, {0x5A: bytes.fromhex(PAN)}, [])
    assert (found.tvr.hex(), commands) == ("1000000800", [])


def test_a_split_sale_meets_the_floor_limit() -> None:
    log = [
        LoggedSale(card_digest(PAN), "01", 9_000),
        LoggedSale(card_digest(PAN), "01", 600),
        LoggedSale(card_digest(PAN), "02", 7_000),
        LoggedSale(card_digest("6228000100001125"), "01", 8_000),
    ]
    assert spent_before(log, PAN, "01") == 600  # the latest of this card, not the largest
    assert spent_before(log, PAN, None) == 7_000
    assert spent_before(log, PAN, "03") == 0
    card = {0x5A: bytes.fromhex(PAN), 0x5F34: b"\x01"}
    for limit_minor, expected in ((1_000, "0000008000"), (1_001, NONE)):
        assert run(RiskParameters(limit_minor, log=log), 400, card, [])[0].tvr.hex() == expected


def test_at_the_floor_limit_is_above_it() -> None:
    assert check_floor_limit(NO_TVR, 999, 1_000) == NO_TVR
    assert check_floor_limit(NO_TVR, 1_000, 1_000).hex() == "0000008000"


@pytest.mark.parametrize(
    ("drawn", "amount_minor", "chosen"),
    [
        (20, 100, True),
        (21, 100, False),
        (20, 2_000, True),  # at the threshold nothing is added yet
        (21, 2_000, False),
        (50, 6_000, True),  # half way to the floor limit: half way from 20 to 80 percent
        (51, 6_000, False),
        (79, 9_999, True),
        (80, 9_999, False),
        (1, 10_000, False),  # not below the floor limit: nothing to choose
    ],
)
def test_the_nearer_to_the_floor_limit_the_likelier_online(drawn: int, amount_minor: int, chosen: bool) -> None:
    selection = RandomSelection(drawn, target_percent=20, target_percent_max=80, threshold_minor=2_000)
    assert (select_at_random(NO_TVR, selection, amount_minor, 10_000).hex() == "0000001000") is chosen


@given(st.integers(1, 99), st.integers(0, 9_999), st.integers(0, 9_999), st.integers(0, 99), st.integers(0, 99))
def test_random_selection_is_the_formula_of_the_book(
    drawn: int, amount_minor: int, threshold_minor: int, low: int, high: int
) -> None:
    selection = RandomSelection(drawn, min(low, high), max(low, high), threshold_minor)
    target = float(selection.target_percent)
    if amount_minor >= threshold_minor:
        factor = (amount_minor - threshold_minor) / (10_000 - threshold_minor)
        target += (selection.target_percent_max - selection.target_percent) * factor
    if abs(drawn - target) > 1e-6:
        assert (select_at_random(NO_TVR, selection, amount_minor, 10_000) != NO_TVR) is (drawn <= target)


@pytest.mark.parametrize(
    ("atc", "last_online", "expected"),
    [
        (8, 5, NONE),
        (9, 5, LOWER),
        (10, 5, LOWER),
        (11, 5, BOTH),
        (5, 5, BOTH),  # an ATC that does not move
        (4, 5, BOTH),
        (None, 5, BOTH),
        (8, None, BOTH),
        (3, 0, NEW),
        (None, 0, "0008006000"),
    ],
)
def test_counters_are_held_against_both_limits(atc: int | None, last_online: int | None, expected: str) -> None:
    assert judge_velocity(NO_TVR, atc, last_online, (3, 5)).hex() == expected


@pytest.mark.parametrize("answer", ["9000", "9F360104D29000", "9F3603000CD29000", "9F3602049000", "9F170204D29000"])
def test_a_counter_that_is_none_is_as_good_as_untold(answer: str) -> None:
    card = {0x9F14: b"\x12", 0x9F23: b"\x34"}
    found, _ = run(RiskParameters(), 100, card, [answer, "9F130204D19000"])
    assert found.tvr.hex() == BOTH


def test_a_card_without_both_limits_is_not_asked() -> None:
    assert run(RiskParameters(), 100, {0x9F14: b"\x12"}, [])[1] == []
    assert run(RiskParameters(), 100, {0x9F14: b"\x12", 0x9F23: b""}, [])[1] == []
