"""The card side of one slot of vsmartcard's virtual reader (vpcd).

Comes in: a card held to the reader or taken away. Goes out: its answers over TCP to the driver inside pcscd.
Strategy: a connection is the presence of a card. Taking the card away closes it, in the middle of an exchange too; the
driver then reports an empty slot at its next look, every 400 ms. A pcscd that restarts finds the card still there.
Wire: 16-bit length, then one control octet or an APDU, which the reader's firmware answers.
"""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

from taplab.pcsc.firmware import Firmware, HeldCard, PlainReader

LOOPBACK = "127.0.0.1"
CONNECT_WAIT_S = 1.0
RECONNECT_EVERY_S = 0.05
REMOVAL_WAIT_S = 5.0

POWER_OFF, POWER_ON, RESET, GIVE_ATR = b"\x00", b"\x01", b"\x02", b"\x04"


class VirtualSlot:
    """One slot. `present` and `remove` return once it is so on this side; pcscd sees it with its next look."""

    def __init__(self, port: int, firmware: Firmware | None = None) -> None:
        self.port = port
        self.firmware: Firmware = firmware or PlainReader()
        self._lock = threading.Lock()
        self._removed = threading.Event()
        self._connection: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def present(self, card: HeldCard) -> None:
        """Hold `card` to the reader; what lies there is taken away first."""
        self.remove()
        self.firmware.present(card)
        self._begin()

    def present_beside(self, card: HeldCard) -> None:
        """A second card. PC/SC is told nothing of it while the first is there."""
        self.firmware.present(card)

    def remove(self, card: HeldCard | None = None) -> None:
        """Take one card away, or all, whatever they are doing."""
        if card is not None and card is not self.firmware.chosen:
            self.firmware.remove(card)
            return
        self._end()
        self.firmware.remove(card)
        if self.firmware.chosen is not None:
            self._begin()

    def _begin(self) -> None:
        self._removed = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(self._removed,), name="vpcd-card", daemon=True)
        self._thread.start()

    def _end(self) -> None:
        self._removed.set()
        with self._lock:
            if self._connection is not None:
                _shut(self._connection)
        if self._thread is not None:
            self._thread.join(REMOVAL_WAIT_S)
            self._thread = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.remove()

    def _serve(self, removed: threading.Event) -> None:
        while not removed.is_set():
            try:
                connection = socket.create_connection((LOOPBACK, self.port), CONNECT_WAIT_S)
            except OSError:
                removed.wait(RECONNECT_EVERY_S)
                continue
            with connection:
                connection.settimeout(None)
                with self._lock:
                    self._connection = connection
                    if removed.is_set():
                        break
                _converse(connection, self.firmware, removed)
                with self._lock:
                    self._connection = None


def _converse(connection: socket.socket, firmware: Firmware, removed: threading.Event) -> None:
    """Until either side has gone."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    firmware.power()
    try:
        while (message := _receive(connection)) is not None:
            if message in (POWER_OFF, POWER_ON, RESET):
                firmware.power()
                continue
            answer, took_ms = _answer(firmware, message)
            if removed.wait(took_ms / 1000):
                return
            connection.sendall(len(answer).to_bytes(2, "big") + answer)
    except OSError:
        return


def _answer(firmware: Firmware, message: bytes) -> tuple[bytes, float]:
    if message != GIVE_ATR:
        return firmware.answer(message)
    card = firmware.chosen
    return (card.atr if card is not None else b""), 0


def _receive(connection: socket.socket) -> bytes | None:
    head = _receive_exactly(connection, 2)
    return _receive_exactly(connection, int.from_bytes(head, "big")) if head is not None else None


def _receive_exactly(connection: socket.socket, count: int) -> bytes | None:
    received = b""
    while len(received) < count:
        part = connection.recv(count - len(received))
        if not part:
            return None
        # The driver writes length and body apart: without an ACK at once each command waits 40 ms for the delayed one.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        received += part
    return received


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the driver was faster
