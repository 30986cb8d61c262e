"""What the card tests share: a sale, and a card that answers by a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import pytest

from taptill.amount.money import Money
from taptill.card.outcome import CardRead
from taptill.card.parameters import Combination, TapRequest
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.read_card import drive, read_card
from taptill.card.reader import CardReader, Presentation, RawResponse


class AnsweringCard:
    """A `CardReader` whose card answers every command by calling `answer`."""

    url = "test:"

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer
        self.commands: list[bytes] = []

    def open(self) -> None: ...

    def close(self) -> None: ...

    def wait_for_card(self, timeout_ms: int) -> Presentation | None:
        return Presentation(b"", "A")

    def wait_for_removal(self, timeout_ms: int) -> bool:
        return True

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        self.commands.append(command)
        return RawResponse(self.answer(command), 1000)


class Tap(Protocol):
    """Holds a card that answers by a function to the terminal; keyword arguments change the sale or the combination."""

    def __call__(
        self, answer: Callable[[bytes], bytes], ca_keys: CaKeyStore | None = None, **changes: object
    ) -> tuple[CardRead, list[bytes]]: ...


REQUEST = TapRequest(
    amount=Money(100),
    amount_other=Money(0),
    transaction_type=0x00,
    date_yymmdd="200601",
    time_hhmmss="120000",
    country="156",
    unpredictable_number=bytes.fromhex("2B29EBE4"),
    online_possible=True,
    offline_allowed=True,
)
COMBINATION = Combination(bytes.fromhex("A0000003330101"), 7, bytes.fromhex("26000080"), cvm_limit_minor=100_000)
_OF_COMBINATION = frozenset(Combination.__dataclass_fields__)


@pytest.fixture(scope="session")
def tap() -> Tap:
    def hold(
        answer: Callable[[bytes], bytes], ca_keys: CaKeyStore | None = None, **changes: object
    ) -> tuple[CardRead, list[bytes]]:
        ours = {name: value for name, value in changes.items() if name in _OF_COMBINATION}
        sale = {name: value for name, value in changes.items() if name not in _OF_COMBINATION}
        request = replace(REQUEST, **sale)  # type: ignore[arg-type]
        combination = replace(COMBINATION, **ours)  # type: ignore[arg-type]
        reader: CardReader = AnsweringCard(answer)
        read = drive(read_card(request, [combination], ca_keys or CaKeyStore()), reader, 1000)
        assert isinstance(reader, AnsweringCard)
        return read, reader.commands

    return hold
