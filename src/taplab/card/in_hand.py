"""A card held straight to a terminal's kernel: the `CardReader` port without reader and air.

Comes in: a card. Goes out: its answers, and as their time what the card says it takes. `SALE` is
a plain purchase to hold it to.
"""

from __future__ import annotations

from taplab.card.card import Card
from taptill.amount.money import Money
from taptill.card.parameters import TapRequest
from taptill.card.reader import Presentation, RawResponse

SALE = TapRequest(
    amount=Money(1_000),
    amount_other=Money(0),
    transaction_type=0x00,
    date_yymmdd="260601",
    time_hhmmss="120000",
    country="156",
    unpredictable_number=bytes.fromhex("2B29EBE4"),
    online_possible=True,
    offline_allowed=True,
)


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
