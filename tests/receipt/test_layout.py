"""Widths, wrapping, and texts that would like to be commands."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taptill.receipt.compose import compose
from taptill.receipt.facts import Language, Line, Qr, Receipt, ReceiptFacts, Style
from taptill.receipt.layout import columns_of, lay_out, wrap
from taptill.receipt.text import render_text


def rows(*items: Line, columns: int = 32) -> list[str]:
    return [row.text for row in lay_out(Receipt(items), columns) if not isinstance(row, Qr)]


def test_a_chinese_sign_takes_two_columns() -> None:
    assert columns_of("签购单ABC") == 9


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x9FA5, exclude_categories=["C", "M"])))
def test_wide_characters_never_take_less_than_unicode_says(text: str) -> None:
    """East Asian Width W and F are two columns everywhere; a printer's Chinese font makes the others wide too."""
    wide = sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
    assert columns_of(text) >= wide


@given(st.text(), st.integers(4, 64))
def test_no_row_is_wider_than_the_paper_and_no_letter_is_lost(text: str, columns: int) -> None:
    wrapped = wrap(text, columns)
    assert all(columns_of(row) <= columns for row in wrapped)
    printable = "".join(character for character in text if character.isprintable() and not character.isspace())
    assert "".join("".join(wrapped).split()) == printable


def test_words_stay_whole_and_closing_signs_stay_with_their_word() -> None:
    assert wrap("Please do not pay again", 12) == ["Please do", "not pay", "again"]
    assert wrap("请勿重复付款。", 12) == ["请勿重复付", "款。"]


def test_a_word_wider_than_a_row_goes_on_in_the_next() -> None:
    assert wrap("IAD 0123456789AB", 8) == ["IAD 0123", "456789AB"]


def test_label_and_value_stand_at_the_edges() -> None:
    assert rows(Line("批次号", "000001")) == ["批次号" + " " * 20 + "000001"]


def test_a_value_that_does_not_fit_beside_its_label_stands_below() -> None:
    assert rows(Line("MERCHANT", "A shop with quite a long name")) == [
        "MERCHANT",
        "   A shop with quite a long name",
    ]


def test_a_title_has_half_the_columns() -> None:
    assert rows(Line("NOT PAID: WILL BE UNDONE", style=Style.TITLE)) == ["NOT PAID: WILL", "BE UNDONE"]


def test_small_print_uses_the_narrow_font_unless_it_is_chinese() -> None:
    small = [row for row in lay_out(Receipt((Line("TVR", "TSI", Style.SMALL), Line("应用", "x", Style.SMALL))), 32)]
    assert [(columns_of(row.text), row.style) for row in small if not isinstance(row, Qr)] == [
        (42, Style.SMALL),
        (32, Style.NORMAL),
    ]


@pytest.mark.parametrize("columns", [32, 48])
@pytest.mark.parametrize("language", Language)
def test_the_text_form_is_as_wide_as_the_paper(approved: ReceiptFacts, columns: int, language: Language) -> None:
    text = render_text(compose(approved, language), columns)
    assert all(columns_of(line) <= columns for line in text.splitlines() if line != approved.status_url)
    assert approved.status_url in text
