"""RSA certificates and signatures with message recovery (EMV Book 2, 5, 6 and Annex B2).

Comes in: what a card presents, and the key above it. Goes out: the next public key, the signed content, or `Refused`.
Strategy: a forged or expired certificate is an ordinary answer, so it is a value with a stable reason, never an
exception. The hash is checked before the fields, and the date last, so that an expired certificate is told from a wrong
one. A remainder or padding that nobody needs does no harm: the hash covers it.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from taptill.card.payment_data import pan_digits
from taptill.card.refused import Refused

HASH_OCTETS = 20
_HEADER = 0x6A
_TRAILER = 0xBC
_SHA1 = 0x01
_RSA = 0x01
_ISSUER_FORMAT, _STATIC_FORMAT, _ICC_FORMAT, _DYNAMIC_FORMAT = 0x02, 0x03, 0x04, 0x05
_ISSUER_OVERHEAD, _ICC_OVERHEAD = 36, 42  # EMV Book 2, Tables 6 and 14: everything in a certificate but the key
_EXPONENTS = (3, 65537)  # EMV Book 2, Annex B2.1
_ISSUER_IDENTIFIER_DIGITS = range(3, 9)
_DYNAMIC_OVERHEAD = 25  # EMV Book 2, Table 15: everything in a signature but the ICC dynamic data and its padding
_DYNAMIC_NUMBER_OCTETS = range(2, 9)


@dataclass(frozen=True, slots=True)
class RsaPublicKey:
    """Modulus and exponent as octets."""

    modulus: bytes
    exponent: bytes


@dataclass(frozen=True, slots=True)
class PresentedCertificate:
    """A certificate as the card holds it: 90/92/9F32 of the issuer, 9F46/9F48/9F47 of the card."""

    certificate: bytes
    remainder: bytes
    exponent: bytes


def recover(signature: bytes, key: RsaPublicKey) -> bytes | None:
    """The signed block (EMV Book 2, Annex A2.1), or None when header, trailer or length are wrong."""
    modulus = int.from_bytes(key.modulus, "big")
    number = int.from_bytes(signature, "big")
    if len(signature) != len(key.modulus) or len(signature) < HASH_OCTETS + 3 or modulus < 2 or number >= modulus:
        return None
    block = pow(number, int.from_bytes(key.exponent, "big"), modulus).to_bytes(len(signature), "big")
    return block if block[0] == _HEADER and block[-1] == _TRAILER else None


def recover_issuer_key(
    presented: PresentedCertificate,
    ca_key: RsaPublicKey,
    pan: str,
    date_yymmdd: str,
    revoked: frozenset[bytes] = frozenset(),
) -> RsaPublicKey | Refused:
    """EMV Book 2, 6.3: the issuer's key out of its certificate. `pan` is digits without padding; `revoked` are the
    serial numbers its CA key no longer stands for."""
    key = _recover_key(presented, ca_key, _ISSUER_FORMAT, _ISSUER_OVERHEAD, b"")
    if not isinstance(key, _CertifiedKey):
        return Refused(f"issuer-certificate-{key}")
    identifier = pan_digits(key.block[2:6])
    if not pan.startswith(identifier) or len(identifier) not in _ISSUER_IDENTIFIER_DIGITS:
        return Refused("issuer-certificate-not-of-this-card")
    if key.block[8:11] in revoked:
        return Refused("issuer-certificate-revoked")
    if _expired(key.block[6:8], date_yymmdd):
        return Refused("issuer-certificate-expired")
    return key.key


def recover_icc_key(
    presented: PresentedCertificate, issuer_key: RsaPublicKey, static_data: bytes, pan: str, date_yymmdd: str
) -> RsaPublicKey | Refused:
    """EMV Book 2, 6.4: the card's own key out of its certificate, which also covers the static data."""
    key = _recover_key(presented, issuer_key, _ICC_FORMAT, _ICC_OVERHEAD, static_data)
    if not isinstance(key, _CertifiedKey):
        return Refused(f"icc-certificate-{key}")
    if pan_digits(key.block[2:12]) != pan:
        return Refused("icc-certificate-not-of-this-card")
    if _expired(key.block[12:14], date_yymmdd):
        return Refused("icc-certificate-expired")
    return key.key


