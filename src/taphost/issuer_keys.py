"""The keys of an issuer and its cards, and the DES arithmetic they are used with (EMV Book 2, Annex A1).

Comes in: an issuer master key, what identifies a card, what identifies one of its transactions. Goes out: 16-byte 3DES
keys and MACs.
Strategy: plain functions over bytes; which of them a card needs follows from its cryptogram version. All but UnionPay's
session key are judged by foreign vectors.
"""

from __future__ import annotations

import hashlib
from enum import Enum

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from taphost.errors import TapHostError

DES_BLOCK_OCTETS = 8
KEY_OCTETS = 16
ATC_OCTETS = 2
UNPREDICTABLE_NUMBER_OCTETS = 4

_OPTION_A_DIGITS = 16
_DECIMALISED = str.maketrans("abcdef", "012345")  # EMV Book 2, A1.4.2


class CardKeyError(TapHostError):
    """A key, card number or counter that the derivation does not know."""

    code = 8101


class Padding(Enum):
    """ISO 9797-1: zeros alone (method 1, Visa CVN 10), or a mark and zeros (method 2, EMV)."""

    ZEROS = 1
    MARKED = 2


def derive_card_key(issuer_key: bytes, pan: str, sequence: str | None = None) -> bytes:
    """The ICC master key, option A (EMV Book 2, A1.4.1), with odd parity. `sequence` is 5F34 as two digits.

    Raises CardKeyError."""
    digits = _identity(issuer_key, pan, sequence)
    return _key_of(issuer_key, digits[-_OPTION_A_DIGITS:].zfill(_OPTION_A_DIGITS))


def derive_card_key_b(issuer_key: bytes, pan: str, sequence: str | None = None) -> bytes:
    """Option B (EMV Book 2, A1.4.2): the same for numbers of up to 16 digits, decimalised SHA-1 for longer ones.

    Raises CardKeyError."""
    if len(pan) <= _OPTION_A_DIGITS:
        return derive_card_key(issuer_key, pan, sequence)
    digits = _identity(issuer_key, pan, sequence)
    digest = hashlib.sha1(bytes.fromhex(digits.zfill(len(digits) + len(digits) % 2)), usedforsecurity=False).hexdigest()
    decimals = "".join(filter(str.isdecimal, digest))
    letters = "".join(filter(str.isalpha, digest)).translate(_DECIMALISED)
    return _key_of(issuer_key, (decimals + letters)[:_OPTION_A_DIGITS])


def purpose_key(issuer_key: bytes, purpose: str) -> bytes:
    """A second master key of the same issuer, such as for "script integrity". A real issuer draws it by itself; this
    host has one key per range of card numbers and lets the others follow from it."""
    return _with_odd_parity(hashlib.sha256(purpose.encode("ascii") + issuer_key).digest()[:KEY_OCTETS])


def derive_session_key(card_key: bytes, atc: bytes) -> bytes:
    """UnionPay: 3DES(card key, 0^6 | ATC) | 3DES(card key, 0^6 | not ATC). OUR OWN READING. Raises CardKeyError."""
    _check(card_key, atc)
    zeros = bytes(DES_BLOCK_OCTETS - ATC_OCTETS)
    return encrypt(card_key, zeros + atc + zeros + _inverted(atc))


def common_session_key(card_key: bytes, diversifier: bytes) -> bytes:
    """EMV Book 2, A1.3.1: of eight bytes that begin with the ATC, or that are a cryptogram. Raises CardKeyError."""
    if len(card_key) != KEY_OCTETS or len(diversifier) != DES_BLOCK_OCTETS:
        raise CardKeyError("no card key or no diversifier of eight bytes", where="session key")
    left, right = (diversifier[:2] + third + diversifier[3:] for third in (b"\xf0", b"\x0f"))
    return _with_odd_parity(encrypt(card_key, left + right))


def counter_session_key(card_key: bytes, atc: bytes) -> bytes:
    """The common session key of a cryptogram: ATC and zeros. Raises CardKeyError."""
    return common_session_key(card_key, atc.ljust(DES_BLOCK_OCTETS, b"\x00"))


def mastercard_session_key(card_key: bytes, atc: bytes, unpredictable_number: bytes) -> bytes:
    """Mastercard SKD: of ATC, two zeros and 9F37. Raises CardKeyError."""
    return common_session_key(card_key, atc + bytes(2) + unpredictable_number)


def visa_script_key(script_card_key: bytes, atc: bytes) -> bytes:
    """Visa's session key of secure messaging: the ATC and its complement over the card's script key.

    Raises CardKeyError."""
    _check(script_card_key, atc)
    zeros = bytes(DES_BLOCK_OCTETS - ATC_OCTETS)
    return _with_odd_parity(xor(script_card_key, zeros + atc + zeros + _inverted(atc)))


def mac(key: bytes, data: bytes, padding: Padding = Padding.MARKED) -> bytes:
    """8 bytes: MAC algorithm 3 over padded data (ISO 9797-1; EMV Book 2, A1.2.1)."""
    return retail_mac(key, pad(data, padding))


def pad(data: bytes, padding: Padding, block_octets: int = DES_BLOCK_OCTETS) -> bytes:
    """Whole blocks, at least one."""
    marked = data + b"\x80" if padding is Padding.MARKED else data
    return marked + bytes(-len(marked) % block_octets) or bytes(block_octets)


def retail_mac(key: bytes, padded: bytes) -> bytes:
    """ISO 9797-1 MAC algorithm 3 with DES over whole blocks: CBC with the left key, the last block with all of it."""
    left = key[:DES_BLOCK_OCTETS]
    single = Cipher(TripleDES(left * 3), modes.CBC(bytes(DES_BLOCK_OCTETS))).encryptor()
    chained = single.update(padded[:-DES_BLOCK_OCTETS])[-DES_BLOCK_OCTETS:] or bytes(DES_BLOCK_OCTETS)
    return encrypt(key, xor(chained, padded[-DES_BLOCK_OCTETS:]))


def encrypt(key: bytes, blocks: bytes) -> bytes:
    """3DES with a double-length key over whole blocks, each for itself."""
    return Cipher(TripleDES(key + key[:DES_BLOCK_OCTETS]), modes.ECB()).encryptor().update(blocks)


def xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def _identity(issuer_key: bytes, pan: str, sequence: str | None) -> str:
    digits = pan + (sequence or "00")
    if not (digits.isascii() and digits.isdigit()) or len(issuer_key) != KEY_OCTETS:
        raise CardKeyError("no issuer key, card number or sequence number", where="card key")
    return digits


def _key_of(issuer_key: bytes, digits: str) -> bytes:
    left = bytes.fromhex(digits)
    return _with_odd_parity(encrypt(issuer_key, left + _inverted(left)))


def _check(card_key: bytes, atc: bytes) -> None:
    if len(card_key) != KEY_OCTETS or len(atc) != ATC_OCTETS:
        raise CardKeyError("no card key or no transaction counter", where="session key")


def _inverted(octets: bytes) -> bytes:
    return bytes(octet ^ 0xFF for octet in octets)


def _with_odd_parity(key: bytes) -> bytes:
    return bytes(octet ^ 1 if octet.bit_count() % 2 == 0 else octet for octet in key)
