"""Where the PN532 goes beyond the contract: both types at once, cards that say odd things, cards that stay half-way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taplab.pn532.field import HeldCard
from taplab.pn532.held_cards import MemoryCard, Phone, TypeBCard
from taplab.pn532.serial_port import VirtualPn532
from taptill.card.adapters.pn532 import Pn532Reader
from taptill.card.reader import CardLost

if TYPE_CHECKING:
    from tests.pn532.conftest import ScriptedCard

SELECT_PPSE = bytes.fromhex("00a404000e325041592e5359532e444446303100")
IDENTITY_CARD_PROTOCOL_INFO = bytes.fromhex("008080")  # a Chinese resident identity card: type B, no ISO/IEC 14443-4
SAK_PEER_TO_PEER_ONLY = 0x40


@pytest.fixture
def chip(chip_that_computes: VirtualPn532) -> VirtualPn532:
    return chip_that_computes


@pytest.mark.parametrize("first", ["A", "B"])
def test_a_card_of_each_type_is_one_too_many_and_either_may_stay(
    chip: VirtualPn532, card: ScriptedCard, other_card: ScriptedCard, reader: Pn532Reader, first: str
) -> None:
    held: list[HeldCard] = [card, TypeBCard(other_card)]
    for one in held if first == "A" else reversed(held):
        chip.present(one)
    presentation = reader.wait_for_card(1000)
    assert presentation is not None
    assert presentation.cards_in_field == 2
    assert reader.wait_for_card(100) is None
    chip.remove(held[0] if first == "A" else held[1])
    left = reader.wait_for_card(1000)
    assert left is not None
    assert (left.cards_in_field, left.technology) == (1, "B" if first == "A" else "A")
    assert reader.transmit(SELECT_PPSE, 1000).octets == SELECT_PPSE + b"\x90\x00"


def test_two_cards_of_type_b_are_one_too_many(
    chip: VirtualPn532, card: ScriptedCard, other_card: ScriptedCard, reader: Pn532Reader
) -> None:
    chip.present(TypeBCard(card))
    chip.present(TypeBCard(other_card))
    presentation = reader.wait_for_card(1000)
    assert presentation is not None
    assert presentation.cards_in_field == 2


def test_a_ticket_beside_a_payment_card_is_one_too_many(
    chip: VirtualPn532, card: ScriptedCard, reader: Pn532Reader
) -> None:
    chip.present(MemoryCard(bytes.fromhex("0badcafe")))
    chip.present(card)
    presentation = reader.wait_for_card(1000)
    assert presentation is not None
    assert presentation.cards_in_field == 2


def test_a_card_that_comes_beside_one_already_reported_changes_nothing(
    chip: VirtualPn532, card: ScriptedCard, other_card: ScriptedCard, reader: Pn532Reader
) -> None:
    chip.present(card)
    assert reader.wait_for_card(1000) is not None
    chip.present(TypeBCard(other_card))
    assert reader.transmit(SELECT_PPSE, 1000).octets == SELECT_PPSE + b"\x90\x00"
    assert reader.wait_for_card(100) is None
    chip.remove(card)
    assert reader.wait_for_card(100) is None


@pytest.mark.parametrize("kind", ["identity card", "peer-to-peer only"])
def test_what_has_no_iso_dep_is_said_to_take_no_apdus(
    chip: VirtualPn532, card: ScriptedCard, reader: Pn532Reader, kind: str
) -> None:
    if kind == "identity card":
        chip.present(TypeBCard(card, protocol_info=IDENTITY_CARD_PROTOCOL_INFO))
    else:
        chip.present(Phone(card, card.ats, sak=SAK_PEER_TO_PEER_ONLY))
    presentation = reader.wait_for_card(1000)
    assert presentation is not None
    assert not presentation.takes_apdus
    with pytest.raises(CardLost):
        reader.transmit(SELECT_PPSE, 1000)
    assert card.commands == []


def test_a_card_too_far_away_for_its_activation_is_asked_again_until_it_answers(
    chip: VirtualPn532, card: ScriptedCard, reader: Pn532Reader
) -> None:
    """It answers requests and not RATS: no payment card would be the wrong thing to tell its owner."""
    card.ats, whole = b"", card.ats
    chip.present(card)
    assert reader.wait_for_card(150) is None
    card.ats = whole
    presentation = reader.wait_for_card(1000)
    assert presentation is not None
    assert presentation.takes_apdus


ATS_WITH_PARTS_MISSING = ["01", "0200", "0208", "031877", "032880", "034802", "04387780", "04587702", "04688002"]
ATS_WITH_ALL_PARTS = ["0578778002", "10" + "78778002" + "80318065b0" + "00" * 6, "14" + "78778002" + "4a" * 15]


@pytest.mark.parametrize("ats", ATS_WITH_PARTS_MISSING + ATS_WITH_ALL_PARTS)
def test_an_ats_may_name_any_of_its_parts_or_none(
    chip: VirtualPn532, card: ScriptedCard, reader: Pn532Reader, ats: str
) -> None:
    card.ats = bytes.fromhex(ats)
    chip.present(card)
    presentation = reader.wait_for_card(1000)
    assert presentation is not None
    assert presentation.answer == card.ats
    card.script = lambda command: command[::-1] + b"\x90\x00"
    long = bytes(index % 251 for index in range(300))
    assert reader.transmit(long, 2000).octets == long[::-1] + b"\x90\x00"


@pytest.mark.parametrize("ats", ["0378", "0578", "00", "ff78778002", "0278"])
def test_an_ats_that_makes_no_sense_is_read_with_the_defaults(
    chip: VirtualPn532, card: ScriptedCard, reader: Pn532Reader, ats: str
) -> None:
    card.ats = bytes.fromhex(ats)
    chip.present(card)
    presentation = reader.wait_for_card(1000)
    assert presentation is not None
    assert reader.transmit(SELECT_PPSE, 1000).octets == SELECT_PPSE + b"\x90\x00"


@pytest.mark.parametrize("fsci", [0, 5, 8])
@pytest.mark.parametrize("fwi", [0, 7, 14])
def test_type_b_chains_both_ways_at_any_frame_size_and_waiting_time(
    chip: VirtualPn532, card: ScriptedCard, reader: Pn532Reader, fsci: int, fwi: int
) -> None:
    chip.present(TypeBCard(card, protocol_info=bytes([0x00, fsci << 4 | 0x01, fwi << 4 | 0x01])))
    reader.wait_for_card(1000)
    long = bytes(index % 251 for index in range(600))
    card.script = lambda _command: long[::-1]
    card.compute_ms = 20
    chip.lose_in_the_air(1)
    assert reader.transmit(long, 2000).octets == long[::-1]
    assert card.commands == [long]


def test_a_card_of_type_b_that_takes_no_number_is_spoken_to_without(
    chip: VirtualPn532, card: ScriptedCard, reader: Pn532Reader
) -> None:
    chip.present(TypeBCard(card, protocol_info=bytes.fromhex("008170")))
    assert reader.wait_for_card(1000) is not None
    assert reader.wait_for_removal(60) is False
    assert reader.transmit(SELECT_PPSE, 1000).octets == SELECT_PPSE + b"\x90\x00"


def test_a_card_that_goes_on_asking_for_time_gets_it_until_the_deadline(
    chip: VirtualPn532, card: ScriptedCard, reader: Pn532Reader
) -> None:
    """FWI 0 is 0.3 ms: the chip grants some hundred extensions for one answer."""
    card.ats = bytes.fromhex("0578770002")
    chip.present(card)
    reader.wait_for_card(1000)
    card.compute_ms = 150
    assert reader.transmit(SELECT_PPSE, 1000).octets == SELECT_PPSE + b"\x90\x00"
    card.compute_ms = 1000
    with pytest.raises(CardLost, match="in time"):
        reader.transmit(SELECT_PPSE, 200)
