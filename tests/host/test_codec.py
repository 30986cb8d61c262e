"""The message codec against a published trace, a decoder of other hands, and everything malformed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from py8583.py8583 import DT, LT, Iso8583
from py8583.py8583spec import IsoSpec1987BCD
from pyemv.tlv import decode as foreign_tlv_decode

from taptill.card.tlv import encode_tlvs, is_constructed, parse_tlv, walk
from taptill.host.codec import (
    FIELDS,
    FieldFormat,
    IsoMessage,
    Kind,
    MalformedMessage,
    PrivateData,
    answer_tpdu,
    decode_message,
    decode_private_data,
    encode_message,
    encode_private_data,
    mac_input,
    unwrap,
    wrap,
)

# A contactless sale of another maker's terminal with its decoding, published at codetd.com/article/5053461. Card
# number, track 2 and the device data of DE59 are replaced by test values of the same form.
PUBLISHED_DE55 = (
    "9F260895BBE372271DDA7C9F2701809F101307010103A00000010A010000000000ED538FE49F37047F9F349E9F3602015795050000000000"
    "9A031908309C01009F02060000000000015F2A02015682027C009F1A0201569F03060000000000009F3303E0E1C89F3501229F1E08313030"
    "30303031398408A0000003330101029F0902008C9F410400000403"
)
PUBLISHED = (
    "6000060000"
    "603100311003"
    "0200702406C020C19A31"
    "166228000100001117"
    "000000"
    "000000000001"
    "000403"
    "2806"
    "0710"
    "0000"
    "00"
    "12"
    "346228000100001117D28062013949031013"
    "3130303030303139"
    "383530313030303832343130303032"
    "000100"
    "313536"
    "D1EEF419D0AE2609"
    "2600000000000000"
    "0139" + PUBLISHED_DE55 + "0153" + "41" * 153 + "001422000024000600"
    "3846363531423236"
)
PUBLISHED_FIELDS: dict[int, str | bytes] = {
    2: "6228000100001117",
    3: "000000",
    4: "000000000001",
    11: "000403",
    14: "2806",
    22: "071",
    23: "000",
    25: "00",
    26: "12",
    35: "6228000100001117D28062013949031013"[:34],
    41: "10000019",
    42: "850100082410002",
    48: "0",
    49: "156",
    52: bytes.fromhex("D1EEF419D0AE2609"),
    53: "2600000000000000",
    55: bytes.fromhex(PUBLISHED_DE55),
    59: b"A" * 153,
    60: "22000024000600",
    64: b"8F651B26",
}


def test_a_published_message_is_read_as_published() -> None:
    wrapped = unwrap(bytes.fromhex(PUBLISHED))
    message = decode_message(wrapped.message)
    assert (wrapped.tpdu.hex(), wrapped.header.hex(), wrapped.processing_request) == ("6000060000", "603100311003", 0)
    assert message.mti == "0200"
    assert dict(message.fields) == PUBLISHED_FIELDS


def test_a_published_message_comes_out_again_byte_for_byte() -> None:
    message = encode_message(IsoMessage("0200", PUBLISHED_FIELDS))
    assert wrap(bytes.fromhex("6000060000"), bytes.fromhex("603100311003"), message).hex().upper() == PUBLISHED


def test_odd_numbers_are_padded_where_terminals_pad_them() -> None:
    """Entry mode and variable numbers behind, the card sequence number in front."""
    octets = encode_message(IsoMessage("0200", {22: "072", 23: "001", 61: "1234567"}))
    assert octets[10:].hex() == "0720" + "0001" + "000712345670"


def published_samples(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for number, sample in enumerate(document.get("samples", []), 1):
        yield f"sample {number}", sample["de55"]


@pytest.mark.vectors(folder="iso8583", cases=published_samples)
def test_published_card_data_round_trips_in_field_55(vector: str) -> None:
    octets = bytes.fromhex(vector)
    if len(octets) > FIELDS[55].length:
        with pytest.raises(MalformedMessage):
            encode_message(IsoMessage("0200", {55: octets}))
    else:
        assert decode_message(encode_message(IsoMessage("0200", {55: octets}))).octets(55) == octets
    objects = parse_tlv(octets)
    assert encode_tlvs(parse_tlv(encode_tlvs(objects))) == encode_tlvs(objects)
    leaves = (each for each in walk(objects) if not is_constructed(each.tag))
    values = {f"{each.tag:X}": each.value for each in leaves}
    assert values == foreign_tlv_decode(encode_tlvs(objects), flatten=True)


class UnionPaySpec(IsoSpec1987BCD):  # type: ignore[misc]
    """py8583's BCD table with the fields that UnionPay formats otherwise, typed from the fact sheet."""

    ContentTypes: dict[int, dict[str, Any]]
    DataTypes: dict[int, dict[str, Any]]

    def SetContentTypes(self) -> None:
        super().SetContentTypes()
        self.ContentTypes = copy.deepcopy(self.ContentTypes)
        self.ContentTypes[48] = {"ContentType": "n", "MaxLen": 322, "LenType": LT.LLLVAR}
        self.ContentTypes[60] = {"ContentType": "n", "MaxLen": 30, "LenType": LT.LLLVAR}
        self.ContentTypes[61] = {"ContentType": "n", "MaxLen": 29, "LenType": LT.LLLVAR}
        self.ContentTypes[62] = {"ContentType": "ans", "MaxLen": 512, "LenType": LT.LLLVAR}
        self.ContentTypes[55]["MaxLen"] = self.ContentTypes[59]["MaxLen"] = 998  # 999 means binary to py8583
        self.ContentTypes[55]["ContentType"] = self.ContentTypes[59]["ContentType"] = "b"

    def SetDataTypes(self) -> None:
        self.DataTypes = {}
        super().SetDataTypes()
        assert self.DataType(55) is DT.BIN


