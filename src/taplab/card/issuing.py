"""The issuer of the lab's schemes at work: from the tables of a card file to what is written into the card.

Comes in: a `CardFile` and the lab's scheme. Goes out: a `Personalisation`.
Strategy: personalise like an issuer: records first, then the certificate over the static data in them, then the AFL.
What differs by scheme comes from issuing_quick (UnionPay, Visa) and issuing_mastercard.
"""

from __future__ import annotations

import msgspec

from taphost.issuer import derive_card_key
from taphost.issuer_keys import purpose_key
from taplab.card.application_layout import ApplicationLayout
from taplab.card.card import PPSE_NAME
from taplab.card.card_tables import ApplicationTable, CardFile
from taplab.card.issuing_mastercard import mastercard_layout
from taplab.card.issuing_quick import unionpay_layout, visa_layout
from taplab.card.personalisation import (
    Blocked,
    Brand,
    CardKeys,
    CardVerification,
    ComputeTime,
    Decision,
    Faults,
    Issued,
    OfflineFunds,
    Personalisation,
    Phone,
)
from taplab.card.records import track2_equivalent
from taplab.card.scheme import Scheme
from taptill.card.tlv import encode_tlv

SCRIPT_PURPOSE, CODE_PURPOSE = "script integrity", "verification codes"
_LAYOUTS = {"unionpay": unionpay_layout, "visa": visa_layout, "mastercard": mastercard_layout}


def personalise(file: CardFile, scheme: Scheme) -> Personalisation:
    """What the issuer of the lab's scheme writes into this card."""
    compute = ComputeTime(**msgspec.structs.asdict(file.compute))
    layouts = [(table, _LAYOUTS[table.scheme](table, scheme)) for table in file.applications()]
    return Personalisation(
        label=file.label,
        ppse=_ppse(layouts),
        applications=tuple(_issue(table, layout, scheme, compute) for table, layout in layouts),
        compute=compute,
        uid=bytes.fromhex(file.uid) or None,
    )


def _issue(table: ApplicationTable, layout: ApplicationLayout, scheme: Scheme, compute: ComputeTime) -> Issued:
    return Issued(
        brand=Brand(table.scheme),
        aid=layout.aid,
        fci=_fci(table, layout),
        pdol=layout.pdol,
        aip=layout.aip,
        afl=layout.afl,
        records=layout.records,
        track2=track2_equivalent(table),
        sequence_number=bytes.fromhex(f"{table.sequence:02d}"),
        issuer_data=layout.issuer_data,
        keys=_keys(table, scheme),
        icc_key=scheme.card,
        extended_selection=bytes.fromhex(table.extended_selection),
        fdda_version=table.fdda_version,
        currency=bytes.fromhex("0" + table.currency),
        funds=OfflineFunds(**msgspec.structs.asdict(table.offline)),
        verification=_verification(table),
        compute=compute,
        blocked=Blocked(table.faults.blocked),
        faults=_faults(table),
        phone=Phone(table.phone.verifies_above_minor) if table.phone else None,
        qvsdc=layout.qvsdc,
        mchip=layout.mchip,
    )


def _keys(table: ApplicationTable, scheme: Scheme) -> CardKeys:
    masters = [scheme.issuer_key, *(purpose_key(scheme.issuer_key, name) for name in (SCRIPT_PURPOSE, CODE_PURPOSE))]
    return CardKeys(*(derive_card_key(master, table.pan, f"{table.sequence:02d}") for master in masters))


def _verification(table: ApplicationTable) -> CardVerification:
    """9F6C (EMV Book C-3, Annex A): the personalised bits in their places."""
    told = table.qualifiers
    bits = 0
    if told is not None:
        places = {
            0x2000: told.online_if_oda_fails,
            0x1000: told.switch_if_oda_fails,
            0x0800: told.online_if_expired,
            0x0400: told.switch_for_cash,
            0x0200: told.switch_for_cashback,
            0x0100: told.not_at_machines,
            0x0040: told.issuer_update,
        }
        bits = sum(place for place, is_set in places.items() if is_set)
    verification = table.verification
    return CardVerification(
        verification.online_pin,
        verification.signature,
        verification.consumer_device or table.phone is not None,
        bits.to_bytes(2, "big"),
    )


def _faults(table: ApplicationTable) -> Faults:
    told = table.faults
    return Faults(
        decides=Decision[told.decides.upper()] if told.decides else None,
        processing_status=bytes.fromhex(told.processing_status),
        wrong_signature=told.wrong_signature,
        wrong_cryptogram=told.wrong_cryptogram,
        omits_qualifiers=told.omits_qualifiers,
        qualifiers_differ=told.qualifiers_differ,
        tells_cryptogram_type=not told.omits_cryptogram_type,
    )


def _ppse(layouts: list[tuple[ApplicationTable, ApplicationLayout]]) -> bytes:
    entries = b"".join(_directory_entry(table, layout) for table, layout in layouts)
    return encode_tlv(0x6F, encode_tlv(0x84, PPSE_NAME) + encode_tlv(0xA5, encode_tlv(0xBF0C, entries)))


def _directory_entry(table: ApplicationTable, layout: ApplicationLayout) -> bytes:
    entry = encode_tlv(0x4F, layout.aid) + encode_tlv(0x50, layout.label)
    entry += encode_tlv(0x87, bytes([table.priority])) if table.priority else b""
    for tag, value in ((0x9F2A, table.kernel_identifier), (0x9F29, table.extended_selection)):
        entry += encode_tlv(tag, bytes.fromhex(value)) if value else b""
    return encode_tlv(0x61, entry)


def _fci(table: ApplicationTable, layout: ApplicationLayout) -> bytes:
    proprietary = (
        encode_tlv(0x50, layout.label)
        + (encode_tlv(0x87, bytes([table.priority])) if table.priority else b"")
        + (encode_tlv(0x9F38, layout.pdol) if layout.pdol else b"")
        + encode_tlv(0x5F2D, layout.languages)
        + encode_tlv(0x9F11, b"\x01")
        + encode_tlv(0x9F12, layout.label)
        + encode_tlv(0xBF0C, layout.discretionary)
    )
    return encode_tlv(0x6F, encode_tlv(0x84, layout.aid) + encode_tlv(0xA5, proprietary))
