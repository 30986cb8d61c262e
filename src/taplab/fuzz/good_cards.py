"""What good cards answer, to be spoiled.

Comes in: the lab's cards. Goes out: for each card all it was asked and answered, over sales of every kind. Strategy:
the answers are kept and not made anew, because a signature costs a thousand times a look-up, and because a kept answer
makes a run repeatable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

from taplab.card import Card, Scheme, load_card
from taplab.card.in_hand import SALE as PURCHASE
from taptill.amount.money import Money
from taptill.card.parameters import Combination, TapRequest
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.read_card import drive, read_card
from taptill.card.reader import Presentation, RawResponse
from taptill.card.reader_parameters import parse_reader_parameters
from taptill.card.rules.risk_management import card_digest

CARD_TIMEOUT_MS = 3_000
KERNEL_2 = 2
CARDS = (
    *("good_credit", "offline_funds", "no_9f27", "co_badged", "two_products"),
    *("visa_credit", "visa_offline", "visa_signs_online", "visa_phone"),
    *("mastercard_credit", "mastercard_offline", "mastercard_mag_stripe", "mastercard_relay", "mastercard_phone"),
)
NOT_FOUND = b"\x6a\x82"

SALE = replace(PURCHASE, fresh_numbers=tuple(bytes([0xA0 + number] * 4) for number in range(3)))
SALES = (
    SALE,
    replace(SALE, offline_allowed=False),
    replace(SALE, online_possible=False),
    replace(SALE, amount=Money(500_000)),
    replace(SALE, amount=Money(500_000), pin_pad=True),
    replace(SALE, amount=Money(0)),
    replace(SALE, amount=Money(100), country="840"),
    replace(SALE, transaction_type=0x20),
    replace(SALE, transaction_type=0x09, amount_other=Money(500)),
    replace(SALE, date_yymmdd="491231", fresh_numbers=()),
    replace(SALE, exceptions=frozenset({card_digest("6228000100001125")})),
)


@dataclass(frozen=True, slots=True)
class GoodCard:
    """One card's answers, by command and by the header of a command that it never saw so."""

    name: str
    by_command: Mapping[bytes, bytes]
    by_header: Mapping[bytes, bytes]

    def answer(self, command: bytes) -> bytes:
        return self.by_command.get(command) or self.by_header.get(command[:4], NOT_FOUND)


@dataclass(frozen=True, slots=True)
class GoodWorld:
    """Cards, and the settings of the terminal they are good for, the shipped one first."""

    cards: tuple[GoodCard, ...]
    settings: tuple[tuple[Combination, ...], ...]
    ca_keys: CaKeyStore


@cache
def good_world(scheme: Scheme) -> GoodWorld:
    """All cards through all sales, in every setting."""
    shipped = shipped_combinations()
    settings = (shipped, tuple(_with_every_option(each) for each in shipped))
    ca_keys = CaKeyStore.of(scheme.ca_keys())

    def tap(card: _Kept, sale: TapRequest) -> None:
        for combinations in settings:
            card.card.reset()
            drive(read_card(sale, combinations, ca_keys), card, CARD_TIMEOUT_MS)

    return GoodWorld(tuple(_good_card(name, scheme, tap) for name in CARDS), settings, ca_keys)


def shipped_combinations() -> tuple[Combination, ...]:
    """Every scheme this program has parameters for."""
    text = (files("taptill.card") / "reader_parameters.toml").read_text(encoding="utf-8")
    return tuple(each.combination for each in parse_reader_parameters(text))


def _with_every_option(combination: Combination) -> Combination:
    """What the shipped parameters leave off: mag-stripe mode, relay resistance and balances of C-2; ODA for online
    sales and issuer updates of C-3."""
    if combination.kernel_id == KERNEL_2:
        options = {0xDF811B: b"\x30", 0xDF811D: b"\x02", 0xDF8104: b"", 0xDF8105: b""}
        return replace(combination, kernel_data={**combination.kernel_data, **options})
    ttq = int.from_bytes(combination.ttq, "big") | 0x01008000
    return replace(combination, ttq=ttq.to_bytes(4, "big"), extended_selection=True)


class _CountedEntropy:
    """The same octets in every run."""

    def __init__(self) -> None:
        self._calls = 0

    def octets(self, count: int) -> bytes:
        self._calls += 1
        return (self._calls.to_bytes(4, "big") * (count // 4 + 1))[:count]


class _Kept:
    """A `CardReader` that keeps what the card on it answers."""

    url = "fuzz:good"

    def __init__(self, card: Card) -> None:
        self.card = card
        self.kept: dict[bytes, bytes] = {}

    def open(self) -> None:
        """It is."""

    def close(self) -> None:
        """It stays."""

    def wait_for_card(self, timeout_ms: int) -> Presentation | None:
        return Presentation(self.card.uid, "A", self.card.ats)

    def wait_for_removal(self, timeout_ms: int) -> bool:
        return True

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        answer = self.card.answer(command).octets
        self.kept.setdefault(command, answer)
        return RawResponse(answer, 1_000)


def _good_card(name: str, scheme: Scheme, tap: Callable[[_Kept, TapRequest], None]) -> GoodCard:
    reader = _Kept(load_card(name, scheme, _CountedEntropy()))
    for sale in SALES:
        tap(reader, sale)
    by_header: dict[bytes, bytes] = {}
    for command, answer in reader.kept.items():
        if answer[-2:] == b"\x90\x00":
            by_header.setdefault(command[:4], answer)
    return GoodCard(name, reader.kept, by_header)
