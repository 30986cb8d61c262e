"""Mag-stripe mode (EMV Book C-2, states 7, 8, 13 and 14): off unless the kernel configuration turns it on.

Comes in: the transaction of a card without EMV mode. Goes out: the outcome, with track 2 filled for the issuer.
Strategy: nothing here is authenticated offline, so the only good end is an online request. The book's growing pause
after a failed checksum is the reader's to make, not a kernel's.
"""

from __future__ import annotations

from collections.abc import Generator

from taptill.card.aip import AIP_ON_DEVICE_CVM
from taptill.card.apdu import SW_OK, CommandApdu, ResponseApdu
from taptill.card.bits import has_bit, with_bit
from taptill.card.kernels.c2 import tags
from taptill.card.kernels.c2.card_data import read_data
from taptill.card.kernels.c2.interaction import asks_for_second_tap, phone_outcome, verified_on_device
from taptill.card.kernels.c2.mag_track import TrackLayout, filled, layout_of, numeric_number
from taptill.card.kernels.c2.tap_database import Mode, State, TapDatabase
from taptill.card.outcome import Cvm, Outcome
from taptill.card.outcomes import declined, end_application, online_request, select_next
from taptill.card.payment_data import FORMAT_2, parse_track2
from taptill.card.records import collect
from taptill.card.refused import Refused
from taptill.card.tlv import parse_tlv

_TRACK_2, _TRACK_1 = 0x9F6B, 0x56
_LAYOUT_2, _LAYOUT_1 = (0x9F65, 0x9F66, 0x9F67), (0x9F62, 0x9F63, 0x9F64)
_CHECKSUM_2, _CHECKSUM_1 = 0x9F61, 0x9F60
_OCTETS = 2  # of a checksum and of the counter; a longer number would have more digits than Python writes
_ON_DEVICE_REQUIRED = (0, 0x02)  # 9F7E
_VERIFIED_ADDS = 5  # S13.14.8: how the track tells the issuer that the device verified its owner
_BEFORE_DISCRETIONARY = 8  # separator, expiry, service code
_CVMS = {0x00: Cvm.NONE, 0x10: Cvm.SIGNATURE, 0x20: Cvm.ONLINE_PIN}


def read_mag_stripe_record(here: TapDatabase) -> State:
    """S7 and S78.1 to S78.14. Raises MalformedTlv."""
    refusal = yield from read_data(here, Mode.MAG_STRIPE)
    if refusal is not None:
        return refusal
    if parse_track2(here.card.get(_TRACK_2, b"")) is None:
        return end_application("data-missing-9F6B")  # S7.21
    layout = _layout(here)
    if isinstance(layout, Refused):
        return end_application(layout.reason)  # S7.24
    if not here.exchange.may_write():
        return end_application("data-exchange-time-out")
    limit = tags.TRANSACTION_LIMIT_ON_DEVICE if here.on_device_verification else tags.TRANSACTION_LIMIT
    if here.amount_minor > here.configuration.decimal(limit):
        return select_next("amount-not-allowed")  # S78.11
    here.terminal[0x9F6A] = numeric_number(here.request.unpredictable_number, layout.number_digits)
    here.exchange.tell(here.card, last=True)
    return None


def compute_checksum(here: TapDatabase) -> Generator[CommandApdu, ResponseApdu, Outcome]:
    """S78.15 to S78.22, then state 13 or 14. Raises MalformedTlv, MalformedDol."""
    if has_bit(here.aip, AIP_ON_DEVICE_CVM) and _above_cvm_limit(here):
        here.terminal[tags.MOBILE_SUPPORT] = with_bit(here.terminal[tags.MOBILE_SUPPORT], _ON_DEVICE_REQUIRED)
    udol = here.card.get(0x9F69) or here.configuration.values[tags.DEFAULT_UDOL]
    command = CommandApdu(0x80, 0x2A, 0x8E, 0x80, here.fill(udol, "UDOL"), 0, "COMPUTE CRYPTOGRAPHIC CHECKSUM")
    response = yield command
    if response.sw != SW_OK:
        return end_application(f"cryptogram-refused-{response.sw:04X}")  # S13.10
    templates = parse_tlv(response.data, "checksum")
    if len(templates) != 1 or templates[0].tag != FORMAT_2:
        return end_application("card-data-malformed")  # S13.13
    found = collect(templates[0].children)
    refused = found if isinstance(found, Refused) else here.learn(found)
    if refused is not None:
        return end_application(refused.reason)
    return _conclude(here)


