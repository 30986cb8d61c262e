"""Revoked issuer certificates (EMV Book 2, 5.1.2): a scheme's word that an issuer's key is no longer good.

Comes in: TOML text with one `[[revoked]]` table per certificate. Goes out: `RevocationList`, asked with the CA key that
signed and the serial number in the certificate.
Strategy: the place of the CA key is part of the entry, because serial numbers count per certification authority.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from taptill.card.aid import RID_OCTETS
from taptill.errors import TapTillError

_SERIAL_OCTETS = 3


class RevocationRefused(TapTillError):
    """A revocation list that is malformed."""

    code = 1206


@dataclass(frozen=True, slots=True)
class RevokedCertificate:
    """One entry: the RID and index of the CA key, and the serial number it gave the issuer's certificate."""

    rid: bytes
    index: int
    serial: bytes

    def __post_init__(self) -> None:
        if len(self.rid) != RID_OCTETS or not 0 <= self.index <= 0xFF or len(self.serial) != _SERIAL_OCTETS:
            raise RevocationRefused(
                "the RID has five bytes, the index one and the serial number three", where="revoked certificate"
            )


@dataclass(frozen=True, slots=True)
class RevocationList:
    """The serial numbers revoked under each CA key."""

    by_place: Mapping[tuple[bytes, int], frozenset[bytes]] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, revoked: Iterable[RevokedCertificate]) -> RevocationList:
        """A list of these entries; one that stands twice counts once."""
        by_place: dict[tuple[bytes, int], frozenset[bytes]] = {}
        for entry in revoked:
            place = (entry.rid, entry.index)
            by_place[place] = by_place.get(place, frozenset()) | {entry.serial}
        return cls(MappingProxyType(by_place))

    def under(self, rid: bytes, index: int) -> frozenset[bytes]:
        """The serial numbers revoked under one CA key."""
        return self.by_place.get((rid, index), frozenset())

    def __len__(self) -> int:
        return sum(len(serials) for serials in self.by_place.values())


def parse_revocations(toml_text: str, where: str = "revocation list") -> tuple[RevokedCertificate, ...]:
    """`[[revoked]]` tables with `rid`, `index` and `serial` in hex. Raises RevocationRefused naming the entry."""
    try:
        tables = tomllib.loads(toml_text).get("revoked", [])
    except tomllib.TOMLDecodeError as broken:
        raise RevocationRefused(f"no TOML: {broken}", where=where) from broken
    if not isinstance(tables, list):
        raise RevocationRefused("`revoked` is not a list of tables", where=where, next_step="write [[revoked]]")
    return tuple(_entry_of(table, f"{where}, entry {number}") for number, table in enumerate(tables, 1))


def _entry_of(table: object, where: str) -> RevokedCertificate:
    if not isinstance(table, dict):
        raise RevocationRefused("not a table", where=where)
    try:
        return RevokedCertificate(bytes.fromhex(table["rid"]), int(table["index"], 16), bytes.fromhex(table["serial"]))
    except (KeyError, TypeError, ValueError) as broken:
        raise RevocationRefused(f"{type(broken).__name__}: {broken}", where=where) from broken
    except RevocationRefused as refused:
        raise RevocationRefused(refused.what, where=where) from refused
