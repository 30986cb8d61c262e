"""Is the card genuine: the issuer's side of the application cryptogram.

Comes in: an issuer key, what identifies the card, the data objects of field 55. Goes out: keys, cryptograms, a verdict.
Strategy: UnionPay CVN 01. The layout of its input and its session key are OUR OWN READING: no vector made by others
covers them. Option A, the MAC and its padding are common EMV and judged by foreign vectors; the layout is the one of
Visa's CVN 10, so that a foreign case covers it indirectly.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from enum import Enum

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from taphost.errors import TapHostError

DES_BLOCK_OCTETS = 8
KEY_OCTETS = 16
ATC_OCTETS = 2
CVN_UNIONPAY = 0x01

_ATC, _ISSUER_DATA, _CRYPTOGRAM = 0x9F36, 0x9F10, 0x9F26
# Amount, other amount, country, TVR, currency, date, type, unpredictable number, AIP, ATC: tag and length.
_INPUT = (
    (0x9F02, 6),
    (0x9F03, 6),
    (0x9F1A, 2),
    (0x95, 5),
    (0x5F2A, 2),
    (0x9A, 3),
    (0x9C, 1),
    (0x9F37, 4),
    (0x82, 2),
    (_ATC, ATC_OCTETS),
)
_CVR_AT = 3  # 9F10: length, key index, CVN, then the CVR with its own length in front
_CVR_OCTETS = 4
_CVR_TYPE_MASK = 0x30


class CardKeyError(TapHostError):
    """A key, card number or counter that the derivation does not know."""

    code = 8101


class MissingCardData(TapHostError):
    """Field 55 lacks a data object of the cryptogram, or it has a wrong length."""

    code = 8102


class CryptogramType(Enum):
    """What the card decided, as the CVR says it under the cryptogram (9F27 is not covered by it)."""

    AAC = 0x00
    TC = 0x10
    ARQC = 0x20


def derive_card_key(issuer_key: bytes, pan: str, sequence: str | None = None) -> bytes:
    """The ICC master key, option A (EMV Book 2, A1.4.1), with odd parity. `sequence` is 5F34 as two digits.

    Raises CardKeyError."""
    digits = pan + (sequence or "00")
    if not (digits.isascii() and digits.isdigit()) or len(issuer_key) != KEY_OCTETS:
        raise CardKeyError("no issuer key, card number or sequence number", where="card key")
    left = bytes.fromhex(digits[-2 * DES_BLOCK_OCTETS :].zfill(2 * DES_BLOCK_OCTETS))
    right = bytes(octet ^ 0xFF for octet in left)
    return _with_odd_parity(_encrypt(issuer_key, left + right))


def derive_session_key(card_key: bytes, atc: bytes) -> bytes:
    """3DES(card key, 0^6 | ATC) | 3DES(card key, 0^6 | not ATC). Our own reading, see above. Raises CardKeyError."""
    if len(card_key) != KEY_OCTETS or len(atc) != ATC_OCTETS:
        raise CardKeyError("no card key or no transaction counter", where="session key")
    inverted = bytes(octet ^ 0xFF for octet in atc)
    zeros = bytes(DES_BLOCK_OCTETS - ATC_OCTETS)
    return _encrypt(card_key, zeros + atc + zeros + inverted)


def application_cryptogram(session_key: bytes, data: bytes) -> bytes:
    """8 bytes: MAC algorithm 3 over `data` with padding method 2 (ISO 9797-1; EMV Book 2, A1.2.1)."""
    padded = data + b"\x80"
    padded += bytes(-len(padded) % DES_BLOCK_OCTETS)
    return retail_mac(session_key, padded)


def retail_mac(key: bytes, padded: bytes) -> bytes:
    """ISO 9797-1 MAC algorithm 3 with DES over whole blocks: CBC with the left key, the last block with all of it."""
    left = key[:DES_BLOCK_OCTETS]
    single = Cipher(TripleDES(left * 3), modes.CBC(bytes(DES_BLOCK_OCTETS))).encryptor()
    chained = single.update(padded[:-DES_BLOCK_OCTETS])[-DES_BLOCK_OCTETS:] or bytes(DES_BLOCK_OCTETS)
    last = bytes(one ^ other for one, other in zip(chained, padded[-DES_BLOCK_OCTETS:], strict=True))
    return _encrypt(key, last)


def cryptogram_input(icc: Mapping[int, bytes]) -> bytes:
    """The unpadded bytes under a CVN 01 cryptogram, from the data objects of field 55. Raises MissingCardData."""
    return b"".join(_required(icc, tag, length) for tag, length in _INPUT) + _cvr(icc)


def cryptogram_type(icc: Mapping[int, bytes]) -> CryptogramType | None:
    """What the card decided; None for a value EMV does not know. Raises MissingCardData."""
    kind = _cvr(icc)[1] & _CVR_TYPE_MASK
    return next((known for known in CryptogramType if known.value == kind), None)


def is_genuine(card_key: bytes, icc: Mapping[int, bytes]) -> bool:
    """Whether 9F26 is the cryptogram of this card over this field 55. Raises MissingCardData."""
    data = cryptogram_input(icc)
    if icc[_ISSUER_DATA][2] != CVN_UNIONPAY:
        return False
    expected = application_cryptogram(derive_session_key(card_key, icc[_ATC]), data)
    return hmac.compare_digest(expected, _required(icc, _CRYPTOGRAM, DES_BLOCK_OCTETS))


def _cvr(icc: Mapping[int, bytes]) -> bytes:
    issuer_data = icc.get(_ISSUER_DATA, b"")
    cvr = issuer_data[_CVR_AT : _CVR_AT + _CVR_OCTETS]
    if len(cvr) < _CVR_OCTETS:
        raise MissingCardData("9F10 holds no card verification results", where="field 55")
    return cvr


def _required(icc: Mapping[int, bytes], tag: int, length: int) -> bytes:
    value = icc.get(tag, b"")
    if len(value) != length:
        raise MissingCardData(f"{tag:X} has {len(value)} bytes, {length} are needed", where="field 55")
    return value


def _encrypt(key: bytes, blocks: bytes) -> bytes:
    return Cipher(TripleDES(key + key[:DES_BLOCK_OCTETS]), modes.ECB()).encryptor().update(blocks)


def _with_odd_parity(key: bytes) -> bytes:
    return bytes(octet ^ 1 if octet.bit_count() % 2 == 0 else octet for octet in key)
