"""How applications of qPBOC (UnionPay) and qVSDC (Visa) are laid out.

Comes in: the tables of a card file and the lab's scheme. Goes out: AID, PDOL, AIP, records and where they are.
"""

from __future__ import annotations

from taplab.card.application_layout import ApplicationLayout
from taplab.card.card_tables import ApplicationTable, VisaTable
from taplab.card.personalisation import Locator, Qvsdc
from taplab.card.records import (
    as_records,
    card_record,
    issuer_record,
    number_and_dates,
    sequence_number,
    track2_equivalent,
)
from taplab.card.scheme import Scheme
from taptill.card.tlv import encode_tlv

UNIONPAY_CREDIT = bytes.fromhex("A000000333010102")
VISA_CREDIT = bytes.fromhex("A0000000031010")
# TTQ, amounts, country, TVR, currency, date, type, unpredictable number: what the cryptogram covers.
PDOL = bytes.fromhex("9F66049F02069F03069F1A0295055F2A029A039C019F3704")

UNIONPAY_AIP = bytes.fromhex("7C00")  # SDA, DDA, cardholder verification, risk management, issuer authentication
UNIONPAY_AFL = bytes.fromhex("08010100 10010200 18010201")  # track 2; certificates; signed data, the dynamic record
# Length, key index 01, CVN 01, CVR, algorithm 01, then the issuer's own data of type 01: balance and MAC.
UNIONPAY_ISSUER_DATA = bytes.fromhex("07010103000000010A01") + bytes(9)

VISA_AIP = bytes.fromhex("2000")  # DDA
VISA_AFL = bytes.fromhex("18010101 10010300")  # signed data; certificates, the dynamic record
_USAGE_CONTROL, _APPLICATION_VERSION = bytes.fromhex("FF00"), bytes.fromhex("0030")


def unionpay_layout(table: ApplicationTable, scheme: Scheme) -> ApplicationLayout:
    """5F24 stays out of the last record: a card may leave while that one is read, and the terminal still has to know
    the expiry."""
    signed = _signed(table)
    bodies = {
        (1, 1): encode_tlv(0x57, track2_equivalent(table)) + sequence_number(table),
        (2, 1): issuer_record(table, scheme),
        (2, 2): card_record(table, scheme, signed + UNIONPAY_AIP),
        (3, 1): signed,
        (3, 2): _currency(table) + encode_tlv(0x9F74, b"ECC001"),
    }
    return ApplicationLayout(
        aid=bytes.fromhex(table.aid) or UNIONPAY_CREDIT,
        label=(table.application_label or "UnionPay Credit").encode("ascii"),
        pdol=_pdol(table),
        aip=UNIONPAY_AIP,
        afl=UNIONPAY_AFL,
        records=as_records(bodies),
        issuer_data=UNIONPAY_ISSUER_DATA,
    )


def visa_layout(table: ApplicationTable, scheme: Scheme) -> ApplicationLayout:
    """9F69 and, where the answer to GPO has no room for it, the signature join the last record."""
    visa = table.visa or VisaTable()
    signed = _signed(table)
    bodies = {
        (2, 1): issuer_record(table, scheme),
        (2, 2): card_record(table, scheme, signed + VISA_AIP),
        (2, 3): _currency(table),
        (3, 1): signed,
    }
    return ApplicationLayout(
        aid=bytes.fromhex(table.aid) or VISA_CREDIT,
        label=(table.application_label or "VISA CREDIT").encode("ascii"),
        pdol=_pdol(table),
        aip=VISA_AIP,
        afl=VISA_AFL,
        records=as_records(bodies),
        # Length, key index 01, CVN, CVR: second GENERATE AC not requested.
        issuer_data=bytes([0x06, 0x01, visa.cryptogram_version, 0x03, 0x80, 0x00, 0x00]),
        languages=b"en",
        qvsdc=Qvsdc(
            form_factor=bytes.fromhex(visa.form_factor),
            locator=Locator(visa.locator),
            signs_online=visa.signs_online,
            signature_in_record=visa.signature_in_record,
        ),
    )


def _signed(table: ApplicationTable) -> bytes:
    """The static data under the ICC certificate."""
    usage, version = encode_tlv(0x9F07, _USAGE_CONTROL), encode_tlv(0x9F08, _APPLICATION_VERSION)
    return number_and_dates(table) + usage + version


def _currency(table: ApplicationTable) -> bytes:
    return encode_tlv(0x9F42, bytes.fromhex("0" + table.currency))


def _pdol(table: ApplicationTable) -> bytes:
    return PDOL if table.pdol is None else bytes.fromhex(table.pdol)
