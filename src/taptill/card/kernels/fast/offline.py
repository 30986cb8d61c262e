"""A card that approves offline: may the terminal follow it, after the card has left.

Comes in: the tap with its records, the CA keys. Goes out: what was found (`OfflineFindings`) and the outcome.
Strategy: everything is looked at, so that TVR and `Oda` are whole; then the hardest finding speaks. CTQ says where a
soft one may still go. The order is that of EMV Book C-3, 5.5 to 5.7.
"""

from __future__ import annotations

from dataclasses import dataclass

from taptill.card.aid import RID_OCTETS
from taptill.card.bits import has_bit, with_bit
from taptill.card.ctq import CTQ_ONLINE_IF_EXPIRED, CTQ_ONLINE_IF_ODA_FAILS, CTQ_SWITCH_IF_ODA_FAILS
from taptill.card.kernels.fast.tap import FastTap
from taptill.card.outcome import Cvm, Oda, OdaMethod, OdaVerdict, Outcome
from taptill.card.outcomes import approved, declined, online_request, try_another_interface
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.proof.offline_authentication import Evidence, authenticate_fast, static_data_of
from taptill.card.refused import Refused
from taptill.card.rules.restrictions import check_dates
from taptill.card.rules.risk_management import check_exceptions
from taptill.card.rules.tvr import (
    NO_TSI,
    NO_TVR,
    TSI_ODA_PERFORMED,
    TVR_CVM_FAILED,
    TVR_DDA_FAILED,
    TVR_EXPIRED,
    TVR_NOT_YET_EFFECTIVE,
    TVR_ODA_NOT_PERFORMED,
    TVR_ON_EXCEPTION_FILE,
)
from taptill.card.ttq import TTQ_CONTACT_CHIP

_NO_SIGNATURE = Oda(OdaMethod.NONE, OdaVerdict.NOT_PERFORMED, "card-gives-no-signature")


@dataclass(frozen=True, slots=True)
class OfflineFindings:
    """Offline data authentication, terminal verification results (95) and status information (9B)."""

    oda: Oda
    tvr: bytes = NO_TVR
    tsi: bytes = NO_TSI


def evidence_of(tap: FastTap, pan: str) -> Evidence:
    """What the card gave to prove itself, `pan` in digits."""
    return Evidence(
        rid=tap.selection.aid[:RID_OCTETS],
        data=tap.data,
        pan=pan,
        static_data=static_data_of(tap.records.authenticated, tap.data),
        date_yymmdd=tap.request.date_yymmdd,
    )


def authenticate(tap: FastTap, pan: str, ca_keys: CaKeyStore) -> Oda:
    """fDDA, in the version that 9F69 names."""
    if 0x9F4B not in tap.data and 0x9F46 not in tap.data:
        return _NO_SIGNATURE
    return authenticate_fast(evidence_of(tap, pan), ca_keys, tap.sent)


def find_offline(tap: FastTap, pan: str, oda: Oda, cvm: Cvm | Refused) -> OfflineFindings:
    """Dates, exception list, signature and cardholder verification as TVR and TSI (EMV Book 3, 10.3 to 10.6)."""
    tvr = check_exceptions(NO_TVR, pan, tap.request.exceptions)
    tvr = check_dates(tvr, tap.request.date_yymmdd, tap.data)
    if oda.verdict is OdaVerdict.NOT_PERFORMED:
        tvr = with_bit(tvr, TVR_ODA_NOT_PERFORMED)
    elif oda.verdict is OdaVerdict.FAILED:
        tvr = with_bit(tvr, TVR_DDA_FAILED)
    if isinstance(cvm, Refused):
        tvr = with_bit(tvr, TVR_CVM_FAILED)
    performed = oda.verdict is not OdaVerdict.NOT_PERFORMED
    return OfflineFindings(oda, tvr, with_bit(NO_TSI, TSI_ODA_PERFORMED) if performed else NO_TSI)


def offline_outcome(tap: FastTap, found: OfflineFindings, cvm: Cvm | Refused) -> Outcome:
    """The card says TC. EMV Book C-3, 5.5.1 (restrictions), 5.6.2 (authentication), 5.7.1 (cardholder), 5.9.1. The way
    chosen before the tap closes this one whatever the TTQ could say of it (DESIGN 5.10)."""
    if not tap.request.offline_allowed:
        return declined("card-approved-what-must-go-online")
    if has_bit(found.tvr, TVR_ON_EXCEPTION_FILE):
        return declined("exception-list")
    if has_bit(found.tvr, TVR_NOT_YET_EFFECTIVE):
        return declined("not-yet-effective")
    if has_bit(found.tvr, TVR_EXPIRED):
        online = has_bit(tap.qualifiers, CTQ_ONLINE_IF_EXPIRED) and tap.can_go_online
        return _online(cvm, "expired") if online else declined("expired")
    if found.oda.verdict is not OdaVerdict.PASSED:
        return _after_failed_authentication(tap, found.oda, cvm)
    if isinstance(cvm, Refused):
        return declined(cvm.reason)
    if cvm is Cvm.ONLINE_PIN:
        return _online(cvm) if tap.can_go_online else declined("no-pin-pad")
    return approved(cvm)


def _after_failed_authentication(tap: FastTap, oda: Oda, cvm: Cvm | Refused) -> Outcome:
    """EMV Book C-3, 5.6.2: online if the card says so and the reader can, else the contact chip if the reader has one
    and the card says so, else declined."""
    reason = authentication_reason(oda)
    if has_bit(tap.qualifiers, CTQ_ONLINE_IF_ODA_FAILS) and tap.can_go_online:
        return _online(cvm, reason)
    if wants_contact_chip(tap):
        return try_another_interface(reason)
    return declined(reason)


def wants_contact_chip(tap: FastTap) -> bool:
    """The card would rather be inserted where its signature fails, and this reader has a slot to insert it into."""
    return has_bit(tap.qualifiers, CTQ_SWITCH_IF_ODA_FAILS) and has_bit(tap.ttq, TTQ_CONTACT_CHIP)


def authentication_reason(oda: Oda) -> str:
    """A missing CA key is the terminal's fault, anything else the card's."""
    return "no-ca-key" if oda.reason == "no-ca-key" else "oda-failed"


def _online(cvm: Cvm | Refused, reason: str = "") -> Outcome:
    return declined(cvm.reason) if isinstance(cvm, Refused) else online_request(cvm, reason)
