"""Everything the card has to say before it is asked for a cryptogram (EMV Book C-2, states 4 and 5).

Comes in: the transaction with its AFL. Goes out: None to go on, or the outcome that ends the tap.
"""

from __future__ import annotations

from taptill.card.kernels.c2.options import active_afl
from taptill.card.kernels.c2.tap_database import Mode, State, TapDatabase
from taptill.card.outcomes import end_application
from taptill.card.payment_data import get_data
from taptill.card.records import collect, read_records
from taptill.card.refused import Refused

GET_DATA_MAX = 16  # data objects a terminal may have read in one tap; more only cost the card's time in the field


def read_emv_data(here: TapDatabase) -> State:
    """S3R1 and states 4 and 5: what the terminal asked for by GET DATA, then the records. Raises MalformedTlv."""
    for _ in range(GET_DATA_MAX):
        tag = here.exchange.next_card_tag()
        if tag is None:
            break
        value = yield from get_data(tag)
        here.exchange.tell(here.card, {tag: value or b""})
    return (yield from read_data(here, Mode.EMV))


def read_data(here: TapDatabase, mode: Mode) -> State:
    """The records of a mode, into the transaction. Raises MalformedTlv."""
    records = yield from read_records(active_afl(here, mode))
    if isinstance(records, Refused):
        return end_application(records.reason)
    found = collect(here.options, records.tlvs)
    refused = found if isinstance(found, Refused) else here.learn(found)
    if refused is not None:
        return end_application(refused.reason)
    here.authenticated = records.authenticated
    here.exchange.tell(here.card)
    return None
