"""What an ACR122 does beyond PC/SC: pseudo-APDUs to its own firmware and to the PN532 inside (ACR122U API, 6).

Comes in: a way to send a pseudo-APDU while a card is connected. Goes out: a quiet reader that polls for what can pay,
and whether a second card is there.
Strategy: PC/SC has no word for a second card, the chip has: a card that was not chosen still answers requests, the
chosen one in its protocol does not. The chip's list of targets is left alone, and its registers are put back. A reader
that refuses any of this is a plain PC/SC reader. Cards of type B beside one of type A are not seen.
"""

from __future__ import annotations

from collections.abc import Callable

NAME = "ACR122"

NO_BEEP_FOR_A_CARD = bytes.fromhex("FF00520000")  # the terminal alone says what has been approved
POLL_FOR_A_AND_B = bytes.fromhex("FF0051E300")  # automatic polling, ATS, 250 ms; no FeliCa, no Topaz
DIRECT_TRANSMIT = bytes.fromhex("FF000000")
SW_OK = b"\x90\x00"

TO_CHIP, TO_HOST = 0xD4, 0xD5
READ_REGISTER, WRITE_REGISTER, RF_CONFIGURATION, IN_COMMUNICATE_THRU = 0x06, 0x08, 0x32, 0x42
TX_MODE, RX_MODE, BIT_FRAMING = b"\x63\x02", b"\x63\x03", b"\x63\x3d"
CRC_ON = 0x80
SEVEN_BITS = b"\x07"
REQUEST_A = b"\x26"
REQUESTS = 2  # a card that has just answered one request keeps silent to the next
WAIT_6_MS, WAIT_51_MS = b"\x02\x00\x0b\x07", b"\x02\x00\x0b\x0a"  # item 2: the chip's own is 51.2 ms
STATUS_OK = 0x00
COLLISION_STATUSES = {0x02, 0x03, 0x04, 0x05, 0x06}  # CRC, parity, bit count, framing, bit collision

Transmit = Callable[[bytes], bytes]


def prepare(transmit: Transmit) -> None:
    """Until the reader is unplugged. What it refuses stays as it is."""
    transmit(NO_BEEP_FOR_A_CARD)
    transmit(POLL_FOR_A_AND_B)


def cards_in_field(transmit: Transmit) -> int:
    """1 or 2, where 2 is more than one. To be asked while the chosen card is in its protocol."""
    modes = _chip(transmit, READ_REGISTER, TX_MODE + RX_MODE + BIT_FRAMING)
    if modes is None or len(modes) != 3 or (modes[0] | modes[1]) & 0x03:  # type B: no short frames
        return 1
    tx_mode, rx_mode, bit_framing = (modes[at : at + 1] for at in range(3))
    _chip(transmit, RF_CONFIGURATION, WAIT_6_MS)
    _set_modes(transmit, bytes([tx_mode[0] & ~CRC_ON]), bytes([rx_mode[0] & ~CRC_ON]), SEVEN_BITS)
    others = any(_is_answered(_chip(transmit, IN_COMMUNICATE_THRU, REQUEST_A)) for _ in range(REQUESTS))
    _set_modes(transmit, tx_mode, rx_mode, bit_framing)
    _chip(transmit, RF_CONFIGURATION, WAIT_51_MS)
    return 2 if others else 1


def _set_modes(transmit: Transmit, tx_mode: bytes, rx_mode: bytes, bit_framing: bytes) -> None:
    _chip(transmit, WRITE_REGISTER, TX_MODE + tx_mode + RX_MODE + rx_mode + BIT_FRAMING + bit_framing)


def _is_answered(response: bytes | None) -> bool:
    return bool(response) and response is not None and response[0] in {STATUS_OK, *COLLISION_STATUSES}


def _chip(transmit: Transmit, code: int, data: bytes) -> bytes | None:
    """A command to the PN532: its response data, None where reader or chip refuse."""
    command = bytes([TO_CHIP, code]) + data
    told = transmit(DIRECT_TRANSMIT + bytes([len(command)]) + command)
    expected = bytes([TO_HOST, code + 1])
    return told[2:-2] if told[-2:] == SW_OK and told[:2] == expected else None
