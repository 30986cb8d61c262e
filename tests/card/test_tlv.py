"""BER-TLV against foreign cases, and against any bytes at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taptill.card.tlv import (
    DEPTH_MAX,
    MalformedTlv,
    Tlv,
    encode_tlv,
    encode_tlvs,
    find,
    find_all,
    flatten,
    is_constructed,
    parse_tlv,
    without_tag,
)


def test_templates_are_opened_and_values_kept() -> None:
    tlvs = parse_tlv(bytes.fromhex("6F08A506870101880102"))
    assert [tlv.tag for tlv in tlvs] == [0x6F]
    assert find(tlvs, 0x88) == b"\x02"
    assert flatten(tlvs) == {0x87: b"\x01", 0x88: b"\x02"}


def test_find_all_keeps_the_order_of_the_card() -> None:
    tlvs = parse_tlv(bytes.fromhex("BF0C0A61038701016103870102"))
    assert [find([entry], 0x87) for entry in find_all(tlvs, 0x61)] == [b"\x01", b"\x02"]


def test_padding_around_and_inside_templates_is_skipped() -> None:
    assert [tlv.tag for tlv in parse_tlv(bytes.fromhex("00009A0101007004008701010000"))] == [0x9A, 0x70]


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        ("9A", "tag 9A has no length at offset 1"),
        ("9A0301", "tag 9A wants 3 bytes at offset 2, 1 are left"),
        ("9A820", "cut at offset 1"),
        ("7004870201", "tag 70 wants 4 bytes at offset 2, 3 are left"),
        ("7003870201", "tag 87 wants 2 bytes at offset 4, 1 are left"),
        ("7080870101000", "tag 70 has length form 80 at offset 1"),
        ("9A850000000001FF", "tag 9A has length form 85 at offset 1"),
        ("9A809C0100", "tag 9A has length form 80 at offset 1"),
        ("9F", "tag 9F is cut at offset 0"),
        ("9F82", "tag 9F82 is cut at offset 0"),
        ("9F81828301FF", "the tag at offset 0 is longer than 4 bytes"),
        ("9F02", "tag 9F02 has no length at offset 2"),
        ("9F0281", "the length of tag 9F02 is cut at offset 2"),
        ("E0029F02009A0100", "tag 9F02 has no length at offset 4"),
        ("E0039A8101009A0100", "tag 9A wants 1 bytes at offset 5, 0 are left"),
    ],
)
def test_what_is_cut_or_overruns_is_refused_with_its_place(octets: str, said: str) -> None:
    with pytest.raises(MalformedTlv, match=said):
        parse_tlv(bytes.fromhex(octets if len(octets) % 2 == 0 else octets + "0"))


def nested(templates: int) -> bytes:
    octets = b""
    for _ in range(templates):
        octets = encode_tlv(0xE0, octets)
    return octets


def test_templates_nested_without_end_are_refused() -> None:
    assert encode_tlvs(parse_tlv(nested(DEPTH_MAX))) == nested(DEPTH_MAX)
    with pytest.raises(MalformedTlv, match="templates within each other"):
        parse_tlv(nested(DEPTH_MAX + 1))


def test_a_template_is_known_by_the_first_octet_of_its_tag() -> None:
    assert all(is_constructed(tag) for tag in (0x70, 0xA5, 0xBF0C, 0x7F49, 0xFF8105))
    assert not any(is_constructed(tag) for tag in (0x5A, 0x82, 0x9F20, 0xDF60, 0x9F8220, 0xDF8129))


def test_a_data_object_stays_as_it_was_read() -> None:
    (tlv,) = parse_tlv(bytes.fromhex("9F8283040105"))
    with pytest.raises(AttributeError):
        tlv.value = b""  # type: ignore[misc]
    assert {tlv} == {Tlv(0x9F828304, b"\x05")}
    assert encode_tlvs([tlv]) == bytes.fromhex("9F8283040105")


def test_lengths_in_long_form_are_read_whatever_they_could_have_been() -> None:
    for octets in ("9C01FF", "9C8101FF", "9C820001FF", "9C83000001FF", "9C8400000001FF"):
        assert parse_tlv(bytes.fromhex(octets)) == (Tlv(0x9C, b"\xff"),)
    long = encode_tlv(0x9F46, bytes(0xF8))
    assert parse_tlv(encode_tlv(0x70, long))[0].children == (Tlv(0x9F46, bytes(0xF8)),)


@pytest.mark.parametrize(
    ("octets", "kept"),
    [
        ("9F27810140" + "9F4B020102" + "9F36020001", "9F27810140" + "9F36020001"),
        ("9F4B81020102" + "9F2782000140", "9F2782000140"),
        ("00" + "9F270140" + "0000" + "9F4B00" + "00", "9F270140"),
        ("9F4B0101" + "9F270140" + "9F4B0102", "9F270140"),
        ("E3059F4B020102" + "9F4B0101", "E3059F4B020102"),
        ("", ""),
    ],
)
def test_a_tag_is_cut_out_and_the_rest_left_as_it_stands(octets: str, kept: str) -> None:
    assert without_tag(bytes.fromhex(octets), 0x9F4B).hex().upper() == kept


@pytest.mark.parametrize("octets", ["9F", "9F27", "9F270240", "9F2781", "9F2784FFFFFFFF40", "E380"])
def test_nothing_is_cut_out_of_what_is_cut_itself(octets: str) -> None:
    with pytest.raises(MalformedTlv, match=r"9F|E3"):
        without_tag(bytes.fromhex(octets), 0x9F4B)


def test_tags_of_one_to_four_octets_are_read() -> None:
    octets = bytes.fromhex("9A0101" + "9F020102" + "DF81290103" + "9F80010104" + "9F8283040105")
    assert [tlv.tag for tlv in parse_tlv(octets)] == [0x9A, 0x9F02, 0xDF8129, 0x9F8001, 0x9F828304]


def test_only_padding_may_be_missing_at_the_end_of_the_last_template() -> None:
    assert [tlv.tag for tlv in parse_tlv(bytes.fromhex("700687010100"))[0].children] == [0x87]
    cuts = ("70068701018802", "700687010188", "7004870200", "7004870100", "9A030000", "7006A50587010100", "70820100")
    for cut in cuts:
        with pytest.raises(MalformedTlv):
            parse_tlv(bytes.fromhex(cut))


def test_a_value_is_not_in_the_repr() -> None:
    assert repr(parse_tlv(bytes.fromhex("5A086228000100001117"))) == "(Tlv(tag=5A, octets=8, children=()),)"


@pytest.mark.parametrize("tag", [0, -1, 0x9F, 0x9A01, 0x1FFFFFFF7F])
def test_a_number_that_is_no_tag_is_not_written(tag: int) -> None:
    with pytest.raises(MalformedTlv):
        encode_tlv(tag, b"")


@given(st.binary(max_size=300))
def test_any_bytes_parse_or_are_refused_by_name(octets: bytes) -> None:
    try:
        tlvs = parse_tlv(octets, "card")
    except MalformedTlv:
        return
    assert parse_tlv(encode_tlvs(tlvs)) == tlvs


_TAGS = st.sampled_from([0x82, 0x5A, 0x9F26, 0x9F8201, 0xDF69, 0x5F34])


@given(st.lists(st.tuples(_TAGS, st.binary(max_size=400)), max_size=6))
def test_what_is_written_is_read_again(pairs: list[tuple[int, bytes]]) -> None:
    octets = encode_tlv(0xBF0C, b"".join(encode_tlv(tag, value) for tag, value in pairs))
    assert parse_tlv(octets)[0].children == tuple(Tlv(tag, value) for tag, value in pairs)
