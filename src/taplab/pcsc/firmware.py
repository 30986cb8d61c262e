"""What stands between PC/SC and the cards: the reader's own firmware.

Comes in: cards put into the field and taken out, power, and what PC/SC sends. Goes out: the ATR of the chosen card,
answers, and the milliseconds each takes.
Strategy: `PlainReader` knows of one card what PC/SC Part 3 asks of every reader. `FF CA` is answered as such a reader
answers it, with the UID, or for type A with the ATS.
"""

from __future__ import annotations

from typing import Protocol

from taplab.pn532.held_cards import TypeBCard
from taplab.pn532.picc_blocks import AnsweringCard

GET_UID, GET_ATS = bytes.fromhex("FFCA0000"), bytes.fromhex("FFCA0100")  # PC/SC Part 3, 3.2.2.1.3
SW_OK, SW_NOT_SUPPORTED = bytes.fromhex("9000"), bytes.fromhex("6A81")


class CardOfTypeA(AnsweringCard, Protocol):
    """Whatever answers APDUs, with the `atr` a PC/SC reader makes up for it."""

    @property
    def ats(self) -> bytes: ...

    @property
    def atr(self) -> bytes: ...


HeldCard = CardOfTypeA | TypeBCard


class Firmware(Protocol):
    """Every method may be called from any thread."""

    @property
    def chosen(self) -> HeldCard | None:
        """The card PC/SC is told of; None in an empty field."""

    def present(self, card: HeldCard) -> None: ...

    def remove(self, card: HeldCard | None = None) -> None:
        """One card, or all."""

    def power(self) -> None:
        """Off, on or reset: every card begins anew."""

    def answer(self, command: bytes) -> tuple[bytes, float]: ...


class PlainReader:
    """The first card that came is the one."""

    def __init__(self) -> None:
        self._cards: list[HeldCard] = []

    @property
    def chosen(self) -> HeldCard | None:
        return self._cards[0] if self._cards else None

    def present(self, card: HeldCard) -> None:
        self._cards.append(card)

    def remove(self, card: HeldCard | None = None) -> None:
        self._cards = [held for held in self._cards if card is not None and held is not card]

    def power(self) -> None:
        for card in self._cards:
            card.reset()

    def answer(self, command: bytes) -> tuple[bytes, float]:
        card = self.chosen
        if card is None:
            return b"", 0
        if command[:1] == b"\xff":
            return get_data(card, command), 0
        answer = card.answer(command)
        return answer.octets, answer.compute_ms


def get_data(card: HeldCard, command: bytes) -> bytes:
    """What a reader says of a card without asking it."""
    if command[:4] == GET_UID:
        return card.uid + SW_OK
    if command[:4] == GET_ATS and not isinstance(card, TypeBCard) and card.ats:
        return card.ats + SW_OK
    return SW_NOT_SUPPORTED