def content_of(number: int, form: FieldFormat) -> st.SearchStrategy[str | bytes]:
    shortest = form.length if form.length_octets == 0 else 1
    if form.kind is Kind.BINARY:
        return st.binary(min_size=shortest, max_size=form.length)
    alphabet = {Kind.NUMBER: "0123456789", Kind.TRACK: "0123456789D"}.get(form.kind, "ABCxyz 019-")
    return st.text(alphabet, min_size=shortest, max_size=form.length)


FOREIGN_FIELDS = {
    n: form for n, form in FIELDS.items() if n not in (36, 44, 48, 54, 63)
}  # other types in py8583's table
MESSAGES = st.builds(
    IsoMessage,
    st.from_regex(r"\A[0-9]{4}\Z"),
    st.fixed_dictionaries({}, optional={n: content_of(n, form) for n, form in FIELDS.items()}),
)
FOREIGN_MESSAGES = st.builds(
    IsoMessage,
    st.sampled_from(["0200", "0210", "0220", "0400", "0800", "0820"]),
    st.fixed_dictionaries({}, optional={n: content_of(n, form) for n, form in FOREIGN_FIELDS.items()}),
)


@given(FOREIGN_MESSAGES)
def test_a_decoder_of_other_hands_reads_every_field(message: IsoMessage) -> None:
    foreign = Iso8583(encode_message(message), UnionPaySpec())
    assert foreign.MTI() == message.mti
    assert {n for n, bit in foreign.Bitmap().items() if bit} == set(message.fields)
    for number, content in message.fields.items():
        assert foreign.FieldData(number) == in_foreign_words(number, content), f"DE{number}"


def in_foreign_words(number: int, content: str | bytes) -> Any:
    """py8583 makes integers of numbers and takes the pad nibble along."""
    if isinstance(content, bytes):
        return content.hex().upper()
    form = FIELDS[number]
    padded = content if len(content) % 2 == 0 or form.pad_left else content + "0"
    if form.kind is Kind.NUMBER:
        return int(padded)
    return padded.replace("D", "=") if form.kind is Kind.TRACK else content


@given(MESSAGES)
def test_every_message_round_trips(message: IsoMessage) -> None:
    read = decode_message(encode_message(message))
    assert (read.mti, dict(read.fields)) == (message.mti, dict(message.fields))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_a_message_or_a_declared_error(octets: bytes) -> None:
    try:
        message = decode_message(octets)
    except MalformedMessage as error:
        refusal = error
    else:
        assert encode_message(message) == octets
        return
    assert refusal.offset is not None
    assert 0 <= refusal.offset <= len(octets)


@given(st.data())
def test_a_changed_byte_gives_another_message_or_a_declared_error(data: st.DataObject) -> None:
    octets = bytearray(unwrap(bytes.fromhex(PUBLISHED)).message)
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    try:
        message = decode_message(bytes(octets))
    except MalformedMessage:
        return
    assert encode_message(message) == octets


def test_every_cut_of_a_message_is_refused_with_its_place() -> None:
    octets = unwrap(bytes.fromhex(PUBLISHED)).message
    for end in range(len(octets)):
        with pytest.raises(MalformedMessage) as refusal:
            decode_message(octets[:end])
        assert refusal.value.offset is not None
        assert refusal.value.offset <= end


