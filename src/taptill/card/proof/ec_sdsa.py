"""EC-SDSA with the x coordinate only, as EMV Book E, 8.8.7 has it (ISO/IEC 14888-3, optimised).

Comes in: a public key's x coordinate, a message, a signature `R | S`. Goes out: whether it verifies.
Strategy: the library brings the curves, finds y and multiplies the base point; it has no addition of points, so
`S*G - r*Q` is computed here. All of it is public data, checked and thrown away: nothing here must be constant in time,
and no private key ever comes near. Called by `ecc_certificates`.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

Point = tuple[int, int]
_Jacobian = tuple[int, int, int]  # x = X/Z^2, y = Y/Z^3; Z = 0 is the point at infinity
_INFINITY: _Jacobian = (1, 1, 0)


@dataclass(frozen=True, slots=True)
class SignatureSuite:
    """A curve with a = -3 and the hash that goes with it. `prime` is its field's, `order` its base point's."""

    name: str
    curve: ec.EllipticCurve
    prime: int
    order: int
    field_octets: int
    hash_name: str
    hash_octets: int

    @property
    def signature_octets(self) -> int:
        """R is a hash, S a number of the field's length."""
        return self.hash_octets + self.field_octets


# FIPS 186-4, D.1.2.3 and D.1.2.5
P256_SHA256 = SignatureSuite(
    name="P-256 with SHA-256",
    curve=ec.SECP256R1(),
    prime=2**256 - 2**224 + 2**192 + 2**96 - 1,
    order=0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    field_octets=32,
    hash_name="sha256",
    hash_octets=32,
)
P521_SHA512 = SignatureSuite(
    name="P-521 with SHA-512",
    curve=ec.SECP521R1(),
    prime=2**521 - 1,
    order=2**521 - 0x5AE79787C40D069948033FEB708F65A2FC44A36477663B851449048E16EC79BF7,
    field_octets=66,
    hash_name="sha512",
    hash_octets=64,
)


def public_point(suite: SignatureSuite, x: bytes) -> Point | None:
    """The point of a key given as x: y is the root below (p+1)/2 (EMV Book E, 8.8.5). None when x is on no point."""
    if len(x) != suite.field_octets:
        return None
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(suite.curve, b"\x02" + x)
    except ValueError:
        return None
    numbers = key.public_numbers()
    return numbers.x, min(numbers.y, suite.prime - numbers.y)


def verify(suite: SignatureSuite, public_key_x: bytes, message: bytes, signature: bytes) -> bool:
    """EMV Book E, 8.8.7: R is the hash of the message behind the x coordinate of S*G - r*Q."""
    key = public_point(suite, public_key_x)
    if key is None or len(signature) != suite.signature_octets:
        return False
    said, tail = signature[: suite.hash_octets], signature[suite.hash_octets :]
    r, s = int.from_bytes(said, "big") % suite.order, int.from_bytes(tail, "big")
    if r == 0 or not 0 < s < suite.order:
        return False
    x = _x_of_difference(suite, s, r, key)
    if x is None:
        return False
    found = hashlib.new(suite.hash_name, x.to_bytes(suite.field_octets, "big") + message).digest()
    return hmac.compare_digest(found, said)


def _x_of_difference(suite: SignatureSuite, s: int, r: int, key: Point) -> int | None:
    """x of s*G - r*Q, or None for the point at infinity."""
    base = ec.derive_private_key(s, suite.curve).public_key().public_numbers()
    p = suite.prime
    x, _, z = _add(_multiply(r, (key[0], p - key[1], 1), p), (base.x, base.y, 1), p)
    return x * pow(z, -2, p) % p if z else None


def _multiply(factor: int, point: _Jacobian, p: int) -> _Jacobian:
    product = _INFINITY
    for bit in f"{factor:b}":
        product = _double(product, p)
        if bit == "1":
            product = _add(product, point, p)
    return product


def _double(point: _Jacobian, p: int) -> _Jacobian:
    """Cohen, Miyaji, Ono 1998, for curves with a = -3."""
    x, y, z = point
    y_squared = y * y
    s = 4 * x * y_squared % p
    m = 3 * (x - z * z) * (x + z * z) % p
    x_new = (m * m - 2 * s) % p
    return x_new, (m * (s - x_new) - 8 * y_squared * y_squared) % p, 2 * y * z % p


def _add(one: _Jacobian, two: _Jacobian, p: int) -> _Jacobian:
    if one[2] == 0 or two[2] == 0:
        return two if one[2] == 0 else one
    z1, z2 = one[2] * one[2] % p, two[2] * two[2] % p
    u1, u2 = one[0] * z2 % p, two[0] * z1 % p
    s1, s2 = one[1] * z2 * two[2] % p, two[1] * z1 * one[2] % p
    h, r = (u2 - u1) % p, (s2 - s1) % p
    if h == 0:
        return _double(one, p) if r == 0 else _INFINITY
    h_squared = h * h % p
    h_cubed, v = h * h_squared % p, u1 * h_squared % p
    x = (r * r - h_cubed - 2 * v) % p
    return x, (r * (v - x) - s1 * h_cubed) % p, h * one[2] * two[2] % p
