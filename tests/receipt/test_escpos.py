"""The terminal's bytes, judged by python-escpos and by the lab's decoder."""

from __future__ import annotations

import dataclasses

import pytest
from escpos.printer import Dummy
from hypothesis import given
from hypothesis import strategies as st

from taplab.printer.decoder import Decoder
from taplab.printer.events import QrSymbol
from taplab.printer.paper import Paper, TextRow
from taptill.receipt.compose import compose
from taptill.receipt.escpos import CONFIRM, render_escpos
from taptill.receipt.facts import Language, Line, Qr, Receipt, ReceiptFacts, Style
from taptill.receipt.texts import STATE_TEXTS


def printed(job: bytes, columns: int = 32) -> tuple[Paper, Decoder]:
    decoder, paper = Decoder(), Paper(columns)
    for event in decoder.feed(job):
        paper.add(event)
    return paper, decoder


def test_the_qr_commands_are_those_python_escpos_sends() -> None:
    theirs = Dummy()
    theirs.qr("https://pay.example/s/1", native=True, size=5, ec=1)
    ours = render_escpos(Receipt((Qr("https://pay.example/s/1"),)))
    commands = [b"\x1d(k" + command for command in theirs.output.split(b"\x1d(k")[1:]]
    assert len(commands) == 5
    assert all(command in ours for command in commands)


def test_sizes_and_bold_are_those_python_escpos_sends() -> None:
    theirs = Dummy()
    theirs.set(bold=True, custom_size=True, width=2, height=2, align="center")
    ours = render_escpos(Receipt((Line("X", style=Style.TITLE, centred=True),)))
    for command in (b"\x1d!\x11", b"\x1bE\x01", b"\x1ba\x01"):
        assert command in theirs.output
        assert command in ours


def test_chinese_goes_out_as_gb18030_after_it_was_switched_on() -> None:
    """GB 2312 code points of the two signs, rows 50 and 39."""
    job = render_escpos(Receipt((Line("银联"),)))
    assert b"\xd2\xf8\xc1\xaa\n" in job
    assert job.index(b"\x1c&") < job.index(b"\xd2\xf8")


def test_the_yen_sign_becomes_one_that_every_chinese_printer_has() -> None:
    assert b"\xa3\xa4" + b"12.50\n" in render_escpos(Receipt((Line("¥12.50"),)))


def test_a_job_ends_with_cut_and_the_question_for_proof() -> None:
    job = render_escpos(Receipt((Line("x"),)))
    assert job.endswith(b"\x1dVB\x03" + CONFIRM)
    assert job.count(CONFIRM) == 1


@given(st.text(), st.text())
def test_no_text_becomes_a_command(text: str, value: str) -> None:
    job = render_escpos(Receipt((Line(text, value), Line(text, style=Style.TITLE))))
    blank = render_escpos(Receipt((Line("x", "y"), Line("x", style=Style.TITLE))))
    _, decoder = printed(job)
    assert decoder.unknown == []
    assert {octet for octet in job if octet < 0x20} <= set(blank)


@pytest.mark.parametrize("state", sorted(STATE_TEXTS))
@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("columns", [32, 48])
def test_every_slip_fits_its_paper(approved: ReceiptFacts, state: str, language: Language, columns: int) -> None:
    receipt = compose(dataclasses.replace(approved, state=state, test_keys=True), language)
    paper, decoder = printed(render_escpos(receipt, columns), columns)
    widths = [row.width_dots for row in paper.rows if isinstance(row, TextRow)]
    assert max(widths) <= columns * 12
    assert decoder.unknown == []
    assert STATE_TEXTS[state].headline(language) in " ".join(paper.text().split())
    assert [row.content.decode() for row in paper.rows if isinstance(row, QrSymbol)] == [approved.status_url]


def test_titles_are_drawn_larger_and_the_small_print_smaller(approved: ReceiptFacts) -> None:
    paper, _ = printed(render_escpos(compose(approved, Language.ZH)))
    styles = {
        "".join(glyph.character for glyph in row.glyphs).strip(): row.glyphs[0].style
        for row in paper.rows
        if isinstance(row, TextRow) and row.glyphs
    }
    assert (styles["签购单"].width, styles["签购单"].height, styles["签购单"].bold) == (2, 2, True)
    assert styles["AID A000000333010101"].small
    assert (styles["持卡人存根"].width, styles["持卡人存根"].bold) == (1, False)
