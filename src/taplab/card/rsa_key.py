"""One RSA key as cards and certification authorities use it: plain modular powers over whole blocks.

Comes in: a size, or numbers from a file. Goes out: blocks raised to the private exponent.
Strategy: key generation is the cryptography package's; the raw power without padding (EMV Book 2, B2.1) is Python's
own, because no library offers RSA without a padding scheme. Lab keys only: nothing here hides its timing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from cryptography.hazmat.primitives.asymmetric import rsa


@dataclass(frozen=True, slots=True)
class RsaKey:
    """`modulus` and `exponent` as they stand in certificates; the private exponent as a number."""

    modulus: bytes
    exponent: bytes
    private_exponent: int = field(repr=False)

    @classmethod
    def generate(cls, bits: int, exponent: int) -> Self:
        """A new key; `bits` at least 1024 and a multiple of 8."""
        numbers = rsa.generate_private_key(public_exponent=exponent, key_size=bits).private_numbers()
        return cls.from_primes(numbers.p, numbers.q, exponent)

    @classmethod
    def from_primes(cls, p: int, q: int, exponent: int) -> Self:
        """The key of two primes, as a personalisation in CRT form gives it."""
        modulus = p * q
        return cls(
            modulus=modulus.to_bytes((modulus.bit_length() + 7) // 8, "big"),
            exponent=exponent.to_bytes((exponent.bit_length() + 7) // 8, "big"),
            private_exponent=pow(exponent, -1, (p - 1) * (q - 1)),
        )

    def sign(self, block: bytes) -> bytes:
        """`block`, as long as the modulus and below it, to the private exponent."""
        power = pow(int.from_bytes(block, "big"), self.private_exponent, int.from_bytes(self.modulus, "big"))
        return power.to_bytes(len(self.modulus), "big")
