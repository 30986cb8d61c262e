"""GET PROCESSING OPTIONS, and which of the two modes follows (EMV Book C-2, states 2 and 3).

Comes in: the transaction with the card's FCI. Goes out: `Mode`, or the outcome that ends the tap.
"""

from __future__ import annotations

from collections.abc import Generator

from taptill.card.aip import AIP_EMV_MODE
from taptill.card.apdu import SW_OK, CommandApdu, ResponseApdu
from taptill.card.bits import has_bit
from taptill.card.kernels.c2.tap_database import Mode, TapDatabase
from taptill.card.outcome import Outcome
from taptill.card.outcomes import end_application, select_next
from taptill.card.payment_data import get_processing_options, gpo_objects
from taptill.card.records import collect
from taptill.card.refused import Refused

AIP_OCTETS = 2
MAG_STRIPE_RECORD = bytes.fromhex("08010100")  # the AFL entry of the mag-stripe record: SFI 1, record 1


def choose_mode(here: TapDatabase) -> Generator[CommandApdu, ResponseApdu, Mode | Outcome]:
    """S2 and S3. Raises MalformedDol, MalformedTlv."""
    pdol = here.card.get(0x9F38, b"")
    here.pdol_values = here.fill(pdol, "PDOL")
    response = yield get_processing_options(here.pdol_values)
    if response.sw != SW_OK:
        return select_next(f"gpo-refused-{response.sw:04X}")  # S3.9.1
    options = gpo_objects(response.data)
    found = options if isinstance(options, Refused) else collect(options)
    if isinstance(found, Refused) or isinstance(options, Refused):
        return end_application(found.reason if isinstance(found, Refused) else "gpo-response-malformed")  # S3.12
    if len(found.get(0x82, b"")) != AIP_OCTETS or not found.get(0x94):
        return end_application("gpo-response-malformed")  # S3.14
    here.options = options
    refused = here.learn(found)
    if refused is not None:
        return end_application(refused.reason)
    if here.configuration.emv and has_bit(here.aip, AIP_EMV_MODE):
        return Mode.EMV
    return Mode.MAG_STRIPE if here.configuration.mag_stripe else end_application("magstripe-only")  # S3.18


def active_afl(here: TapDatabase, mode: Mode) -> bytes:
    """S3.30 to S3.32 and S3.70 to S3.72: the records of this mode. A reader without mag-stripe mode reads them all."""
    afl = here.card[0x94]
    if not afl.startswith(MAG_STRIPE_RECORD):
        return afl
    if mode is Mode.MAG_STRIPE:
        return MAG_STRIPE_RECORD
    return afl[len(MAG_STRIPE_RECORD) :] if here.configuration.mag_stripe else afl
