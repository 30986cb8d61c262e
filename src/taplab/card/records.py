"""What records of all schemes hold alike: track 2, the dates, the certificates.

Comes in: the tables of a card file and the lab's scheme. Goes out: data objects, ready to be put into templates.
"""

from __future__ import annotations

from dataclasses import replace

from taplab.card.card_tables import ApplicationTable
from taplab.card.certificates import Certificate
from taplab.card.scheme import CERTIFICATES_EXPIRE_MMYY, LAB_CA_INDEX, Scheme
from taptill.card.tlv import encode_tlv

RECORD_TEMPLATE = 0x70
PAST_MMYY = "1222"


def track2_equivalent(table: ApplicationTable, discretionary: str = "01234567") -> bytes:
    """57: number, D, YYMM, service code, discretionary data, padded with F."""
    digits = table.pan + "D" + table.expiry[2:4] + table.expiry[5:7] + table.service_code + discretionary
    return bytes.fromhex(digits + "F" * (len(digits) % 2))


def number_and_dates(table: ApplicationTable) -> bytes:
    """5A, 5F24, 5F25, 5F28."""
    expiry, effective = (bytes.fromhex(month[2:4] + month[5:7]) for month in (table.expiry, table.effective))
    return (
        encode_tlv(0x5A, bytes.fromhex(table.pan + "F" * (len(table.pan) % 2)))
        + encode_tlv(0x5F24, expiry + _last_day(table.expiry))
        + encode_tlv(0x5F25, effective + b"\x01")
        + encode_tlv(0x5F28, bytes.fromhex("0" + table.country))
    )


def sequence_number(table: ApplicationTable) -> bytes:
    """5F34."""
    return encode_tlv(0x5F34, bytes.fromhex(f"{table.sequence:02d}"))


def issuer_record(table: ApplicationTable, scheme: Scheme) -> bytes:
    """8F, 90, 92, 9F32."""
    issuer = scheme.issuer_certificate(table.pan)
    return (
        encode_tlv(0x8F, bytes([LAB_CA_INDEX]))
        + encode_tlv(0x90, issuer.signed)
        + encode_tlv(0x92, issuer.remainder)
        + encode_tlv(0x9F32, issuer.exponent)
    )


def card_record(table: ApplicationTable, scheme: Scheme, static_data: bytes) -> bytes:
    """9F46, 9F47, 9F48, 9F4A: the card's own certificate over its static data, which end with the AIP."""
    expiry_mmyy = PAST_MMYY if table.faults.expired_certificate else CERTIFICATES_EXPIRE_MMYY
    icc = scheme.icc_certificate(table.pan, static_data, expiry_mmyy)
    if table.faults.broken_certificate:
        icc = _with_a_bit_flipped(icc)
    return (
        encode_tlv(0x9F46, icc.signed)
        + encode_tlv(0x9F47, icc.exponent)
        + encode_tlv(0x9F48, icc.remainder)
        + encode_tlv(0x9F4A, b"\x82")
    )


def as_records(bodies: dict[tuple[int, int], bytes]) -> dict[tuple[int, int], bytes]:
    """Each body in its template."""
    return {place: encode_tlv(RECORD_TEMPLATE, body) for place, body in bodies.items()}


def _last_day(month: str) -> bytes:
    """The day in BCD; 28 for February, which is early enough in every year."""
    return bytes.fromhex({"02": "28", "04": "30", "06": "30", "09": "30", "11": "30"}.get(month[5:7], "31"))


def _with_a_bit_flipped(certificate: Certificate) -> Certificate:
    middle = len(certificate.signed) // 2
    octets = bytearray(certificate.signed)
    octets[middle] ^= 0x01
    return replace(certificate, signed=bytes(octets))
