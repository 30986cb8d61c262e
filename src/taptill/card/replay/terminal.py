"""The terminal of a recording: what it was set to when the tap was written down.

Comes in: a recording, what was observed of it, the kernel. Goes out: a sale and combinations that make our kernel say
the same.
Strategy: the document's `terminal` counts first, then the recorded commands, then the recorded field 55; the rest is a
plain sale of one fen, on a day when the card was valid. What a reader's configuration must have been is told from what
it made of this card.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from taptill.amount.money import CURRENCIES, Currency, Money
from taptill.card.bits import has_bit
from taptill.card.parameters import Combination, TapRequest
from taptill.card.replay.mastercard import ONLINE_PIN, mastercard_configuration, verified_by
from taptill.card.replay.observation import Observed
from taptill.card.replay.recording import Recording
from taptill.card.tlv import MalformedTlv, flatten, parse_tlv
from taptill.card.ttq import (
    TTQ_CVM_REQUIRED,
    TTQ_ONLINE_CRYPTOGRAM_REQUIRED,
    TTQ_ONLINE_PIN,
)

MASTERCARD = 2

_DEFAULT_TTQ = bytes.fromhex("26000080")
_NAMED = {"unpredictable_number": 0x9F37, "date": 0x9A, "time": 0x9F21}
_DEFAULTS = {
    0x9F02: bytes.fromhex("000000000001"),
    0x9F03: bytes(6),
    0x9F1A: b"\x01\x56",
    0x5F2A: b"\x01\x56",
    0x9A: bytes.fromhex("200101"),
    0x9F21: bytes(3),
    0x9C: b"\x00",
    0x9F37: bytes(4),
    0x9F35: b"\x22",
    0x9F33: bytes.fromhex("E0E9C8"),
    0x9F1E: b"TAPTILL1",
    0x9F41: bytes(4),
    0x9F66: _DEFAULT_TTQ,
    0x9F09: b"",
}
_NUMERIC = frozenset({0x9F02, 0x9F03, 0x9F1A, 0x5F2A, 0x9A, 0x9F21, 0x9F41})
_OFFLINE_ONLY = {0x3, 0x6}  # the second digit of 9F35 (EMV Book 4, Annex A1)

# What the kernel finds out by itself in every tap, so that no configuration says it.
_OF_THIS_TAP = frozenset({*_DEFAULTS, 0x95, 0x9B, 0x9F34, 0x9F45, 0x9F4C, 0x9F4E, 0x9F6A}) - {0x9F09, 0x9F35}
_FIXED_LENGTHS = {0x9F40: 5, 0x9F09: 2, 0x9F35: 1, 0x9F6D: 2, 0x9F7E: 1}


@dataclass(frozen=True, slots=True)
class RecordedTerminal:
    """What the recorded terminal said of itself and the sale, by tag, and the sale as our kernel wants it."""

    data: Mapping[int, bytes]
    stated: Mapping[int, bytes]
    request: TapRequest

    def combination(self, aid: bytes, kernel_id: int, observed: Observed, extended: bool = False) -> Combination:
        """The reader's setting for one application of the card."""
        ttq = self.data[0x9F66]
        return Combination(
            aid=aid,
            kernel_id=kernel_id,
            ttq=b"" if kernel_id == MASTERCARD else ttq,
            zero_amount_allowed=True,
            zero_amount_offline_allowed=True,
            cvm_limit_minor=0 if kernel_id != MASTERCARD and has_bit(ttq, TTQ_CVM_REQUIRED) else None,
            extended_selection=extended,
            application_version=self.data[0x9F09],
            kernel_data=self._kernel_data(kernel_id, observed),
        )

    def _kernel_data(self, kernel_id: int, observed: Observed) -> dict[int, bytes]:
        told_from_the_tap = mastercard_configuration(observed) if kernel_id == MASTERCARD else {}
        said = {**observed.sent, **told_from_the_tap, **self.stated}
        return {tag: value for tag, value in said.items() if tag not in _OF_THIS_TAP and _right_length(tag, value)}


def recorded_terminal(recording: Recording, observed: Observed) -> RecordedTerminal:
    """The recording's terminal as our kernel wants it told. Raises nothing; what makes no sense becomes a default."""
    stated = dict(_stated(recording.document))
    data = {**_DEFAULTS, 0x9A: _a_valid_day(observed)}
    for source in (recorded_field_55(recording.document), observed.sent, stated):
        data.update({tag: value for tag, value in source.items() if _fits(tag, value)})
    return RecordedTerminal(data, stated, _request(data, observed))


def _request(data: Mapping[int, bytes], observed: Observed) -> TapRequest:
    currency = _currency(data[0x5F2A])
    ttq = data[0x9F66]
    return TapRequest(
        amount=Money(int(data[0x9F02].hex()), currency),
        amount_other=Money(int(data[0x9F03].hex()), currency),
        transaction_type=data[0x9C][0],
        date_yymmdd=data[0x9A].hex(),
        time_hhmmss=data[0x9F21].hex(),
        country=data[0x9F1A].hex()[1:],
        unpredictable_number=data[0x9F37],
        online_possible=data[0x9F35][0] & 0x0F not in _OFFLINE_ONLY,
        offline_allowed=not has_bit(ttq, TTQ_ONLINE_CRYPTOGRAM_REQUIRED),
        terminal_type=data[0x9F35][0],
        terminal_capabilities=data[0x9F33],
        serial_number=data[0x9F1E].decode("ascii", "replace"),
        pin_pad=has_bit(ttq, TTQ_ONLINE_PIN) or verified_by(observed) == ONLINE_PIN,
        sequence_counter=int(data[0x9F41].hex()),
        fresh_numbers=tuple(observed.entropies),
    )


def _a_valid_day(observed: Observed) -> bytes:
    """The first day of the month in which the card expires, where nobody wrote the day down."""
    expiry = observed.data.get(0x5F24, b"")
    return expiry[:2] + b"\x01" if _fits(0x9A, expiry) else _DEFAULTS[0x9A]


def _fits(tag: int, value: bytes) -> bool:
    """Right length, and digits where a number is wanted."""
    if tag not in _DEFAULTS:
        return False
    long_enough = len(value) == len(_DEFAULTS[tag]) or (tag == 0x9F09 and _right_length(tag, value))
    return long_enough and (tag not in _NUMERIC or value.hex().isdigit())


def _right_length(tag: int, value: bytes) -> bool:
    return len(value) == _FIXED_LENGTHS.get(tag, len(value))


def _currency(number: bytes) -> Currency:
    digits = number.hex()[1:]
    return CURRENCIES.get(digits, Currency(digits, digits, 2, ""))


def _stated(document: Mapping[str, object]) -> Iterator[tuple[int, bytes]]:
    """The document's `terminal`: tags in hex, or the names other recorders use."""
    terminal = document.get("terminal")
    for name, value in terminal.items() if isinstance(terminal, Mapping) else ():
        try:
            octets = bytes.fromhex(str(value))
            if name == "transaction_request_tlv":
                yield from flatten(parse_tlv(octets, "transaction request")).items()
            else:
                yield _NAMED[name] if name in _NAMED else int(str(name), 16), octets
        except (ValueError, MalformedTlv):
            continue


def recorded_field_55(document: Mapping[str, object]) -> dict[int, bytes]:
    """The field 55 the recorded terminal built, by tag; empty when the document holds none."""
    text = document.get("origin_field_55")
    try:
        return flatten(parse_tlv(bytes.fromhex(text), "field 55")) if isinstance(text, str) else {}
    except (ValueError, MalformedTlv):
        return {}
