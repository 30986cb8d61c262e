"""From a device path to a PN532 that takes commands, and back.

Comes in: a path. Goes out: `OpenChip` with its link, or ReaderLost.
Strategy: the chip is found at whatever rate it was left (see pn532_baud), brought to the best rate that both ends and
the line between them bear, and then initialised by nfcpy (communication test, analogue settings), which also closes it
cleanly. In between, commands go through our link: nfcpy's is content without an ACK, flushes the line before each
command, and formats card data for its log. nfcpy is loaded only here.
"""

from __future__ import annotations

import contextlib
import logging
import termios
from typing import TYPE_CHECKING, Protocol

from taptill.card.adapters.pn532_baud import BAUD_AT_POWER_UP, BAUD_MAX, agree_on_baud, find_chip
from taptill.card.adapters.pn532_link import Pn532Link
from taptill.card.reader import ReaderLost
from taptill.clock import Clock

if TYPE_CHECKING:
    import serial

GET_FIRMWARE_VERSION = 0x02
SAM_CONFIGURATION = 0x14
RF_CONFIGURATION = 0x32

NO_SAM = b"\x01"
COMMAND_TIMEOUT_MS = 150
FIELD_OFF = b"\x01\x00"


class NfcpyDevice(Protocol):
    """What is used of nfc.clf.pn532.Device."""

    def close(self) -> None: ...


class NfcpyTransport(Protocol):
    """What is used of nfc.clf.transport.TTY."""

    tty: serial.Serial
    baudrate: int

    def close(self) -> None: ...


class OpenChip:
    """A chip nfcpy has initialised, the only user of its line."""

    def __init__(self, link: Pn532Link, device: NfcpyDevice, transport: NfcpyTransport, guard: serial.Serial) -> None:
        self.link = link
        self.baud = int(transport.baudrate)
        self._device = device
        self._transport = transport
        self._guard = guard

    def close(self) -> None:
        """Field off, 115,200 baud again, line given back. Never raises."""
        with contextlib.suppress(ReaderLost):
            self.link.command(RF_CONFIGURATION, FIELD_OFF, COMMAND_TIMEOUT_MS)
        for opened in (self._device, self._transport, self._guard):
            _close_quietly(opened)


def bring_up(path: str, where: str, clock: Clock, baud_max: int = BAUD_MAX) -> OpenChip:
    """Raises ReaderLost."""
    import nfc.clf.pn532
    import nfc.clf.transport

    with contextlib.ExitStack() as undo:
        guard = _claim(path, where)
        undo.callback(_close_quietly, guard)
        link = Pn532Link(guard.fileno(), where, clock)
        find_chip(guard, link, where)
        link.command(SAM_CONFIGURATION, NO_SAM, COMMAND_TIMEOUT_MS)
        baud = agree_on_baud(guard, link, where, baud_max)
        try:
            transport: NfcpyTransport = nfc.clf.transport.TTY(path)
            undo.callback(_close_quietly, transport)
            transport.baudrate = baud
            chipset = nfc.clf.pn532.Chipset(transport, logging.getLogger("nfc.clf.pn532"))
            device: NfcpyDevice = nfc.clf.pn532.Device(chipset, logging.getLogger("nfc.clf.pn532"))
        except _nfcpy_failures() as error:
            raise ReaderLost(f"nfcpy cannot start the chip: {error}", where=where, next_step="replug it") from error
        undo.pop_all()
    return OpenChip(Pn532Link(transport.tty.fileno(), where, clock), device, transport, guard)


def _claim(path: str, where: str) -> serial.Serial:
    """Open and lock the line, so that no second terminal disturbs it; the lock dies with the process."""
    import serial

    try:
        line = serial.Serial(path, BAUD_AT_POWER_UP, timeout=0, exclusive=True)
    except (OSError, ValueError, termios.error) as error:
        raise ReaderLost(str(error), where=where, next_step="is it plugged in, and used by nobody else?") from error
    with contextlib.suppress(OSError, ValueError, NotImplementedError):
        line.set_low_latency_mode(True)  # an FTDI adapter holds bytes back for 16 ms otherwise; not every line has it
    return line


def _close_quietly(opened: NfcpyDevice | NfcpyTransport | serial.Serial) -> None:
    with contextlib.suppress(*_nfcpy_failures()):
        opened.close()


def _nfcpy_failures() -> tuple[type[BaseException], ...]:
    """What nfcpy raises on a bad line: it reads some bytes without looking whether they came."""
    from nfc.clf.pn53x import Chipset

    return (OSError, termios.error, Chipset.Error, LookupError, TypeError, AttributeError)
