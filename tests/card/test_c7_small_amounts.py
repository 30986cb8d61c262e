"""小额免密免签: which card is told that it needs a verification, and which is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.card.visa_card import VisaCard, visa_keys

from taptill.amount.money import Money
from taptill.card.apdu import split_command
from taptill.card.outcome import Cvm, OutcomeKind
from taptill.card.tlv import encode_tlv

Tap = Callable[..., Any]
UNIONPAY = bytes.fromhex("A000000333010101")
GET_DATA = bytes.fromhex("80CA9F5100")
CNY, HKD = b"\x01\x56", b"\x03\x44"


def with_currency(card: VisaCard, currency: bytes | None) -> Callable[[bytes], bytes]:
    """A card that answers GET DATA for its application currency (9F51), or refuses it."""

    def answer(command: bytes) -> bytes:
        if command != GET_DATA:
            return card(command)
        return encode_tlv(0x9F51, currency) + b"\x90\x00" if currency else b"\x6a\x88"

    return answer


def told(commands: list[bytes]) -> tuple[bool, bool]:
    """Whether the card was asked for its currency, and whether GPO told it that a verification is required."""
    options = next(command for command in commands if command[1] == 0xA8)
    return GET_DATA in commands, bool(split_command(options).data[3] & 0x40)


@pytest.mark.parametrize(
    ("amount_minor", "cvm_limit_minor", "small_minor", "currency", "asked", "required"),
    [
        (1_000_00, 300_00, 1_000_00, CNY, True, False),  # at the rule's limit: waived
        (1_000_01, 300_00, 1_000_00, CNY, False, True),  # above both: required of everybody
        (299_99, 300_00, 1_000_00, CNY, False, False),  # below both: of nobody
        (500_00, 300_00, 1_000_00, HKD, True, True),  # a card from elsewhere
        (500_00, 300_00, 1_000_00, None, True, True),  # a card that does not tell
        (1_500_00, None, 1_000_00, CNY, True, True),  # above the rule's limit a domestic card has to be verified
        (1_500_00, None, 1_000_00, None, True, True),
        (1_500_00, None, 1_000_00, HKD, True, False),
        (500_00, 300_00, None, CNY, False, True),  # without the rule the reader's limit counts
    ],
)
def test_a_card_is_told_what_the_rule_says_of_it(
    tap: Tap,
    amount_minor: int,
    cvm_limit_minor: int | None,
    small_minor: int | None,
    currency: bytes | None,
    asked: bool,
    required: bool,
) -> None:
    read, commands = tap(
        with_currency(VisaCard(aid=UNIONPAY, ctq=None), currency),
        amount=Money(amount_minor),
        cvm_limit_minor=cvm_limit_minor,
        small_amount_limit_minor=small_minor,
    )
    assert told(commands) == (asked, required)
    assert read.outcome.cvm is (Cvm.SIGNATURE if required else Cvm.NONE)
    assert bool(read.data[0x9F66][1] & 0x40) is required


def test_only_a_purchase_is_small(tap: Tap) -> None:
    card = with_currency(VisaCard(aid=UNIONPAY, ctq=None), CNY)
    limits = {"cvm_limit_minor": 1, "small_amount_limit_minor": 1_000_00}
    assert told(tap(card, transaction_type=0x20, **limits)[1]) == (False, True)


@pytest.mark.parametrize(
    ("issuer_country", "kind", "reason"),
    [("0156", OutcomeKind.APPROVED, ""), ("0344", OutcomeKind.DECLINED, "no-pin-pad")],
)
def test_offline_a_foreign_issuer_takes_the_waiver_back(
    tap: Tap, issuer_country: str, kind: OutcomeKind, reason: str
) -> None:
    card = VisaCard("TC", aid=UNIONPAY, fdda=1, record={0x5F28: issuer_country})
    read, commands = tap(
        with_currency(card, CNY),
        visa_keys(UNIONPAY[:5]),
        amount=Money(500_00),
        cvm_limit_minor=300_00,
        small_amount_limit_minor=1_000_00,
    )
    assert told(commands) == (True, False)
    assert (read.outcome.kind, read.outcome.reason) == (kind, reason)


@pytest.mark.parametrize("nonsense", ["9F5109", "9F51", "9F420156", ""])
def test_nonsense_instead_of_a_currency_tells_none(tap: Tap, nonsense: str) -> None:
    card = VisaCard(aid=UNIONPAY, ctq=None)
    read, commands = tap(
        lambda command: bytes.fromhex(nonsense + "9000") if command == GET_DATA else card(command),
        amount=Money(500_00),
        cvm_limit_minor=300_00,
        small_amount_limit_minor=1_000_00,
    )
    assert told(commands) == (True, True)
    assert read.outcome.cvm is Cvm.SIGNATURE
