"""What a cryptogram comes to: proven or not, and the tap's outcome (EMV Book C-2, S9.25 to S9.28 and S9_10).

Comes in: the transaction with the card's answer. Goes out: the outcome; CDA verdict and late findings beside it.
Strategy: a signature that was asked for has to be there and to hold, whatever the cryptogram says; only a decline may
come without. What the owner of a phone still has to do wins over everything the cryptogram says.
"""

from __future__ import annotations

from collections.abc import Generator

from taptill.card.aid import RID_OCTETS
from taptill.card.apdu import CommandApdu, ResponseApdu
from taptill.card.bits import has_bit, with_bit
from taptill.card.kernels.c2 import tags
from taptill.card.kernels.c2.balance import read_balance_after, with_balance
from taptill.card.kernels.c2.interaction import asks_for_second_tap, phone_outcome
from taptill.card.kernels.c2.tap_database import TapDatabase
from taptill.card.kernels.c2.track_2_relay import with_relay_figures
from taptill.card.outcome import CryptogramType, OdaVerdict, Outcome
from taptill.card.outcomes import approved, declined, end_application, online_request, try_another_interface
from taptill.card.payment_data import pan_digits
from taptill.card.proof.offline_authentication import (
    CombinedSignature,
    Evidence,
    authenticate_combined,
    static_data_of,
)
from taptill.card.rules.restrictions import is_cash, is_purchase
from taptill.card.rules.tvr import (
    TSI_ODA_PERFORMED,
    TVR_CDA_FAILED,
    TVR_CVM_FAILED,
    TVR_ON_EXCEPTION_FILE,
    TVR_RELAY_PERFORMED,
)

_NO_DEVICE_TYPE = (2, 0x80)  # 9F6E: the unique identifier's first bit, behind two octets of country code
_DEVICE_TYPE = slice(4, 6)
_CARD = b"00"  # device type of a plain card


def conclude(here: TapDatabase) -> Generator[CommandApdu, ResponseApdu, Outcome]:
    """S9.25 to S9_10.81."""
    yield from read_balance_after(here)  # S9.25
    signed = any(tlv.tag == 0x9F4B for tlv in here.answer.objects)
    refusal = _authenticate(here) if signed else _without_signature(here)
    if refusal is not None:
        return refusal
    if asks_for_second_tap(here.card):
        return phone_outcome(here.card, here.configuration)  # S9_10.72
    return _of_cryptogram(here)


def _authenticate(here: TapDatabase) -> Outcome | None:
    """S9_10.1 to S9_10.7."""
    pan = pan_digits(here.card[0x5A])
    evidence = Evidence(
        rid=here.selection.aid[:RID_OCTETS],
        data=here.card,
        pan=pan,
        static_data=static_data_of(here.authenticated, here.card),
        date_yymmdd=here.request.date_yymmdd,
    )
    combined = CombinedSignature(
        unpredictable_number=here.terminal[0x9F37],
        pdol_values=here.pdol_values,
        cdol_values=here.cdol_values,
        response=here.answer.octets,
        relay_resistance=here.relay_resistance,
    )
    here.oda = authenticate_combined(evidence, here.ca_keys, combined)
    here.tsi = with_bit(here.tsi, TSI_ODA_PERFORMED)
    if here.oda.verdict is not OdaVerdict.PASSED:
        here.find(TVR_CDA_FAILED)  # S9_10.46
        return end_application("oda-failed")
    here.card.update(here.oda.signed_data)  # with CDA the cryptogram stands nowhere else (EMV Book 2, 6.6.2)
    return None


def _without_signature(here: TapDatabase) -> Outcome | None:
    """S9_10.30 to S9_10.39."""
    if not any(tlv.tag == 0x9F26 and tlv.value for tlv in here.answer.objects):
        return end_application("no-cryptogram")
    unasked = here.kind is CryptogramType.AAC and here.requested is not CryptogramType.AAC
    if here.combined and not unasked:
        return end_application("card-gives-no-signature")  # S9_10.37
    if here.kind is not CryptogramType.AAC and has_bit(here.tvr, TVR_RELAY_PERFORMED):
        here.card.update(with_relay_figures(here.card, here.terminal))
    return None


def _of_cryptogram(here: TapDatabase) -> Outcome:
    """S9_10.74 and S9_10.75. What had to go online is not taken from a card that says it need not, nor an approval that
    nothing proves (DESIGN 5.10)."""
    if here.kind is CryptogramType.ARQC:
        return online_request(here.cvm)
    if here.kind is CryptogramType.AAC:
        return _declined(here)
    if not here.request.offline_allowed:
        return declined("card-approved-what-must-go-online", here.cvm)
    if has_bit(here.tvr, TVR_ON_EXCEPTION_FILE):
        return declined("exception-list", here.cvm)
    if here.oda.verdict is not OdaVerdict.PASSED:
        return declined("oda-failed", here.cvm)
    return with_balance(here, approved(here.cvm))


def _declined(here: TapDatabase) -> Outcome:
    if not (is_cash(here.terminal) or is_purchase(here.terminal)):
        return end_application("card-declined")
    if here.configuration.contact_chip and not _is_a_device(here.card.get(tags.THIRD_PARTY_DATA, b"")):
        return try_another_interface("card-declined")
    asked = here.requested is CryptogramType.AAC
    reason = "no-pin-pad" if asked and has_bit(here.tvr, TVR_CVM_FAILED) else "card-declined"
    return declined(reason)


def _is_a_device(third_party: bytes) -> bool:
    """9F6E tells a phone or a watch, which has no contacts, from a card (EMV Book C-2, A.1.172)."""
    told = len(third_party) >= _DEVICE_TYPE.stop and not has_bit(third_party, _NO_DEVICE_TYPE)
    return told and third_party[_DEVICE_TYPE] != _CARD
