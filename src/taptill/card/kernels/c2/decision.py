"""What to ask the card for: every check before GENERATE AC (EMV Book C-2, S456.5 to S456.39 and 7.5 to 7.8).

Comes in: the transaction with the card's data. Goes out: None, with TVR, CVM results and requested cryptogram set, or
the outcome that ends the tap.
Strategy: the book's order. Beyond it this terminal only tightens: nothing offline where the way chosen before the tap
forbids it (DESIGN 5.10), the card is listed or CDA could not prove it, and no sale above the CVM limit without a way to
verify (DESIGN 5.11).
"""

from __future__ import annotations

from taptill.card.aid import RID_OCTETS
from taptill.card.aip import AIP_COMBINED_AUTHENTICATION
from taptill.card.bits import has_bit
from taptill.card.dol import parse_dol
from taptill.card.kernels.c2 import tags
from taptill.card.kernels.c2.balance import read_balance
from taptill.card.kernels.c2.tap_database import State, TapDatabase
from taptill.card.outcome import CryptogramType, Outcome
from taptill.card.outcomes import end_application, select_next
from taptill.card.payment_data import pan_digits
from taptill.card.refused import Refused
from taptill.card.rules.action_analysis import (
    NONE,
    ActionCodes,
    Reach,
    issuer_action_codes,
    reach_of,
    requested_cryptogram,
)
from taptill.card.rules.cvm_codes import NOT_ASKED_FOR, ON_DEVICE
from taptill.card.rules.cvm_list import verify_cardholder
from taptill.card.rules.restrictions import processing_restrictions
from taptill.card.rules.risk_management import Findings, check_exceptions
from taptill.card.rules.tvr import (
    TVR_CDA_FAILED,
    TVR_CVM_FAILED,
    TVR_DATA_MISSING,
    TVR_FLOOR_LIMIT_EXCEEDED,
    TVR_ODA_NOT_PERFORMED,
    TVR_ON_EXCEPTION_FILE,
)
from taptill.card.tlv import find, parse_tlv

# TAA.1, TAA.7 and TAA.13: an action code the card leaves out; one of a wrong length counts as left out. All bits of the
# TVR but the two that only say whether relay resistance was performed: not having performed it is no finding.
_ALL_FINDINGS = bytes.fromhex("FFFFFFFFFC")
NOT_GIVEN = ActionCodes(denial=NONE, online=_ALL_FINDINGS, default=_ALL_FINDINGS)
_MANDATORY = (0x5F24, 0x5A, 0x8C)  # S456.16
_FOR_COMBINED = (0x8F, 0x90, 0x9F32, 0x9F46, 0x9F47)  # S456.25
_CDA_ON_DECLINE_TOO = (1, 0x01)  # 9F5D
_SIGNED_FOR = {0x9F02: 6, 0x5F2A: 2, 0x9F37: 4}


def decide(here: TapDatabase) -> State:
    """S456: from the card's data to what GENERATE AC will ask."""
    refusal = _may_go_on(here) or _prepare_authentication(here)
    if refusal is not None:
        return refusal
    above = here.amount_minor > here.configuration.decimal(tags.CVM_LIMIT)
    capability = tags.CVM_CAPABILITY_REQUIRED if above else tags.CVM_CAPABILITY_NOT_REQUIRED
    here.terminal[0x9F33] = here.configuration.capabilities(here.configuration.values[capability])  # S456.32, S456.33
    yield from read_balance(here, tags.BALANCE_BEFORE)  # S456.34
    here.tvr = processing_restrictions(here.tvr, here.terminal, here.card)  # S456.35
    select_cvm(here, above)
    if here.amount_minor > here.configuration.decimal(tags.FLOOR_LIMIT):
        here.find(TVR_FLOOR_LIMIT_EXCEEDED)  # S456.38
    here.tvr = check_exceptions(here.tvr, pan_digits(here.card[0x5A]), here.request.exceptions)
    unverified = above and has_bit(here.tvr, TVR_CVM_FAILED)
    here.requested = CryptogramType.AAC if unverified else analyse(here)  # S456.39
    _settle_request(here)
    return None


