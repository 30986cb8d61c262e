"""EMV mode against a card that does as it pleases: what is asked for, what is proven, what becomes of it."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from tests.card.c2.conftest import Hold
from tests.card.c2.mchip_card import CRYPTOGRAM, GENERATE, PAN, RECORD, MchipCard

from taptill.amount.money import Money
from taptill.card.outcome import CardRead, CryptogramType, Cvm, MessageId, OdaMethod, OdaVerdict, OutcomeKind, Start
from taptill.card.proof.ca_keys import CaKeyStore


def said(read: CardRead) -> tuple[OutcomeKind, str]:
    return read.outcome.kind, read.outcome.reason


def test_a_small_sale_is_approved_offline_on_a_combined_signature(hold: Hold) -> None:
    card = MchipCard()
    read = hold(card)
    assert said(read) == (OutcomeKind.APPROVED, "")
    assert (read.oda.method, read.oda.verdict, read.oda.test_key) == (OdaMethod.CDA, OdaVerdict.PASSED, True)
    assert card.asked(GENERATE)[0][2] == 0x50
    assert card.sent[0x95].hex() == "0000000001"  # relay resistance was not performed
    assert read.tvr == read.data[0x95] == card.sent[0x95]
    assert (read.cryptogram_type, read.data[0x9F26], read.data[0x9F27]) == (CryptogramType.TC, CRYPTOGRAM, b"\x40")
    assert read.kernel == "C-2"
    assert read.number is not None
    assert read.number.pan.reveal().decode() == PAN
    assert PAN not in repr(read)
    assert not {0x5A, 0x57, 0x9F5E} & set(read.data)


def test_a_card_may_write_its_lengths_in_the_long_form(hold: Hold) -> None:
    read = hold(MchipCard(long_lengths=True))
    assert said(read) == (OutcomeKind.APPROVED, "")
    assert (read.oda.verdict, read.data[0x9F27]) == (OdaVerdict.PASSED, b"\x40")


def test_no_card_says_what_is_the_terminal_s_to_say(hold: Hold) -> None:
    claims: dict[int, str | None] = {0x9F02: "000000000001", 0x95: "FFFFFFFFFF", 0x9F37: "00000000", 0x9F35: "26"}
    card = MchipCard(changes=claims)
    read = hold(card)
    assert read.oda.verdict is OdaVerdict.PASSED
    for where in (card.sent, read.data):
        told = [where[tag].hex() for tag in (0x9F02, 0x95, 0x9F37, 0x9F35)]
        assert told == ["000000000100", "0000000001", "2b29ebe4", "22"]


def test_above_the_floor_limit_the_issuer_is_asked(hold: Hold) -> None:
    card = MchipCard()
    read = hold(card, amount=Money(5001))
    assert said(read) == (OutcomeKind.ONLINE_REQUEST, "")
    assert card.asked(GENERATE)[0][2] == 0x90
    assert card.sent[0x95].hex() == "0000008001"
    assert (read.outcome.cvm, read.data[0x9F34].hex()) == (Cvm.NONE, "1f0302")
    assert read.oda.verdict is OdaVerdict.PASSED


def test_at_the_floor_limit_it_is_not(hold: Hold) -> None:
    assert hold(MchipCard(), amount=Money(5000)).outcome.kind is OutcomeKind.APPROVED


def test_where_offline_is_closed_no_offline_approval_is_asked_for(hold: Hold) -> None:
    card = MchipCard()
    assert hold(card, offline_allowed=False).outcome.kind is OutcomeKind.ONLINE_REQUEST
    assert card.asked(GENERATE)[0][2] == 0x90
    read = hold(MchipCard(gives="TC"), offline_allowed=False)
    assert said(read) == (OutcomeKind.END_APPLICATION, "cryptogram-not-asked-for")


def test_a_listed_card_goes_online(hold: Hold) -> None:
    listed = frozenset({hashlib.sha256(PAN.encode()).digest()})
    card = MchipCard()
    read = hold(card, exceptions=listed)
    assert read.outcome.kind is OutcomeKind.ONLINE_REQUEST
    assert card.sent[0x95].hex() == "1000000001"


def test_above_the_cvm_limit_a_signature_is_wanted_where_there_is_no_pin_pad(hold: Hold) -> None:
    read = hold(MchipCard(), {0xDF8118: "60", 0xDF8123: "000000900000"}, amount=Money(10_001))
    assert said(read) == (OutcomeKind.APPROVED, "")
    assert (read.outcome.cvm, read.data[0x9F34].hex(), read.data[0x9F33].hex()) == (Cvm.SIGNATURE, "1e0300", "002008")
    assert read.outcome.ui_on_outcome is not None
    assert read.outcome.ui_on_outcome.message is MessageId.APPROVED_PLEASE_SIGN
    read = hold(MchipCard(), {0xDF8118: "60"}, amount=Money(10_001), pin_pad=True)
    assert (read.outcome.cvm, read.data[0x9F34].hex(), read.data[0x9F33].hex()) == (Cvm.ONLINE_PIN, "420300", "006008")


def test_above_the_cvm_limit_without_any_way_to_verify_there_is_no_sale(hold: Hold) -> None:
    card = MchipCard(changes={0x8E: "00000000000000000203"})
    read = hold(card, amount=Money(10_001))
    assert said(read) == (OutcomeKind.DECLINED, "no-pin-pad")
    assert card.asked(GENERATE)[0][2] == 0x00
    assert read.data[0x9F34].hex() == "3f0001"


def test_a_phone_that_verified_its_owner_needs_no_signature(hold: Hold) -> None:
    phone = MchipCard(aip="1B80")
    read = hold(phone, amount=Money(10_001))
    assert (read.outcome.kind, read.outcome.cvm) == (OutcomeKind.ONLINE_REQUEST, Cvm.CONSUMER_DEVICE)
    assert read.data[0x9F34].hex() == "010002"
    read = hold(MchipCard(aip="1B80"), amount=Money(100))
    assert (read.outcome.cvm, read.data[0x9F34].hex()) == (Cvm.NONE, "3f0002")


def test_a_device_whose_word_cannot_be_proven_is_declined(hold: Hold) -> None:
    phone = MchipCard(aip="1B80")
    read = hold(phone, ca_keys=CaKeyStore())
    assert said(read) == (OutcomeKind.DECLINED, "card-declined")
    assert phone.asked(GENERATE)[0][2] == 0x00


def test_without_the_ca_key_no_signature_is_asked_for_and_the_issuer_decides(hold: Hold) -> None:
    card = MchipCard()
    read = hold(card, ca_keys=CaKeyStore())
    assert said(read) == (OutcomeKind.ONLINE_REQUEST, "")
    assert card.asked(GENERATE)[0][2] == 0x80
    assert card.sent[0x95].hex() == "0400000001"
    assert read.oda.verdict is OdaVerdict.NOT_PERFORMED


def test_a_card_without_cda_is_told_so_in_the_tvr(hold: Hold) -> None:
    card = MchipCard(aip="1880")
    assert hold(card).outcome.kind is OutcomeKind.ONLINE_REQUEST
    assert card.sent[0x95].hex() == "8000000001"


@pytest.mark.parametrize("format_1", [False, True])
def test_both_formats_of_an_unsigned_answer_are_read(hold: Hold, format_1: bool) -> None:
    read = hold(MchipCard(aip="1880", format_1=format_1))
    assert said(read) == (OutcomeKind.ONLINE_REQUEST, "")
    assert read.data[0x9F10].hex() == "0110900009248400000000000000000029ff"
    assert read.data[0x9F26] == CRYPTOGRAM


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        (MchipCard(spoilt=True), "oda-failed"),
        (MchipCard(changes={0x9F46: "00" * 128}), "oda-failed"),
        (MchipCard(answers={0x9F4B: None, 0x9F26: "11" * 8}), "card-gives-no-signature"),
        (MchipCard(answers={0x9F4B: None}), "no-cryptogram"),
        (MchipCard(answers={0x9F27: None}), "no-cryptogram"),
        (MchipCard(answers={0x9F36: None}), "no-cryptogram"),
        (MchipCard(answers={0x9F27: "C0"}), "no-cryptogram"),
        (MchipCard(format_1=True), "card-gives-no-signature"),
        (MchipCard(answers={0x82: "0000"}), "data-twice-82"),
        (MchipCard(changes={0x8C: None}), "data-missing-8C"),
        (MchipCard(changes={0x5A: None}), "data-missing-5A"),
        (MchipCard(changes={0x5F24: None}), "data-missing-5F24"),
        (MchipCard(changes={0x9F4A: None}), "static-data-tag-list-wrong"),
        (MchipCard(changes={0x9F4A: "8294"}), "static-data-tag-list-wrong"),
        (MchipCard(changes={0x5A: "5413339000001521"}), "card-numbers-differ"),
        (MchipCard(afl="0801"), "afl-malformed"),
        (MchipCard(aip="19"), "gpo-response-malformed"),
        (MchipCard(aip="0000"), "magstripe-only"),
        (MchipCard(refuses={GENERATE: "6985"}), "cryptogram-refused-6985"),
        (MchipCard(refuses={RECORD: "6A83"}), "record-refused"),
    ],
)
def test_a_card_that_breaks_a_rule_ends_its_application(hold: Hold, card: MchipCard, reason: str) -> None:
    read = hold(card)
    assert said(read) == (OutcomeKind.END_APPLICATION, reason)
    assert read.outcome.ui_on_outcome is not None
    assert read.outcome.ui_on_outcome.message is MessageId.INSERT_SWIPE_OR_TRY_ANOTHER_CARD


def test_a_false_signature_is_a_finding(hold: Hold) -> None:
    read = hold(MchipCard(spoilt=True))
    assert (read.tvr.hex(), read.data[0x95].hex()) == ("0400000001", "0000000001")


def test_a_decline_comes_without_signature_unless_the_card_can_sign_declines(hold: Hold) -> None:
    read = hold(MchipCard(gives="AAC"))
    assert said(read) == (OutcomeKind.DECLINED, "card-declined")
    denied: dict[int, str | None] = {0x9F0E: "0000000001"}
    plain, signing = MchipCard(changes=denied), MchipCard(changes=denied, fci={0x9F5D: "010100"})
    assert hold(plain).oda.verdict is OdaVerdict.NOT_PERFORMED
    assert hold(signing).oda.verdict is OdaVerdict.PASSED
    assert (plain.asked(GENERATE)[0][2], signing.asked(GENERATE)[0][2]) == (0x00, 0x10)


def test_a_declined_plain_card_may_be_inserted_where_there_is_a_slot(hold: Hold) -> None:
    slot = {0xDF8117: "40"}
    assert hold(MchipCard(gives="AAC"), slot).outcome.kind is OutcomeKind.TRY_ANOTHER_INTERFACE
    phone = MchipCard(gives="AAC", changes={0x9F6E: "0056000030310000"})
    assert hold(phone, slot).outcome.kind is OutcomeKind.DECLINED
    card = MchipCard(gives="AAC", changes={0x9F6E: "0056000030300000"})
    assert hold(card, slot).outcome.kind is OutcomeKind.TRY_ANOTHER_INTERFACE


@pytest.mark.parametrize(("asked", "message"), [("000001", 0x20), ("000800", None), ("000200", 0x20), ("00000A", 0x07)])
def test_a_phone_may_want_its_owner_first(hold: Hold, asked: str, message: int | None) -> None:
    read = hold(MchipCard(answers={0xDF4B: asked}))
    if message is None:
        assert read.outcome.kind is OutcomeKind.APPROVED
        return
    assert said(read) == (OutcomeKind.TRY_AGAIN, "card-wants-its-owner")
    assert read.outcome.start is Start.B
    assert read.outcome.ui_on_outcome is not None
    assert (read.outcome.ui_on_outcome.message, read.outcome.ui_on_outcome.hold_ms) == (MessageId(message), 1300)


def test_limits_are_of_the_verification_the_card_can_do(hold: Hold) -> None:
    limits: Any = {0xDF8124: "000000000999", 0xDF8125: "000000002000"}
    assert hold(MchipCard(), limits, amount=Money(999)).outcome.kind is OutcomeKind.APPROVED
    assert said(hold(MchipCard(), limits, amount=Money(1000)))[1] == "amount-not-allowed"
    assert hold(MchipCard(aip="1B80"), limits, amount=Money(2000)).outcome.kind is OutcomeKind.APPROVED
    assert said(hold(MchipCard(aip="1B80"), limits, amount=Money(2001)))[1] == "amount-not-allowed"


def test_an_expired_card_goes_online_and_an_action_code_may_deny_it(hold: Hold) -> None:
    expired = MchipCard(changes={0x5F24: "200131"})
    assert hold(expired).outcome.kind is OutcomeKind.ONLINE_REQUEST
    assert expired.sent[0x95].hex() == "0040000001"
    denied = MchipCard(changes={0x5F24: "200131"})
    assert hold(denied, {0xDF8121: "0040000000"}).outcome.kind is OutcomeKind.DECLINED


def test_action_codes_the_card_leaves_out_count_every_finding_but_relay_resistance(hold: Hold) -> None:
    none: dict[int, str | None] = {0x9F0D: None, 0x9F0E: None, 0x9F0F: None}
    assert hold(MchipCard(changes=none)).outcome.kind is OutcomeKind.APPROVED
    other_version = MchipCard(changes=none | {0x9F08: "0003"})
    assert hold(other_version).outcome.kind is OutcomeKind.ONLINE_REQUEST


def test_a_terminal_that_is_offline_only_asks_for_no_issuer(hold: Hold) -> None:
    card = MchipCard(changes={0x9F08: "0003"})
    assert hold(card, terminal_type=0x26).outcome.kind is OutcomeKind.APPROVED
    assert hold(MchipCard(), {0x9F35: "26"}, amount=Money(5001)).outcome.kind is OutcomeKind.DECLINED


def test_an_application_the_card_refuses_is_dropped(hold: Hold) -> None:
    read = hold(MchipCard(refuses={0xA8: "6985"}))
    assert said(read) == (OutcomeKind.END_APPLICATION, "gpo-refused-6985")


def test_a_device_that_watches_the_field_is_given_its_end(hold: Hold) -> None:
    assert hold(MchipCard(fci={0x9F5D: "010400"})).outcome.field_off_hold_ms == 1300
    assert hold(MchipCard(fci={0x9F5D: "010300"})).outcome.field_off_hold_ms is None
