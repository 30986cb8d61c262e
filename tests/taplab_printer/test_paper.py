"""Rows on paper, and their picture."""

from __future__ import annotations

from pathlib import Path

import segno
from PIL import Image

from taplab.printer.events import Align, Event, Feed, LineEnd, QrSymbol, Text, TextStyle
from taplab.printer.fonts import MICRO_HEI, printer_font
from taplab.printer.paper import Glyph, Paper
from taplab.printer.picture import EDGE_DOTS, MARGIN_DOTS, PIXELS_PER_DOT, SURROUND_PX, draw

LINE = LineEnd(Align.LEFT, 30)


def paper(*events: Event, columns: int = 32) -> Paper:
    result = Paper(columns)
    for event in events:
        result.add(event)
    return result


def test_a_line_that_is_too_long_goes_on_in_the_next_row() -> None:
    assert paper(Text("x" * 40, TextStyle()), LINE).text() == "x" * 32 + "\n" + "x" * 8 + "\n"
    assert paper(Text("银" * 17, TextStyle()), LINE).text() == "银" * 16 + "\n银\n"


def test_text_is_placed_as_it_is_printed() -> None:
    centred = paper(Text("签购单", TextStyle(2, 2)), LineEnd(Align.CENTRE, 30))
    assert centred.text() == " " * 10 + "签购单\n"


def test_lines_of_paper_are_counted() -> None:
    assert paper(Text("a", TextStyle()), LINE, LINE, Feed(60)).lines == 4


def test_dots_are_those_of_the_two_fonts() -> None:
    assert [
        Glyph(sign, TextStyle(small=small)).width_dots for sign, small in (("A", False), ("A", True), ("银", True))
    ] == [
        12,
        9,
        24,
    ]


def test_the_picture_is_as_wide_as_the_paper(tmp_path: Path) -> None:
    for columns in (32, 48):
        path = paper(Text("银联", TextStyle()), LINE, columns=columns).png(tmp_path / "slip.png")
        with Image.open(path) as picture:
            assert picture.width == (columns * 12 + 2 * MARGIN_DOTS) * PIXELS_PER_DOT + 2 * SURROUND_PX


def test_chinese_signs_are_drawn_and_are_not_boxes() -> None:
    """A missing sign is drawn as the same box for every code point."""
    assert MICRO_HEI.exists(), printer_font().note
    pictures = {sign: draw(paper(Text(sign, TextStyle()), LINE)).tobytes() for sign in "签购单￥"}
    assert len(set(pictures.values())) == len(pictures)


def test_the_qr_in_the_picture_is_the_one_segno_makes() -> None:
    content = b"https://pay.example/s/P-1"
    picture = draw(paper(QrSymbol(content, 5, "M", Align.LEFT))).convert("L")
    expected = segno.make(content, error="m", boost_error=False, micro=False, mode="byte").matrix
    left = SURROUND_PX + MARGIN_DOTS * PIXELS_PER_DOT
    top = SURROUND_PX + (EDGE_DOTS + 12) * PIXELS_PER_DOT
    module = 5 * PIXELS_PER_DOT
    drawn = [
        [
            int(picture.crop((x, y, x + 1, y + 1)).tobytes()[0] < 128)
            for x in range(left + module // 2, left + len(expected) * module, module)
        ]
        for y in range(top + module // 2, top + len(expected) * module, module)
    ]
    assert drawn == [list(row) for row in expected]
