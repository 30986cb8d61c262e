"""Relay resistance in figures (EMV Book C-2, 3.10 and SR1.18 to SR1.31).

Comes in: how long an exchange took, what the card says of its own time, the reader's tolerances. Goes out: verdicts.
Strategy: all times are counts of 100 microseconds as the book has them, and ratios are compared multiplied out, so that
nothing is rounded and nothing divided.
"""

from __future__ import annotations

from dataclasses import dataclass

from taptill.card.kernels.c2 import tags
from taptill.card.kernels.c2.configuration import Configuration
from taptill.card.tlv import parse_tlv

UNIT_US = 100
MEASURED_MAX = 0xFFFF  # DF8306 has two octets
ENTROPY_OCTETS = 4
_TEMPLATE = 0x80
_ANSWER_OCTETS = 10
_PERCENT = 100


@dataclass(frozen=True, slots=True)
class DeviceTimes:
    """The card's answer: its entropy, the least and the most time it needs, and the time its answer is on the air."""

    entropy: bytes
    minimum: int
    maximum: int
    estimated: int


@dataclass(frozen=True, slots=True)
class Tolerances:
    """DF8132 to DF8137. `mismatch_percent`: how far both ideas of the answer's air time may be apart."""

    grace_min: int
    grace_max: int
    expected_command: int
    expected_response: int
    accuracy: int
    mismatch_percent: int

    @classmethod
    def of(cls, configuration: Configuration) -> Tolerances:
        """As configured."""
        return cls(
            configuration.number(tags.RELAY_GRACE_MIN),
            configuration.number(tags.RELAY_GRACE_MAX),
            configuration.number(tags.RELAY_EXPECTED_COMMAND),
            configuration.number(tags.RELAY_EXPECTED_RESPONSE),
            configuration.number(tags.RELAY_ACCURACY),
            configuration.number(tags.RELAY_MISMATCH),
        )


def device_times(response: bytes) -> DeviceTimes | None:
    """SR1.14: 80 0A, entropy, three times. None for another form. Raises MalformedTlv."""
    templates = parse_tlv(response, "relay resistance response")
    if len(templates) != 1 or templates[0].tag != _TEMPLATE or len(templates[0].value) != _ANSWER_OCTETS:
        return None
    value = templates[0].value
    times = (int.from_bytes(value[at : at + 2], "big") for at in range(ENTROPY_OCTETS, _ANSWER_OCTETS, 2))
    return DeviceTimes(value[:ENTROPY_OCTETS], *times)


def processing_time(elapsed_us: int, device: DeviceTimes, tolerances: Tolerances) -> int:
    """SR1.18: what is left of the exchange once both transmissions are taken off, never below zero."""
    on_the_air = tolerances.expected_command + min(device.estimated, tolerances.expected_response)
    return min(max(0, elapsed_us // UNIT_US - on_the_air), MEASURED_MAX)


def is_too_fast(measured: int, device: DeviceTimes, tolerances: Tolerances) -> bool:
    """SR1.19: faster than the card says it can be."""
    return measured < max(0, device.minimum - tolerances.grace_min)


def is_too_slow(measured: int, device: DeviceTimes, tolerances: Tolerances) -> bool:
    """SR1.22 and SR1.28: slower than the card says it ever is."""
    return measured > device.maximum + tolerances.grace_max


def exceeds_thresholds(measured: int, device: DeviceTimes, tolerances: Tolerances) -> bool:
    """SR1.30: the two ideas of the answer's air time are too far apart, or the card took much longer than its least
    time. Times of zero are not known and not compared; our own reading, the public ones divide by them."""
    ours, theirs, percent = tolerances.expected_response, device.estimated, tolerances.mismatch_percent
    mismatch = bool(ours and theirs) and (theirs * _PERCENT < percent * ours or ours * _PERCENT < percent * theirs)
    return mismatch or max(0, measured - device.minimum) > tolerances.accuracy
