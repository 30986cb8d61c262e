"""What is held to the reader and is not one payment card: nothing is asked of it, and the customer is told."""

from __future__ import annotations

from tests.terminal.shop import Shop, tapped

from taptill.card.outcome import OutcomeKind


def test_two_cards_in_the_field_start_nothing(shop: Shop) -> None:
    shop.arm()
    shop.hold_card(cards_in_field=2)
    assert not shop.ran
    assert shop.told[-1].message == "one-card-only"


def test_a_ticket_is_no_payment_card_and_the_sale_goes_on_with_one(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    shop.hold_card(takes_apdus=False)
    assert not shop.ran
    assert (shop.told[-1].state, shop.told[-1].message) == ("armed", "not-a-payment-card")
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    assert shop.state(ref) == "approved"


def test_two_cards_are_told_of_even_if_one_is_a_ticket(shop: Shop) -> None:
    shop.arm()
    shop.hold_card(cards_in_field=2, takes_apdus=False)
    assert shop.told[-1].message == "one-card-only"
