"""CVM lists walked by hand (EMV Book 3, 10.5 and Annex C3; results as EMV Book 4, Table 2 has them)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taptill.card.outcome import Cvm
from taptill.card.rules.cvm_list import CvmRule, parse_cvm_list, verify_cardholder
from taptill.card.rules.risk_management import Findings

SALE = {0x9C: "00", 0x9F02: "000000010000", 0x5F2A: "0156", 0x9F33: "E0E8C8", 0x9F35: "22", 0x9F03: "000000000000"}
X_50_Y_200 = "00001388" + "00004E20"  # 50.00 and 200.00
NONE_AT_ALL = X_50_Y_200


def verify(
    rules: str,
    *,
    pin_pad: bool = False,
    currency: str | None = "0156",
    aip: str = "1000",
    **sale: str,
) -> tuple[Cvm | None, str, str, str]:
    """What comes out, in hex: method, 9F34, TVR, TSI. `sale` changes the terminal's data: `t9C="01"`."""
    terminal = {tag: bytes.fromhex(value) for tag, value in SALE.items()}
    terminal.update({int(tag[1:], 16): bytes.fromhex(value) for tag, value in sale.items()})
    card = {0x82: bytes.fromhex(aip), 0x8E: bytes.fromhex(rules)}
    if currency:
        card[0x9F42] = bytes.fromhex(currency)
    verified = verify_cardholder(Findings(), terminal, card, pin_pad)
    return verified.cvm, verified.results.hex().upper(), verified.found.tvr.hex(), verified.found.tsi.hex()


def test_a_common_list_asks_for_a_signature_where_no_pin_is_entered() -> None:
    # Online PIN always else next, signature if supported else next, no CVM.
    rules = NONE_AT_ALL + "4200" + "5E03" + "1F03"
    assert verify(rules) == (Cvm.SIGNATURE, "5E0300", "0000000000", "4000")
    assert verify(rules, pin_pad=True) == (Cvm.ONLINE_PIN, "420000", "0000040000", "4000")
    assert verify(rules, t9F33="E008C8") == (Cvm.NONE, "1F0302", "0000000000", "4000")


def test_a_pad_that_the_terminal_does_not_declare_is_not_used() -> None:
    assert verify(NONE_AT_ALL + "0200", pin_pad=True, t9F33="E028C8")[0] is None


@pytest.mark.parametrize("method", ["01", "03", "04", "05"])
def test_an_offline_pin_is_never_entered(method: str) -> None:
    assert verify(NONE_AT_ALL + method + "00", pin_pad=True) == (None, "3F0001", "0000800000", "4000")


def test_a_card_without_verification_wants_none() -> None:
    assert verify(NONE_AT_ALL + "0200", aip="EFFF") == (Cvm.NONE, "3F0000", "0000000000", "0000")


@pytest.mark.parametrize("rules", ["", NONE_AT_ALL])
def test_a_list_without_rules_is_missing_data(rules: str) -> None:
    assert verify(rules) == (Cvm.NONE, "3F0000", "2000000000", "0000")


@pytest.mark.parametrize("rules", ["00", NONE_AT_ALL[:14], NONE_AT_ALL + "1F", NONE_AT_ALL + "1F0000"])
def test_a_cut_list_verifies_nobody(rules: str) -> None:
    assert verify(rules) == (None, "3F0001", "0000800000", "4000")


def test_a_list_of_which_nothing_holds_verifies_nobody() -> None:
    assert verify(NONE_AT_ALL + "1F01" + "1F05") == (None, "3F0001", "0000800000", "4000")


def test_the_first_rule_that_fails_without_a_next_one_ends_the_walk() -> None:
    assert verify(NONE_AT_ALL + "0200" + "1F00") == (None, "3F0001", "0000800000", "4000")
    assert verify(NONE_AT_ALL + "4200" + "1F00")[0] is Cvm.NONE


