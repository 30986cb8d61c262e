"""Terminal action analysis against EMV Book 3, 10.7, with the action codes of real reader settings."""

from __future__ import annotations

import pytest

from taptill.card.outcome import CryptogramType
from taptill.card.rules.action_analysis import ActionCodes, Reach, issuer_action_codes, reach_of, requested_cryptogram

AAC, ARQC, TC = CryptogramType.AAC, CryptogramType.ARQC, CryptogramType.TC
NOTHING = ActionCodes()


def codes(denial: str, online: str, default: str) -> ActionCodes:
    return ActionCodes(*(bytes.fromhex(code) for code in (denial, online, default)))


# A common issuer's codes and a common acquirer's.
ISSUER = codes("0010000000", "F078FC9800", "F078FCA000")
ACQUIRER = codes("0400000000", "F850ACF800", "FC50ACA000")


@pytest.mark.parametrize(
    ("tvr", "online_only", "online", "offline"),
    [
        ("0000000000", ARQC, TC, TC),
        ("0010000000", AAC, AAC, AAC),  # the issuer denies
        ("0400000000", AAC, AAC, AAC),  # the acquirer denies
        ("0000008000", ARQC, ARQC, AAC),  # above the floor limit
        ("0000001000", ARQC, ARQC, TC),  # chosen at random: no reason to deny
        ("0040000000", ARQC, ARQC, AAC),  # expired
        ("0000000001", ARQC, TC, TC),  # nobody minds
    ],
)
def test_denial_comes_first_then_online_then_the_default(
    tvr: str, online_only: CryptogramType, online: CryptogramType, offline: CryptogramType
) -> None:
    for reach, expected in (
        (Reach.ONLINE_ONLY, online_only),
        (Reach.ONLINE, online),
        (Reach.OFFLINE, offline),
    ):
        assert requested_cryptogram(bytes.fromhex(tvr), ISSUER, ACQUIRER, reach) is expected


def test_an_issuer_that_says_nothing_denies_nothing_and_wants_to_see_everything() -> None:
    silent = issuer_action_codes({})
    assert silent == codes("0000000000", "FFFFFFFFFF", "FFFFFFFFFF")
    found = bytes.fromhex("0000000001")
    assert requested_cryptogram(found, silent, NOTHING, Reach.ONLINE) is ARQC
    assert requested_cryptogram(found, silent, NOTHING, Reach.OFFLINE) is AAC
    assert requested_cryptogram(bytes(5), silent, NOTHING, Reach.ONLINE) is TC


def test_the_issuers_codes_are_each_under_their_own_tag() -> None:
    card = {0x9F0D: ISSUER.default, 0x9F0E: ISSUER.denial, 0x9F0F: ISSUER.online}
    assert issuer_action_codes(card) == ISSUER


def test_a_code_of_a_wrong_length_counts_as_all_ones() -> None:
    cut = issuer_action_codes({0x9F0E: bytes(4)})
    assert requested_cryptogram(bytes.fromhex("0000000001"), cut, NOTHING, Reach.ONLINE) is AAC


def test_one_finding_is_enough_and_other_bits_do_not_matter() -> None:
    for bit in range(40):
        tvr = (1 << bit).to_bytes(5, "big")
        denied = ActionCodes(denial=tvr)
        assert requested_cryptogram(b"\xff" * 5, denied, NOTHING, Reach.ONLINE) is AAC
        others = bytes(0xFF ^ octet for octet in tvr)
        assert requested_cryptogram(others, denied, NOTHING, Reach.ONLINE) is TC


@pytest.mark.parametrize(
    ("terminal_type", "expected"),
    [
        (0x21, Reach.ONLINE_ONLY),
        (0x22, Reach.ONLINE),
        (0x23, Reach.OFFLINE),
        (0x14, Reach.ONLINE_ONLY),
        (0x25, Reach.ONLINE),
        (0x36, Reach.OFFLINE),
    ],
)
def test_how_far_a_terminal_reaches_is_its_type(terminal_type: int, expected: Reach) -> None:
    assert reach_of(terminal_type) is expected
