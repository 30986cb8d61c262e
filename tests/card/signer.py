"""The other side of offline data authentication, for tests: private keys, and blocks signed as EMV Book 2 has them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import rsa


@dataclass(frozen=True)
class Key:
    """A private RSA key: signs by exponentiation alone, as a card does."""

    modulus: int
    private: int
    exponent: bytes

    @property
    def octets(self) -> bytes:
        return self.modulus.to_bytes((self.modulus.bit_length() + 7) // 8, "big")

    def sign(self, block: bytes) -> bytes:
        return pow(int.from_bytes(block, "big"), self.private, self.modulus).to_bytes(len(self.octets), "big")


def new_key(bits: int, exponent: int) -> Key:
    numbers = rsa.generate_private_key(exponent, bits).private_numbers()
    octets = exponent.to_bytes((exponent.bit_length() + 7) // 8, "big")
    return Key(numbers.public_numbers.n, numbers.d, octets)


def signed(key: Key, head: bytes, behind: bytes, filling: bytes = b"") -> bytes:
    """6A, head, padding, hash, BC: EMV Book 2, Annex A2.1."""
    room = len(key.octets) - 22
    body = head + filling * (room - len(head))
    assert len(body) == room
    digest = hashlib.sha1(body + behind, usedforsecurity=False).digest()
    return key.sign(b"\x6a" + body + digest + b"\xbc")
