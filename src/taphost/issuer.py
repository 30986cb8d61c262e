"""Is the card genuine: the issuer's side of the application cryptogram.

Comes in: a card's master key and the data objects of field 55. Goes out: cryptograms and a verdict.
Strategy: the card's own 9F10 names the cryptogram version (issuer_versions), which names key, layout and padding (keys:
issuer_keys). Visa and Mastercard are judged by foreign vectors. UnionPay CVN 01 is OUR OWN READING: no vector made by
others covers it; its layout is the one of Visa's CVN 10, so that a foreign case covers it indirectly.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from enum import Enum

from taphost.issuer_keys import (
    ATC_OCTETS,
    DES_BLOCK_OCTETS,
    CardKeyError,
    Padding,
    derive_card_key,
    derive_session_key,
    encrypt,
    mac,
    retail_mac,
)
from taphost.issuer_versions import ATC, ISSUER_DATA, MissingCardData, required, version_of

__all__ = [
    "CRYPTOGRAM_DATA",
    "CardKeyError",
    "CryptogramType",
    "MissingCardData",
    "application_cryptogram",
    "cryptogram_input",
    "cryptogram_type",
    "derive_card_key",
    "derive_session_key",
    "dynamic_verification_code",
    "is_genuine",
    "retail_mac",
]

_CRYPTOGRAM = 0x9F26
# Amount, other amount, country, TVR, currency, date, type, unpredictable number, AIP, ATC: tag and length.
CRYPTOGRAM_DATA = (
    (0x9F02, 6),
    (0x9F03, 6),
    (0x9F1A, 2),
    (0x95, 5),
    (0x5F2A, 2),
    (0x9A, 3),
    (0x9C, 1),
    (0x9F37, 4),
    (0x82, 2),
    (ATC, ATC_OCTETS),
)
_CVR_TYPE_MASK = 0x30


class CryptogramType(Enum):
    """What the card decided, as the CVR says it under the cryptogram (9F27 is not covered by it)."""

    AAC = 0x00
    TC = 0x10
    ARQC = 0x20


def application_cryptogram(session_key: bytes, data: bytes, padding: Padding = Padding.MARKED) -> bytes:
    """8 bytes: MAC algorithm 3 over `data` (ISO 9797-1; EMV Book 2, 8.1)."""
    return mac(session_key, data, padding)


def cryptogram_input(icc: Mapping[int, bytes]) -> bytes:
    """The unpadded bytes under the cryptogram, from the data objects of field 55. Raises MissingCardData."""
    issuer_data = icc.get(ISSUER_DATA, b"")
    version = version_of(issuer_data)
    if version is None:
        raise MissingCardData("9F10 names no cryptogram version known here", where="field 55")
    told = b"".join(required(icc, tag, length) for tag, length in CRYPTOGRAM_DATA)
    return told + b"".join(issuer_data[part] for part in version.covers)


def cryptogram_type(icc: Mapping[int, bytes]) -> CryptogramType | None:
    """What the card decided; None for a value or a version not known here. Raises MissingCardData."""
    issuer_data = icc.get(ISSUER_DATA, b"")
    version = version_of(issuer_data)
    if version is None:
        return None
    kind = issuer_data[version.type_at] & _CVR_TYPE_MASK
    return next((known for known in CryptogramType if known.value == kind), None)


def is_genuine(card_key: bytes, icc: Mapping[int, bytes]) -> bool:
    """Whether 9F26 is the cryptogram of this card over this field 55. Raises MissingCardData."""
    version = version_of(icc.get(ISSUER_DATA, b""))
    if version is None:
        return False
    expected = application_cryptogram(version.session_key(card_key, icc), cryptogram_input(icc), version.padding)
    return hmac.compare_digest(expected, required(icc, _CRYPTOGRAM, DES_BLOCK_OCTETS))


def dynamic_verification_code(code_key: bytes, track: bytes, unpredictable_number: bytes, atc: bytes) -> bytes:
    """CVC3 of Mastercard's mag-stripe mode, two bytes: of the track as it stands in the card, 9F6A and the ATC. The
    reader puts its last digits into the track."""
    static = mac(code_key, track)[-2:]
    return encrypt(code_key, static + unpredictable_number + atc)[-2:]
