"""The lab's own payment schemes: a CA, one issuer under it, and the issuer's cryptogram key.

Comes in: entropy once, then a JSON file. Goes out: certificates for cards, the CA public key for terminals, and the
issuer key for the host.
Strategy: keys are made once and kept, so that a terminal's CA file and a host's key outlive a restart of the lab. One
CA key serves all schemes, each under its own RID; all lab cards share one ICC key, their certificates differ by PAN and
static data. The CA key is a test key and says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Self

from taplab.card.certificates import Certificate, icc_certificate, issuer_certificate
from taplab.card.rsa_key import RsaKey
from taplab.secret_file import write_secret
from taptill.card.proof.ca_keys import CaKey, ca_key_checksum, format_ca_keys
from taptill.entropy import Entropy
from taptill.errors import ConfigError

UNIONPAY_RID = bytes.fromhex("A000000333")
VISA_RID = bytes.fromhex("A000000003")
MASTERCARD_RID = bytes.fromhex("A000000004")
RIDS = (UNIONPAY_RID, VISA_RID, MASTERCARD_RID)
LAB_CA_INDEX = 0xED  # no index any of them has published a key under
ISSUER_IDENTIFIER_DIGITS = 8
CERTIFICATES_EXPIRE_MMYY = "1239"
CA_KEY_EXPIRES_YYMMDD = "391231"
ISSUER_SERIAL = bytes.fromhex("0000A1")
ICC_SERIAL = bytes.fromhex("0000C1")

# Each certificate holds all but a remainder of the key below it, and 9F4B with the rest of the answer to GPO fits one
# response APDU: 176, 144 and 128 bytes.
CA_BITS, ISSUER_BITS, ICC_BITS = 1408, 1152, 1024
CA_EXPONENT, ISSUER_EXPONENT, ICC_EXPONENT = 3, 3, 65537
_KEY_NAMES = ("authority", "issuer", "card")


class SchemeFileError(ConfigError):
    """The file of the lab's keys is missing or is no such file."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """All secrets of the lab's scheme. `issuer_key` is the 16-byte 3DES key card keys are derived from."""

    authority: RsaKey
    issuer: RsaKey
    card: RsaKey
    issuer_key: bytes = field(repr=False)

    @classmethod
    def generate(cls, entropy: Entropy) -> Self:
        """New keys; takes a few tenths of a second. The RSA keys come from the operating system's generator."""
        return cls(
            RsaKey.generate(CA_BITS, CA_EXPONENT),
            RsaKey.generate(ISSUER_BITS, ISSUER_EXPONENT),
            RsaKey.generate(ICC_BITS, ICC_EXPONENT),
            entropy.octets(16),
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises SchemeFileError."""
        try:
            written = json.loads(path.read_text(encoding="utf-8"))
            keys = {name: _key_from(written[name]) for name in _KEY_NAMES}
            return cls(**keys, issuer_key=bytes.fromhex(written["issuer_key"]))
        except (OSError, ValueError, KeyError, TypeError) as broken:
            what = f"no keys of the lab's scheme: {type(broken).__name__}"
            raise SchemeFileError(what, where=str(path), next_step="remove it; the lab makes a new one") from broken

    @classmethod
    def load_or_generate(cls, path: Path, entropy: Entropy) -> Self:
        """The kept scheme, or a new one that is kept from now on. Raises SchemeFileError."""
        if path.exists():
            return cls.load(path)
        made = cls.generate(entropy)
        made.save(path)
        return made

    def save(self, path: Path) -> None:
        """Readable by the owner alone; replaces an older file in one step."""
        keys = {name: _key_to_json(getattr(self, name)) for name in _KEY_NAMES}
        write_secret(path, json.dumps({**keys, "issuer_key": self.issuer_key.hex()}, indent=1))

    def issuer_certificate(self, pan: str) -> Certificate:
        """The issuer's key under the lab CA, for cards whose numbers begin like this one: 90, 92, 9F32."""
        return _issuer_certificate(self.authority, self.issuer, pan[:ISSUER_IDENTIFIER_DIGITS])

    def icc_certificate(self, pan: str, static_data: bytes, expiry_mmyy: str = CERTIFICATES_EXPIRE_MMYY) -> Certificate:
        """The card's key under the issuer's: 9F46, 9F48, 9F47."""
        return icc_certificate(self.issuer, self.card, pan, expiry_mmyy, ICC_SERIAL, static_data)

    def ca_key(self, rid: bytes = UNIONPAY_RID) -> CaKey:
        """The public key a terminal needs to believe the lab's cards of this RID, marked as a test key."""
        modulus, exponent = self.authority.modulus, self.authority.exponent
        checksum = ca_key_checksum(rid, LAB_CA_INDEX, modulus, exponent)
        return CaKey(rid, LAB_CA_INDEX, modulus, exponent, checksum, CA_KEY_EXPIRES_YYMMDD, test=True)

    def ca_keys(self) -> tuple[CaKey, ...]:
        """The same key under the RID of each scheme the lab has cards of."""
        return tuple(self.ca_key(rid) for rid in RIDS)

    def ca_keys_toml(self) -> str:
        """The CA keys as a terminal's configuration file."""
        return format_ca_keys(self.ca_keys())


@cache
def _issuer_certificate(authority: RsaKey, issuer: RsaKey, identifier: str) -> Certificate:
    return issuer_certificate(authority, issuer, identifier, CERTIFICATES_EXPIRE_MMYY, ISSUER_SERIAL)


def _key_to_json(key: RsaKey) -> dict[str, str]:
    return {
        "modulus": key.modulus.hex(),
        "exponent": key.exponent.hex(),
        "private_exponent": f"{key.private_exponent:x}",
    }


def _key_from(written: dict[str, str]) -> RsaKey:
    return RsaKey(
        bytes.fromhex(written["modulus"]), bytes.fromhex(written["exponent"]), int(written["private_exponent"], 16)
    )
