"""Where the records are, what is one, and data objects that come twice."""

from __future__ import annotations

from typing import Any

import pytest

from taptill.card.apdu import ResponseApdu
from taptill.card.records import RECORDS_PER_TAP_MAX, collect, parse_afl, read_records
from taptill.card.refused import Refused
from taptill.card.tlv import MalformedTlv, Tlv, encode_tlv, flatten

SAID, SAID_AGAIN, SAID_OTHERWISE = Tlv(0x5F34, b"\x00"), Tlv(0x5F34, b"\x00"), Tlv(0x5F34, b"\x01")


def read(afl: str, *answers: str) -> tuple[Any, list[str]]:
    """What `read_records` comes to, and its commands; the last answer is given for ever."""
    dialogue = read_records(bytes.fromhex(afl))
    commands: list[str] = []
    try:
        command = next(dialogue)
        while True:
            commands.append(command.encode().hex().upper())
            answer = answers[min(len(commands), len(answers)) - 1]
            command = dialogue.send(ResponseApdu.decode(bytes.fromhex(answer)))
    except StopIteration as finished:
        return finished.value, commands


def test_the_afl_names_records_in_order_and_which_of_them_are_authenticated() -> None:
    places = parse_afl(bytes.fromhex("08010301" + "F0020200"))
    assert not isinstance(places, Refused)
    assert [(place.sfi, place.number, place.authenticated) for place in places] == [
        (1, 1, True),
        (1, 2, False),
        (1, 3, False),
        (30, 2, False),
    ]


@pytest.mark.parametrize(
    "afl",
    [
        "",  # a card without AFL
        "080101",
        "0801010008",
        "00010100",  # SFI 0
        "F8010100",  # SFI 31
        "09010100",  # bits that belong to nothing
        "08000100",  # record 0
        "08020100",  # backwards
        "08010102",  # more authenticated than read
        f"0801{RECORDS_PER_TAP_MAX + 1:02X}00",
        "08012800" + "10010100",  # one above the limit, over two entries
    ],
)
def test_an_afl_that_makes_no_sense_costs_no_command(afl: str) -> None:
    assert read(afl, "9000") == (Refused("afl-malformed"), [])


def test_as_many_records_as_allowed_are_read() -> None:
    records, commands = read(f"0801{RECORDS_PER_TAP_MAX:02X}00", "70009000")
    assert (records.tlvs, len(commands)) == ((), RECORDS_PER_TAP_MAX)


def test_records_are_read_where_the_afl_says() -> None:
    records, commands = read("08010100" + "10020301", "70045F3401009000", "70009000", "70039A01019000")
    assert commands == ["00B2010C00", "00B2021400", "00B2031400"]
    assert flatten(records.tlvs) == {0x5F34: b"\x00", 0x9A: b"\x01"}
    assert [record.sfi for record in records.authenticated] == [2]


def test_padding_around_and_in_a_record_is_no_data() -> None:
    records, _ = read("08010101", "00007006005F3401000000009000")
    assert flatten(records.tlvs) == {0x5F34: b"\x00"}


def test_a_record_of_256_octets_is_read_whole() -> None:
    record = encode_tlv(0x70, encode_tlv(0x9F46, bytes(248)))
    records, _ = read("08010101", record.hex() + "00" + "9000")
    assert len(record) == 255
    assert flatten(records.tlvs) == {0x9F46: bytes(248)}


def test_a_record_beyond_the_payment_files_is_kept_for_its_signature_alone() -> None:
    assert flatten(read("50010101", "70039A01019000")[0].tlvs) == {0x9A: b"\x01"}  # SFI 10
    records, _ = read("58010101", "DEADBEEF9000")  # SFI 11: any octets at all
    assert records.tlvs == ()
    assert [record.sfi for record in records.authenticated] == [11]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("6A83", "record-refused"),
        ("70006283", "record-refused"),
        ("9000", "record-malformed"),
        ("009000", "record-malformed"),
        ("770082009000", "record-malformed"),
        ("700070009000", "record-malformed"),
        ("5F3401009000", "record-malformed"),
    ],
)
def test_what_is_no_record_ends_the_reading(answer: str, reason: str) -> None:
    assert read("08010200", answer) == (Refused(reason), ["00B2010C00"])


def test_a_cut_record_is_malformed_with_its_name() -> None:
    with pytest.raises(MalformedTlv, match="record 1 of SFI 1"):
        read("08010100", "70055F3402009000")


def test_a_data_object_may_come_again_if_it_says_the_same() -> None:
    assert collect((SAID,), (SAID_AGAIN,)) == {0x5F34: b"\x00"}
    assert collect((SAID,), (SAID_OTHERWISE,)) == Refused("data-twice-5F34")
    assert collect((SAID, SAID_OTHERWISE)) == Refused("data-twice-5F34")
    assert collect((SAID,), (Tlv(0xA5, b"", (SAID_OTHERWISE,)),)) == Refused("data-twice-5F34")


def test_where_nothing_may_come_again_the_same_is_too_much() -> None:
    assert collect((SAID,), (SAID_AGAIN,), once=True) == Refused("data-twice-5F34")
    assert collect((SAID,), (Tlv(0x9A, b"\x00"),), once=True) == {0x5F34: b"\x00", 0x9A: b"\x00"}
