"""CA keys as acquirers download them to terminals: UnionPay's parameter records, one per key.

Comes in: the octets of one or more records, or text with one record in hex per line. Goes out: `CaKey`s.
Strategy: a record begins with the RID (9F06); an algorithm other than RSA with SHA-1, or a part that is missing, is
refused with the number of the record, because a key that is silently left out is missed at the counter first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from taptill.card.proof.ca_keys import CaKey, CaKeyRefused, SiftedCaKeys, sift_ca_keys
from taptill.card.tlv import MalformedTlv, Tlv, parse_tlv

_RID, _INDEX, _MODULUS, _CHECKSUM, _EXPONENT, _EXPIRY, _HASH, _ALGORITHM = (
    0x9F06, 0x9F22, 0xDF02, 0xDF03, 0xDF04, 0xDF05, 0xDF06, 0xDF07,
)  # fmt: skip
_ONLY_KNOWN = b"\x01"  # SHA-1 as hash (DF06), RSA as algorithm (DF07)
_RECORD_TEXT = re.compile(r"9F06[0-9A-F\s]+", re.IGNORECASE)


def read_ca_keys(text: str, where: str = "CA keys") -> tuple[CaKey, ...]:
    """A file of keys, whichever of the two forms it has: download records in hex, or TOML. Raises CaKeyRefused."""
    return _whole(sift_ca_key_file(text, where))


def sift_ca_key_file(text: str, where: str = "CA keys") -> SiftedCaKeys:
    """The same for a file known to hold bad keys. Raises CaKeyRefused for text that is no list at all."""
    if not _RECORD_TEXT.fullmatch(text.strip()):
        return sift_ca_keys(text, where)
    try:
        return _sift_records(bytes.fromhex(text), where)
    except ValueError as broken:
        raise CaKeyRefused(f"no hex: {broken}", where=where) from broken


def parse_ca_key_records(octets: bytes, where: str = "CA key records") -> tuple[CaKey, ...]:
    """The keys of records that follow each other. Raises CaKeyRefused naming the record."""
    return _whole(_sift_records(octets, where))


def _whole(sifted: SiftedCaKeys) -> tuple[CaKey, ...]:
    if sifted.refused:
        raise sifted.refused[0]
    return sifted.keys


def _sift_records(octets: bytes, where: str) -> SiftedCaKeys:
    try:
        elements = parse_tlv(octets, where)
    except MalformedTlv as broken:
        raise CaKeyRefused(broken.what, where=where) from broken
    keys, refused = [], []
    for number, record in enumerate(_records(elements), 1):
        try:
            keys.append(_key_of(record, f"{where}, record {number}"))
        except CaKeyRefused as why:
            refused.append(why)
    return SiftedCaKeys(tuple(keys), tuple(refused))


def _records(elements: tuple[Tlv, ...]) -> Iterator[Mapping[int, bytes]]:
    record: dict[int, bytes] = {}
    for element in elements:
        if element.tag == _RID and record:
            yield record
            record = {}
        record[element.tag] = element.value
    if record:
        yield record


def _key_of(record: Mapping[int, bytes], where: str) -> CaKey:
    missing = [tag for tag in (_RID, _INDEX, _MODULUS, _EXPONENT, _CHECKSUM) if not record.get(tag)]
    if missing:
        raise CaKeyRefused(f"{missing[0]:X} is missing", where=where)
    if (record.get(_HASH, _ONLY_KNOWN), record.get(_ALGORITHM, _ONLY_KNOWN)) != (_ONLY_KNOWN, _ONLY_KNOWN):
        raise CaKeyRefused("only RSA with SHA-1 is known", where=where)
    try:
        return CaKey(
            rid=record[_RID],
            index=int.from_bytes(record[_INDEX], "big"),
            modulus=record[_MODULUS],
            exponent=record[_EXPONENT],
            checksum=record[_CHECKSUM],
            expiry_yymmdd=_expiry(record.get(_EXPIRY, b"")),
            source="download record",
        )
    except CaKeyRefused as refused:
        raise CaKeyRefused(refused.what, where=f"{where}, {refused.where}", next_step=refused.next_step) from refused


def _expiry(octets: bytes) -> str:
    """YYYYMMDD as eight ASCII digits or as four octets of them: acquirers do both."""
    digits = octets.decode("ascii", "replace") if len(octets) == len("YYYYMMDD") else octets.hex()
    return digits[2:]
