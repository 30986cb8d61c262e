"""What ESC/POS bytes ask a printer to do, one frozen shape each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Align(Enum):
    LEFT = 0
    CENTRE = 1
    RIGHT = 2


@dataclass(frozen=True, slots=True)
class TextStyle:
    """Multiples of the font's cell, and how it is drawn. `small` is font B."""

    width: int = 1
    height: int = 1
    bold: bool = False
    small: bool = False
    underline: bool = False
    inverse: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """Characters of one style, put into the line under way."""

    text: str
    style: TextStyle


@dataclass(frozen=True, slots=True)
class LineEnd:
    """The line under way is printed; `pitch_dots` is the distance to the next one at least."""

    align: Align
    pitch_dots: int


@dataclass(frozen=True, slots=True)
class Feed:
    dots: int


@dataclass(frozen=True, slots=True)
class QrSymbol:
    """A QR code the printer draws itself (GS ( k)."""

    content: bytes
    module_dots: int
    level: str  # "L", "M", "Q", "H"
    align: Align


@dataclass(frozen=True, slots=True)
class Raster:
    """A bit image (GS v 0): rows of `(width_dots + 7) // 8` bytes, most significant bit at the left, 1 is black."""

    width_dots: int
    height_dots: int
    bits: bytes
    align: Align


@dataclass(frozen=True, slots=True)
class Cut:
    feed_dots: int = 0


@dataclass(frozen=True, slots=True)
class StatusRequest:
    """GS r n, answered when its turn comes."""

    sensor: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """A command this printer does not know, and where in the stream it began."""

    octets: bytes
    offset: int


Event = Text | LineEnd | Feed | QrSymbol | Raster | Cut | StatusRequest
