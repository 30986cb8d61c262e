"""Filling the track of a mag-stripe mode tap (EMV Book C-2, S13.18 to S13.22).

Comes in: the track's discretionary data, where checksum, number and counter belong in it, and their values. Goes out:
the discretionary data, filled. Strategy: a bitmap names places from the right; all values are decimal digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from taptill.card.refused import Refused

NUMBER_DIGITS_MAX = 8  # 9F6A


@dataclass(frozen=True, slots=True)
class TrackLayout:
    """PCVC3, PUNATC and NATC of one track: bitmaps of places, and how many of the second are the counter's."""

    checksum_places: int
    number_places: int
    counter_digits: int

    @property
    def number_digits(self) -> int:
        """nUN: how many digits of the unpredictable number the track has room for."""
        return self.number_places.bit_count() - self.counter_digits


def layout_of(card: Mapping[int, bytes], checksum: int, number: int, counter: int) -> TrackLayout | Refused:
    """The layout from its three data objects (9F65, 9F66, 9F67 for track 2; 9F62, 9F63, 9F64 for track 1)."""
    for tag in (checksum, number, counter):
        if not card.get(tag):
            return Refused(f"data-missing-{tag:X}")
    places = (int.from_bytes(card[tag], "big") for tag in (checksum, number, counter))
    layout = TrackLayout(*places)
    return layout if 0 <= layout.number_digits <= NUMBER_DIGITS_MAX else Refused("card-data-malformed")


def numeric_number(unpredictable_number: bytes, digits: int) -> bytes:
    """S78.15, unpredictable number (numeric), 9F6A: eight digits, zeros but for the last `digits`."""
    return bytes.fromhex(f"{int.from_bytes(unpredictable_number, 'big') % 10**digits:0{NUMBER_DIGITS_MAX}d}")


def filled(discretionary: str, layout: TrackLayout, checksum: int, number: str, counter: int) -> str | Refused:
    """Checksum in its places, number in the lower ones of its own, counter in the upper ones."""
    places = _places(layout.number_places)
    split = layout.number_digits
    text = list(discretionary)
    for where, value in (
        (_places(layout.checksum_places), str(checksum)),
        (places[:split], number),
        (places[split:], str(counter)),
    ):
        if where and where[-1] >= len(text):
            return Refused("card-data-malformed")
        for place, digit in zip(where, reversed(value.rjust(len(where), "0")), strict=False):
            text[-1 - place] = digit
    return "".join(text)


def _places(bitmap: int) -> list[int]:
    """Set bits, least significant first."""
    return [place for place in range(bitmap.bit_length()) if bitmap >> place & 1]
