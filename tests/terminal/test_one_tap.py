"""The driver behind `taptill read`: a real adapter on a chip made of software; cards too many, and gone too soon."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from time import monotonic

import pytest

from taplab.card import Card, CardAnswer, Scheme, load_card
from taplab.pn532.held_cards import MemoryCard
from taplab.pn532.serial_port import VirtualPn532
from taptill.amount.money import Money
from taptill.card.adapters.pn532 import Pn532Reader
from taptill.card.entry_point import Configuration
from taptill.card.outcome import CardRead, MessageId, Outcome, OutcomeKind, UiRequest, UiStatus
from taptill.card.read_card import KERNELS
from taptill.card.reader import Presentation
from taptill.card.torn import TornRecord
from taptill.card.transaction import (
    NO_PAYMENT_CARD,
    ONE_CARD_NOW,
    ONE_CARD_ONLY,
    PRESENT_CARD,
    PRESENT_CARD_AGAIN,
    WELCOME,
    Act,
    AskSale,
    AwaitCard,
    Field,
    FieldOff,
    FieldOn,
    Result,
    Transaction,
    run_transaction,
)
from taptill.clock import SystemClock, Timestamp, Trust
from taptill.entropy import SystemEntropy
from taptill.host.profile import Texts
from taptill.terminal.config import CardLimits
from taptill.terminal.messages import MESSAGES, message_text
from taptill.terminal.one_tap import OneTap, Patience, TapWanted, fresh_sale
from taptill.terminal.wiring import BUILD_UNIX_MS, combinations, trusted_ca_keys

SELECT, GET_PROCESSING_OPTIONS = 0xA4, 0xA8
WANTED = TapWanted(Money(100), False, 5_000)
AWAY_S = 0.3  # nobody is back sooner
Shown = Callable[[UiRequest], None]


@pytest.fixture(scope="module")
def scheme() -> Scheme:
    return Scheme.generate(SystemEntropy())


@pytest.fixture
def chip() -> Iterator[VirtualPn532]:
    with VirtualPn532() as chip:
        yield chip


class HastyCard:
    """A lab card that is pulled away once, at the first command of its kind."""

    def __init__(self, card: Card, chip: VirtualPn532, at: int) -> None:
        self._card, self._chip, self._at = card, chip, at
        self.uid, self.ats = card.uid, card.ats

    def answer(self, command: bytes) -> CardAnswer:
        if command[1] == self._at:
            self._at = -1
            self._chip.remove(self)
        return self._card.answer(command)

    def reset(self) -> None:
        self._card.reset()


def read(chip: VirtualPn532, react: Shown, card_ms: int = 5_000) -> tuple[CardRead | None, list[UiRequest]]:
    """One tap; `react` is told of every message as it is shown."""
    shown: list[UiRequest] = []
    clock = SystemClock(BUILD_UNIX_MS)

    def show(ui: UiRequest) -> None:
        shown.append(ui)
        react(ui)

    configuration = Configuration(combinations(CardLimits()), KERNELS, trusted_ca_keys([]))
    reader = Pn532Reader(f"pn532:{chip.path}", clock)
    entropy = SystemEntropy()
    tap = OneTap(reader, clock, Patience(card_ms, 3_000), lambda: fresh_sale(WANTED, clock, entropy), show, no_pause)
    outcome = tap.run(run_transaction(configuration, fresh_sale(WANTED, clock, entropy)))
    assert not chip.field_is_on
    return outcome, shown


def no_pause(seconds: float) -> None:
    assert seconds == 0


def nothing(ui: UiRequest) -> None: ...


def test_two_cards_are_told_of_until_one_is_gone(chip: VirtualPn532, scheme: Scheme) -> None:
    one, other = (load_card(name, scheme, SystemEntropy()) for name in ("good_credit", "expired"))
    chip.present(one)
    chip.present(other)

    def take_both(ui: UiRequest) -> None:
        if ui == ONE_CARD_ONLY:
            chip.remove(one)
            chip.remove(other)
        if ui == ONE_CARD_NOW:
            chip.present(one)

    outcome, shown = read(chip, take_both)
    assert shown[:4] == [WELCOME, PRESENT_CARD, ONE_CARD_ONLY, ONE_CARD_NOW]
    assert outcome is not None
    assert outcome.outcome.kind is OutcomeKind.ONLINE_REQUEST


def test_two_cards_that_stay_are_no_empty_field(chip: VirtualPn532, scheme: Scheme) -> None:
    for name in ("good_credit", "expired"):
        chip.present(load_card(name, scheme, SystemEntropy()))
    outcome, shown = read(chip, nothing, card_ms=1_200)
    assert outcome is None
    assert shown == [WELCOME, PRESENT_CARD, ONE_CARD_ONLY]


@pytest.mark.parametrize(
    ("at", "told"),
    [
        (SELECT, [PRESENT_CARD_AGAIN]),
        (
            GET_PROCESSING_OPTIONS,
            [UiRequest(MessageId.PRESENT_CARD_AGAIN, UiStatus.PROCESSING_ERROR), PRESENT_CARD_AGAIN],
        ),
    ],
)
def test_a_card_that_left_too_early_is_asked_for_again(
    chip: VirtualPn532, scheme: Scheme, at: int, told: list[UiRequest]
) -> None:
    card = HastyCard(load_card("good_credit", scheme, SystemEntropy()), chip, at)
    chip.present(card)

    def come_back(ui: UiRequest) -> None:
        if ui == PRESENT_CARD_AGAIN:
            threading.Timer(AWAY_S, chip.present, [card]).start()

    outcome, shown = read(chip, come_back)
    assert shown[2:-1] == told
    assert outcome is not None
    assert outcome.outcome.kind is OutcomeKind.ONLINE_REQUEST


def test_a_scheme_without_a_kernel_is_named(chip: VirtualPn532, scheme: Scheme) -> None:
    chip.present(load_card("amex_like", scheme, SystemEntropy()))
    outcome, shown = read(chip, nothing)
    assert outcome is not None
    assert outcome.outcome.reason == "no-kernel: American Express"
    assert shown[-1].message is MessageId.INSERT_SWIPE_OR_TRY_ANOTHER_CARD


def test_a_ticket_is_answered_by_asking_for_another_card(chip: VirtualPn532, scheme: Scheme) -> None:
    ticket, card = MemoryCard(bytes.fromhex("04112233")), load_card("good_credit", scheme, SystemEntropy())
    chip.present(ticket)

    def come_with_a_card(ui: UiRequest) -> None:
        if ui == NO_PAYMENT_CARD:
            chip.remove(ticket)
            threading.Timer(AWAY_S, chip.present, [card]).start()

    outcome, shown = read(chip, come_with_a_card)
    assert shown[:3] == [WELCOME, PRESENT_CARD, NO_PAYMENT_CARD]
    assert outcome is not None
    assert outcome.outcome.kind is OutcomeKind.ONLINE_REQUEST


def test_who_waits_in_vain_is_told_so(chip: VirtualPn532) -> None:
    began = monotonic()
    assert read(chip, nothing, card_ms=300) == (None, [WELCOME, PRESENT_CARD])
    assert monotonic() - began < 5


class StandingClock:
    """A clock that stands where it is put."""

    def __init__(self) -> None:
        self.us = 0

    def monotonic_us(self) -> int:
        return self.us

    def now(self) -> Timestamp:
        return Timestamp(BUILD_UNIX_MS, Trust.NTP)


def scripted(acts: list[Act], results: list[Result], between: Callable[[int], None]) -> Transaction:
    for number, act in enumerate(acts):
        between(number)
        results.append((yield act))
    return None


def driven(chip: VirtualPn532, acts: list[Act], clock: StandingClock, between: Callable[[int], None]) -> list[Result]:
    pauses: list[float] = []
    reader = Pn532Reader(f"pn532:{chip.path}", SystemClock(BUILD_UNIX_MS))
    sale = fresh_sale(WANTED, clock, SystemEntropy())
    tap = OneTap(reader, clock, Patience(100, 100), lambda: sale, nothing, pauses.append)
    results: list[Result] = []
    tap.run(scripted(acts, results, between))
    return [*results, *map(bool, pauses)]


def test_the_field_is_off_while_it_is_to_be_off(chip: VirtualPn532) -> None:
    seen: list[bool] = []
    acts: list[Act] = [FieldOn(), FieldOff(1_300), FieldOn(), FieldOff(0)]
    results = driven(chip, acts, StandingClock(), lambda number: seen.append(chip.field_is_on))
    assert results[-2:] == [True, False]  # one pause of 1.3 s, one of none
    assert seen[2] is False


def test_each_presentation_is_waited_for_anew(chip: VirtualPn532) -> None:
    clock = StandingClock()

    def pass_time(number: int) -> None:
        clock.us = number * 60_000  # of 100 ms each

    acts: list[Act] = [FieldOn(), AwaitCard(), AwaitCard(), AskSale(Presentation(b"", "A")), AwaitCard(), AwaitCard()]
    results = driven(chip, [*acts, AwaitCard(), AwaitCard()], clock, pass_time)
    found = [result for result in results if isinstance(result, Field)]
    assert found == [Field.EMPTY, Field.EMPTY, Field.EMPTY, Field.EMPTY, Field.GIVEN_UP, Field.GIVEN_UP]


def test_a_fault_leaves_no_field_on(chip: VirtualPn532) -> None:
    def fail(number: int) -> None:
        if number == 2:
            assert chip.field_is_on
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        driven(chip, [FieldOn(), AwaitCard(), AwaitCard()], StandingClock(), fail)
    assert not chip.field_is_on


def test_a_torn_record_is_passed_on_as_long_as_it_lives(chip: VirtualPn532) -> None:
    torn = TornRecord(b"card", b"", b"", b"", 0x80, {}, b"", records_max=1, lifetime_s=300)
    before = CardRead(Outcome(OutcomeKind.TRY_AGAIN), torn_record=torn)
    clock = StandingClock()

    def pass_time(number: int) -> None:
        clock.us = (0, 299_999_999, 300_000_000)[number]

    acts: list[Act] = [AskSale(Presentation(b"", "A"), each) for each in (before, None, None)]
    sales = driven(chip, acts, clock, pass_time)
    assert [getattr(sale, "torn_records", None) for sale in sales] == [(torn,), (torn,), ()]


def test_every_message_has_words_in_both_languages() -> None:
    assert set(MESSAGES) == set(MessageId)
    assert all(text.zh and text.en for message, text in MESSAGES.items() if message is not MessageId.CLEAR_DISPLAY)


@pytest.mark.parametrize(
    ("preference", "language"), [("", "zh-CN"), ("deen", "en"), ("zhen", "zh-CN"), ("de", "zh-CN")]
)
def test_the_customers_language_comes_first(preference: str, language: str) -> None:
    ui = UiRequest(MessageId.APPROVED, UiStatus.CARD_READ_SUCCESSFULLY, language_preference=preference)
    texts: Texts = MESSAGES[MessageId.APPROVED]
    assert message_text(ui, "zh-CN") == texts.of(language)


def test_a_balance_is_shown_in_its_own_currency() -> None:
    ui = UiRequest(MessageId.APPROVED, UiStatus.CARD_READ_SUCCESSFULLY, value_qualifier="balance", value_minor=123_400)
    assert message_text(replace(ui, currency="0156"), "en") == "Approved (balance ¥1234.00)"
    assert message_text(replace(ui, currency="0978"), "en") == "Approved (balance [978] 1234.00)"