def _conclude(here: TapDatabase) -> Outcome:
    """S13.14 to S13.45 (S14 alike)."""
    if not here.card.get(0x9F36):
        return end_application("data-missing-9F36")
    if not here.card.get(_CHECKSUM_2):
        if tags.INTERACTION_INFORMATION not in here.card:
            return end_application("data-missing-9F61")
        wanted = asks_for_second_tap(here.card)
        return phone_outcome(here.card, here.configuration) if wanted else declined("card-declined")
    if here.card.get(_TRACK_1) and not here.card.get(_CHECKSUM_1):
        return end_application("data-missing-9F60")  # S13.16
    if any(len(here.card.get(tag, bytes(_OCTETS))) != _OCTETS for tag in (_CHECKSUM_2, _CHECKSUM_1, 0x9F36)):
        return end_application("card-data-malformed")
    layout = _layout(here)
    track = layout if isinstance(layout, Refused) else _track_2(here, layout)
    if isinstance(track, Refused):
        return end_application(track.reason)
    here.card[0x57] = track
    here.answered = True
    return _online(here)


def _track_2(here: TapDatabase, layout: TrackLayout) -> bytes | Refused:
    """S13.18 and S13.19."""
    track = parse_track2(here.card[_TRACK_2])
    assert track is not None  # S7.21
    start = len(track.pan) + _BEFORE_DISCRETIONARY
    checksum = int.from_bytes(here.card[_CHECKSUM_2], "big")
    counter = int.from_bytes(here.card[0x9F36], "big")
    discretionary = filled(track.text[start:], layout, checksum, here.terminal[0x9F6A].hex(), counter)
    if isinstance(discretionary, Refused) or not discretionary:
        return Refused("card-data-malformed")
    shown = (layout.number_digits + _VERIFIED_ADDS * verified_on_device(here.card)) % 10
    text = track.text[:start] + discretionary[:-1] + str(shown)
    return bytes.fromhex(text + "F" * (len(text) % 2))


def _online(here: TapDatabase) -> Outcome:
    """S13.24 to S13.26; a device that did not verify its owner where it had to does not go on (S14)."""
    above = _above_cvm_limit(here)
    if has_bit(here.aip, AIP_ON_DEVICE_CVM) and above and here.configuration.on_device_verification:
        return online_request(Cvm.CONSUMER_DEVICE) if verified_on_device(here.card) else declined("card-declined")
    capability = tags.MAG_STRIPE_CVM_REQUIRED if above else tags.MAG_STRIPE_CVM_NOT_REQUIRED
    cvm = _CVMS.get(here.configuration.values[capability][0] & 0xF0, Cvm.NOT_APPLICABLE)
    if cvm is Cvm.ONLINE_PIN and not here.request.pin_pad:
        return declined("no-pin-pad")
    return online_request(cvm)


def _layout(here: TapDatabase) -> TrackLayout | Refused:
    """S7.22 and S7.24: both tracks have to agree on how many digits of the number they carry."""
    layout = layout_of(here.card, *_LAYOUT_2)
    if isinstance(layout, Refused) or not here.card.get(_TRACK_1):
        return layout
    other = layout_of(here.card, *_LAYOUT_1)
    if isinstance(other, Refused):
        return other
    return layout if other.number_digits == layout.number_digits else Refused("card-data-malformed")


def _above_cvm_limit(here: TapDatabase) -> bool:
    return here.amount_minor > here.configuration.decimal(tags.CVM_LIMIT)
