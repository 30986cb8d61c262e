"""How the software card behaves in a tap: what it decides, what it says, what it remembers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taplab.card import CardState, Scheme, load_card, packaged_cards
from taptill.card.tlv import find_all, parse_tlv
from taptill.entropy import SystemEntropy

ONLINE_REQUIRED = bytes.fromhex("26800080")
OFFLINE_ONLY = bytes.fromhex("2E000080")
TapACard = Callable[..., Any]


def processed(tap: TapACard, name: str, **terminal: bytes) -> Any:
    tapped = tap(name, **terminal)
    assert tapped.process() == "9000"
    return tapped


def cryptogram_type(tapped: Any) -> str:
    return {0x00: "AAC", 0x10: "TC", 0x20: "ARQC"}[tapped.got[0x9F10][4] & 0x30]


def test_the_ppse_names_unionpay_credit_and_no_kernel(tap: TapACard) -> None:
    tapped = tap("good_credit")
    ppse, _ = tapped.command("00A40400", b"2PAY.SYS.DDF01")
    assert [tlv.value.hex() for tlv in find_all(parse_tlv(ppse), 0x4F)] == ["a000000333010102"]
    assert find_all(parse_tlv(ppse), 0x9F2A) == ()


def test_an_online_answer_has_the_data_of_a_recorded_card_and_no_file_locator(tap: TapACard) -> None:
    tapped = processed(tap, "no_9f27", _9F66=ONLINE_REQUIRED)
    inside = [f"{tlv.tag:X}" for tlv in parse_tlv(tapped.answer)[0].children]
    assert inside == ["82", "9F36", "57", "9F10", "9F26", "5F34", "9F6C", "9F5D"]  # as a BCTC test card answered
    assert cryptogram_type(tapped) == "ARQC"


def test_the_issuers_data_is_built_like_a_recorded_cards(tap: TapACard) -> None:
    """9F10 of a BCTC test card after an ARQC: 07010103A00000010A01 | balance | MAC, the balance being that of 9F5D."""
    tapped = processed(tap, "offline_funds", _9F66=ONLINE_REQUIRED)
    assert tapped.got[0x9F10][:10].hex() == "07010103a00000010a01"
    assert tapped.got[0x9F10][10:15] == tapped.got[0x9F5D][1:] == bytes.fromhex("0000020000")
    assert len(tapped.got[0x9F10]) == 19


@pytest.mark.parametrize(
    ("name", "terminal", "expected"),
    [
        ("good_credit", {}, "ARQC"),
        ("good_credit", {"_9F66": OFFLINE_ONLY}, "AAC"),
        ("offline_funds", {}, "TC"),
        ("offline_funds", {"_9F66": OFFLINE_ONLY}, "TC"),
        ("offline_funds", {"_9F66": ONLINE_REQUIRED}, "ARQC"),
        ("offline_funds", {"_9F02": bytes.fromhex("000000010000")}, "TC"),
        ("offline_funds", {"_9F02": bytes.fromhex("000000010001")}, "ARQC"),
        ("offline_funds", {"_9F02": bytes(6)}, "ARQC"),
        ("offline_funds", {"_5F2A": bytes.fromhex("0840")}, "ARQC"),
        ("offline_funds", {"_9C": b"\x20"}, "ARQC"),
        ("blocked", {"_9F66": ONLINE_REQUIRED}, "AAC"),
    ],
)
def test_the_card_decides_by_funds_and_reader(
    tap: TapACard, name: str, terminal: dict[str, bytes], expected: str
) -> None:
    tapped = processed(tap, name, **terminal)
    assert cryptogram_type(tapped) == expected
    assert tapped.got[0x9F27].hex() == {"AAC": "00", "TC": "40", "ARQC": "80"}[expected]
    assert (0x94 in tapped.got, 0x9F4B in tapped.got) == (expected == "TC",) * 2


def test_a_reader_without_qpboc_is_refused_and_costs_no_counter(tap: TapACard) -> None:
    tapped = tap("good_credit", _9F66=bytes.fromhex("06800000"))
    assert tapped.process() == "6985"
    assert tapped.card.state().atc == 0


def test_each_transaction_takes_the_next_counter_and_a_new_cryptogram(tap: TapACard) -> None:
    first = processed(tap, "good_credit")
    cryptogram = first.got[0x9F26]
    first.card.reset()
    first.select()
    first.process()
    assert first.got[0x9F36] == b"\x00\x02"
    assert first.got[0x9F26] != cryptogram


def test_processing_options_are_given_once_per_selection(tap: TapACard) -> None:
    tapped = processed(tap, "good_credit")
    assert tapped.process() == "6985"


def test_funds_are_spent_when_the_last_record_is_read(tap: TapACard) -> None:
    tapped = processed(tap, "offline_funds")
    assert tapped.got[0x9F5D].hex() == "000000017500"
    assert tapped.card.state().balance_minor == 20000
    tapped.read()
    assert tapped.card.state() == CardState(atc=1, balance_minor=17500)
    tapped.read()
    assert tapped.card.state().balance_minor == 17500


def test_a_card_pulled_before_the_last_record_has_paid_nothing(tap: TapACard) -> None:
    tapped = processed(tap, "offline_funds")
    tapped.card.reset()
    tapped.select()
    assert tapped.command("00B2021C")[1] == "9000"
    assert tapped.card.state() == CardState(atc=1, balance_minor=20000)


def test_no_data_object_comes_twice_in_an_offline_tap(tap: TapACard) -> None:
    tapped = processed(tap, "offline_funds")
    tapped.read()
    bodies = [parse_tlv(tapped.answer)[0], *(parse_tlv(record)[0] for record in tapped.records.values())]
    tags = [tlv.tag for body in bodies for tlv in body.children]
    assert sorted(set(tags)) == sorted(tags)


def test_the_expiry_is_known_before_the_last_record_and_9f69_comes_in_it(tap: TapACard) -> None:
    tapped = processed(tap, "offline_funds")
    tapped.read()
    last = max(tapped.records)
    tags = {place: {tlv.tag for tlv in parse_tlv(record)[0].children} for place, record in tapped.records.items()}
    assert [place for place, found in tags.items() if 0x5F24 in found] != [last]
    assert [place for place, found in tags.items() if 0x9F69 in found] == [last]
    assert tapped.got[0x9F69][0] == 1
    assert tapped.got[0x9F69][5:7] == tapped.got[0x9F6C]


@pytest.mark.parametrize(
    ("ttq", "qualifiers"), [("26000080", "0000"), ("26400080", "8000"), ("22400080", "4000"), ("20400080", "0000")]
)
def test_cardholder_verification_is_what_both_sides_know(tap: TapACard, ttq: str, qualifiers: str) -> None:
    assert processed(tap, "good_credit", _9F66=bytes.fromhex(ttq)).got[0x9F6C].hex() == qualifiers


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("00A4040007A000000333010200", "6a82"),  # 7-byte name of another product
        ("00A4040007A0000003330101", "9000"),  # shorter name
        ("00A4040207A0000003330101", "6a82"),  # no second application
        ("00A40400", "6a82"),
        ("00A4040008A0000003", "6700"),
        ("80A8000002830000", "6700"),
        ("80A80000028301", "6a80"),
        ("00B20124", "6a83"),
        ("00B2010F", "6a80"),
        ("80CA9F3600", "9000"),
        ("80CA9F1700", "6a88"),
        ("80AE800000", "6d00"),
        ("FFCA000000", "6e00"),
        ("0084", "6700"),
        ("", "6700"),
    ],
)
def test_other_commands_get_their_status_word(tap: TapACard, command: str, status: str) -> None:
    card = tap("good_credit").card
    if not command.startswith("00A4"):
        card.answer(bytes.fromhex("00A4040008A000000333010102"))
    assert card.answer(bytes.fromhex(command)).octets[-2:].hex() == status


def test_a_card_that_refuses_answers_6985(tmp_path: Path, scheme: Scheme, tap: TapACard) -> None:
    file = tmp_path / "refusing.toml"
    blocked = packaged_cards()["blocked"].read_text(encoding="utf-8")
    file.write_text(blocked.replace('"aac"', '"6985"'), encoding="utf-8")
    assert tap(load_card(file, scheme, SystemEntropy())).process() == "6985"


def test_the_slow_card_says_how_slow_it_is(tap: TapACard) -> None:
    tapped = tap("slow")
    filled = b"".join(tapped.sent[tag] for tag in (0x9F66, 0x9F02, 0x9F03, 0x9F1A, 0x95, 0x5F2A, 0x9A, 0x9C, 0x9F37))
    command = bytes.fromhex("80A80000") + bytes([len(filled) + 2, 0x83, len(filled)]) + filled + b"\x00"
    assert tapped.card.answer(command).compute_ms == 900


def test_random_uids_begin_with_08_and_change_at_reset(tap: TapACard) -> None:
    card = tap("good_credit").card
    first = card.uid
    card.reset()
    assert (len(first), first[0], card.uid[0]) == (4, 8, 8)
    assert card.uid != first


def test_the_atr_is_what_a_reader_makes_of_the_ats(tap: TapACard) -> None:
    card = tap("good_credit").card
    assert card.ats[0] == len(card.ats)
    assert card.atr.hex() == "3b868001" + b"TapLab".hex() + "0d"
