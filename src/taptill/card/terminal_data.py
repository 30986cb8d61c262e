"""What the terminal itself knows of a tap, as EMV data objects (EMV Book 3, Annex A; EMV Book 4, 6.1).

Comes in: the sale and its prepared combination. Goes out: tag to value, for the PDOL, field 55 and the receipt.
"""

from __future__ import annotations

from taptill.card.parameters import TapRequest, own_capabilities
from taptill.card.preprocessing import Prepared

_SERIAL_NUMBER_OCTETS = 8
_NO_ELECTRONIC_CASH = b"\x00"  # 9F7A: this terminal offers no classic electronic cash
_NO_SM_ALGORITHMS = b"\x00"  # DF69: RSA only
_NO_CAPP = b"\x00"  # DF60: no transit application


def terminal_data(request: TapRequest, prepared: Prepared) -> dict[int, bytes]:
    """Every data object of the terminal. 95 is all zero: it goes out before anything has been verified."""
    data = {
        0x9F02: digits(request.amount.minor, 6),
        0x9F03: digits(request.amount_other.minor, 6),
        0x9F1A: digits(int(request.country), 2),
        0x5F2A: digits(int(request.amount.currency.number), 2),
        0x95: bytes(5),
        0x9A: bytes.fromhex(request.date_yymmdd),
        0x9F21: bytes.fromhex(request.time_hhmmss),
        0x9C: bytes([request.transaction_type]),
        0x9F37: request.unpredictable_number,
        0x9F33: request.terminal_capabilities or own_capabilities(request.pin_pad),
        0x9F35: bytes([request.terminal_type]),
        0x9F1E: request.serial_number.encode("ascii", "replace")[:_SERIAL_NUMBER_OCTETS].ljust(_SERIAL_NUMBER_OCTETS),
        0x9F4E: request.merchant_name.encode("ascii", "replace"),
        0x9F41: digits(request.sequence_counter % 100_000_000, 4),
        0x9F7A: _NO_ELECTRONIC_CASH,
        0xDF60: _NO_CAPP,
        0xDF69: _NO_SM_ALGORITHMS,
    }
    if prepared.ttq:
        data[0x9F66] = prepared.ttq
    if prepared.combination.application_version:
        data[0x9F09] = prepared.combination.application_version
    return data


def digits(number: int, octets: int) -> bytes:
    """A number as BCD, right aligned."""
    return bytes.fromhex(f"{number:0{octets * 2}d}")
