"""EXCHANGE RELAY RESISTANCE DATA: is the card as near as it seems (EMV Book C-2, state R1).

Comes in: the transaction after GET PROCESSING OPTIONS. Goes out: None to go on, or the outcome that ends the tap.
Strategy: every attempt sends an unpredictable number nobody has seen, and the last one becomes the transaction's. The
verdict goes into the TVR, and what was exchanged into the signature the card makes later, where nobody between can
change it.
"""

from __future__ import annotations

from taptill.card.aip import AIP_RELAY_RESISTANCE
from taptill.card.apdu import SW_OK, CommandApdu
from taptill.card.bits import has_bit
from taptill.card.kernels.c2 import tags
from taptill.card.kernels.c2.relay import (
    DeviceTimes,
    Tolerances,
    device_times,
    exceeds_thresholds,
    is_too_fast,
    is_too_slow,
    processing_time,
)
from taptill.card.kernels.c2.tap_database import State, TapDatabase
from taptill.card.outcomes import end_application
from taptill.card.rules.tvr import (
    TVR_RELAY_NOT_PERFORMED,
    TVR_RELAY_PERFORMED,
    TVR_RELAY_THRESHOLD_EXCEEDED,
    TVR_RELAY_TIMES_EXCEEDED,
)

ATTEMPTS_MAX = 3  # SR1.22: two retries


def resist_relay(here: TapDatabase) -> State:
    """S3.60 to S3.65 and SR1. Raises MalformedTlv."""
    numbers = here.request.fresh_numbers[:ATTEMPTS_MAX]
    if not (here.configuration.relay_resistance and has_bit(here.aip, AIP_RELAY_RESISTANCE) and numbers):
        here.find(TVR_RELAY_NOT_PERFORMED)
        return None
    tolerances = Tolerances.of(here.configuration)
    for retries, entropy in enumerate(numbers):
        response = yield exchange_relay_resistance_data(entropy)
        if response.sw != SW_OK:
            return end_application(f"relay-resistance-refused-{response.sw:04X}")  # SR1.12
        device = device_times(response.data)
        if device is None:
            return end_application("card-data-malformed")  # SR1.16
        measured = processing_time(response.elapsed_us, device, tolerances)
        if is_too_fast(measured, device, tolerances):
            return end_application("relay-resistance-implausible")  # SR1.20
        last = retries == len(numbers) - 1
        if last or not is_too_slow(measured, device, tolerances):
            _keep(here, entropy, device, measured, retries)
            _judge(here, device, measured, tolerances)
            break
    return None


def _judge(here: TapDatabase, device: DeviceTimes, measured: int, tolerances: Tolerances) -> None:
    """SR1.28 to SR1.32."""
    if is_too_slow(measured, device, tolerances):
        here.find(TVR_RELAY_TIMES_EXCEEDED)
    if exceeds_thresholds(measured, device, tolerances):
        here.find(TVR_RELAY_THRESHOLD_EXCEEDED)
    here.find(TVR_RELAY_PERFORMED)


def exchange_relay_resistance_data(entropy: bytes) -> CommandApdu:
    """EMV Book C-2, 5.3."""
    return CommandApdu(0x80, 0xEA, 0x00, 0x00, entropy, 0, "EXCHANGE RELAY RESISTANCE DATA")


def _keep(here: TapDatabase, entropy: bytes, device: DeviceTimes, measured: int, retries: int) -> None:
    times = [time.to_bytes(2, "big") for time in (device.minimum, device.maximum, device.estimated)]
    here.relay_resistance = entropy + device.entropy + b"".join(times)
    here.terminal |= {
        0x9F37: entropy,
        tags.RELAY_TERMINAL_ENTROPY: entropy,
        tags.RELAY_DEVICE_ENTROPY: device.entropy,
        tags.RELAY_TIME_MIN: times[0],
        tags.RELAY_TIME_MAX: times[1],
        tags.RELAY_TIME_ESTIMATED: times[2],
        tags.RELAY_TIME_MEASURED: measured.to_bytes(2, "big"),
        tags.RELAY_COUNTER: bytes([retries]),
    }
