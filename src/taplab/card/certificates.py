"""What an issuer and a card sign for offline data authentication (EMV Book 2, 5 and 6; Book C-3, Annex C for fDDA).

Comes in: keys, numbers and dates. Goes out: issuer certificate, ICC certificate and signed dynamic application data as
a terminal finds them in records.
Strategy: one signed block, three fillings. SHA-1 is what the specification names (hash algorithm 01).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from taplab.card.rsa_key import RsaKey

ISSUER_CERTIFICATE = 0x02
ICC_CERTIFICATE = 0x04
DYNAMIC_DATA = 0x05
SHA_1 = 0x01
RSA = 0x01
HASH_OCTETS = 20
_HEADER, _TRAILER, _PADDING = 0x6A, 0xBC, 0xBB


@dataclass(frozen=True, slots=True)
class Certificate:
    """The signed block, the modulus bytes that found no room in it, and the certified exponent."""

    signed: bytes
    remainder: bytes
    exponent: bytes


def issuer_certificate(
    authority: RsaKey, issuer: RsaKey, identifier: str, expiry_mmyy: str, serial: bytes
) -> Certificate:
    """EMV Book 2, Table 5 (format 02). `identifier`: the leftmost 3 to 8 digits of the PAN."""
    name = bytes.fromhex(identifier.ljust(8, "F"))
    return _certify(ISSUER_CERTIFICATE, authority, issuer, name, expiry_mmyy, serial, b"")


def icc_certificate(
    issuer: RsaKey, card: RsaKey, pan: str, expiry_mmyy: str, serial: bytes, static_data: bytes
) -> Certificate:
    """EMV Book 2, Table 13 (format 04). `static_data`: the records marked in the AFL, then what 9F4A names."""
    name = bytes.fromhex(pan.ljust(20, "F"))
    return _certify(ICC_CERTIFICATE, issuer, card, name, expiry_mmyy, serial, static_data)


def signed_dynamic_data(card: RsaKey, dynamic_number: bytes, terminal_data: bytes, behind: bytes = b"") -> bytes:
    """EMV Book 2, Table 16 (format 05): 9F4B. `terminal_data` is what the terminal adds to the hash by itself; `behind`
    follows the number inside the ICC dynamic data."""
    dynamic_data = bytes([len(dynamic_number)]) + dynamic_number + behind
    head = bytes([DYNAMIC_DATA, SHA_1, len(dynamic_data)]) + dynamic_data
    return _sign(card, head.ljust(_room(card), bytes([_PADDING])), terminal_data)


def signed_combined_data(
    card: RsaKey, dynamic_number: bytes, cryptogram: bytes, exchanged: bytes, terminal_data: bytes, relay: bytes = b""
) -> bytes:
    """EMV Book 2, Table 18 (CDA): 9F4B. `cryptogram` is 9F27 and the AC; `exchanged` is what the transaction data hash
    covers; `relay` is appended after relay resistance (Book C-2, Table 6.8)."""
    behind = cryptogram + hashlib.sha1(exchanged, usedforsecurity=False).digest() + relay
    return signed_dynamic_data(card, dynamic_number, terminal_data, behind)


def _certify(
    kind: int, by: RsaKey, certified: RsaKey, name: bytes, expiry_mmyy: str, serial: bytes, static_data: bytes
) -> Certificate:
    sizes = bytes([SHA_1, RSA, len(certified.modulus), len(certified.exponent)])
    head = bytes([kind]) + name + bytes.fromhex(expiry_mmyy) + serial + sizes
    room = _room(by) - len(head)
    left, remainder = certified.modulus[:room], certified.modulus[room:]
    block = head + left.ljust(room, bytes([_PADDING]))
    return Certificate(_sign(by, block, remainder + certified.exponent + static_data), remainder, certified.exponent)


def _room(key: RsaKey) -> int:
    """Bytes between header and hash."""
    return len(key.modulus) - HASH_OCTETS - 2


def _sign(key: RsaKey, block: bytes, hashed_only: bytes) -> bytes:
    digest = hashlib.sha1(block + hashed_only, usedforsecurity=False).digest()
    return key.sign(bytes([_HEADER]) + block + digest + bytes([_TRAILER]))
