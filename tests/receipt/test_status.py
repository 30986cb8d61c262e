"""Status octets as the printers' manuals list them (Epson TM-T85, Bixolon SPP-R210: GS r; HPRT TP80K: DLE EOT)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from taptill.receipt.status import PaperAnswer, RealTime, StatusReader, readiness


def test_the_answers_are_told_apart_by_their_fixed_bits() -> None:
    assert StatusReader().feed(b"\x16\x00\x12\x0c\x03") == [
        RealTime(0x16),
        PaperAnswer(False),
        RealTime(0x12),
        PaperAnswer(True),
        PaperAnswer(False),  # near end only
    ]


def test_automatic_status_is_passed_over_even_when_it_is_cut() -> None:
    reader = StatusReader()
    assert reader.feed(b"\x14\x00") == []
    assert reader.feed(b"\x0c\x0f\x00") == [PaperAnswer(False)]


def test_flow_control_and_letters_are_no_answers() -> None:
    assert StatusReader().feed(b"\x11\x13LABELOK") == []


@given(st.binary(), st.integers(0, 20))
def test_answers_do_not_depend_on_where_the_stream_is_cut(octets: bytes, at: int) -> None:
    pieces = StatusReader()
    assert pieces.feed(octets[:at]) + pieces.feed(octets[at:]) == StatusReader().feed(octets)


def test_trouble_is_named() -> None:
    assert readiness(0x12, 0x12, 0x12).trouble == ""
    assert readiness(0x1A, 0x32, 0x72).paper_out
    assert readiness(0x1A, 0x16, 0x12).trouble == "the cover is open"
    assert readiness(0x1A, 0x52, 0x12).trouble == "the printer reports an error"
    assert readiness(0x1A, 0x12, 0x12).trouble == "the printer is offline"


def test_paper_that_is_nearly_at_its_end_still_prints() -> None:
    assert readiness(0x12, 0x12, 0x1E).trouble == ""
