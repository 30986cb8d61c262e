"""ECC certificates of issuers (format 12) and cards (format 14), signed with EC-SDSA (EMV Book E, 5.1 to 5.4).

Comes in: a certificate, the key above it, the card's PAN or static data, the moment in UTC. Goes out: the certified
key, or `Refused` with a stable reason.
Strategy: unlike RSA certificates these are plain text with a signature behind. The signature is judged before the
fields and the moment last, so that a forged certificate is told from an expired one. No kernel here calls it yet:
kernel C-8, which asks for these certificates, is not built. It is for that kernel's offline data authentication.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from taptill.card.payment_data import pan_digits
from taptill.card.proof.ec_sdsa import P256_SHA256, P521_SHA512, SignatureSuite, public_point, verify
from taptill.card.refused import Refused

# EMV Book E, Tables 8.3 and 8.4: what signs, and what a card's key is for
SIGNATURE_SUITES: Mapping[int, SignatureSuite] = MappingProxyType({0x10: P256_SHA256, 0x11: P521_SHA512})
CHANNEL_SUITES: Mapping[int, SignatureSuite] = MappingProxyType(
    {0x00: P256_SHA256}
)  # its curve counts, nothing is signed

_ISSUER_HEAD_OCTETS, _ICC_HEAD_OCTETS = 21, 17  # what stands before the first part whose length depends on a suite
_ISSUER_FORMAT, _ICC_FORMAT, _ENCODING = 0x12, 0x14, 0x00
_TLV_ENCODED, _SHA256 = 0x01, 0x02  # how the static data were hashed: EMV Book E, 5.3, items 7 and 8
_ICCD_HASH_OCTETS = 32
_IDENTIFIER_DIGITS = range(3, 11)


@dataclass(frozen=True, slots=True)
class EccCaKey:
    """A certification authority's key: its place, what it signs with, and the x coordinate of its point."""

    rid: bytes
    index: int
    suite: SignatureSuite
    x: bytes


@dataclass(frozen=True, slots=True)
class EccPublicKey:
    """A certified key: the curve (and for an issuer the hash) and the x coordinate of its point."""

    suite: SignatureSuite
    x: bytes


@dataclass(frozen=True, slots=True)
class IssuerEccCertificate:
    """Format 12 taken apart. `identifier` is digits without padding, `expiry` YYYYMMDD."""

    identifier: str
    expiry: str
    serial: bytes
    rid: bytes
    ca_index: int
    key: EccPublicKey
    message: bytes = field(repr=False)
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class IccEccCertificate:
    """Format 14 taken apart. `expiry` is YYYYMMDDhhmm; `iccd_hash` covers the card's static data."""

    expiry: str
    serial: bytes
    iccd_hash: bytes
    key: EccPublicKey
    message: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def parse_issuer_certificate(certificate: bytes, signer: SignatureSuite) -> IssuerEccCertificate | Refused:
    """EMV Book E, 5.1: format, encoding, suite and lengths; says nothing about the signature."""
    if len(certificate) < _ISSUER_HEAD_OCTETS or certificate[:2] != bytes([_ISSUER_FORMAT, _ENCODING]):
        return Refused("issuer-certificate-wrong")
    suite = SIGNATURE_SUITES.get(certificate[7])
    if suite is None:
        return Refused("issuer-certificate-algorithm-unknown")
    signed = _ISSUER_HEAD_OCTETS + suite.field_octets
    key = _key(suite, certificate[_ISSUER_HEAD_OCTETS:signed])
    if len(certificate) != signed + signer.signature_octets or key is None:
        return Refused("issuer-certificate-wrong")
    return IssuerEccCertificate(
        identifier=pan_digits(certificate[2:7]),
        expiry=certificate[8:12].hex(),
        serial=certificate[12:15],
        rid=certificate[15:20],
        ca_index=certificate[20],
        key=key,
        message=certificate[:signed],
        signature=certificate[signed:],
    )


def parse_icc_certificate(certificate: bytes, signer: SignatureSuite) -> IccEccCertificate | Refused:
    """EMV Book E, 5.3: format, encodings, suite and lengths; says nothing about the signature."""
    if len(certificate) < _ICC_HEAD_OCTETS or certificate[:2] != bytes([_ICC_FORMAT, _ENCODING]):
        return Refused("icc-certificate-wrong")
    suite = CHANNEL_SUITES.get(certificate[2])
    if suite is None or certificate[15:17] != bytes([_TLV_ENCODED, _SHA256]):
        return Refused("icc-certificate-algorithm-unknown")
    hash_ends = _ICC_HEAD_OCTETS + _ICCD_HASH_OCTETS
    signed = hash_ends + suite.field_octets
    key = _key(suite, certificate[hash_ends:signed])
    if len(certificate) != signed + signer.signature_octets or key is None:
        return Refused("icc-certificate-wrong")
    return IccEccCertificate(
        expiry=certificate[3:9].hex(),
        serial=certificate[9:15],
        iccd_hash=certificate[_ICC_HEAD_OCTETS:hash_ends],
        key=key,
        message=certificate[:signed],
        signature=certificate[signed:],
    )


def recover_ecc_issuer_key(
    certificate: bytes, ca_key: EccCaKey, pan: str, date_yyyymmdd: str, revoked: frozenset[bytes] = frozenset()
) -> EccPublicKey | Refused:
    """EMV Book E, 5.2: the issuer's key. `pan` is digits without padding; `revoked`: serial numbers under `ca_key`."""
    found = parse_issuer_certificate(certificate, ca_key.suite)
    if isinstance(found, Refused):
        return found
    if not verify(ca_key.suite, ca_key.x, found.message, found.signature):
        return Refused("issuer-certificate-wrong")
    if (found.rid, found.ca_index) != (ca_key.rid, ca_key.index):
        return Refused("issuer-certificate-of-another-ca-key")
    if not pan.startswith(found.identifier) or len(found.identifier) not in _IDENTIFIER_DIGITS:
        return Refused("issuer-certificate-not-of-this-card")
    if found.serial in revoked:
        return Refused("issuer-certificate-revoked")
    if _expired(found.expiry, date_yyyymmdd):
        return Refused("issuer-certificate-expired")
    return found.key


def recover_ecc_icc_key(
    certificate: bytes, issuer_key: EccPublicKey, static_data: bytes, moment_yyyymmddhhmm: str
) -> EccPublicKey | Refused:
    """EMV Book E, 5.4: the card's key. `static_data`: the records as TLV, then the value of the AIP (5.3, item 7)."""
    found = parse_icc_certificate(certificate, issuer_key.suite)
    if isinstance(found, Refused):
        return found
    if not verify(issuer_key.suite, issuer_key.x, found.message, found.signature):
        return Refused("icc-certificate-wrong")
    if not hmac.compare_digest(hashlib.sha256(static_data).digest(), found.iccd_hash):
        return Refused("static-data-differ")
    if _expired(found.expiry, moment_yyyymmddhhmm):
        return Refused("icc-certificate-expired")
    return found.key


def _key(suite: SignatureSuite, x: bytes) -> EccPublicKey | None:
    return EccPublicKey(suite, x) if public_point(suite, x) is not None else None


def _expired(expiry: str, now: str) -> bool:
    return not expiry.isdigit() or expiry < now
