"""What is kept of a tap, and that no card number can be had from it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.terminal.shop import Shop, tapped

from taplab.card import Scheme, load_card, packaged_cards
from taplab.card.in_hand import CardInHand
from taptill.amount.money import Money
from taptill.card.outcome import CardRead, OutcomeKind
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.read_card import drive, read_card
from taptill.clock import SystemClock
from taptill.entropy import SystemEntropy
from taptill.terminal.asking import REVERSAL_TAGS
from taptill.terminal.card_facts import KEPT, card_facts
from taptill.terminal.config import CardLimits
from taptill.terminal.one_tap import TapWanted, fresh_sale
from taptill.terminal.wiring import BUILD_UNIX_MS, combinations, read_profile

CERTIFICATES = {"90", "92", "93", "9F46", "9F47", "9F48", "9F4B"}


@pytest.fixture(scope="module")
def scheme() -> Scheme:
    return Scheme.generate(SystemEntropy())


def read(name: str, scheme: Scheme, offline: bool) -> CardRead:
    card = CardInHand(load_card(name, scheme, SystemEntropy()))
    card.wait_for_card(0)
    request = fresh_sale(TapWanted(Money(1000), offline, 0), SystemClock(BUILD_UNIX_MS), SystemEntropy())
    dialogue = read_card(request, combinations(CardLimits()), CaKeyStore.of(scheme.ca_keys()))
    return drive(dialogue, card, 1000)


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("name", packaged_cards())
def test_no_certificate_of_a_card_is_kept_because_its_number_can_be_had_from_it(
    name: str, offline: bool, scheme: Scheme
) -> None:
    facts = card_facts(read(name, scheme, offline))
    assert not CERTIFICATES & facts.keys()


def test_what_a_card_may_send_beside_its_number_is_not_kept() -> None:
    card = tapped(OutcomeKind.ONLINE_REQUEST)
    hidden = {0x9F7C: b"6228000100001117", 0x9F1F: b"0101", 0x9F0B: b"LI/MING", 0x5F24: b"\x30\x12\x31", 0xDF8129: b"x"}
    facts = card_facts(replace(card, data=dict(card.data) | hidden))
    assert facts == card_facts(card)


@pytest.mark.parametrize(
    ("name", "kernel"),
    [("good_credit", "C-7"), ("visa_credit", "C-3"), ("mastercard_credit", "C-2"), ("amex_like", "")],
)
def test_the_kernel_is_kept_by_its_name_and_its_absence_by_none(name: str, kernel: str, scheme: Scheme) -> None:
    assert card_facts(read(name, scheme, offline=False))["kernel"] == kernel


def test_all_that_a_message_may_need_later_is_kept() -> None:
    sets = read_profile("aes").icc_sets.values()
    wanted = {tag for each in sets for tag in (*each.required, *each.optional)} | set(REVERSAL_TAGS)
    assert wanted <= KEPT


def test_the_journal_holds_what_is_kept_and_no_more(shop: Shop) -> None:
    card = tapped(OutcomeKind.ONLINE_REQUEST)
    shop.sell(replace(card, data=dict(card.data) | {0x9F46: b"certificate of the card"}))
    assert b"certificate of the card".hex().upper() not in (shop.directory / "journal.sqlite-wal").read_text("latin-1")
