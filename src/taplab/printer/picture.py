"""A slip as a picture that looks like thermal paper.

Comes in: a `Paper`. Goes out: a Pillow image, two pixels per dot.
Strategy: everything is drawn black into a mask of the paper's dots; then the mask becomes ink on paper with a torn edge
above and below and a soft shadow.
"""

from __future__ import annotations

from functools import cache

import segno
from PIL import Image, ImageDraw, ImageFilter

from taplab.printer.events import Feed, QrSymbol, Raster
from taplab.printer.fonts import printer_font
from taplab.printer.paper import CHINESE_DOTS, Glyph, Paper, PaperRow, TextRow, indent_dots

PIXELS_PER_DOT = 2
MARGIN_DOTS = 20  # unprinted at either side: 58 mm paper has a 48 mm head
EDGE_DOTS = 36  # above the first and below the last row
TOOTH_PX = 10  # of the tear-off bar
SURROUND_PX = 28
TABLE, SHADOW, PAPER, INK = (222, 224, 226), (60, 62, 70), (253, 252, 248), (38, 36, 42)
SHADOW_ALPHA = 90


def draw(paper: Paper) -> Image.Image:
    """The slip on a table."""
    ink = _ink(paper)
    slip = Image.new("RGB", ink.size, PAPER)
    slip.paste(INK, mask=ink.filter(ImageFilter.GaussianBlur(0.45)))
    outline = _outline(ink.size)
    size = (ink.width + 2 * SURROUND_PX, ink.height + 2 * SURROUND_PX)
    table = Image.new("RGB", size, TABLE)
    table.paste(SHADOW, mask=_shadow(outline, size))
    table.paste(slip, (SURROUND_PX, SURROUND_PX), outline)
    return table


def _shadow(outline: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Blurred at a quarter of the size: nobody sees the difference, and a slip is printed while somebody waits."""
    shadow = Image.new("L", size, 0)
    shadow.paste(SHADOW_ALPHA, (SURROUND_PX + 3, SURROUND_PX + 6), outline)
    return shadow.reduce(4).filter(ImageFilter.GaussianBlur(2.5)).resize(size, Image.Resampling.BILINEAR)


def _outline(size: tuple[int, int]) -> Image.Image:
    """The paper's shape: straight sides, teeth at both ends."""
    width, height = size
    teeth = range(0, width + TOOTH_PX, TOOTH_PX)
    top = [(x, TOOTH_PX // 2 if number % 2 else 0) for number, x in enumerate(teeth)]
    bottom = [(x, height - 1 - (TOOTH_PX // 2 if number % 2 else 0)) for number, x in enumerate(teeth)]
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).polygon(top + bottom[::-1], fill=255)
    return mask


def _ink(paper: Paper) -> Image.Image:
    pictures = [_row_picture(row, paper.width_dots) for row in paper.rows]
    height = sum(picture.height for picture in pictures) + 2 * EDGE_DOTS * PIXELS_PER_DOT
    ink = Image.new("L", ((paper.width_dots + 2 * MARGIN_DOTS) * PIXELS_PER_DOT, height), 0)
    top = EDGE_DOTS * PIXELS_PER_DOT
    for picture in pictures:
        ink.paste(picture, (MARGIN_DOTS * PIXELS_PER_DOT, top))
        top += picture.height
    return ink


def _row_picture(row: PaperRow, width_dots: int) -> Image.Image:
    if isinstance(row, TextRow):
        return _text_picture(row, width_dots)
    if isinstance(row, Feed):
        return _blank(width_dots, row.dots)
    symbol = _raster_picture(row) if isinstance(row, Raster) else _qr_picture(row)
    gap_dots = 0 if isinstance(row, Raster) else 12
    picture = _blank(width_dots, symbol.height // PIXELS_PER_DOT + 2 * gap_dots)
    left = indent_dots(row.align, symbol.width // PIXELS_PER_DOT, width_dots) * PIXELS_PER_DOT
    picture.paste(symbol, (left, gap_dots * PIXELS_PER_DOT))
    return picture


def _blank(width_dots: int, height_dots: int) -> Image.Image:
    return Image.new("L", (width_dots * PIXELS_PER_DOT, height_dots * PIXELS_PER_DOT), 0)


def _text_picture(row: TextRow, width_dots: int) -> Image.Image:
    picture = _blank(width_dots, row.height_dots)
    tallest = max((glyph.height_dots for glyph in row.glyphs), default=0) * PIXELS_PER_DOT
    left = indent_dots(row.align, row.width_dots, width_dots) * PIXELS_PER_DOT
    for glyph in row.glyphs:
        drawn = _glyph_picture(glyph)
        picture.paste(drawn, (left, tallest - drawn.height))  # glyphs of a row stand on one base line
        left += drawn.width
    return picture


@cache
def _glyph_picture(glyph: Glyph) -> Image.Image:
    """One character in its cell, stretched the way a printer repeats dots."""
    style = glyph.style
    cell = (glyph.width_dots // style.width * PIXELS_PER_DOT, glyph.height_dots // style.height * PIXELS_PER_DOT)
    picture = Image.new("L", cell, 0)
    size = CHINESE_DOTS * PIXELS_PER_DOT if cell[0] == cell[1] else cell[0] * 5 // 3  # the Latin advance is 3/5 em
    ImageDraw.Draw(picture).text(
        (cell[0] / 2, cell[1] * 0.86),
        glyph.character,
        fill=255,
        font=printer_font().at(size),
        anchor="ms",
        stroke_width=0.6 if style.bold else 0,
    )
    if style.underline:
        ImageDraw.Draw(picture).line((0, cell[1] - 2, cell[0], cell[1] - 2), fill=255, width=PIXELS_PER_DOT)
    if style.inverse:
        picture = picture.point(lambda level: 255 - level)
    if (style.width, style.height) == (1, 1):
        return picture
    return picture.resize((cell[0] * style.width, cell[1] * style.height), Image.Resampling.BICUBIC)


def _qr_picture(symbol: QrSymbol) -> Image.Image:
    matrix = segno.make_qr(symbol.content, error=symbol.level, mode="byte", boost_error=False).matrix
    modules = Image.new("L", (len(matrix[0]), len(matrix)), 0)
    modules.putdata([255 * bit for row in matrix for bit in row])
    scale = symbol.module_dots * PIXELS_PER_DOT
    return modules.resize((modules.width * scale, modules.height * scale), Image.Resampling.NEAREST)


def _raster_picture(raster: Raster) -> Image.Image:
    octets = raster.bits.ljust(raster.width_dots // 8 * raster.height_dots, b"\0")
    picture = Image.frombytes("1", (raster.width_dots, raster.height_dots), octets).convert("L")
    size = (picture.width * PIXELS_PER_DOT, picture.height * PIXELS_PER_DOT)
    return picture.resize(size, Image.Resampling.NEAREST)
