"""A receipt's lines fitted to a paper width.

Comes in: a `Receipt` and the columns of the paper. Goes out: `Row`s, none wider than the paper, and QR codes as they
are.
Strategy: a thermal printer gives an ASCII character one column and everything it takes from its Chinese font two, so
that is how widths are counted here. Control characters are removed: a text can never become a printer command.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from taptill.receipt.facts import Line, Qr, Receipt, Style

COLUMNS_58_MM = 32
COLUMNS_80_MM = 48
TITLE_SCALE = 2  # titles are twice as wide
_TOKEN = re.compile(r"[!-~]+|\s+|[^!-~\s][,.:;!?。，、；：！？）」]?")  # closing punctuation never starts a row


@dataclass(frozen=True, slots=True)
class Row:
    """One printed row. `text` is padded for label and value, but not for centring."""

    text: str
    style: Style = Style.NORMAL
    centred: bool = False


def columns_of(text: str) -> int:
    """How many columns `text` takes on the paper."""
    return sum(1 if character.isascii() else 2 for character in text)


def lay_out(receipt: Receipt, columns: int, *, scaled: bool = True) -> Iterator[Row | Qr]:
    """Rows for a paper of `columns` columns in the normal font; without `scaled` every style is as wide as that one."""
    for item in receipt.items:
        if isinstance(item, Line):
            yield from _line_rows(item, columns, scaled)
        elif isinstance(item, Qr):
            yield item
            for text in wrap(item.caption, columns):
                yield Row(text, centred=True)
        else:
            yield Row("-" * columns)


def wrap(text: str, columns: int) -> list[str]:
    """`text` cut into pieces of at most `columns` columns: between words, or inside a word that is wider than a row."""
    rows = [""]
    for token in _TOKEN.findall(_printable(text)):
        for piece in _pieces(token, columns):
            if columns_of(rows[-1]) + columns_of(piece) > columns:
                rows.append("")
            rows[-1] += piece if rows[-1] or not piece.isspace() else ""
    return [row.rstrip() for row in rows if row.strip()]


def _pieces(token: str, columns: int) -> Iterable[str]:
    """A word that no row can hold goes on letter by letter, from where the row stands."""
    return [token] if columns_of(token) <= columns else token


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _line_rows(line: Line, columns: int, scaled: bool) -> Iterator[Row]:
    style = line.style
    text, value = _printable(line.text), None if line.value is None else _printable(line.value)
    if style is Style.SMALL:
        # Only the ASCII font has a smaller size on every printer; the Chinese one would overflow the row.
        style = Style.SMALL if (text + (value or "")).isascii() else Style.NORMAL
    width = _columns_in(style, columns) if scaled else columns
    if value is None:
        rows = wrap(text, width) or [""]
        yield from (Row(row, style, line.centred) for row in rows)
        return
    gap = width - columns_of(text) - columns_of(value)
    if gap >= 1 or not text:
        yield Row(text + " " * max(gap, 0) + value, style)
        return
    yield from (Row(row, style) for row in wrap(text, width))
    for row in wrap(value, width):
        yield Row(" " * (width - columns_of(row)) + row, style)


def _columns_in(style: Style, columns: int) -> int:
    """Font B is 9 dots wide where font A has 12."""
    return {Style.TITLE: columns // TITLE_SCALE, Style.SMALL: columns * 4 // 3}.get(style, columns)