def malformed() -> Iterator[Any]:
    octets = unwrap(bytes.fromhex(PUBLISHED)).message
    yield pytest.param(octets + b"\0", "DE64", len(octets), id="a byte behind the last field")
    yield pytest.param(b"\x02\x0a" + octets[2:], "MTI", 0, id="a letter in the MTI")
    yield pytest.param(octets[:2] + b"\x80" + octets[3:], "DE1", 2, id="a second bitmap")
    yield pytest.param(octets[:2] + b"\x72" + octets[3:], "DE7", 2, id="a field without format")
    yield pytest.param(octets[:10] + b"\x1a" + octets[11:], "DE2", 10, id="a letter in a length")
    yield pytest.param(octets[:10] + b"\x20" + octets[11:], "DE2", 10, id="a length over the limit")
    yield pytest.param(octets[:19] + b"\xaa" + octets[20:], "DE3", 19, id="a letter in a number")
    yield pytest.param(octets[:33] + b"\x07\x1f" + octets[35:], "DE22", 33, id="another pad nibble")
    yield pytest.param(bytes(4001), "MTI", 0, id="an oversized message")
    yield pytest.param(b"\x02\x10" + bytes(3) + b"\0\2\0\0\0" + b"\x1b[", "DE39", 10, id="a control character")


@pytest.mark.parametrize(("octets", "field_name", "offset"), list(malformed()))
def test_what_does_not_fit_the_table_is_refused_with_field_and_offset(
    octets: bytes, field_name: str, offset: int
) -> None:
    with pytest.raises(MalformedMessage) as refusal:
        decode_message(octets)
    assert (refusal.value.field_name, refusal.value.offset) == (field_name, offset)


@pytest.mark.parametrize(
    ("number", "content"),
    [(3, "00000"), (3, "00000A"), (4, b"\0" * 6), (11, ""), (41, "short"), (55, "text"), (55, bytes(256)), (7, "1")],
)
def test_content_that_does_not_fit_is_not_written(number: int, content: str | bytes) -> None:
    with pytest.raises(MalformedMessage) as refusal:
        encode_message(IsoMessage("0200", {number: content}))
    assert refusal.value.field_name == f"DE{number}"


def test_errors_and_reprs_never_show_a_card_number() -> None:
    """The pad of an odd number is wrong: the refusal names the field and nothing of it."""
    octets = bytes.fromhex("02004000000000000000" + "17" + "62280001000011170F")
    with pytest.raises(MalformedMessage) as refusal:
        decode_message(octets)
    assert "6228000100001117" not in str(refusal.value)
    assert "6228000100001117" not in repr(IsoMessage("0200", {2: "6228000100001117"}))


def test_the_mac_covers_everything_before_it() -> None:
    octets = encode_message(IsoMessage("0800", {11: "000001", 64: b"12345678"}))
    assert mac_input(octets) + b"12345678" == octets


def test_without_field_64_there_is_nothing_to_cover() -> None:
    with pytest.raises(MalformedMessage, match="no MAC"):
        mac_input(encode_message(IsoMessage("0800", {11: "000001", 62: "a longer text"})))


def test_private_data_is_a_tlv_anybody_can_read() -> None:
    private = PrivateData(bytes(12), bytes(range(200)), bytes(16), "P-1")
    octets = encode_private_data(private)
    assert foreign_tlv_decode(octets) == {
        "DF01": bytes(12),
        "DF02": bytes(range(200)),
        "DF03": bytes(16),
        "DF04": b"P-1",
    }
    assert decode_private_data(octets) == private


@pytest.mark.parametrize("octets", ["DF0101", "DF010100DF010100", "DF0501AA", "DF0401FF", "FF"])
def test_other_private_data_is_refused(octets: str) -> None:
    with pytest.raises(MalformedMessage, match="DE59"):
        decode_private_data(bytes.fromhex(octets))


def test_a_reference_that_is_not_ascii_is_not_written() -> None:
    with pytest.raises(MalformedMessage, match="not ASCII"):
        encode_private_data(PrivateData(payment_ref="单"))


def test_the_sixth_nibble_of_the_header_asks_the_terminal_for_something() -> None:
    assert unwrap(bytes.fromhex("6000000001" + "603103310000" + "0810")).processing_request == 3


def test_an_answer_travels_back_with_the_addresses_swapped() -> None:
    assert answer_tpdu(bytes.fromhex("6000320001")).hex() == "6000010032"


@pytest.mark.parametrize("body", ["", "6000010000603100", "6100010000603100310000"])
def test_a_body_without_tpdu_and_header_is_refused(body: str) -> None:
    with pytest.raises(MalformedMessage, match="TPDU"):
        unwrap(bytes.fromhex(body))


def test_a_tpdu_of_another_length_is_not_written() -> None:
    with pytest.raises(MalformedMessage, match="TPDU"):
        wrap(bytes(5), bytes(6), b"")
