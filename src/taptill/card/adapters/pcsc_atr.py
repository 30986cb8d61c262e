"""What a PC/SC reader says of a contactless card by its ATR (PC/SC Part 3, 3.1.3.2.3).

Comes in: an ATR, and a way to ask the reader for an ATS. Goes out: the card's technology, and whether it takes APDUs.
Strategy: readers make the ATR up. A memory card is told by the workgroup's own identifier. The rest is historical bytes
of an ATS (type A), or pieces of an ATQB (type B), which look alike: only a reader that has an ATS for the card has seen
type A, so that is asked where the bytes could be both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

CONTACTLESS = b"\x80\x01"  # TD1, TD2
HISTORICAL_AT = 4
STORAGE_CARD = bytes.fromhex("804F0CA000000306")
STANDARD_AT = len(STORAGE_CARD)  # SS, which part of which standard
STANDARDS = {1: "A", 2: "A", 3: "A", 5: "B", 6: "B", 7: "B"}

ATQB_PIECES_OCTETS = 8  # application data, protocol information, MBLI
WHOLE_ATQB_OCTETS = 12  # some readers give all of it, 50 and PUPI too
ATQB_FIRST = 0x50
PROTOCOL_TYPE_AT = 5  # in the pieces: the second byte of the protocol information


@dataclass(frozen=True, slots=True)
class CardKind:
    """`technology` as in Presentation."""

    technology: str
    takes_apdus: bool = True


def kind_of(atr: bytes, has_ats: Callable[[], bool]) -> CardKind:
    """`has_ats` is only asked where the ATR fits both types."""
    historical = _historical_bytes(atr)
    if historical.startswith(STORAGE_CARD):
        standard = historical[STANDARD_AT] if len(historical) > STANDARD_AT else 0
        return CardKind(STANDARDS.get(standard, "?"), takes_apdus=False)
    if not _is_contactless(atr):
        return CardKind("?")
    if not _could_be_type_b(historical) or has_ats():
        return CardKind("A")
    return CardKind("B")


def _is_contactless(atr: bytes) -> bool:
    return len(atr) > HISTORICAL_AT and atr[0] == 0x3B and atr[1] & 0xF0 == 0x80 and atr[2:4] == CONTACTLESS


def _historical_bytes(atr: bytes) -> bytes:
    return atr[HISTORICAL_AT : HISTORICAL_AT + (atr[1] & 0x0F)] if _is_contactless(atr) else b""


def _could_be_type_b(historical: bytes) -> bool:
    if len(historical) == WHOLE_ATQB_OCTETS:
        return historical[0] == ATQB_FIRST
    return len(historical) == ATQB_PIECES_OCTETS and historical[PROTOCOL_TYPE_AT] & 0x09 == 0x01
