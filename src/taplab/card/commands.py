"""Commands as a card sees them, and the status words it answers with (ISO/IEC 7816-4, 5.1 and 5.6).

Comes in: an APDU. Goes out: header and data, or nothing where the lengths disagree.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SW_OK = b"\x90\x00"
SW_ISSUER_NOT_AUTHENTIC = b"\x63\x00"
SW_BLOCKED = b"\x62\x83"  # selected file invalidated
SW_WRONG_LENGTH = b"\x67\x00"
SW_CONDITIONS_NOT_SATISFIED = b"\x69\x85"
SW_SEE_PHONE = b"\x69\x86"
SW_MAC_MISSING = b"\x69\x87"
SW_MAC_WRONG = b"\x69\x88"
SW_WRONG_DATA = b"\x6a\x80"
SW_FILE_NOT_FOUND = b"\x6a\x82"
SW_RECORD_NOT_FOUND = b"\x6a\x83"
SW_WRONG_PARAMETERS = b"\x6a\x86"
SW_DATA_NOT_FOUND = b"\x6a\x88"
SW_INS_UNKNOWN = b"\x6d\x00"
SW_CLA_UNKNOWN = b"\x6e\x00"

_KNOWN_CLASSES = frozenset({0x00, 0x04, 0x80, 0x84})


@dataclass(frozen=True, slots=True)
class CardAnswer:
    """Response data with SW1 SW2, and how long the card needs before the first byte of it."""

    octets: bytes
    compute_ms: int = 0


@dataclass(frozen=True, slots=True)
class Command:
    """`name` is CLA and INS, `parameters` P1 and P2."""

    name: bytes
    parameters: bytes
    data: bytes = field(repr=False)

    @classmethod
    def of(cls, octets: bytes) -> Command | None:
        """A short APDU (ISO/IEC 7816-3, 12.1.3), None where the lengths disagree."""
        if len(octets) < 4:
            return None
        body = octets[4:]
        if len(body) <= 1:
            return cls(octets[:2], octets[2:4], b"")
        stop = 1 + body[0]
        if not body[0] or len(body) not in (stop, stop + 1):
            return None
        return cls(octets[:2], octets[2:4], body[1:stop])

    def unknown(self) -> CardAnswer:
        """What a card says that does not know it."""
        return CardAnswer(SW_INS_UNKNOWN if self.name[0] in _KNOWN_CLASSES else SW_CLA_UNKNOWN)
