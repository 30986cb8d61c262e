"""CA public keys: the roots of offline data authentication (EMV Book 2, 11.2).

Comes in: TOML text with one `[[key]]` table per key. Goes out: `CaKey`s, and a store that finds them by RID and index.
Strategy: no scheme is special; a key whose published checksum fails is refused, and a test key says that it is one.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from taptill.errors import TapTillError

RID_OCTETS = 5
MODULUS_OCTETS_MAX = 256  # EMV Book 2, Annex B2 ends at 248; a published list holds one of 2048 bit


class CaKeyRefused(TapTillError):
    """A CA key that is malformed, whose checksum fails, or that contradicts another of the same RID and index."""

    code = 1203


@dataclass(frozen=True, slots=True)
class CaKey:
    """One RSA key. `checksum` is SHA-1 over RID, index, modulus and exponent; `expiry_yymmdd` "" when none is known.
    Raises CaKeyRefused."""

    rid: bytes
    index: int
    modulus: bytes
    exponent: bytes
    checksum: bytes
    expiry_yymmdd: str = ""
    test: bool = False

    def __post_init__(self) -> None:
        name = f"CA key {self.rid.hex().upper()}/{self.index:02X}"
        if len(self.rid) != RID_OCTETS or not 0 <= self.index <= 0xFF:
            raise CaKeyRefused("the RID has five bytes and the index one", where=name)
        if not 0 < len(self.modulus) <= MODULUS_OCTETS_MAX or int.from_bytes(self.exponent, "big") < 2:
            raise CaKeyRefused("modulus or exponent is no RSA key's", where=name)
        if self.checksum != ca_key_checksum(self.rid, self.index, self.modulus, self.exponent):
            said = f"the checksum {self.checksum.hex().upper()} does not belong to it"
            raise CaKeyRefused(said, where=name, next_step="take the key from its scheme's publication again")


def ca_key_checksum(rid: bytes, index: int, modulus: bytes, exponent: bytes) -> bytes:
    """SHA-1 over RID | index | modulus | exponent (EMV Book 2, 11.2.2)."""
    return hashlib.sha1(rid + bytes([index & 0xFF]) + modulus + exponent, usedforsecurity=False).digest()


@dataclass(frozen=True, slots=True)
class CaKeyStore:
    """The keys a terminal trusts, by RID and index. Two different keys in one place are refused, not guessed."""

    by_place: Mapping[tuple[bytes, int], CaKey] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, keys: Iterable[CaKey]) -> CaKeyStore:
        """A store of these keys. Raises CaKeyRefused for two different keys in one place."""
        by_place: dict[tuple[bytes, int], CaKey] = {}
        for key in keys:
            place = (key.rid, key.index)
            if by_place.setdefault(place, key).modulus != key.modulus:
                name = f"CA key {key.rid.hex().upper()}/{key.index:02X}"
                raise CaKeyRefused("two different keys stand here", where=name)
        return cls(MappingProxyType(by_place))

    def find(self, rid: bytes, index: int) -> CaKey | None:
        """The key, or None when the terminal does not have it."""
        return self.by_place.get((rid, index))

    def __iter__(self) -> Iterator[CaKey]:
        return iter(self.by_place.values())

    def __len__(self) -> int:
        return len(self.by_place)


def parse_ca_keys(toml_text: str, where: str = "CA keys") -> tuple[CaKey, ...]:
    """`[[key]]` tables with `rid`, `index`, `modulus`, `exponent`, `checksum` in hex, `expiry` YYMMDD, `test`.
    Raises CaKeyRefused."""
    try:
        tables = tomllib.loads(toml_text).get("key", [])
    except tomllib.TOMLDecodeError as broken:
        raise CaKeyRefused(f"no TOML: {broken}", where=where) from broken
    if not isinstance(tables, list):
        raise CaKeyRefused("`key` is not a list of tables", where=where, next_step="write [[key]]")
    return tuple(_key_of(table, f"{where}, key {number}") for number, table in enumerate(tables, 1))


def _key_of(table: object, where: str) -> CaKey:
    if not isinstance(table, dict):
        raise CaKeyRefused("not a table", where=where)
    try:
        return CaKey(
            rid=bytes.fromhex(table["rid"]),
            index=int(table["index"], 16),
            modulus=bytes.fromhex(table["modulus"]),
            exponent=bytes.fromhex(table["exponent"]),
            checksum=bytes.fromhex(table["checksum"]),
            expiry_yymmdd=str(table.get("expiry", "")),
            test=bool(table.get("test", False)),
        )
    except (KeyError, TypeError, ValueError) as broken:
        raise CaKeyRefused(f"{type(broken).__name__}: {broken}", where=where) from broken


def format_ca_keys(keys: Iterable[CaKey]) -> str:
    """The TOML text `parse_ca_keys` reads."""
    return "\n".join(_table_of(key) for key in keys)


def _table_of(key: CaKey) -> str:
    lines = [
        "[[key]]",
        f'rid = "{key.rid.hex().upper()}"',
        f'index = "{key.index:02X}"',
        f'exponent = "{key.exponent.hex().upper()}"',
        f'modulus = "{key.modulus.hex().upper()}"',
        f'checksum = "{key.checksum.hex().upper()}"',
    ]
    if key.expiry_yymmdd:
        lines.append(f'expiry = "{key.expiry_yymmdd}"')
    return "\n".join([*lines, f"test = {str(key.test).lower()}", ""])
