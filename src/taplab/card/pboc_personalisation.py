"""A card from a personalisation in data groups (DGIs), as PBOC 3.0 issuers hand it to a bureau.

Comes in: a mapping with `dgis` (hex by name), `card_keys_3des`, `icc_rsa_crt` and `icc_rsa_e`. Goes out: the same
`Personalisation` a TOML card has, of its contactless qPBOC application.
Strategy: DGI 0xyy is record yy of SFI x; other groups are found by the number their name begins with.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from taplab.card.personalisation import Brand, CardKeys, Issued, OfflineFunds, Personalisation
from taplab.card.rsa_key import RsaKey
from taptill.card.tlv import Tlv, find, parse_tlv
from taptill.errors import ConfigError

PPSE_GROUP, CONTACTLESS_FCI_GROUP, QPBOC_GROUP = "PPSE 9102", "9103", "9207"
SFI_MAX = 30


class PersonalisationError(ConfigError):
    """A data group is missing or does not hold what its number promises."""


class _Source(msgspec.Struct, frozen=True):
    dgis: dict[str, str]
    card_keys_3des: dict[str, str]
    icc_rsa_crt: dict[str, str]
    icc_rsa_e: str


def personalise_from_dgis(source: Mapping[str, object], balance_minor: int = 0) -> Personalisation:
    """`source` as decoded JSON. `balance_minor` are offline funds on top of what the data groups say.
    Raises PersonalisationError."""
    try:
        written = msgspec.convert(source, _Source)
        groups = {name: bytes.fromhex(octets) for name, octets in written.dgis.items()}
        p, q = (int(written.icc_rsa_crt[name], 16) for name in ("p", "q"))
        icc_key = RsaKey.from_primes(p, q, int(written.icc_rsa_e, 16))
        card_key = bytes.fromhex(written.card_keys_3des["AC"])
    except (KeyError, ValueError) as broken:
        what = f"no personalisation in data groups: {type(broken).__name__}: {broken}"
        raise PersonalisationError(what, where="personalisation") from broken
    return _assemble(groups, icc_key, card_key, balance_minor)


def _assemble(groups: dict[str, bytes], icc_key: RsaKey, card_key: bytes, balance_minor: int) -> Personalisation:
    fci = _group(groups, CONTACTLESS_FCI_GROUP)
    processing = parse_tlv(_group(groups, QPBOC_GROUP), "GPO profile")
    records = {place: octets for name, octets in groups.items() if (place := _record_of(name)) is not None}
    everything = [tlv for octets in records.values() for tlv in parse_tlv(octets, "record")]
    funds = OfflineFunds(
        balance_minor=balance_minor + _amount(everything, 0x9F79),
        single_limit_minor=_amount(everything, 0x9F78),
        ceiling_minor=_amount(everything, 0x9F77),
    )
    application = parse_tlv(fci, "FCI")
    issued = Issued(
        brand=Brand.UNIONPAY,
        aid=_required(application, 0x84),
        fci=fci,
        pdol=_required(application, 0x9F38),
        aip=_required(processing, 0x82),
        afl=_required(processing, 0x94),
        records=records,
        track2=_required(everything, 0x57),
        sequence_number=_required(everything, 0x5F34),
        issuer_data=_required(processing, 0x9F10),
        keys=CardKeys(card_key),
        icc_key=icc_key,
        funds=funds,
    )
    label = _required(application, 0x50).decode("ascii")
    return Personalisation(label=label, ppse=_group(groups, PPSE_GROUP), applications=(issued,))


def _group(groups: dict[str, bytes], beginning: str) -> bytes:
    found = next((octets for name, octets in groups.items() if name.startswith(beginning)), None)
    if found is None:
        raise PersonalisationError("the data group is missing", where=beginning)
    return found


def _record_of(name: str) -> tuple[int, int] | None:
    """`0203` -> (2, 3); None for a group that is no record of a contactless application."""
    if len(name) != 4 or not name.isalnum() or not 1 <= int(name[:2], 16) <= SFI_MAX:
        return None
    return int(name[:2], 16), int(name[2:], 16)


def _amount(tlvs: list[Tlv], tag: int) -> int:
    value = find(tlvs, tag)
    return int(value.hex()) if value else 0


def _required(tlvs: list[Tlv] | tuple[Tlv, ...], tag: int) -> bytes:
    value = find(tlvs, tag)
    if value is None:
        raise PersonalisationError(f"tag {tag:X} is missing", where="personalisation")
    return value
