"""What may be held to a reader beside a plain card of type A: type B, a phone, a ticket, two at once.

Comes in: a card that answers APDUs, or nothing behind the antenna. Goes out: the same card with what it says of itself
on the air (SEL_RES, ATQB) and what a PC/SC reader would make of that (ATR, PC/SC Part 3, 3.1.3.2.3).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import xor

from taplab.pn532.picc_blocks import AnsweringCard, CardAnswer
from taptill.card.adapters.activation import TA, TB, TC

SAK_PHONE = 0x60  # ISO/IEC 14443-4 and NFC-DEP
SAK_MIFARE_CLASSIC_1K = 0x08

ANY_FAMILY = bytes(4)
PROTOCOL_INFO = bytes.fromhex("008171")  # 106 kbit/s; FSCI 8, ISO/IEC 14443-4; FWI 7, CID
_STORAGE_CARD = bytes.fromhex("804F0CA000000306")  # historical bytes: card issuer's data, 12 bytes, the PC/SC workgroup
_STANDARD_A_PART_3, _NAME_MIFARE_1K = b"\x03", b"\x00\x01"


@dataclass(frozen=True, slots=True)
class Silence:
    """No answer at all."""

    octets: bytes = b""
    compute_ms: float = 0


class TypeBCard:
    """A card behind a type B antenna. Its PUPI is the first four bytes of the card's own number, random ones too."""

    def __init__(
        self, card: AnsweringCard, application_data: bytes = ANY_FAMILY, protocol_info: bytes = PROTOCOL_INFO
    ) -> None:
        self._card = card
        self._application_data = application_data
        self._protocol_info = protocol_info

    @property
    def uid(self) -> bytes:
        return self._card.uid[:4]

    @property
    def atqb(self) -> bytes:
        return b"\x50" + self.uid + self._application_data + self._protocol_info

    @property
    def atr(self) -> bytes:
        return _contactless_atr(self._application_data + self._protocol_info[:3] + b"\x00")  # MBLI 0

    def answer(self, command: bytes) -> CardAnswer:
        return self._card.answer(command)

    def reset(self) -> None:
        self._card.reset()


class Phone:
    """A card of type A whose SEL_RES also offers peer-to-peer, as phones do."""

    def __init__(self, card: AnsweringCard, ats: bytes, sak: int = SAK_PHONE) -> None:
        self._card = card
        self.ats = ats
        self.sak = sak

    @property
    def uid(self) -> bytes:
        return self._card.uid

    @property
    def atr(self) -> bytes:
        interface_octets = sum(1 for bit in (TA, TB, TC) if len(self.ats) > 1 and self.ats[1] & bit)
        return _contactless_atr(self.ats[2 + interface_octets :])

    def answer(self, command: bytes) -> CardAnswer:
        return self._card.answer(command)

    def reset(self) -> None:
        self._card.reset()


class MemoryCard:
    """A ticket or a key: type A, no ISO/IEC 14443-4, nothing a payment terminal could ask."""

    ats = b""

    def __init__(self, uid: bytes, sak: int = SAK_MIFARE_CLASSIC_1K) -> None:
        self.uid = uid
        self.sak = sak

    @property
    def atr(self) -> bytes:
        return _contactless_atr(_STORAGE_CARD + _STANDARD_A_PART_3 + _NAME_MIFARE_1K + bytes(4))

    def answer(self, command: bytes) -> CardAnswer:
        return Silence()

    def reset(self) -> None:
        pass


def _contactless_atr(historical: bytes) -> bytes:
    checked = bytes([0x80 | len(historical), 0x80, 0x01]) + historical
    return b"\x3b" + checked + bytes([reduce(xor, checked)])
