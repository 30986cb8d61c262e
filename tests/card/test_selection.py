"""Which kernel an entry of the card asks for, and which application is tried first."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.card.reader_stage import REFUSED, Answer, ToldKernel, card, combination, configuration, entry, perform, ppse

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
        ("47", 0x47),
        ("810978", 0x810978),
        ("BF0840FFFF", 0xBF0840),
        ("C11111", 0xC11111),
        ("8109", None),
        ("81", None),
        ("800978", None),
        ("C00978", None),
        ("070000000000000000", None),  # nine octets
    ],
)
def test_the_kernel_identifier_is_read_as_book_b_says(identifier: str | None, kernel_id: int | None) -> None:
    octets = None if identifier is None else bytes.fromhex(identifier)
    assert requested_kernel(octets, UNIONPAY) == kernel_id


def test_an_absent_identifier_of_an_unknown_scheme_means_any_kernel() -> None:
    assert requested_kernel(None, bytes.fromhex("A0000000010001")) == ANY_KERNEL


def test_entries_without_a_usable_name_are_skipped() -> None:
    def named(name: str, priority: str) -> bytes:
        return encode_tlv(0x61, encode_tlv(0x4F, bytes.fromhex(name)) + encode_tlv(0x87, bytes.fromhex(priority)))

    entries = named("A0000003", "01") + named("A000000333010101", "") + named("A000000333010102", "81") + b"\x61\x00"
    found = directory_entries(parse_tlv(encode_tlv(0xBF0C, entries)))
    assert [(each.adf_name.hex()[-2:], each.priority, each.order) for each in found] == [("01", 16, 1), ("02", 1, 2)]


def test_a_longer_name_matches_only_where_a_part_may() -> None:
    held = ppse(entry("A000000333010102"))
    for partial, names in ((True, ["A000000333010102"]), (False, [])):
        served = [combination("A0000003330101", 7, partial_match=partial)]
        assert perform(configuration(served, ToldKernel()), refusing(held)).selected() == names


def test_an_extension_that_makes_the_name_too_long_is_left_out() -> None:
    name = "A000000333010101AABBCCDD"
    for extension, selected in (("01020304", name + "01020304"), ("0102030405", name)):
        served = [combination("A0000003330101", 7, extended_selection=True)]
        held = ppse(entry(name, extension=extension))
        assert perform(configuration(served, ToldKernel()), refusing(held)).selected() == [selected]


def refusing(directory: bytes) -> Answer:
    """A card whose applications all refuse, so that each candidate is tried."""
    return lambda command: directory if b"2PAY" in command else REFUSED


# AID of an entry, and which kernels it asks for under each identifier; None: any.
NAMES = ["A0000000031010", "A000000003101001", "A000000333010101", "A0000000650001", "F0000000010101"]
OWN = {"A000000003": 3, "A000000333": 7, "A000000065": 5, "F000000001": None}
IDENTIFIERS = {"absent": None, "": "", "00": "00", "03": "03", "07": "07", "810978": "810978", "8109": "8109"}
SERVED = ["A0000000031010", "A000000003", "A0000003330101", "A000000065", "F000000001", "A000000333010199"]
KERNELS = [3, 5, 7, 0x810978]

directories = st.lists(
    st.tuples(
        st.sampled_from(NAMES), st.sampled_from(sorted(IDENTIFIERS)), st.sampled_from(["", "00", "01", "02", "F1"])
    ),
    max_size=6,
)
readers = st.lists(st.tuples(st.sampled_from(SERVED), st.sampled_from(KERNELS)), unique=True, max_size=8)


def asked_for(name: str, identifier: str) -> tuple[bool, int | None]:
    """Whether the entry counts at all, and its kernel."""
    if identifier in ("absent", ""):
        return True, OWN[name[:10]]
    return identifier != "8109", None if identifier == "00" else int(identifier, 16)


def expected(directory: list[tuple[str, str, str]], reader: list[tuple[str, int]]) -> list[str]:
    """By walking through the priorities from the highest: 1 to 15, and then those without one."""
    names = []
    for wanted in (*range(1, 16), 0):
        for name, identifier, priority in directory:
            if int(priority or "0", 16) % 16 != wanted:
                continue
            counts, kernel = asked_for(name, identifier)
            names += [name for aid, number in reader if counts and name.startswith(aid) and kernel in (None, number)]
    return names


@given(directory=directories, reader=readers)
@settings(max_examples=300, deadline=None)
def test_candidates_are_tried_by_priority_then_by_their_place(
    directory: list[tuple[str, str, str]], reader: list[tuple[str, int]]
) -> None:
    entries = [entry(name, IDENTIFIERS[identifier], priority) for name, identifier, priority in directory]
    served = configuration([combination(aid, number) for aid, number in reader], ToldKernel())
    played = perform(served, refusing(ppse(*entries)))
    assert played.selected() == expected(directory, reader)


def test_of_several_kernels_for_one_entry_the_one_configured_first_is_tried_first() -> None:
    for order in ((7, 5), (5, 7)):
        kernel = ToldKernel()
        served = configuration([combination("F000000001", number) for number in order], kernel)
        perform(served, card(entry("F0000000010101")))
        assert kernel.told[0][0].prepared.combination.kernel_id == order[0]
