"""qPBOC against cards that do as they please: status words, missing data, lies, nonsense."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taptill.card.outcome import Cvm, MessageId, OutcomeKind, Start
from taptill.card.reader import CardLost
from taptill.card.tlv import encode_tlv

Tap = Callable[..., Any]
AID = bytes.fromhex("A000000333010101")
# PPSE, FCI and GPO answer after a recorded UnionPay tap (qpboc-kernel's run log), test number 6299999999999999.
PPSE = bytes.fromhex(
    "6F30840E325041592E5359532E4444463031A51EBF0C1B61194F08A000000333010101500A50424F432044454249548701019000"
)
FCI = bytes.fromhex(
    "6F598408A000000333010101A54D500A50424F432044454249548701019F38189F66049F02069F03069F1A0295055F2A029A039C019F3704"
    "5F2D027A689F1101019F120A50424F43204445424954BF0C0A9F4D020B0ADF4D020C0A9000"
)
ANSWER = {
    0x82: "7C00",
    0x9F36: "0ADC",
    0x57: "6299999999999999D201120101234567",
    0x9F10: "07010103A00000010A010000038787868FD1FC",
    0x9F26: "AD03EE811AFAD484",
    0x5F34: "00",
    0x9F6C: "0000",
}


def gpo_answer(**changes: str | None) -> bytes:
    values: dict[int, str | None] = dict(ANSWER)
    values.update({int(tag[1:], 16): value for tag, value in changes.items()})
    body = b"".join(encode_tlv(tag, bytes.fromhex(value)) for tag, value in values.items() if value is not None)
    return encode_tlv(0x77, body) + b"\x90\x00"


def card(options: bytes, fci: bytes = FCI, ppse: bytes = PPSE) -> Callable[[bytes], bytes]:
    def answer(command: bytes) -> bytes:
        if command[1] == 0xA4:
            return ppse if b"2PAY" in command else fci
        return options if command[1] == 0xA8 else b"\x6a\x83"

    return answer


def test_the_recorded_tap_asks_the_issuer_after_three_commands(tap: Tap) -> None:
    read, commands = tap(card(gpo_answer()), offline_allowed=False)
    assert read.outcome.kind is OutcomeKind.ONLINE_REQUEST
    assert read.outcome.ui_on_outcome.message is MessageId.CARD_READ_OK
    assert len(commands) == 3
    # PDOL 9F66 9F02 9F03 9F1A 95 5F2A 9A 9C 9F37, online cryptogram asked for, no online PIN claimed.
    told = "83212280008000000000010000000000000001560000000000015620060100" + "2B29EBE4"
    assert commands[2].hex().upper() == "80A8000023" + told + "00"
    assert read.label == "PBOC DEBIT"


def test_what_the_terminal_says_of_the_sale_goes_to_the_host_with_what_the_card_said(tap: Tap) -> None:
    read, _ = tap(card(gpo_answer()))
    for tag in (0x9F26, 0x9F27, 0x9F10, 0x9F37, 0x9F36, 0x95, 0x9A, 0x9C, 0x9F02, 0x5F2A, 0x82, 0x9F1A, 0x9F03):
        assert tag in read.data
    for tag in (0x9F33, 0x9F34, 0x9F35, 0x84, 0x9F41, 0x9F1E, 0x9F6C, 0x5F34, 0x50, 0x9F12):
        assert tag in read.data
    assert "6299" not in repr(read)


@pytest.mark.parametrize(
    ("sw", "kind", "reason"),
    [
        ("6984", OutcomeKind.TRY_ANOTHER_INTERFACE, "card-wants-another-interface"),
        ("6985", OutcomeKind.END_APPLICATION, "card-refused"),
        ("6986", OutcomeKind.TRY_AGAIN, "card-wants-its-owner"),
        ("6283", OutcomeKind.END_APPLICATION, "gpo-refused-6283"),
        ("6F00", OutcomeKind.END_APPLICATION, "gpo-refused-6F00"),
    ],
)
def test_a_status_word_of_the_options_is_an_outcome(tap: Tap, sw: str, kind: OutcomeKind, reason: str) -> None:
    read, _ = tap(card(bytes.fromhex(sw)))
    assert (read.outcome.kind, read.outcome.reason) == (kind, reason)


def test_a_phone_that_wants_its_owner_is_presented_again_after_see_phone(tap: Tap) -> None:
    read, _ = tap(card(bytes.fromhex("6986")))
    assert read.outcome.start is Start.B
    assert read.outcome.ui_on_restart.message is MessageId.SEE_PHONE


@pytest.mark.parametrize(
    ("changes", "kind", "reason"),
    [
        ({"t9F26": None}, OutcomeKind.END_APPLICATION, "data-missing-9F26"),
        ({"t82": None}, OutcomeKind.END_APPLICATION, "data-missing-82"),
        ({"t57": None}, OutcomeKind.END_APPLICATION, "data-missing-57"),
        ({"t57": "1234"}, OutcomeKind.END_APPLICATION, "data-missing-57"),
        ({"t5A": "6228000100001117"}, OutcomeKind.END_APPLICATION, "card-numbers-differ"),
        ({"t9F10": "0701"}, OutcomeKind.END_APPLICATION, "no-cryptogram"),
        ({"t9F10": "0701010380000001"}, OutcomeKind.DECLINED, "card-declined"),
        ({"t9F27": "00"}, OutcomeKind.DECLINED, "card-declined"),
        ({"t9F27": "40"}, OutcomeKind.END_APPLICATION, "afl-malformed"),
        ({"t9F27": "40", "t94": "08010100"}, OutcomeKind.END_APPLICATION, "record-refused"),
        ({"t9F27": "40", "t94": "0801FF00"}, OutcomeKind.END_APPLICATION, "afl-malformed"),
        ({"t9F27": "C0"}, OutcomeKind.END_APPLICATION, "no-cryptogram"),
    ],
)
def test_what_the_card_leaves_out_or_gets_wrong_is_named(
    tap: Tap, changes: dict[str, str | None], kind: OutcomeKind, reason: str
) -> None:
    read, _ = tap(card(gpo_answer(**changes)))
    assert (read.outcome.kind, read.outcome.reason) == (kind, reason)


def test_the_same_data_twice_with_two_values_ends_the_application(tap: Tap) -> None:
    body = gpo_answer()[2:-2] + encode_tlv(0x9F36, b"\x00\x01")
    read, _ = tap(card(encode_tlv(0x77, body) + b"\x90\x00"))
    assert read.outcome.reason == "data-twice-9F36"


def test_the_same_data_twice_with_one_value_is_one(tap: Tap) -> None:
    body = gpo_answer()[2:-2] + encode_tlv(0x9F36, bytes.fromhex("0ADC"))
    assert tap(card(encode_tlv(0x77, body) + b"\x90\x00"))[0].outcome.kind is OutcomeKind.ONLINE_REQUEST


def reading(options: bytes, record: bytes) -> Callable[[bytes], bytes]:
    """A card with one record, SFI 1 record 1."""
    whole = encode_tlv(0x70, record) + b"\x90\x00"
    return lambda command: whole if command[1:4] == b"\xb2\x01\x0c" else card(options)(command)


@pytest.mark.parametrize(
    "record",
    [
        encode_tlv(0x57, bytes.fromhex("6299999999999999D201120101234567")),
        encode_tlv(0x5A, bytes.fromhex("6299999999999999")) + encode_tlv(0x5F24, bytes.fromhex("201130")),
    ],
)
def test_what_the_options_leave_out_online_is_read_from_the_records(tap: Tap, record: bytes) -> None:
    read, commands = tap(reading(gpo_answer(t57=None, t94="08010100"), record))
    assert read.outcome.kind is OutcomeKind.ONLINE_REQUEST
    assert read.number.pan.reveal() == b"6299999999999999"
    assert read.number.expiry_yymm == "2011"
    assert [command[1] for command in commands] == [0xA4, 0xA4, 0xA8, 0xB2]


def test_a_card_that_gave_all_online_is_not_read_even_if_it_lists_records(tap: Tap) -> None:
    read, commands = tap(card(gpo_answer(t94="08010100")))
    assert read.outcome.kind is OutcomeKind.ONLINE_REQUEST
    assert len(commands) == 3


def test_a_number_without_a_track_is_enough(tap: Tap) -> None:
    read, _ = tap(card(gpo_answer(t57=None, t5A="6299999999999999", t5F24="201130")))
    assert (read.outcome.kind, read.number.track2.reveal()) == (OutcomeKind.ONLINE_REQUEST, b"")


def test_options_in_format_1_may_leave_the_cryptogram_to_the_records(tap: Tap) -> None:
    kept = (0x9F36, 0x57, 0x9F10, 0x9F26)
    record = b"".join(encode_tlv(tag, bytes.fromhex(ANSWER[tag])) for tag in kept)
    read, _ = tap(reading(bytes.fromhex("80067C00080101009000"), record))
    assert read.outcome.kind is OutcomeKind.ONLINE_REQUEST


@pytest.mark.parametrize(
    ("ttq", "kind"), [("26000080", OutcomeKind.END_APPLICATION), ("36000080", OutcomeKind.TRY_ANOTHER_INTERFACE)]
)
def test_a_card_that_wants_a_full_transaction_is_sent_to_the_contact_reader(
    tap: Tap, ttq: str, kind: OutcomeKind
) -> None:
    read, commands = tap(card(gpo_answer(t9F26=None)), ttq=bytes.fromhex(ttq))
    assert (read.outcome.kind, read.outcome.reason) == (kind, "data-missing-9F26")
    assert 0xAE not in {command[1] for command in commands}  # no GENERATE AC after fast options


@pytest.mark.parametrize(("cvr", "given"), [("80", "AAC"), ("90", "TC"), ("A0", "ARQC")])
def test_the_kind_of_cryptogram_is_read_from_the_card_s_verification_results(tap: Tap, cvr: str, given: str) -> None:
    options = gpo_answer(t9F10=f"07010103{cvr}000001", t94="08010100")
    read, _ = tap(reading(options, encode_tlv(0x5F24, bytes.fromhex("391231"))))
    assert read.cryptogram_type.name == given
    assert read.data[0x9F27].hex() == {"AAC": "00", "TC": "40", "ARQC": "80"}[given]


@pytest.mark.parametrize(("floor_minor", "online"), [(None, "22000080"), (1_00, "22000080"), (99, "22800080")])
def test_only_what_is_above_the_floor_has_to_go_online(tap: Tap, floor_minor: int | None, online: str) -> None:
    _, commands = tap(card(gpo_answer()), floor_limit_minor=floor_minor)
    assert commands[2][7:11].hex() == online


def test_what_may_still_be_spent_offline_is_shown(tap: Tap) -> None:
    ui = tap(card(gpo_answer(t9F5D="000000038787")))[0].outcome.ui_on_outcome
    assert (ui.value_qualifier, ui.value_minor, ui.currency) == ("balance", 38787, "156")
    assert tap(card(gpo_answer(t9F5D="00000003878F")))[0].outcome.ui_on_outcome.value_minor is None


def test_an_offline_only_reader_asks_nobody(tap: Tap) -> None:
    read, _ = tap(card(gpo_answer()), ttq=bytes.fromhex("2E000080"))
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.DECLINED, "reader-is-offline-only")


def test_options_in_format_1_hold_no_cryptogram(tap: Tap) -> None:
    read, _ = tap(card(bytes.fromhex("80067C0008010100" + "9000")))
    assert read.outcome.kind is OutcomeKind.END_APPLICATION


def test_a_pdol_without_the_reader_s_qualifiers_wants_another_interface(tap: Tap) -> None:
    fci = encode_tlv(0x6F, encode_tlv(0x84, AID) + encode_tlv(0xA5, encode_tlv(0x9F38, b"\x9f\x37\x04")))
    read, _ = tap(card(gpo_answer(), fci + b"\x90\x00"))
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.TRY_ANOTHER_INTERFACE, "pdol-without-ttq")


def test_a_consumer_device_is_believed_by_its_online_cryptogram(tap: Tap) -> None:
    read, _ = tap(card(gpo_answer(t9F6C="0080")), cvm_limit_minor=0)
    assert read.outcome.cvm is Cvm.CONSUMER_DEVICE


def test_online_pin_without_a_pad_is_declined_and_with_one_asked(tap: Tap) -> None:
    wants_pin = card(gpo_answer(t9F6C="8000"))
    assert tap(wants_pin, cvm_limit_minor=0)[0].outcome.reason == "no-pin-pad"
    assert tap(wants_pin, cvm_limit_minor=0, pin_pad=True)[0].outcome.cvm is Cvm.ONLINE_PIN


def test_a_card_that_leaves_is_tried_again(tap: Tap) -> None:
    def leaving(command: bytes) -> bytes:
        if command[1] == 0xA8:
            raise CardLost("gone", where="reader")
        return card(b"")(command)

    read, _ = tap(leaving)
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.TRY_AGAIN, "card-lost")


def test_more_data_and_a_wrong_length_are_followed_up(tap: Tap) -> None:
    whole = gpo_answer()

    def chaining(command: bytes) -> bytes:
        if command[1] == 0xA8:
            return b"\x61" + bytes([len(whole) - 2])
        if command[1] == 0xC0:
            return whole
        if b"2PAY" in command and command[-1] != 0x30:
            return b"\x6c\x30"
        return card(b"")(command)

    assert tap(chaining)[0].outcome.kind is OutcomeKind.ONLINE_REQUEST


def test_a_card_that_chains_without_end_is_left(tap: Tap) -> None:
    read, commands = tap(lambda command: b"\x61\x10")
    assert read.outcome.kind is OutcomeKind.END_APPLICATION
    assert len(commands) < 20


GROUNDS = st.sampled_from([PPSE, FCI, gpo_answer(), gpo_answer(t9F27="40", t94="08010300"), b"\x90\x00", b"\x61\x05"])
BYTES = st.binary(max_size=60)


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """A sensible answer with some bytes changed or cut, or any bytes with a status word or without."""
    octets = bytearray(draw(GROUNDS))
    for _ in range(draw(st.integers(0, 3))):
        octets[draw(st.integers(0, len(octets) - 1))] = draw(st.integers(0, 255))
    return draw(st.sampled_from([bytes(octets), bytes(octets)[: draw(st.integers(0, len(octets)))], draw(BYTES)]))


@settings(max_examples=300, deadline=None)
@given(options=answers(), fci=st.one_of(st.just(FCI), answers()), ppse=st.one_of(st.just(PPSE), answers()), other=BYTES)
def test_no_card_makes_the_terminal_fall_over(tap: Tap, options: bytes, fci: bytes, ppse: bytes, other: bytes) -> None:
    def hostile(command: bytes) -> bytes:
        return other if command[1] not in (0xA4, 0xA8) else card(options, fci, ppse)(command)

    read, commands = tap(hostile)
    assert isinstance(read.outcome.kind, OutcomeKind)
    assert read.outcome.kind is not OutcomeKind.APPROVED
    assert len(commands) < 600
