"""Relay resistance told to the issuer in track 2, where no CDA proves it (EMV Book C-2, S9_10.39).

Comes in: the card's data objects, and what relay resistance measured. Goes out: 57 with new discretionary data.
Strategy: digits by place, as the book lists them: CA key index, attempts, device entropy, and the measured time.
"""

from __future__ import annotations

from collections.abc import Mapping

from taptill.card.kernels.c2 import tags
from taptill.card.payment_data import parse_track2

_SHORT_PAN_DIGITS = 16
_ROOM_SHORT_PAN, _ROOM_LONG_PAN = 13, 10
_BEFORE_DISCRETIONARY = 7  # expiry and service code
_INDEX_MAX = 9
_TIME_UNIT = 10  # the measured time counts 100 microseconds, the track milliseconds
_TIME_MAX = 999


def with_relay_figures(card: Mapping[int, bytes], terminal: Mapping[int, bytes]) -> dict[int, bytes]:
    """`{0x57: ...}`; empty for a card without track 2."""
    track2 = parse_track2(card.get(0x57, b""))
    if track2 is None or len(track2.text) < len(track2.pan) + 1 + _BEFORE_DISCRETIONARY:
        return {}
    short = len(track2.pan) <= _SHORT_PAN_DIGITS
    kept = track2.text[: len(track2.pan) + 1 + _BEFORE_DISCRETIONARY]
    index = (card.get(0x8F) or b"\xff")[0]
    entropy = terminal[tags.RELAY_DEVICE_ENTROPY]
    figures = str(index) if index <= _INDEX_MAX else "0"
    figures += str(terminal[tags.RELAY_COUNTER][0])
    figures += f"{int.from_bytes(entropy[:2], 'big'):05d}" + (f"{entropy[2]:03d}" if short else "")
    time = min(int.from_bytes(terminal[tags.RELAY_TIME_MEASURED], "big") // _TIME_UNIT, _TIME_MAX)
    room = _ROOM_SHORT_PAN if short else _ROOM_LONG_PAN
    text = kept + figures.ljust(room - 3, "0") + f"{time:03d}"
    return {0x57: bytes.fromhex(text + "F" * (len(text) % 2))}
