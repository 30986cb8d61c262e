"""The card side of the virtual reader, before a driver made of a plain socket: what goes over the wire."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from taplab.card import Card
from taplab.pcsc.vpcd import VirtualSlot

WAIT_S = 2.0
SELECT = bytes.fromhex("00A4040008A00000033301010200")
READ_WITHOUT_SELECTION = bytes.fromhex("00B2010C00")


class Driver:
    """The driver's end of one slot."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.listening.settimeout(WAIT_S)
        self.port = self.listening.getsockname()[1]

    def accept(self) -> socket.socket:
        connection, _ = self.listening.accept()
        connection.settimeout(WAIT_S)
        return connection


def send(connection: socket.socket, message: bytes) -> None:
    connection.sendall(len(message).to_bytes(2, "big") + message)


def receive(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as stream:
        return stream.read(int.from_bytes(stream.read(2), "big"))


def ask(connection: socket.socket, message: bytes) -> bytes:
    send(connection, message)
    return receive(connection)


@pytest.fixture
def driver() -> Iterator[Driver]:
    own = Driver()
    with closing(own.listening):
        yield own


@pytest.fixture
def slot(driver: Driver) -> Iterator[VirtualSlot]:
    with VirtualSlot(driver.port) as own:
        yield own


def test_the_card_gives_its_atr_and_answers_commands(driver: Driver, slot: VirtualSlot, card: Card) -> None:
    slot.present(card)
    with driver.accept() as connection:
        assert ask(connection, b"\x04") == card.atr
        assert ask(connection, SELECT)[-2:] == b"\x90\x00"


def test_a_message_may_come_byte_by_byte(driver: Driver, slot: VirtualSlot, card: Card) -> None:
    slot.present(card)
    with driver.accept() as connection:
        for octet in len(SELECT).to_bytes(2, "big") + SELECT:
            connection.sendall(bytes([octet]))
        assert receive(connection)[-2:] == b"\x90\x00"


@pytest.mark.parametrize("control", [b"\x00", b"\x01", b"\x02"], ids=["off", "on", "reset"])
def test_power_and_reset_undo_the_selection_and_have_no_answer(
    driver: Driver, slot: VirtualSlot, card: Card, control: bytes
) -> None:
    slot.present(card)
    with driver.accept() as connection:
        ask(connection, SELECT)
        assert ask(connection, READ_WITHOUT_SELECTION)[-2:] == b"\x90\x00"
        send(connection, control)
        assert ask(connection, READ_WITHOUT_SELECTION) == bytes.fromhex("6985")


def test_the_reader_knows_the_uid_the_card_does_not(driver: Driver, slot: VirtualSlot, card: Card) -> None:
    slot.present(card)
    with driver.accept() as connection:
        assert ask(connection, bytes.fromhex("FFCA000000")) == card.uid + b"\x90\x00"
        assert ask(connection, bytes.fromhex("FF00480000")) == bytes.fromhex("6A81")


def test_taking_the_card_away_ends_the_connection(driver: Driver, slot: VirtualSlot, card: Card) -> None:
    slot.present(card)
    with driver.accept() as connection:
        slot.remove()
        assert connection.recv(1) == b""


def test_a_driver_that_comes_back_finds_the_card_still_there(driver: Driver, slot: VirtualSlot, card: Card) -> None:
    slot.present(card)
    driver.accept().close()
    with driver.accept() as connection:
        assert ask(connection, b"\x04") == card.atr


def test_another_card_takes_the_place_of_the_first(driver: Driver, slot: VirtualSlot, card: Card) -> None:
    slot.present(card)
    with driver.accept() as first:
        slot.present(card)
        assert first.recv(1) == b""
    with driver.accept() as second:
        assert ask(second, b"\x04") == card.atr
