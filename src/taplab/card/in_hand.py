"""A card held straight to a terminal's kernel: the `CardReader` port without reader and air.

Comes in: a card. Goes out: its answers, and as their time what the card says it takes.
"""

from __future__ import annotations

from taplab.card.card import Card
from taptill.card.reader import Presentation, RawResponse


class CardInHand:
    """The card lies there from the beginning and is not taken away. Each `wait_for_card` is a new presentation."""

    url = "lab:hand"

    def __init__(self, card: Card) -> None:
        self.card = card

    def open(self) -> None:
        """It is."""

    def wait_for_card(self, timeout_ms: int) -> Presentation | None:
        self.card.reset()
        return Presentation(self.card.uid, "A", self.card.ats)

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        answer = self.card.answer(command)
        return RawResponse(answer.octets, answer.compute_ms * 1000)

    def wait_for_removal(self, timeout_ms: int) -> bool:
        return True

    def close(self) -> None:
        """It stays."""
