"""What the terminal says of itself to cards of all three schemes, with the parameters it ships with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.terminal.shop import Shop

from taplab.card import Scheme, load_card
from taplab.card.in_hand import CardInHand
from taptill.amount.money import Money
from taptill.card.outcome import CardRead
from taptill.card.parameters import TapRequest
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.read_card import drive, read_card
from taptill.entropy import SystemEntropy
from taptill.terminal.config import CardLimits
from taptill.terminal.wiring import combinations

LIMIT = 30_000
CARDS = ["good_credit", "visa_credit", "mastercard_credit"]
CVM_REQUIRED = 0x40  # second octet of 9F66
SIGNATURE, NO_CVM = 0x20, 0x08  # second octet of 9F33

Tap = Callable[[str, int, TapRequest], CardRead]


@pytest.fixture(scope="module")
def tap() -> Tap:
    scheme = Scheme.generate(SystemEntropy())

    def tap(name: str, limit_minor: int, request: TapRequest) -> CardRead:
        """Without the domestic rule for small amounts, which takes the place of the limit for UnionPay cards."""
        offered = combinations(CardLimits(cvm_limit_minor=limit_minor))
        served = [replace(each, small_amount_limit_minor=None) for each in offered]
        card = CardInHand(load_card(name, scheme, SystemEntropy()))
        card.wait_for_card(0)
        return drive(read_card(request, served, CaKeyStore.of(scheme.ca_keys())), card, 1_000)

    return tap


@pytest.fixture
def sale(shop: Shop) -> TapRequest:
    """As the till asks for it."""
    shop.arm()
    shop.hold_card()
    return shop.ran[-1].request


def verification_wanted(read: CardRead) -> bool:
    """As the card was told: in the TTQ, or by Mastercard's kernel in the terminal's capabilities."""
    if read.kernel != "C-2":
        return bool(read.data[0x9F66][1] & CVM_REQUIRED)
    assert read.data[0x9F33][1] in (SIGNATURE, NO_CVM)
    return read.data[0x9F33][1] == SIGNATURE


@pytest.mark.parametrize("limit_minor", [LIMIT, 1, 0])
@pytest.mark.parametrize("name", CARDS)
def test_the_cvm_limit_is_the_first_amount_to_be_verified_whatever_the_scheme(
    tap: Tap, sale: TapRequest, name: str, limit_minor: int
) -> None:
    amounts = [minor for minor in (limit_minor - 1, limit_minor, limit_minor + 1) if minor > 0]
    wanted = [verification_wanted(tap(name, limit_minor, replace(sale, amount=Money(minor)))) for minor in amounts]
    assert wanted == [minor >= limit_minor for minor in amounts]


@pytest.mark.parametrize("name", CARDS[:2])
@pytest.mark.parametrize(("pin_pad", "capabilities"), [(False, "0028c8"), (True, "0068c8")])
def test_the_terminal_claims_no_way_of_reading_or_verifying_that_it_has_not(
    tap: Tap, sale: TapRequest, name: str, pin_pad: bool, capabilities: str
) -> None:
    """Neither stripe nor contacts nor a PIN, but for one typed into a pad (EMV Book 4, Annex A2)."""
    assert tap(name, LIMIT, replace(sale, pin_pad=pin_pad)).data[0x9F33].hex() == capabilities


@pytest.mark.parametrize(("minor", "capabilities"), [(LIMIT - 1, "000808"), (LIMIT, "002008")])
def test_a_mastercard_is_told_of_the_one_method_its_amount_needs(
    tap: Tap, sale: TapRequest, minor: int, capabilities: str
) -> None:
    assert tap("mastercard_credit", LIMIT, replace(sale, amount=Money(minor))).data[0x9F33].hex() == capabilities


@pytest.mark.parametrize("name", CARDS[:2])
def test_the_serial_number_is_the_terminals_own(tap: Tap, sale: TapRequest, name: str) -> None:
    assert tap(name, LIMIT, sale).data[0x9F1E] == b"10000001"
