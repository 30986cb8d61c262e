"""What the C-2 tests share: a Mastercard sale, and a way to hold a card that answers by a function to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import pytest
from tests.card.c2.mchip_card import MASTERCARD, mastercard_keys

from taptill.amount.money import Money
from taptill.card.entry_point import run_entry_point
from taptill.card.kernels.c2.kernel import KernelC2
from taptill.card.outcome import CardRead
from taptill.card.parameters import Combination, TapRequest
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.read_card import drive
from taptill.card.reader import Presentation, RawResponse

# As acquirers set a reader without PIN pad: signature above the CVM limit, CDA, nothing online that need not be.
KERNEL_DATA = {
    0xDF811B: "A0",
    0xDF8118: "20",
    0xDF8119: "08",
    0xDF811F: "08",
    0xDF8120: "F45084800C",
    0xDF8121: "0000000000",
    0xDF8122: "F45084800C",
    0xDF8123: "000000005000",
    0xDF8126: "000000010000",
}
REQUEST = TapRequest(
    amount=Money(100),
    amount_other=Money(0),
    transaction_type=0x00,
    date_yymmdd="260601",
    time_hhmmss="120000",
    country="156",
    unpredictable_number=bytes.fromhex("2B29EBE4"),
    online_possible=True,
    offline_allowed=True,
    fresh_numbers=(bytes.fromhex("A1A1A1A1"), bytes.fromhex("B2B2B2B2"), bytes.fromhex("C3C3C3C3")),
)
_OF_COMBINATION = frozenset(Combination.__dataclass_fields__)

AnswerInTime = Callable[[bytes], tuple[bytes, int]]


class TimedCard:
    """A `CardReader` whose card says what it answers and how long it took."""

    url = "test:"

    def __init__(self, answer: AnswerInTime) -> None:
        self.answer = answer

    def open(self) -> None: ...

    def close(self) -> None: ...

    def wait_for_card(self, timeout_ms: int) -> Presentation | None:
        return Presentation(b"", "A")

    def wait_for_removal(self, timeout_ms: int) -> bool:
        return True

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        return RawResponse(*self.answer(command))


class Hold(Protocol):
    """Holds a card to the terminal. `kernel_data` in hex is laid over `KERNEL_DATA`, other keyword arguments change the
    sale or the combination."""

    def __call__(
        self,
        card: AnswerInTime,
        kernel_data: dict[int, str] | None = None,
        ca_keys: CaKeyStore | None = None,
        kernel: KernelC2 | None = None,
        **changes: object,
    ) -> CardRead: ...


@pytest.fixture(scope="session")
def hold() -> Hold:
    def held(
        card: AnswerInTime,
        kernel_data: dict[int, str] | None = None,
        ca_keys: CaKeyStore | None = None,
        kernel: KernelC2 | None = None,
        **changes: object,
    ) -> CardRead:
        configured = {tag: bytes.fromhex(value) for tag, value in (KERNEL_DATA | (kernel_data or {})).items()}
        combination = Combination(MASTERCARD, 2, b"", kernel_data=configured)
        ours = {name: value for name, value in changes.items() if name in _OF_COMBINATION}
        sale = {name: value for name, value in changes.items() if name not in _OF_COMBINATION}
        combination = replace(combination, **ours)  # type: ignore[arg-type]
        request = replace(REQUEST, **sale)  # type: ignore[arg-type]
        keys = mastercard_keys() if ca_keys is None else ca_keys
        dialogue = run_entry_point(request, [combination], {2: kernel or KernelC2()}, keys)
        return drive(dialogue, TimedCard(card), 1000)

    return held
