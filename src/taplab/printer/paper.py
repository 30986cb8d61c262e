"""What lies in the paper tray: printed rows, as text or to be drawn.

Comes in: printer events. Goes out: rows of glyphs with their places, the text of the slip, and how many lines of paper
have been used.
Strategy: the printer's own geometry: 12 dots per ASCII character (9 in font B), 24 per Chinese one, and a line that is
too long goes on in the next row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from taplab.printer.events import Align, Cut, Event, Feed, LineEnd, QrSymbol, Raster, Text, TextStyle

COLUMN_DOTS = 12
SMALL_COLUMN_DOTS = 9
CHINESE_DOTS = 24
ROW_DOTS = 24
SMALL_ROW_DOTS = 17
LINE_DOTS = 30
TAB_COLUMNS = 8


@dataclass(frozen=True, slots=True)
class Glyph:
    """One character in its style."""

    character: str
    style: TextStyle

    @property
    def width_dots(self) -> int:
        if not self.character.isascii():
            return CHINESE_DOTS * self.style.width
        return (SMALL_COLUMN_DOTS if self.style.small else COLUMN_DOTS) * self.style.width

    @property
    def height_dots(self) -> int:
        small = self.style.small and self.character.isascii()
        return (SMALL_ROW_DOTS if small else ROW_DOTS) * self.style.height


@dataclass(frozen=True, slots=True)
class TextRow:
    """A printed line; `height_dots` up to the next one."""

    glyphs: tuple[Glyph, ...]
    align: Align
    height_dots: int

    @property
    def width_dots(self) -> int:
        return sum(glyph.width_dots for glyph in self.glyphs)


PaperRow = TextRow | Feed | QrSymbol | Raster


class Paper:
    """The slip under the print head, `columns` wide (32: 384 dots, 48: 576 dots)."""

    def __init__(self, columns: int = 32) -> None:
        self.columns = columns
        self.rows: list[PaperRow] = []
        self.lines = 0  # of paper used
        self._under_way: list[Glyph] = []

    @property
    def width_dots(self) -> int:
        return self.columns * COLUMN_DOTS

    @property
    def blank(self) -> bool:
        return not self._under_way and all(isinstance(row, Feed) for row in self.rows)

    def add(self, event: Event) -> None:
        """Print it. A status request leaves no trace."""
        if isinstance(event, Text):
            self._write(event)
        elif isinstance(event, LineEnd):
            self._end_line(event.align, event.pitch_dots)
        elif isinstance(event, Feed):
            self._keep(event, event.dots)
        elif isinstance(event, Cut) and event.feed_dots:
            self._keep(Feed(event.feed_dots), event.feed_dots)
        elif isinstance(event, QrSymbol | Raster):
            self._keep(event, event.height_dots if isinstance(event, Raster) else event.module_dots * 33)

    def text(self) -> str:
        """The slip as plain text: one line per row, a QR code as `[QR] content`."""
        return "".join(self._row_text(row) + "\n" for row in self.rows if not isinstance(row, Feed))

    def png(self, path: Path) -> Path:
        """Draw the slip into a PNG file."""
        from taplab.printer.picture import draw

        draw(self).save(path)
        return path

    def _write(self, event: Text) -> None:
        for character in event.text:
            if character == "\t":
                used = sum(glyph.width_dots for glyph in self._under_way) // COLUMN_DOTS
                blanks = TAB_COLUMNS - used % TAB_COLUMNS
                self._under_way.extend([Glyph(" ", TextStyle())] * blanks)
                continue
            glyph = Glyph(character, event.style)
            if sum(each.width_dots for each in self._under_way) + glyph.width_dots > self.width_dots:
                self._end_line(Align.LEFT, LINE_DOTS)
            self._under_way.append(glyph)

    def _end_line(self, align: Align, pitch_dots: int) -> None:
        if not self._under_way and not pitch_dots:
            return
        tallest_dots = max((glyph.height_dots for glyph in self._under_way), default=0)
        self._keep(TextRow(tuple(self._under_way), align, max(pitch_dots, tallest_dots)), LINE_DOTS)
        self._under_way.clear()

    def _keep(self, row: PaperRow, dots: int) -> None:
        self.rows.append(row)
        self.lines += -(-dots // LINE_DOTS)

    def _row_text(self, row: PaperRow) -> str:
        if isinstance(row, QrSymbol):
            return f"[QR] {row.content.decode(errors='replace')}"
        if isinstance(row, Raster):
            return f"[image {row.width_dots}x{row.height_dots}]"
        if isinstance(row, Feed):
            return ""
        return " " * (indent_dots(row.align, row.width_dots, self.width_dots) // COLUMN_DOTS) + "".join(
            glyph.character for glyph in row.glyphs
        )


def indent_dots(align: Align, width_dots: int, paper_dots: int) -> int:
    """Where something `width_dots` wide begins."""
    left_over = max(paper_dots - width_dots, 0)
    return {Align.LEFT: 0, Align.CENTRE: left_over // 2, Align.RIGHT: left_over}[align]
