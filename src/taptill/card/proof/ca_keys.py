"""CA public keys: the roots of offline data authentication (EMV Book 2, 11.2).

Comes in: TOML text with one `[[key]]` table per key. Goes out: `CaKey`s, and a store that finds them by RID and index
and knows which issuer certificates they no longer stand for.
Strategy: no scheme is special; a key whose published checksum fails is refused, and a test key says that it is one. A
list is taken whole or refused; `sift_ca_keys` is the way for lists known to hold bad keys, and names each.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from taptill.card.aid import RID_OCTETS
from taptill.card.proof.revocation import RevocationList
from taptill.errors import TapTillError

MODULUS_OCTETS_MAX = 256  # EMV Book 2, Annex B2 ends at 248; a published list holds one of 2048 bit
_DATE = re.compile(r"\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")


class CaKeyRefused(TapTillError):
    """A CA key that is malformed, whose checksum fails, or that contradicts another of the same RID and index."""

    code = 1203


@dataclass(frozen=True, slots=True)
class CaKey:
    """One RSA key. `checksum` is SHA-1 over RID, index, modulus and exponent; `expiry_yymmdd` "" when none is known;
    `source` says who published it. Raises CaKeyRefused."""

    rid: bytes
    index: int
    modulus: bytes
    exponent: bytes
    checksum: bytes
    expiry_yymmdd: str = ""
    test: bool = False
    source: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """How messages call it: "A000000333/80"."""
        return f"{self.rid.hex().upper()}/{self.index:02X}"

    def __post_init__(self) -> None:
        name = f"CA key {self.name}"
        if self.expiry_yymmdd and not _DATE.fullmatch(self.expiry_yymmdd):
            raise CaKeyRefused("the expiry is no YYMMDD", where=name)
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
    revoked: RevocationList = field(default_factory=RevocationList)

    @classmethod
    def of(cls, keys: Iterable[CaKey], revoked: RevocationList | None = None) -> CaKeyStore:
        """A store of these keys. Raises CaKeyRefused for two different keys in one place."""
        by_place: dict[tuple[bytes, int], CaKey] = {}
        for key in keys:
            there = by_place.setdefault((key.rid, key.index), key)
            if (there.modulus, there.exponent) != (key.modulus, key.exponent):
                raise CaKeyRefused("two different keys stand here", where=f"CA key {key.name}")
        return cls(MappingProxyType(by_place), revoked or RevocationList())

    def find(self, rid: bytes, index: int) -> CaKey | None:
        """The key, or None when the terminal does not have it."""
        return self.by_place.get((rid, index))

    def __iter__(self) -> Iterator[CaKey]:
        return iter(self.by_place.values())

    def __len__(self) -> int:
        return len(self.by_place)


@dataclass(frozen=True, slots=True)
class SiftedCaKeys:
    """The good keys of a list, and why each bad one was left out."""

    keys: tuple[CaKey, ...]
    refused: tuple[CaKeyRefused, ...]


def parse_ca_keys(toml_text: str, where: str = "CA keys") -> tuple[CaKey, ...]:
    """`[[key]]` tables with `rid`, `index`, `modulus`, `exponent`, `checksum` in hex, `expiry` YYMMDD, `test`,
    `source`. Raises CaKeyRefused naming the list and the key."""
    sifted = sift_ca_keys(toml_text, where)
    if sifted.refused:
        raise sifted.refused[0]
    return sifted.keys


def sift_ca_keys(toml_text: str, where: str = "CA keys") -> SiftedCaKeys:
    """The same for a published list known to hold bad keys. Raises CaKeyRefused for text that is no list at all."""
    keys, refused = [], []
    for number, table in enumerate(_tables_of(toml_text, where), 1):
        try:
            keys.append(_key_of(table, f"{where}, key {number}"))
        except CaKeyRefused as why:
            refused.append(why)
    return SiftedCaKeys(tuple(keys), tuple(refused))


def _tables_of(toml_text: str, where: str) -> list[object]:
    try:
        document = tomllib.loads(toml_text)
    except tomllib.TOMLDecodeError as broken:
        raise CaKeyRefused(f"no TOML: {broken}", where=where) from broken
    unknown = sorted(document.keys() - {"about", "key"})
    tables = document.get("key", [])
    if unknown or not isinstance(tables, list):
        what = f"`{unknown[0]}` is unknown" if unknown else "`key` is not a list of tables"
        raise CaKeyRefused(what, where=where, next_step="write [[key]], and [about] for version, date and source")
    return tables


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
            test=_flag(table.get("test", False)),
            source=str(table.get("source", "")),
        )
    except (KeyError, TypeError, ValueError) as broken:
        raise CaKeyRefused(f"{type(broken).__name__}: {broken}", where=where) from broken
    except CaKeyRefused as refused:
        raise CaKeyRefused(refused.what, where=f"{where}, {refused.where}", next_step=refused.next_step) from refused


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("`test` is true or false")
    return value


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
    if key.source:
        lines.append(f"source = {json.dumps(key.source, ensure_ascii=False)}")
    return "\n".join([*lines, f"test = {str(key.test).lower()}", ""])
