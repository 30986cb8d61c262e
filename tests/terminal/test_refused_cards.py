"""The exception list: from a file to the tap, and no card number on the way."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from msgspec.structs import replace as with_settings
from tests.terminal.shop import CONFIG, Shop

from taplab.card import Scheme, load_card
from taplab.card.in_hand import CardInHand
from taptill.card.outcome import CardRead
from taptill.card.parameters import TapRequest
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.read_card import drive, read_card
from taptill.entropy import SystemEntropy
from taptill.errors import ConfigError
from taptill.terminal.config import CardLimits
from taptill.terminal.events import CardDone
from taptill.terminal.refused_cards import parse_refused_cards, refused_card_line
from taptill.terminal.wiring import combinations, desk_of, refused_cards

LISTED, OTHER = "6228000100001125", "6228000100001117"
DIGEST = hashlib.sha256(LISTED.encode()).hexdigest()


def test_a_file_holds_a_digest_a_line_and_comments() -> None:
    text = f"# lost cards\n\n{DIGEST}\n  {DIGEST.upper()}  # the same\n{hashlib.sha256(b'x').hexdigest()}"
    assert parse_refused_cards(text, "f") == {bytes.fromhex(DIGEST), hashlib.sha256(b"x").digest()}


@pytest.mark.parametrize("line", [LISTED, DIGEST[:-1], DIGEST + "00", "zz" * 32, DIGEST + " " + DIGEST])
def test_a_line_that_is_no_digest_is_named_by_its_place_and_not_shown(tmp_path: Path, line: str) -> None:
    (tmp_path / "refused.txt").write_text(f"# cards\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"refused\.txt, line 2") as refused:
        refused_cards(CardLimits(refused="refused.txt"), tmp_path)
    assert line not in str(refused.value)


def test_a_file_that_is_not_there_is_named_with_its_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cards\.refused: .*absent\.txt"):
        refused_cards(CardLimits(refused="absent.txt"), tmp_path)


@pytest.mark.parametrize("typed", [LISTED, "6228 0001 0000 1125\n", f" {LISTED} "])
def test_a_typed_number_becomes_its_line(typed: str) -> None:
    assert refused_card_line(typed) == DIGEST


@pytest.mark.parametrize("typed", ["", "4711", "6228000100001126", "6228O00100001125", "1" * 20])
def test_what_is_no_card_number_makes_no_line(typed: str) -> None:
    with pytest.raises(ConfigError, match="no card number") as refused:
        refused_card_line(typed)
    assert not typed or typed not in str(refused.value)


@pytest.mark.parametrize(
    ("number", "told"), [(LISTED, ("declined", "exception-list")), (OTHER, ("approved_offline", ""))]
)
def test_in_an_outage_a_card_on_the_configured_list_is_declined_and_any_other_is_not(
    tmp_path: Path, number: str, told: tuple[str, str]
) -> None:
    (tmp_path / "refused.txt").write_text(refused_card_line(number), encoding="utf-8")
    shop = Shop(tmp_path, config=with_settings(CONFIG, cards=CardLimits(refused="refused.txt")))
    shop.open()
    desk = shop.desk
    made = desk_of(shop.config, desk.profile, desk.keys, desk.ca_keys, shop.clock, desk.entropy, shop.journal, tmp_path)
    desk.exceptions = made.exceptions
    shop.lose_host()
    shop.arm()
    shop.hold_card()
    run = shop.ran[-1]
    assert repr(desk.exceptions) not in repr(run)
    shop.post(CardDone("pcsc:story", run.payment_ref, offline_tap(run.request)))
    assert (shop.told[-1].state, shop.told[-1].message) == told
    shop.power_cut()


def offline_tap(request: TapRequest) -> CardRead:
    """The card whose number is LISTED, read as the till asked."""
    scheme = Scheme.generate(SystemEntropy())
    card = CardInHand(load_card("offline_funds", scheme, SystemEntropy()))
    card.wait_for_card(0)
    return drive(read_card(request, combinations(CardLimits()), CaKeyStore.of(scheme.ca_keys())), card, 1_000)