def _may_go_on(here: TapDatabase) -> Outcome | None:
    """S456.5 to S456.23."""
    if not here.exchange.may_write():
        return end_application("data-exchange-time-out")  # S6
    on_device = here.on_device_verification
    limit = tags.TRANSACTION_LIMIT_ON_DEVICE if on_device else tags.TRANSACTION_LIMIT  # S3.33 to S3.35
    if here.amount_minor > here.configuration.decimal(limit):
        return select_next("amount-not-allowed")  # S456.15
    missing = [tag for tag in _MANDATORY if not here.card.get(tag)]
    if missing:
        return end_application(f"data-missing-{missing[0]:X}")  # S456.17
    number = here.number()
    if isinstance(number, Refused):
        return end_application(number.reason)
    here.exchange.tell(here.card, last=True)
    return None


def _prepare_authentication(here: TapDatabase) -> Outcome | None:
    """S3R1.17 and S456.24 to S456.28: CDA is asked for only where it can be judged."""
    here.combined = here.configuration.combined_authentication and has_bit(here.aip, AIP_COMBINED_AUTHENTICATION)
    if not here.combined:
        here.find(TVR_ODA_NOT_PERFORMED)
        return None
    if any(not here.card.get(tag) for tag in _FOR_COMBINED):
        here.find(TVR_DATA_MISSING)
        here.find(TVR_CDA_FAILED)
    elif here.ca_keys.find(here.selection.aid[:RID_OCTETS], here.card[0x8F][0]) is None:
        here.find(TVR_CDA_FAILED)
    if here.card.get(0x9F4A) != b"\x82":
        return end_application("static-data-tag-list-wrong")  # S456.27
    return None


def select_cvm(here: TapDatabase, above: bool) -> None:
    """Procedure CVM Selection (EMV Book C-2, 7.5)."""
    if here.on_device_verification:
        here.terminal[0x9F34] = ON_DEVICE if above else NOT_ASKED_FOR
        return
    verified = verify_cardholder(Findings(here.tvr, here.tsi), here.terminal, here.card, here.request.pin_pad)
    here.tvr, here.tsi = verified.found.tvr, verified.found.tsi
    here.terminal[0x9F34] = verified.results


def analyse(here: TapDatabase) -> CryptogramType:
    """Procedure Terminal Action Analysis (EMV Book C-2, 7.8)."""
    values = here.configuration.values
    terminal = ActionCodes(values[tags.TAC_DENIAL], values[tags.TAC_ONLINE], values[tags.TAC_DEFAULT])
    reach = reach_of(here.terminal[0x9F35][0])
    provable = here.combined and not has_bit(here.tvr, TVR_CDA_FAILED) and signs_for_the_sale(here)
    if not here.request.offline_allowed or has_bit(here.tvr, TVR_ON_EXCEPTION_FILE) or not provable:
        reach = Reach.ONLINE_ONLY
    issuer = issuer_action_codes(here.card, not_given=NOT_GIVEN, malformed=NOT_GIVEN)
    return requested_cryptogram(here.tvr, issuer, terminal, reach)


def signs_for_the_sale(here: TapDatabase) -> bool:
    """Whether a signature over the values of CDOL1 is one over this amount: the card's issuer has to stand for the list
    itself, else somebody between could have the card read one amount where the terminal wrote another."""
    said = (tlv for record in here.authenticated for tlv in parse_tlv(record.octets, "record"))
    if find(said, 0x8C) is None:
        return False
    asked = {entry.tag: entry.length for entry in parse_dol(here.card[0x8C], "CDOL1")}
    return all(asked.get(tag) == octets for tag, octets in _SIGNED_FOR.items())


def _settle_request(here: TapDatabase) -> None:
    """Procedure Prepare Generate AC Command, GAC.20 to GAC.27. Verification on a device whose word cannot be proven by
    CDA counts for nothing (GAC.22)."""
    if not here.combined or has_bit(here.tvr, TVR_CDA_FAILED):
        here.combined = False
        if here.on_device_verification:
            here.requested = CryptogramType.AAC
    elif here.requested is CryptogramType.AAC:
        here.combined = has_bit(here.card.get(tags.APPLICATION_CAPABILITIES, b""), _CDA_ON_DECLINE_TOO)
