"""How applications of Mastercard are laid out: M/Chip, or a card that only knows mag-stripe mode.

Comes in: the tables of a card file and the lab's scheme. Goes out: AID, PDOL, AIP, records and where they are.
Strategy: the files as recorded test cards have them. Every card has the mag-stripe record, first in the AFL.
"""

from __future__ import annotations

from taplab.card.application_layout import LOG_ENTRY, ApplicationLayout
from taplab.card.card_tables import ApplicationTable, MastercardTable
from taplab.card.personalisation import MChip, Relay
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

MASTERCARD_CREDIT = bytes.fromhex("A0000000041010")
# Amounts, country, TVR, currency, date, type, unpredictable number, terminal type, DAC, ICC number, CVM results, time,
# merchant data.
CDOL1 = bytes.fromhex("9F02069F03069F1A0295055F2A029A039C019F37049F35019F45029F4C089F34039F21039F7C14")
CDOL2 = bytes.fromhex("910A8A0295059F37049F4C08")  # ARPC and response code, authorisation response, TVR, numbers
DRDOL = bytes.fromhex("9F3704")
UDOL = bytes.fromhex("9F6A04")

# AIP: (octet, bit)
_VERIFICATION, _RISK_MANAGEMENT, _ON_DEVICE, _CDA = 0x1000, 0x0800, 0x0200, 0x0100
_EMV_MODE, _RELAY_RESISTANCE = 0x0080, 0x0001

_MAG_STRIPE_AFL = bytes.fromhex("08010100")
_AFL = bytes.fromhex("08010100 10010101 20010200")  # mag-stripe record; signed data; certificates
_APPLICATION_VERSION = bytes.fromhex("0002")
_ONLINE_PIN, _SIGNATURE, _NO_VERIFICATION = "4203", "5E03", "1F03"  # EMV Book 3, Annex C3: rule, and when it applies
_TRACK2_DIGITS = 37
_BALANCE_READING = bytes.fromhex("010200")  # 9F5D: version, balance reading supported
# Three digits of CVC3, three of the ATC, three of the reader's number, at the places a recorded card has them.
_CODE_PLACES, _NUMBER_PLACES, _ATC_DIGITS = bytes.fromhex("000E"), bytes.fromhex("0E70"), b"\x03"


def mastercard_layout(table: ApplicationTable, scheme: Scheme) -> ApplicationLayout:
    """An EMV-mode card, or one of mag-stripe mode alone."""
    mastercard = table.mastercard or MastercardTable()
    emv = mastercard.mode == "emv"
    aip = _aip(table, mastercard).to_bytes(2, "big")
    bodies = {(1, 1): _mag_stripe_record(table)}
    if emv:
        signed = _signed(table, mastercard)
        bodies[2, 1] = signed
        bodies[4, 1] = issuer_record(table, scheme)
        bodies[4, 2] = card_record(table, scheme, signed + aip)
    return ApplicationLayout(
        aid=bytes.fromhex(table.aid) or MASTERCARD_CREDIT,
        label=(table.application_label or "MASTERCARD").encode("ascii"),
        pdol=bytes.fromhex(table.pdol or ""),
        aip=aip,
        afl=_AFL if emv else _MAG_STRIPE_AFL,
        records=as_records(bodies),
        # Key index 01, CVN, CVR, data authentication code, counters.
        issuer_data=bytes.fromhex("01" + mastercard.cryptogram_version + "800000000000" + "0000" + "00" * 7 + "FF"),
        languages=b"en",
        discretionary=LOG_ENTRY + (encode_tlv(0x9F5D, _BALANCE_READING) if mastercard.reads_balance else b""),
        mchip=_mchip(table, mastercard),
    )


def _mchip(table: ApplicationTable, mastercard: MastercardTable) -> MChip:
    relay = mastercard.relay
    return MChip(
        cdol1=CDOL1,
        cdol2=CDOL2,
        signs=mastercard.signs,
        reads_balance=mastercard.reads_balance,
        recovers=mastercard.recovers,
        relay=Relay(relay.min_100us, relay.max_100us, relay.response_100us, relay.takes_ms) if relay else None,
        udol=b"" if mastercard.mode == "emv" else UDOL,
        track2_data=_track2_data(table),
    )


def _aip(table: ApplicationTable, mastercard: MastercardTable) -> int:
    """EMV Book C-2, Annex A: 82."""
    on_device = _ON_DEVICE if table.verification.consumer_device or table.phone else 0
    if mastercard.mode != "emv":
        return on_device
    signs = _CDA if mastercard.signs else 0
    relay = _RELAY_RESISTANCE if mastercard.relay else 0
    return _VERIFICATION | _RISK_MANAGEMENT | _EMV_MODE | on_device | signs | relay


def _signed(table: ApplicationTable, mastercard: MastercardTable) -> bytes:
    """The static data under the ICC certificate."""
    objects = {
        0x57: track2_equivalent(table),
        0x8C: CDOL1,
        0x8D: CDOL2,
        0x8E: bytes.fromhex(mastercard.cvm_list) or _cvm_list(table),
        0x9F07: bytes.fromhex(mastercard.usage_control),
        0x9F08: _APPLICATION_VERSION,
        0x9F0D: bytes.fromhex(mastercard.action_code_default),
        0x9F0E: bytes.fromhex(mastercard.action_code_denial),
        0x9F0F: bytes.fromhex(mastercard.action_code_online),
        0x9F42: bytes.fromhex("0" + table.currency),
    }
    if mastercard.recovers:
        objects[0x9F51] = DRDOL
    body = number_and_dates(table) + sequence_number(table)
    return body + b"".join(encode_tlv(tag, value) for tag, value in objects.items())


def _cvm_list(table: ApplicationTable) -> bytes:
    """8E: two amounts of zero, then the rules in order."""
    known = table.verification
    rules = (_ONLINE_PIN if known.online_pin else "") + (_SIGNATURE if known.signature else "") + _NO_VERIFICATION
    return bytes(8) + bytes.fromhex(rules)


def _mag_stripe_record(table: ApplicationTable) -> bytes:
    """EMV Book C-2: 9F6C version, 9F65 to 9F67 places of the dynamic digits, 9F6B track 2, 9F69 UDOL."""
    objects = {
        0x9F6C: b"\x00\x01",
        0x9F65: _CODE_PLACES,
        0x9F66: _NUMBER_PLACES,
        0x9F6B: _track2_data(table),
        0x9F67: _ATC_DIGITS,
        0x9F69: UDOL,
    }
    return b"".join(encode_tlv(tag, value) for tag, value in objects.items())


def _track2_data(table: ApplicationTable) -> bytes:
    """9F6B: discretionary data of zeros, as many as track 2 has room for."""
    room = _TRACK2_DIGITS - len(table.pan) - len("DYYMM") - len(table.service_code)
    return track2_equivalent(table, "0" * room)