def test_fail_is_a_method_and_its_rule_stands_in_the_results() -> None:
    assert verify(NONE_AT_ALL + "0006" + "1F00", currency="0840")[0] is Cvm.NONE
    assert verify(NONE_AT_ALL + "5E01" + "0000") == (None, "000001", "0000800000", "4000")
    assert verify(NONE_AT_ALL + "4000" + "0200") == (None, "400001", "0000800000", "4000")
    assert verify(NONE_AT_ALL + "0003" + "1F00") == (None, "000301", "0000800000", "4000")


def test_an_unknown_method_is_told_and_the_next_one_may_still_do() -> None:
    assert verify(NONE_AT_ALL + "6000" + "1F00") == (Cvm.NONE, "1F0002", "0000400000", "4000")
    assert verify(NONE_AT_ALL + "2000" + "1F00") == (None, "3F0001", "0000c00000", "4000")
    assert verify(NONE_AT_ALL + "2003" + "1F00") == (Cvm.NONE, "1F0002", "0000000000", "4000")


def test_an_unknown_condition_does_not_hold() -> None:
    for condition in ("0A", "80", "FF"):
        assert verify(NONE_AT_ALL + "1E" + condition + "1F00")[0] is Cvm.NONE


@pytest.mark.parametrize(
    ("condition", "kind", "terminal_type", "holds"),
    [
        ("01", "01", "24", True),
        ("01", "01", "22", False),
        ("01", "00", "24", False),
        ("04", "01", "22", True),
        ("04", "17", "21", True),
        ("04", "01", "34", False),
        ("05", "09", "22", True),
        ("05", "00", "22", False),
        ("02", "00", "22", True),
        ("02", "09", "22", False),
        ("02", "01", "22", False),
        ("02", "01", "24", False),
    ],
)
def test_cash_and_cash_back_have_their_own_rules(condition: str, kind: str, terminal_type: str, holds: bool) -> None:
    cvm = verify(NONE_AT_ALL + "1E" + condition + "1F00", t9C=kind, t9F35=terminal_type)[0]
    assert cvm is (Cvm.SIGNATURE if holds else Cvm.NONE)


@pytest.mark.parametrize(
    ("condition", "amount", "holds"),
    [
        ("06", "000000004999", True),
        ("06", "000000005000", False),
        ("07", "000000005000", False),
        ("07", "000000005001", True),
        ("08", "000000019999", True),
        ("08", "000000020000", False),
        ("09", "000000020000", False),
        ("09", "000000020001", True),
    ],
)
def test_amounts_are_under_or_over_and_never_at(condition: str, amount: str, holds: bool) -> None:
    rules = X_50_Y_200 + "1E" + condition + "1F00"
    assert verify(rules, t9F02=amount)[0] is (Cvm.SIGNATURE if holds else Cvm.NONE)
    assert verify(rules, t9F02=amount, currency="0840")[0] is Cvm.NONE
    assert verify(rules, t9F02=amount, currency=None)[0] is Cvm.NONE
    assert verify(rules, t9F02="")[0] is Cvm.NONE


def test_a_list_is_amounts_and_rules() -> None:
    parsed = parse_cvm_list(bytes.fromhex("0000138800004E205E031F02"))
    assert parsed is not None
    assert (parsed.x_minor, parsed.y_minor) == (5_000, 20_000)
    assert parsed.rules == (CvmRule(0x5E, 0x03), CvmRule(0x1F, 0x02))
    assert [(rule.method, rule.or_next) for rule in parsed.rules] == [(0x1E, True), (0x1F, False)]


@given(st.binary(max_size=40), st.binary(max_size=2), st.booleans(), st.binary(max_size=6))
def test_any_list_at_all_verifies_or_fails_with_three_octets(
    octets: bytes, currency: bytes, pin_pad: bool, amount: bytes
) -> None:
    terminal = {0x9C: b"\x00", 0x9F02: amount, 0x5F2A: currency, 0x9F33: bytes.fromhex("E0E8C8")}
    card = {0x82: b"\x10\x00", 0x8E: octets, 0x9F42: currency}
    verified = verify_cardholder(Findings(), terminal, card, pin_pad)
    assert len(verified.results) == 3
    assert (verified.cvm is None) == bool(verified.found.tvr[2] & 0x80)
    assert pin_pad or verified.cvm is not Cvm.ONLINE_PIN
