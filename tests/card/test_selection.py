"""Which kernel an entry of the card asks for, and which application is tried first."""

from __future__ import annotations

import pytest

from taptill.card.selection import ANY_KERNEL, directory_entries, requested_kernel
from taptill.card.tlv import encode_tlv, parse_tlv

UNIONPAY = bytes.fromhex("A000000333010101")


@pytest.mark.parametrize(
    ("identifier", "kernel_id"),
    [
        (None, 7),
        ("", 7),
        ("07", 7),
        ("00", ANY_KERNEL),
        ("0708", 7),
        ("810978", 0x810978),
        ("8109", None),
        ("800978", None),
        ("C00978", None),
    ],
)
def test_the_kernel_identifier_is_read_as_book_b_says(identifier: str | None, kernel_id: int | None) -> None:
    octets = None if identifier is None else bytes.fromhex(identifier)
    assert requested_kernel(octets, UNIONPAY) == kernel_id


def test_an_absent_identifier_of_an_unknown_scheme_means_any_kernel() -> None:
    assert requested_kernel(None, bytes.fromhex("A0000000010001")) == ANY_KERNEL


def test_entries_without_a_usable_name_are_skipped() -> None:
    def entry(name: str, priority: str) -> bytes:
        return encode_tlv(0x61, encode_tlv(0x4F, bytes.fromhex(name)) + encode_tlv(0x87, bytes.fromhex(priority)))

    entries = entry("A0000003", "01") + entry("A000000333010101", "") + entry("A000000333010102", "81") + b"\x61\x00"
    found = directory_entries(parse_tlv(encode_tlv(0xBF0C, entries)))
    assert [(each.adf_name.hex()[-2:], each.priority, each.order) for each in found] == [("01", 16, 1), ("02", 1, 2)]
