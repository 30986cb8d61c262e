"""A Mastercard that says one thing first and another later, and approvals that nothing proves."""

from __future__ import annotations

import hashlib

import pytest
from tests.card.c2.conftest import Hold
from tests.card.c2.mchip_card import CDOL1, GENERATE, PAN, RECOVER, MchipCard

from taptill.amount.money import Money
from taptill.card.outcome import CardRead, OutcomeKind
from taptill.card.proof.ca_keys import CaKeyStore

OTHER_PAN = "5413339000001521"
NO_FINDING_COUNTS = {0xDF8120: "0000000000", 0xDF8121: "0000000000", 0xDF8122: "0000000000"}
IGNORED: dict[int, str | None] = {0x9F0D: "0000000000", 0x9F0E: "0000000000", 0x9F0F: "0000000000"}


def said(read: CardRead) -> tuple[OutcomeKind, str]:
    return read.outcome.kind, read.outcome.reason


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (0x57, f"{OTHER_PAN}D39122010000000000000F"),
        (0x5A, OTHER_PAN),
        (0x5F34, "02"),
        (0x8F, "F4"),
        (0x9F46, "00" * 128),
        (0x8C, "9F3704"),
    ],
)
def test_the_answer_with_the_cryptogram_changes_nothing_the_records_said(hold: Hold, tag: int, value: str) -> None:
    """The signature covers the answer as it is, so that it holds; the number charged would be another one."""
    read = hold(MchipCard(answers={tag: value}))
    assert said(read) == (OutcomeKind.END_APPLICATION, f"data-twice-{tag:X}")


def test_the_records_change_nothing_the_application_said_when_it_was_selected(hold: Hold) -> None:
    read = hold(MchipCard(fci={0x8C: CDOL1.replace("9F02069F0306", "9F03069F0206")}))
    assert said(read) == (OutcomeKind.END_APPLICATION, "data-twice-8C")


def test_the_same_said_twice_does_no_harm(hold: Hold) -> None:
    assert hold(MchipCard(answers={0x5A: PAN}, fci={0x5F34: "01"})).outcome.kind is OutcomeKind.APPROVED


@pytest.mark.parametrize(
    ("tag", "value"),
    [(0x5F34, "0101"), (0x5F24, "3912"), (0x57, "1234"), (0x8F, "F3F3"), (0x5A, PAN + "FFFFFF" + "FFFF")],
)
def test_a_data_object_of_an_impossible_length_is_refused(hold: Hold, tag: int, value: str) -> None:
    assert hold(MchipCard(changes={tag: value})).outcome.kind is OutcomeKind.END_APPLICATION


@pytest.mark.parametrize(("tag", "value"), [(0x9F36, "01"), (0x9F10, "00" * 33), (0x9F26, "11" * 7)])
def test_a_cryptogram_of_an_impossible_length_is_refused(hold: Hold, tag: int, value: str) -> None:
    read = hold(MchipCard(aip="1880", answers={tag: value}))
    assert said(read) == (OutcomeKind.END_APPLICATION, "card-data-malformed")


@pytest.mark.parametrize("aip", ["1880", "1980"])
def test_no_approval_is_asked_for_where_no_signature_will_prove_it(hold: Hold, aip: str) -> None:
    """Also where neither acquirer nor issuer would mind: no CDA, and CDA without the scheme's key."""
    card = MchipCard(aip=aip, changes=IGNORED)
    assert hold(card, NO_FINDING_COUNTS, ca_keys=CaKeyStore()).outcome.kind is OutcomeKind.ONLINE_REQUEST
    assert card.asked(GENERATE)[0][2] & 0xC0 == 0x80


@pytest.mark.parametrize(
    "cdol1",
    [CDOL1.replace("9F0206", "9F0203"), CDOL1.replace("9F0206", ""), CDOL1.replace("9F3704", "9F3702")],
    ids=["half-the-amount", "no-amount", "half-the-number"],
)
def test_no_approval_is_asked_for_that_would_not_cover_this_amount(hold: Hold, cdol1: str) -> None:
    card = MchipCard(changes={0x8C: cdol1})
    hold(card)
    assert card.asked(GENERATE)[0][2] & 0xC0 == 0x80


def test_a_list_the_issuer_did_not_sign_brings_no_approval(hold: Hold) -> None:
    card = MchipCard(changes={0x8C: None}, fci={0x8C: CDOL1})
    assert hold(card).outcome.kind is OutcomeKind.ONLINE_REQUEST
    assert card.asked(GENERATE)[0][2] & 0xC0 == 0x80


def test_a_floor_limit_of_the_terminal_counts_where_the_reader_has_none(hold: Hold) -> None:
    none = {0xDF8123: ""}
    assert hold(MchipCard(), none, terminal_floor_limit_minor=99).outcome.kind is OutcomeKind.ONLINE_REQUEST
    assert hold(MchipCard(), none, terminal_floor_limit_minor=100).outcome.kind is OutcomeKind.APPROVED
    assert hold(MchipCard(), none).outcome.kind is OutcomeKind.APPROVED


@pytest.mark.parametrize("amount_minor", [1, 5_000, 5_001, 10_001, 999_999_999_999])
def test_whatever_the_amount_only_an_allowed_way_is_asked_for(hold: Hold, amount_minor: int) -> None:
    for card in (MchipCard(), MchipCard(changes=IGNORED), MchipCard(gives="TC")):
        read = hold(card, NO_FINDING_COUNTS, amount=Money(amount_minor), offline_allowed=False)
        assert read.outcome.kind is not OutcomeKind.APPROVED
        assert card.asked(GENERATE)[0][2] & 0xC0 != 0x40


def test_a_card_listed_meanwhile_is_not_taken_from_a_recovered_approval(hold: Hold) -> None:
    torn_on, recoverable = {0xDF811D: "01"}, MchipCard(changes={0x9F51: "9F3704"})
    recoverable.leaves_at.append(GENERATE)
    record = hold(recoverable, torn_on).torn_record
    assert record is not None
    listed = frozenset({hashlib.sha256(PAN.encode()).digest()})
    read = hold(recoverable, torn_on, torn_records=(record,), exceptions=listed)
    assert (said(read), len(recoverable.asked(RECOVER))) == ((OutcomeKind.DECLINED, "exception-list"), 1)
    assert (read.data[0x95].hex(), read.tvr.hex()) == ("0000000001", "1000000001")


def test_nothing_that_holds_the_number_or_is_not_the_cards_to_say_goes_on(hold: Hold) -> None:
    """The card's certificate gives its number to everybody who has the public keys (EMV Book 2, Table 14)."""
    read = hold(MchipCard(changes={0x8A: "5931", 0x84: "A0000000031010", 0x9F5B: "2000000000"}, aip="1880"))
    assert not {0x9F46, 0x9F2D, 0x8A, 0x9F5B} & set(read.data)
    assert read.data[0x84].hex().upper() == "A0000000041010"
