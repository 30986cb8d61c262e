"""Processing restrictions: emv-utils' cases, and what a card may leave out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from taptill.card.rules.restrictions import check_dates, check_usage, check_version, processing_restrictions
from taptill.card.rules.tvr import NO_TVR

Case = dict[str, Any]
EXPIRED, NOT_YET, NOT_ALLOWED, FINE = "0040000000", "0020000000", "0010000000", "0000000000"


def objects(values: dict[str, str]) -> dict[int, bytes]:
    return {int(tag, 16): bytes.fromhex(value) for tag, value in values.items()}


def restriction_cases(document: Case) -> Iterator[tuple[str, Case]]:
    for case in document.get("processing_restrictions", []):
        yield case["name"], case


@pytest.mark.vectors(folder="kernel-logic", cases=restriction_cases)
def test_a_card_is_restricted_as_the_origin_says(vector: Case) -> None:
    terminal = objects(vector["config"]) | objects(vector["params"])
    tvr = processing_restrictions(NO_TVR, terminal, objects(vector["icc"]))
    assert tvr.hex().upper() == vector["expected_tvr"]


def test_what_was_found_before_stays() -> None:
    before = bytes.fromhex("8000000000")
    assert processing_restrictions(before, objects({"9A": "260601"}), {}).hex() == "8040000000"


@pytest.mark.parametrize(
    ("expiry", "effective", "expected"),
    [
        ("260601", None, FINE),
        ("260531", None, EXPIRED),
        (None, None, EXPIRED),
        ("2612FF", None, EXPIRED),
        ("2612", None, EXPIRED),
        ("491231", None, FINE),  # 2049
        ("501231", None, EXPIRED),  # 1950
        ("301231", "260601", FINE),
        ("301231", "260602", NOT_YET),
        ("301231", "991231", FINE),  # 1999
        ("301231", "26", NOT_YET),
    ],
)
def test_a_card_is_good_from_its_first_day_to_its_last(
    expiry: str | None, effective: str | None, expected: str
) -> None:
    card = objects({tag: value for tag, value in (("5F24", expiry), ("5F25", effective)) if value is not None})
    assert check_dates(NO_TVR, "260601", card).hex() == expected


def test_nothing_is_valid_on_a_day_that_nobody_knows() -> None:
    assert check_dates(NO_TVR, "", objects({"5F24": "301231", "5F25": "200101"})).hex() == "0060000000"


def test_a_side_that_names_no_version_has_the_same() -> None:
    assert check_version(NO_TVR, objects({"9F09": "0030"}), {}) == NO_TVR
    assert check_version(NO_TVR, {}, objects({"9F08": "0030"})) == NO_TVR


@pytest.mark.parametrize(
    ("kind", "usage", "at_home", "abroad"),
    [
        ("00", "2100", FINE, NOT_ALLOWED),
        ("00", "0900", FINE, NOT_ALLOWED),  # services alone are enough: 9C does not tell them from goods
        ("00", "1100", NOT_ALLOWED, FINE),
        ("00", "0500", NOT_ALLOWED, FINE),
        ("01", "8100", FINE, NOT_ALLOWED),
        ("17", "4100", NOT_ALLOWED, FINE),
        ("09", "3D80", FINE, NOT_ALLOWED),
        ("09", "3D40", NOT_ALLOWED, FINE),
        ("09", "81C0", NOT_ALLOWED, NOT_ALLOWED),  # cash back comes with goods
        ("20", "0100", FINE, FINE),  # nothing is said of refunds
    ],
)
def test_usage_control_is_looked_up_by_kind_and_country(kind: str, usage: str, at_home: str, abroad: str) -> None:
    terminal = objects({"9C": kind, "9F1A": "0156", "9F35": "22"})
    for country, expected in (("0156", at_home), ("0840", abroad)):
        assert check_usage(NO_TVR, terminal, objects({"9F07": usage, "5F28": country})).hex() == expected


def test_an_amount_of_cash_makes_a_purchase_one_with_cash_back() -> None:
    terminal = objects({"9C": "00", "9F03": "000000000100", "9F1A": "0156", "9F35": "22"})
    assert check_usage(NO_TVR, terminal, objects({"9F07": "FF00", "5F28": "0156"})).hex() == NOT_ALLOWED


def test_without_the_issuers_country_only_the_place_is_checked() -> None:
    terminal = objects({"9C": "00", "9F1A": "0156", "9F35": "22"})
    assert check_usage(NO_TVR, terminal, objects({"9F07": "0100"})) == NO_TVR
    assert check_usage(NO_TVR, terminal, objects({"9F07": "FE00"})).hex() == NOT_ALLOWED
    assert check_usage(NO_TVR, terminal, objects({"9F07": ""})).hex() == NOT_ALLOWED


@pytest.mark.parametrize(
    ("terminal_type", "capabilities", "atm"),
    [("14", "8000000000", True), ("16", "FF00000000", True), ("14", "7F00000000", False), ("22", "FF00000000", False)],
)
def test_an_atm_is_a_bank_s_own_terminal_that_pays_out_cash(terminal_type: str, capabilities: str, atm: bool) -> None:
    terminal = objects({"9C": "01", "9F35": terminal_type, "9F40": capabilities})
    assert (check_usage(NO_TVR, terminal, objects({"9F07": "0200"})) == NO_TVR) is atm
    assert (check_usage(NO_TVR, terminal, objects({"9F07": "0100"})) == NO_TVR) is not atm