def verify_static(signature: bytes, issuer_key: RsaPublicKey, static_data: bytes) -> bytes | Refused:
    """EMV Book 2, 5.4: the data authentication code (9F45) of a good SSAD (93)."""
    block = _signed_block(signature, issuer_key, _STATIC_FORMAT, static_data)
    return block if isinstance(block, Refused) else block[3:5]


def verify_dynamic(signature: bytes, icc_key: RsaPublicKey, terminal_data: bytes) -> bytes | Refused:
    """EMV Book 2, 6.5.2 and 6.6.2: the ICC dynamic data of a good SDAD (9F4B)."""
    block = _signed_block(signature, icc_key, _DYNAMIC_FORMAT, terminal_data)
    if isinstance(block, Refused):
        return block
    length = block[3]
    return block[4 : 4 + length] if length <= len(block) - _DYNAMIC_OVERHEAD else Refused("signature-wrong")


def dynamic_number(dynamic: bytes) -> bytes | None:
    """The ICC dynamic number (9F4C) that opens the ICC dynamic data: its length, then two to eight octets."""
    length = dynamic[0] if dynamic else 0
    return dynamic[1 : 1 + length] if length in _DYNAMIC_NUMBER_OCTETS and length < len(dynamic) else None


def emv_hash(octets: bytes) -> bytes:
    """SHA-1, the one hash algorithm of EMV Book 2, B3."""
    return hashlib.sha1(octets, usedforsecurity=False).digest()


@dataclass(frozen=True, slots=True)
class _CertifiedKey:
    key: RsaPublicKey
    block: bytes


def _recover_key(
    presented: PresentedCertificate, above: RsaPublicKey, form: int, overhead: int, covered: bytes
) -> _CertifiedKey | str:
    """The steps issuer and ICC certificates share: header, format, hash, algorithms, length of the key."""
    block = recover(presented.certificate, above)
    if block is None or block[1] != form or len(block) <= overhead:
        return "wrong"
    key_at = overhead - 1 - HASH_OCTETS  # the key stands before hash and trailer, behind four octets that describe it
    hash_algorithm, key_algorithm, key_octets, exponent_octets = block[key_at - 4 : key_at]
    if hash_algorithm != _SHA1:
        return "algorithm-unknown"
    if not _hash_holds(block, presented.remainder + presented.exponent + covered):
        return "wrong"
    if key_algorithm != _RSA or int.from_bytes(presented.exponent, "big") not in _EXPONENTS:
        return "algorithm-unknown"
    room = len(block) - overhead
    leftmost = block[key_at : key_at + room]
    modulus = leftmost[:key_octets] if key_octets <= room else leftmost + presented.remainder
    if len(modulus) != key_octets or len(presented.exponent) != exponent_octets:
        return "incomplete"
    return _CertifiedKey(RsaPublicKey(modulus, presented.exponent), block)


def _signed_block(signature: bytes, key: RsaPublicKey, form: int, covered: bytes) -> bytes | Refused:
    """The steps SSAD and SDAD share: header and trailer, format, hash algorithm, hash."""
    block = recover(signature, key)
    if block is None or len(block) < _DYNAMIC_OVERHEAD or block[1] != form or not _hash_holds(block, covered):
        return Refused("signature-wrong")
    return block if block[2] == _SHA1 else Refused("signature-algorithm-unknown")


def _hash_holds(block: bytes, behind: bytes) -> bool:
    return hmac.compare_digest(block[-1 - HASH_OCTETS : -1], emv_hash(block[1 : -1 - HASH_OCTETS] + behind))


def _expired(mmyy: bytes, date_yymmdd: str) -> bool:
    """A certificate is good to the last day of its month (EMV Book 2, 6.3); years are 1950 to 2049."""
    digits = mmyy.hex()
    if not digits.isdigit():
        return True
    return century_year(digits[2:]) * 100 + int(digits[:2]) < century_year(date_yymmdd[:2]) * 100 + int(
        date_yymmdd[2:4]
    )


def century_year(yy: str) -> int:
    """`"49"` -> 2049, `"50"` -> 1950 (EMV Book 4, 6.7.3)."""
    return int(yy) + (2000 if int(yy) < 50 else 1900)
