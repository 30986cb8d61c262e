"""Data object lists judged by emv-utils' cases, and by any bytes at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taptill.card.dol import DolEntry, MalformedDol, dol_length, fill_dol, iterate_dol, parse_dol, split_dol
from taptill.card.payment_data import get_processing_options

Case = dict[str, Any]


def dol_cases(document: Case) -> Iterator[tuple[str, Case]]:
    for case in document.get("cases", []):
        if "dol" in case:
            yield case["name"], case


def source_of(values: dict[str, str]) -> dict[int, bytes]:
    return {int(tag, 16): bytes.fromhex(value) for tag, value in values.items()}


@pytest.mark.vectors(folder="tlv", cases=dol_cases)
def test_a_list_is_read_and_filled_as_the_origin_does(vector: Case) -> None:
    dol = bytes.fromhex(vector["dol"])
    if "entries" in vector:
        entries = parse_dol(dol)
        assert [(f"{entry.tag:X}", entry.length) for entry in entries] == [
            (tag.upper(), length) for tag, length in vector["entries"]
        ]
        assert dol_length(entries) == vector["data_length"]
    elif "valid_entries" in vector:
        good: list[DolEntry] = []
        with pytest.raises(MalformedDol):
            good.extend(iterate_dol(dol))
        assert len(list(_until_refused(dol))) == vector["valid_entries"]
    else:
        sources = [source_of(vector[name]) for name in sorted(vector) if name.startswith("source")]
        assert fill_dol(dol, *sources) == bytes.fromhex(vector["expect"])


def _until_refused(dol: bytes) -> Iterator[DolEntry]:
    try:
        yield from iterate_dol(dol)
    except MalformedDol:
        return


def test_a_length_is_one_octet_above_127_too() -> None:
    """EMV Book 3, 5.4; a PDOL of the entry point's type approval asks for 251 octets so, and emv-utils reads it so."""
    assert parse_dol(bytes.fromhex("6FFB")) == (DolEntry(0x6F, 251),)
    assert parse_dol(bytes.fromhex("9F7C809F3704")) == (DolEntry(0x9F7C, 128), DolEntry(0x9F37, 4))
    assert parse_dol(bytes.fromhex("9F7C819F3704")) == (DolEntry(0x9F7C, 129), DolEntry(0x9F37, 4))
    assert len(get_processing_options(fill_dol(bytes.fromhex("6FFB"), {})).encode()) == 6 + 3 + 251


def test_a_length_in_long_form_is_accepted_where_one_octet_makes_no_sense() -> None:
    assert parse_dol(bytes.fromhex("9F7C8114")) == (DolEntry(0x9F7C, 20),)
    assert parse_dol(bytes.fromhex("9F37049F7C81809A03"))[1:] == (DolEntry(0x9F7C, 128), DolEntry(0x9A, 3))


def test_a_long_list_is_answered_in_a_template_of_long_length() -> None:
    pdol = bytes.fromhex("9F7C8190" + "9F3704")
    command = get_processing_options(fill_dol(pdol, {0x9F37: b"\x01\x02\x03\x04", 0x9F7C: b"\xaa" * 4})).encode()
    assert command[:8].hex() == "80a800009783" + "8194"
    assert command[8:] == b"\xaa" * 4 + bytes(140) + b"\x01\x02\x03\x04" + b"\x00"


def test_as_much_as_a_command_carries_may_be_asked_for() -> None:
    assert len(get_processing_options(fill_dol(bytes.fromhex("9F7C81FC"), {})).encode()) == 261
    with pytest.raises(MalformedDol, match="253 bytes"):
        fill_dol(bytes.fromhex("9F7CFD"), {})


def test_unknown_tags_and_templates_are_filled_with_zeros() -> None:
    assert fill_dol(bytes.fromhex("DF0102E003"), {0xE0: b"abc"}) == bytes(5)


def test_a_list_that_asks_for_more_than_a_command_can_carry_is_refused() -> None:
    with pytest.raises(MalformedDol, match="at most"):
        fill_dol(bytes.fromhex("9F02FF9F03FF"), {})


def test_a_filled_list_is_taken_apart_again() -> None:
    dol = bytes.fromhex("9F37049A03")
    values = {0x9F37: b"\x01\x02\x03\x04", 0x9A: b"\x26\x10\x01"}
    assert split_dol(dol, fill_dol(dol, values)) == values
    with pytest.raises(MalformedDol):
        split_dol(dol, bytes(6))


@given(st.binary(max_size=60))
def test_any_list_is_filled_to_its_length_or_refused(dol: bytes) -> None:
    try:
        entries = parse_dol(dol)
        filled = fill_dol(dol, {0x9F02: bytes(6)})
    except MalformedDol:
        return
    assert len(filled) == dol_length(entries)
