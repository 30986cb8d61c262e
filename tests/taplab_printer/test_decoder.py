"""The lab printer's decoder, judged by python-escpos' encoder and by commands typed from printer manuals."""

from __future__ import annotations

import pytest
from escpos.printer import Dummy
from hypothesis import given, settings
from hypothesis import strategies as st

from taplab.printer.decoder import Decoder
from taplab.printer.events import Align, Cut, Event, Feed, LineEnd, QrSymbol, Raster, StatusRequest, Text, TextStyle
from taplab.printer.paper import Paper


def texts(events: list[Event]) -> str:
    return "".join(
        event.text if isinstance(event, Text) else "\n" for event in events if isinstance(event, Text | LineEnd)
    )


def test_python_escpos_styles_are_understood() -> None:
    theirs = Dummy()
    theirs.set(bold=True, double_height=True, double_width=True, align="center")
    theirs.text("TOTAL\n")
    theirs.set(bold=False, normal_textsize=True, underline=1, align="right")
    theirs.text("12.50\n")
    events = Decoder().feed(theirs.output)
    assert Text("TOTAL", TextStyle(2, 2, bold=True)) in events
    assert Text("12.50", TextStyle(underline=True)) in events
    assert [event.align for event in events if isinstance(event, LineEnd)] == [Align.CENTRE, Align.RIGHT]


def test_a_native_qr_of_python_escpos_is_understood() -> None:
    theirs = Dummy()
    theirs.qr("https://pay.example/s/1", native=True, size=4, ec=2)
    symbols = [event for event in Decoder().feed(theirs.output) if isinstance(event, QrSymbol)]
    assert [(symbol.content, symbol.module_dots, symbol.level) for symbol in symbols] == [
        (b"https://pay.example/s/1", 4, "Q")
    ]


def test_an_image_of_python_escpos_is_understood() -> None:
    theirs = Dummy()
    theirs.qr("abc", size=3)
    rasters = [event for event in Decoder().feed(theirs.output) if isinstance(event, Raster)]
    assert len(rasters) == 1
    assert len(rasters[0].bits) == rasters[0].width_dots // 8 * rasters[0].height_dots
    assert any(rasters[0].bits)


def test_cuts_and_feeds_of_python_escpos_are_understood() -> None:
    theirs = Dummy()
    theirs.text("x\n")
    theirs.print_and_feed(3)
    theirs.cut()
    theirs.cut(mode="PART", feed=False)
    decoder = Decoder()
    events = decoder.feed(theirs.output)
    assert Feed(90) in events
    assert sum(isinstance(event, Cut) for event in events) == 2
    assert decoder.unknown == []


@pytest.mark.parametrize("kind", ["EAN13", "CODE39"])
def test_a_barcode_is_passed_over_whole(kind: str) -> None:
    theirs = Dummy()
    theirs.barcode("4006381333931" if kind == "EAN13" else "ABC", kind, function_type="A")
    theirs.text("after\n")
    decoder = Decoder()
    assert texts(decoder.feed(theirs.output)).endswith("after\n")
    assert [unknown.octets[:2] for unknown in decoder.unknown] == [b"\x1dk"]


def test_code_pages_are_followed() -> None:
    """CP437 82 is e acute; Windows-1252 E9 is the same letter."""
    assert texts(Decoder().feed(b"\x1bt\x00caf\x82\n\x1bt\x10caf\xe9\n")) == "café\ncafé\n"


def test_chinese_needs_to_be_switched_on() -> None:
    assert texts(Decoder().feed(b"\x1c&\xd2\xf8\xc1\xaa\n")) == "银联\n"
    assert "银" not in texts(Decoder().feed(b"\xd2\xf8\xc1\xaa\n"))
    assert "银" not in texts(Decoder().feed(b"\x1c&\x1c.\xd2\xf8\xc1\xaa\n"))


def test_the_chinese_size_command_sets_chinese_signs_only() -> None:
    assert Decoder().feed(b"\x1c&\x1c!\x0cA\xd2\xf8") == [Text("A", TextStyle()), Text("银", TextStyle(2, 2))]


def test_the_general_size_command_sets_both() -> None:
    assert Decoder().feed(b"\x1c&\x1d!\x11A\xd2\xf8") == [Text("A银", TextStyle(2, 2))]


def test_a_status_request_keeps_its_place() -> None:
    events = Decoder().feed(b"a\n\x1dr\x01b\n")
    assert [type(event) for event in events] == [Text, LineEnd, StatusRequest, Text, LineEnd]


def test_what_is_not_known_is_kept_with_its_place() -> None:
    decoder = Decoder()
    process_id = b"\x1d(H\x06\x00" + b"00" + b"WXYZ"
    assert texts(decoder.feed(b"ab\x1dZ" + process_id + b"cd\x02\n")) == "abcd\n"
    assert [(unknown.octets, unknown.offset) for unknown in decoder.unknown] == [
        (b"\x1dZ", 2),
        (process_id, 4),
        (b"\x02", 17),
    ]


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_no_bytes_stop_the_printer(octets: bytes) -> None:
    decoder, paper = Decoder(), Paper()
    for event in decoder.feed(octets):
        paper.add(event)
    paper.text()


COMMAND = st.sampled_from(
    [
        b"\x1b@",
        b"\x1c&",
        b"\x1c.",
        b"\x1bE\x01",
        b"\x1d!\x11",
        b"\x1bt\x10",
        b"\x1bd\x02",
        b"\n",
        b"\x1dV\x00",
        b"\xd2\xf8",
    ]
)


@given(st.lists(COMMAND | st.binary(max_size=6)), st.integers(1, 5))
def test_events_do_not_depend_on_where_the_stream_is_cut(pieces: list[bytes], size: int) -> None:
    stream = b"".join(pieces) + b"\n"
    whole, cut = Paper(), Paper()
    for event in Decoder().feed(stream):
        whole.add(event)
    decoder = Decoder()
    for start in range(0, len(stream), size):
        for event in decoder.feed(stream[start : start + size]):
            cut.add(event)
    assert cut.text() == whole.text()
