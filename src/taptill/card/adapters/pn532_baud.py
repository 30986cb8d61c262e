"""The rate of a PN532's serial line: found where it was left, raised as far as it holds, lowered where it does not.

Comes in: an open line. Goes out: the rate both ends speak, or ReaderLost.
Strategy: a process that was killed leaves the chip at the rate it had agreed on, so all rates are asked first. A rate
counts only when long frames come back unharmed at it; where they do not, the chip is talked down again, attempt by
attempt, and the next lower one is tried. What cannot be talked down needs its power cut; the reader remembers the rate.
"""

from __future__ import annotations

import contextlib
import os
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

from taptill.card.adapters.pn532_link import ACK_TIMEOUT_MS, Pn532Link
from taptill.card.reader import ReaderLost

if TYPE_CHECKING:
    import serial

DIAGNOSE = 0x00
GET_FIRMWARE_VERSION = 0x02
SET_SERIAL_BAUD_RATE = 0x10

BAUD_AT_POWER_UP = 115200
FASTER_BAUDS = (921600, 460800, 230400)
BAUD_MAX = FASTER_BAUDS[0]
BAUD_CODES = {115200: 4, 230400: 5, 460800: 6, 921600: 7}  # UM0701-02, 7.2.7

COMMAND_TIMEOUT_MS = 150
USB_FIRST_ACK_TIMEOUT_MS = 1500  # a Raspberry Pi holds back a USB adapter's first bytes for about a second
BAUD_SETTLE_S = 0.005  # an ACK at 230,400 baud takes 0.3 ms to leave
LINE_TEST = bytes([0x00]) + bytes(index & 0xFF for index in range(261))  # Diagnose 00 echoes it in an extended frame
LINE_TESTS = 3
ROUNDS_TO_FIND = 3  # a line may harm the first question
ATTEMPTS_TO_SLOW_DOWN = 10
# A Raspberry Pi's mini UART takes its clock from the core and loses bytes above 115,200 (nfcpy leaves it there too).
MINI_UART = "/dev/ttyS0"
BOARD_FILE = Path("/proc/device-tree/model")


class BaudTooHigh(ReaderLost):
    """The chip is stuck at a rate the line does not bear. Its power has to be cut, and `baud` not be tried again."""

    def __init__(self, baud: int, where: str) -> None:
        what = f"the line does not bear {baud} baud, and the chip cannot be told"
        super().__init__(what, where=where, next_step="cut its power")
        self.baud = baud


def slower_baud(baud: int) -> int:
    """The next lower rate; 115,200 has none."""
    return next((slower for slower in FASTER_BAUDS if slower < baud), BAUD_AT_POWER_UP)


def find_chip(line: serial.Serial, link: Pn532Link, where: str) -> None:
    """Finds the chip and leaves it at 115,200. Raises BaudTooHigh, ReaderLost."""
    first_ack_timeout_ms = USB_FIRST_ACK_TIMEOUT_MS if "/dev/ttyUSB" in where else ACK_TIMEOUT_MS
    for ack_timeout_ms in (first_ack_timeout_ms, *[ACK_TIMEOUT_MS] * (ROUNDS_TO_FIND - 1)):
        for baud in (BAUD_AT_POWER_UP, *FASTER_BAUDS):
            if _set_line(line, baud) and _answers(link, ack_timeout_ms):
                if baud != BAUD_AT_POWER_UP:
                    _slow_down(line, link, where)
                return
    raise ReaderLost("no PN532 answers at any baud rate", where=where, next_step="check wiring and the HSU switches")


def agree_on_baud(line: serial.Serial, link: Pn532Link, where: str, baud_max: int) -> int:
    """From 115,200 to the highest rate up to `baud_max` that this line bears. Raises BaudTooHigh, ReaderLost."""
    for baud in (baud for baud in FASTER_BAUDS if baud <= min(baud_max, _line_baud_max(line))):
        if not _can_be_set(line, baud):
            continue
        _change(line, link, baud)
        if _holds(link):
            return baud
        _slow_down(line, link, where)
    return BAUD_AT_POWER_UP


def _change(line: serial.Serial, link: Pn532Link, baud: int) -> None:
    """The chip changes after the host's ACK to its answer."""
    link.command(SET_SERIAL_BAUD_RATE, bytes([BAUD_CODES[baud]]), COMMAND_TIMEOUT_MS)
    link.acknowledge()
    time.sleep(BAUD_SETTLE_S)
    _set_line(line, baud)


def _slow_down(line: serial.Serial, link: Pn532Link, where: str) -> None:
    """Back to 115,200 over a line that harms what goes over it: it may be the command, the answer or the ACK.
    Raises BaudTooHigh."""
    bad = line.baudrate
    for _ in range(ATTEMPTS_TO_SLOW_DOWN):
        _set_line(line, bad)
        with contextlib.suppress(ReaderLost):
            _change(line, link, BAUD_AT_POWER_UP)
        _set_line(line, BAUD_AT_POWER_UP)
        if _answers(link, ACK_TIMEOUT_MS):
            return
    raise BaudTooHigh(bad, where)


def _holds(link: Pn532Link) -> bool:
    damaged_before = link.damaged_responses
    with contextlib.suppress(ReaderLost):
        echoes = [link.command(DIAGNOSE, LINE_TEST, COMMAND_TIMEOUT_MS) for _ in range(LINE_TESTS)]
        return echoes == [LINE_TEST] * LINE_TESTS and link.damaged_responses == damaged_before
    return False


def _answers(link: Pn532Link, ack_timeout_ms: int) -> bool:
    with contextlib.suppress(ReaderLost):
        link.wake_up()
        return link.command(GET_FIRMWARE_VERSION, b"", COMMAND_TIMEOUT_MS, ack_timeout_ms) is not None
    return False


def _can_be_set(line: serial.Serial, baud: int) -> bool:
    """Whether the host's own end can do it: some drivers refuse."""
    before = line.baudrate
    can = _set_line(line, baud)
    _set_line(line, before)
    return can


def _set_line(line: serial.Serial, baud: int) -> bool:
    try:
        line.baudrate = baud
    except (OSError, ValueError, termios.error):
        return False
    return True


def _line_baud_max(line: serial.Serial) -> int:
    with contextlib.suppress(OSError):
        if os.path.realpath(line.port) == MINI_UART and BOARD_FILE.read_bytes().startswith(b"Raspberry Pi"):
            return BAUD_AT_POWER_UP
    return BAUD_MAX
