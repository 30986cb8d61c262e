"""From a device path to a PN532 that takes commands at the best baud rate, and back.

Comes in: a path. Goes out: `OpenChip` with its link, or ReaderLost.
Strategy: a process that was killed leaves the chip at the fast rate it had agreed on, so all rates are asked first and
the chip is brought back to 115,200; then nfcpy does its own bring-up (wake-up, SAM, rate, analogue settings) and its
own clean close. In between, commands go through our link: nfcpy's is content without an ACK and formats card data for
its log. nfcpy is loaded only here.
"""

from __future__ import annotations

import contextlib
import termios
import time
from typing import TYPE_CHECKING, Protocol

from taptill.card.adapters.pn532_link import ACK_TIMEOUT_MS, Pn532Link
from taptill.card.reader import ReaderLost
from taptill.clock import Clock

if TYPE_CHECKING:
    import serial

GET_FIRMWARE_VERSION = 0x02
SET_SERIAL_BAUD_RATE = 0x10
RF_CONFIGURATION = 0x32

BAUD_AT_POWER_UP = 115200
BAUD_AT_POWER_UP_CODE = 4
BAUDS_LEFT_BEHIND = (921600, 460800, 230400)  # what nfcpy may have agreed on, most likely first
USB_FIRST_ACK_TIMEOUT_MS = 1500  # a Raspberry Pi holds back a USB adapter's first bytes for about a second
COMMAND_TIMEOUT_MS = 150
BAUD_SETTLE_S = 0.005  # an ACK at 230,400 baud takes 0.3 ms to leave
FIELD_OFF = b"\x01\x00"


class NfcpyDevice(Protocol):
    """What is used of nfc.clf.pn532.Device."""

    def close(self) -> None: ...


class NfcpyTransport(Protocol):
    """What is used of nfc.clf.transport.TTY."""

    tty: serial.Serial

    def close(self) -> None: ...


class OpenChip:
    """A chip nfcpy has initialised, the only user of its line."""

    def __init__(self, link: Pn532Link, device: NfcpyDevice, transport: NfcpyTransport, guard: serial.Serial) -> None:
        self.link = link
        self._device = device
        self._transport = transport
        self._guard = guard

    def close(self) -> None:
        """Field off, 115,200 baud again, line given back. Never raises."""
        with contextlib.suppress(ReaderLost):
            self.link.command(RF_CONFIGURATION, FIELD_OFF, COMMAND_TIMEOUT_MS)
        for opened in (self._device, self._transport, self._guard):
            _close_quietly(opened)


def bring_up(path: str, where: str, clock: Clock) -> OpenChip:
    """`path` has to be free of characters a shell would read: nfcpy hands it to stty. Raises ReaderLost."""
    import nfc.clf.pn532
    import nfc.clf.transport

    with contextlib.ExitStack() as undo:
        guard = _claim(path, where)
        undo.callback(_close_quietly, guard)
        _return_to_default_baud(guard, where, clock)
        try:
            transport: NfcpyTransport = nfc.clf.transport.TTY(path)
            undo.callback(_close_quietly, transport)
            device: NfcpyDevice = nfc.clf.pn532.init(transport)
        except _nfcpy_failures() as error:
            raise ReaderLost(f"nfcpy cannot start the chip: {error}", where=where, next_step="replug it") from error
        undo.pop_all()
    return OpenChip(Pn532Link(transport.tty.fileno(), where, clock), device, transport, guard)


def _claim(path: str, where: str) -> serial.Serial:
    """Open and lock the line, so that no second terminal disturbs it; the lock dies with the process."""
    import serial

    try:
        return serial.Serial(path, BAUD_AT_POWER_UP, timeout=0, exclusive=True)
    except (OSError, ValueError, termios.error) as error:
        raise ReaderLost(str(error), where=where, next_step="is it plugged in, and used by nobody else?") from error


def _return_to_default_baud(guard: serial.Serial, where: str, clock: Clock) -> None:
    link = Pn532Link(guard.fileno(), where, clock)
    ack_timeout_ms = USB_FIRST_ACK_TIMEOUT_MS if "/dev/ttyUSB" in where else ACK_TIMEOUT_MS
    for baud in (BAUD_AT_POWER_UP, *BAUDS_LEFT_BEHIND):
        guard.baudrate = baud
        if _answers(link, ack_timeout_ms):
            break
    else:
        raise ReaderLost(
            "no PN532 answers at any baud rate", where=where, next_step="check wiring and the HSU switches"
        )
    if baud != BAUD_AT_POWER_UP:
        link.command(SET_SERIAL_BAUD_RATE, bytes([BAUD_AT_POWER_UP_CODE]), COMMAND_TIMEOUT_MS)
        link.acknowledge()
        time.sleep(BAUD_SETTLE_S)
        guard.baudrate = BAUD_AT_POWER_UP


def _answers(link: Pn532Link, ack_timeout_ms: int) -> bool:
    with contextlib.suppress(ReaderLost):
        link.wake_up()
        return link.command(GET_FIRMWARE_VERSION, b"", COMMAND_TIMEOUT_MS, ack_timeout_ms) is not None
    return False


def _close_quietly(opened: NfcpyDevice | NfcpyTransport | serial.Serial) -> None:
    with contextlib.suppress(*_nfcpy_failures()):
        opened.close()


def _nfcpy_failures() -> tuple[type[BaseException], ...]:
    """What nfcpy raises on a bad line: it reads some bytes without looking whether they came."""
    from nfc.clf.pn53x import Chipset

    return (OSError, termios.error, Chipset.Error, LookupError, TypeError, AttributeError)
