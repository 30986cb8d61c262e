"""GENERATE AC, and RECOVER AC for a card that left before its answer (EMV Book C-2, states 9, 10 and 11; 3.7).

Comes in: the transaction, decided. Goes out: None with the card's answer in it, or the outcome that ends the tap.
Strategy: a torn record is used only for the same card and the same sale, so that no cryptogram of another amount is
ever taken for this one's (DESIGN 5.12). Whoever keeps the records learns from the `CardRead` what to keep.
"""

from __future__ import annotations

from taptill.card.apdu import SW_OK, CommandApdu, ResponseApdu
from taptill.card.bits import has_bit
from taptill.card.kernels.c2 import tags
from taptill.card.kernels.c2.tap_database import State, TapDatabase
from taptill.card.outcome import CryptogramType, Outcome
from taptill.card.outcomes import end_application, try_again
from taptill.card.payment_data import cryptogram_answer, cryptogram_type
from taptill.card.reader import CardLost
from taptill.card.records import collect
from taptill.card.refused import Refused
from taptill.card.rules.tvr import TVR_ON_EXCEPTION_FILE
from taptill.card.tlv import MalformedTlv
from taptill.card.torn import TornRecord, torn_card

_SAME_SALE = (0x9F02, 0x9F03, 0x5F2A, 0x9C, 0x9F1A)

# S9.23: what a card may answer to what was asked.
_ALLOWED = {
    CryptogramType.TC: (CryptogramType.TC, CryptogramType.ARQC, CryptogramType.AAC),
    CryptogramType.ARQC: (CryptogramType.ARQC, CryptogramType.AAC),
    CryptogramType.AAC: (CryptogramType.AAC,),
}


def get_cryptogram(here: TapDatabase) -> State:
    """S456.43 to S456.48. Raises MalformedTlv, MalformedDol."""
    torn = _torn(here)
    if torn is None:
        return (yield from generate_ac(here))
    response = yield recover_ac(torn.drdol_values)
    if response.sw != SW_OK:
        return (yield from generate_ac(here))  # S10.8: the card never made one
    _take_up(here, torn)
    try:
        return _take_answer(here, response)
    except MalformedTlv:
        return end_application("card-data-malformed")  # an outcome of its own, so that the record counts as used up


def generate_ac(here: TapDatabase) -> State:
    """S9 (and S11, after a recovery that failed). Raises MalformedTlv, MalformedDol."""
    here.terminal[0x95] = here.tvr
    here.cdol_values = here.fill(here.card[0x8C], "CDOL1")
    try:
        response = yield CommandApdu(0x80, 0xAE, here.reference_control, 0x00, here.cdol_values, 0, "GENERATE AC")
    except CardLost:
        here.torn_record = _record(here)  # S9.11 and S11.13
        return try_again("card-lost")
    if response.sw != SW_OK:
        return end_application(f"cryptogram-refused-{response.sw:04X}")  # S9.17
    return _take_answer(here, response)


def recover_ac(drdol_values: bytes) -> CommandApdu:
    """EMV Book C-2, 5.9."""
    return CommandApdu(0x80, 0xD0, 0x00, 0x00, drdol_values, 0, "RECOVER AC")


def _torn(here: TapDatabase) -> TornRecord | None:
    """S456.43 and S456.44."""
    if not here.configuration.number(tags.TORN_RECORDS_MAX) or not here.card.get(tags.DRDOL):
        return None
    card = torn_card(here.card[0x5A], here.card.get(0x5F34))
    return next((each for each in here.request.torn_records if each.card == card and _is_this_sale(here, each)), None)


def _is_this_sale(here: TapDatabase, torn: TornRecord) -> bool:
    return all(torn.terminal.get(tag) == here.terminal.get(tag) for tag in _SAME_SALE)


def _take_up(here: TapDatabase, torn: TornRecord) -> None:
    """S10.10 and S10.11: the transaction goes on as what it was when the card left."""
    here.terminal.update(torn.terminal)
    listed = has_bit(here.tvr, TVR_ON_EXCEPTION_FILE)
    here.tvr = here.terminal[0x95]
    if listed:  # since then; 95 stays what the cryptogram covers
        here.find(TVR_ON_EXCEPTION_FILE)
    here.pdol_values, here.cdol_values = torn.pdol_values, torn.cdol_values
    here.reference_control = torn.reference_control
    here.relay_resistance = torn.relay_resistance
    here.recovered = True


def _record(here: TapDatabase) -> TornRecord | None:
    """S9.5 to S9.13."""
    records_max = here.configuration.number(tags.TORN_RECORDS_MAX)
    drdol = here.card.get(tags.DRDOL)
    if not records_max or not drdol:
        return None
    return TornRecord(
        card=torn_card(here.card[0x5A], here.card.get(0x5F34)),
        drdol_values=here.fill(drdol, "DRDOL"),
        pdol_values=here.pdol_values,
        cdol_values=here.cdol_values,
        reference_control=here.reference_control,
        terminal=dict(here.terminal),
        relay_resistance=here.relay_resistance,
        records_max=records_max,
        lifetime_s=here.configuration.number(tags.TORN_LIFETIME),
    )


def _take_answer(here: TapDatabase, response: ResponseApdu) -> Outcome | None:
    """S9.18 to S9.24 (S10.12 to S10.18, S11.8 to S11.21)."""
    answer = cryptogram_answer(response.data)
    found = answer if isinstance(answer, Refused) else collect(answer.objects)
    if isinstance(found, Refused) or isinstance(answer, Refused):
        return end_application(found.reason if isinstance(found, Refused) else "card-data-malformed")
    kind = cryptogram_type(found.get(0x9F27))
    if kind is None or len(found[0x9F27]) != 1 or not found.get(0x9F36):
        return end_application("no-cryptogram")
    if kind not in _ALLOWED[here.requested]:
        return end_application("cryptogram-not-asked-for")
    refused = here.learn(found)
    if refused is not None:
        return end_application(refused.reason)
    here.answer, here.kind, here.answered = answer, kind, True
    return None
