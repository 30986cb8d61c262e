"""The terminal of a recording: what it was set to when the tap was written down.

Comes in: a recording and what was observed of it. Goes out: a sale and a combination that make our kernel say the same.
Strategy: the document's `terminal` counts first, then the recorded commands, then the recorded field 55; the rest is a
plain sale of one fen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from taptill.amount.money import CURRENCIES, Currency, Money
from taptill.card.bits import has_bit
from taptill.card.observation import Observed
from taptill.card.parameters import Combination, TapRequest
from taptill.card.preprocessing import (
    TTQ_CVM_REQUIRED,
    TTQ_ONLINE_CRYPTOGRAM_REQUIRED,
    TTQ_ONLINE_PIN,
)
from taptill.card.recording import Recording
from taptill.card.tlv import MalformedTlv, flatten, parse_tlv

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


@dataclass(frozen=True, slots=True)
class RecordedTerminal:
    """The sale and the combination of the recording."""

    request: TapRequest
    combination: Combination


def recorded_terminal(recording: Recording, observed: Observed) -> RecordedTerminal:
    """The recording's terminal as our kernel wants it told. Raises nothing; what makes no sense becomes a default."""
    data = dict(_DEFAULTS)
    for source in (recorded_field_55(recording.document), observed.sent, dict(_stated(recording.document))):
        data.update({tag: value for tag, value in source.items() if _fits(tag, value)})
    ttq = data[0x9F66]
    request = TapRequest(
        amount=Money(int(data[0x9F02].hex()), _currency(data[0x5F2A])),
        amount_other=Money(int(data[0x9F03].hex()), _currency(data[0x5F2A])),
        transaction_type=data[0x9C][0],
        date_yymmdd=data[0x9A].hex(),
        time_hhmmss=data[0x9F21].hex(),
        country=data[0x9F1A].hex()[1:],
        unpredictable_number=data[0x9F37],
        online_possible=True,
        offline_allowed=not has_bit(ttq, TTQ_ONLINE_CRYPTOGRAM_REQUIRED),
        terminal_type=data[0x9F35][0],
        terminal_capabilities=data[0x9F33],
        serial_number=data[0x9F1E].decode("ascii", "replace"),
        pin_pad=has_bit(ttq, TTQ_ONLINE_PIN),
        sequence_counter=int(data[0x9F41].hex()),
    )
    combination = Combination(
        aid=observed.aid[:7],
        kernel_id=7,
        ttq=ttq,
        zero_amount_allowed=True,
        zero_amount_offline_allowed=True,
        cvm_limit_minor=0 if has_bit(ttq, TTQ_CVM_REQUIRED) else None,
        application_version=data[0x9F09],
    )
    return RecordedTerminal(request, combination)


def _fits(tag: int, value: bytes) -> bool:
    """Right length, and digits where a number is wanted."""
    if tag not in _DEFAULTS:
        return False
    numeric = tag in (0x9F02, 0x9F03, 0x9F1A, 0x5F2A, 0x9A, 0x9F21, 0x9F41)
    long_enough = len(value) == len(_DEFAULTS[tag]) or tag == 0x9F09
    return long_enough and (not numeric or value.hex().isdigit())


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
