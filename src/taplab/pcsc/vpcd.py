"""The card side of one slot of vsmartcard's virtual reader (vpcd).

Comes in: a card held to the reader or taken away. Goes out: its answers over TCP to the driver inside pcscd.
Strategy: a connection is the presence of a card. Taking the card away closes it, in the middle of an exchange too; the
driver then reports an empty slot at its next look, every 400 ms. A pcscd that restarts finds the card still there.
Wire: 16-bit length, then one control octet or an APDU. `FF CA` is answered as a PC/SC reader answers it, with the UID,
or for type A with the ATS.
"""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Protocol, Self

from taplab.pn532.held_cards import TypeBCard
from taplab.pn532.picc_blocks import AnsweringCard

LOOPBACK = "127.0.0.1"
CONNECT_WAIT_S = 1.0
RECONNECT_EVERY_S = 0.05
REMOVAL_WAIT_S = 5.0

POWER_OFF, POWER_ON, RESET, GIVE_ATR = b"\x00", b"\x01", b"\x02", b"\x04"
_GET_UID, _GET_ATS = bytes.fromhex("FFCA0000"), bytes.fromhex("FFCA0100")  # PC/SC Part 3, 3.2.2.1.3
_SW_OK, _SW_NOT_SUPPORTED = bytes.fromhex("9000"), bytes.fromhex("6A81")


class SlotCard(AnsweringCard, Protocol):
    """Whatever answers APDUs, with the `atr` a PC/SC reader makes up for it."""

    @property
    def atr(self) -> bytes: ...


class CardWithAts(SlotCard, Protocol):
    """A card of type A."""

    @property
    def ats(self) -> bytes: ...


HeldCard = CardWithAts | TypeBCard


class VirtualSlot:
    """One slot. `present` and `remove` return once it is so on this side; pcscd sees it with its next look."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._lock = threading.Lock()
        self._removed = threading.Event()
        self._connection: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def present(self, card: HeldCard) -> None:
        """Hold `card` to the reader; one that lies there is taken away first."""
        self.remove()
        self._removed = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(card, self._removed), name="vpcd-card", daemon=True)
        self._thread.start()

    def remove(self) -> None:
        """Take the card away, whatever it is doing."""
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

    def _serve(self, card: HeldCard, removed: threading.Event) -> None:
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
                _converse(connection, card, removed)
                with self._lock:
                    self._connection = None


def _converse(connection: socket.socket, card: HeldCard, removed: threading.Event) -> None:
    """Until either side has gone."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    card.reset()
    try:
        while (message := _receive(connection)) is not None:
            if message in (POWER_OFF, POWER_ON, RESET):
                card.reset()
                continue
            answer, compute_ms = (card.atr, 0) if message == GIVE_ATR else _answer(card, message)
            if removed.wait(compute_ms / 1000):
                return
            connection.sendall(len(answer).to_bytes(2, "big") + answer)
    except OSError:
        return


def _answer(card: HeldCard, command: bytes) -> tuple[bytes, float]:
    if command[:4] == _GET_UID:
        return card.uid + _SW_OK, 0
    if command[:4] == _GET_ATS and not isinstance(card, TypeBCard) and card.ats:
        return card.ats + _SW_OK, 0
    if command[:1] == b"\xff":
        return _SW_NOT_SUPPORTED, 0
    answer = card.answer(command)
    return answer.octets, answer.compute_ms


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
