"""Single bits of EMV bit fields: TTQ, CTQ, TVR, TSI, capabilities.

Comes in: octets and a place `(byte, mask)`, the byte counted from zero. Goes out: whether it is set, or new octets.
"""

from __future__ import annotations

Place = tuple[int, int]


def has_bit(octets: bytes, place: Place) -> bool:
    """Whether the bit is set; a missing byte has no bits."""
    byte, mask = place
    return len(octets) > byte and bool(octets[byte] & mask)


def with_bit(octets: bytes, place: Place) -> bytes:
    """The octets with the bit set; unchanged when they do not reach that far."""
    byte, mask = place
    if len(octets) <= byte:
        return octets
    return octets[:byte] + bytes([octets[byte] | mask]) + octets[byte + 1 :]


def without_bit(octets: bytes, place: Place) -> bytes:
    """The octets with the bit cleared."""
    byte, mask = place
    if len(octets) <= byte:
        return octets
    return octets[:byte] + bytes([octets[byte] & ~mask & 0xFF]) + octets[byte + 1 :]
