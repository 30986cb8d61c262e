"""What may be held to a reader, on every rig: type B, two cards, phones, tickets; and how time is told."""

from __future__ import annotations

import ast
import time
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest

from taplab.card import Card
from taplab.pn532.held_cards import MemoryCard, Phone, TypeBCard
from taptill.card import adapters
from taptill.card.reader import CardLost

NOTICED_MS = 3000
SHORT_MS = 300
SELECT_PPSE = bytes.fromhex("00A404000E325041592E5359532E444446303100")
CONFIRM_ON_THE_PHONE = bytes.fromhex("00B3000000")
TAKE_60_MS = bytes.fromhex("00B400003C")
WALL_CLOCKS = {"time", "time_ns", "now", "today", "utcnow", "localtime", "gmtime"}
SEE_PHONE = b"\x69\x86"
OVERHEAD_US_MAX = 40_000  # of a busy machine; the card's own 60 ms are the measure


def test_a_card_of_type_b_is_reported_as_such_and_answers(rig: Any, type_b: TypeBCard) -> None:
    rig.present(type_b)
    presentation = rig.reader.wait_for_card(NOTICED_MS)
    assert presentation.technology == "B"
    assert presentation.uid == type_b.uid
    assert presentation.takes_apdus
    assert rig.reader.transmit(SELECT_PPSE, 1000).octets[-2:] == b"\x90\x00"
    assert rig.reader.wait_for_card(SHORT_MS) is None
    assert rig.reader.wait_for_removal(SHORT_MS) is False
    assert rig.reader.transmit(SELECT_PPSE, 1000).octets[-2:] == b"\x90\x00"


def test_a_card_of_type_a_is_reported_as_such(rig: Any, card: Card) -> None:
    rig.present(card)
    assert rig.reader.wait_for_card(NOTICED_MS).technology == "A"


def test_long_answers_and_commands_of_type_b_are_whole(rig: Any, type_b: TypeBCard) -> None:
    rig.present(type_b)
    rig.reader.wait_for_card(NOTICED_MS)
    for count in (0, 60, 61, 125, 255):
        expected = bytes((7 * at + count) & 0xFF for at in range(count)) + b"\x90\x00"
        assert rig.reader.transmit(bytes([0x00, 0xB0, 0x00, 0x00, count]), 2000).octets == expected
        command = bytes([0x00, 0xD6, 0x00, 0x00, count]) + bytes(count) + b"\x00"
        assert rig.reader.transmit(command, 2000).octets == sha1(command).digest() + b"\x90\x00"


def test_a_card_of_type_b_that_left_and_came_is_a_new_presentation(rig: Any, type_b: TypeBCard) -> None:
    for _ in range(2):
        rig.present(type_b)
        assert rig.reader.wait_for_card(NOTICED_MS).technology == "B"
        rig.remove()
        assert rig.reader.wait_for_removal(NOTICED_MS) is True


def test_two_cards_are_one_too_many_and_nothing_is_read(rig: Any, card: Card, other_card: Card) -> None:
    rig.present(card)
    rig.present_beside(other_card)
    assert rig.reader.wait_for_card(NOTICED_MS).cards_in_field == 2
    with pytest.raises(CardLost):
        rig.reader.transmit(SELECT_PPSE, 1000)
    assert rig.reader.wait_for_card(SHORT_MS) is None


@pytest.mark.parametrize("which", ["first", "second"])
def test_of_two_cards_the_one_that_is_left_is_a_tap(rig: Any, card: Card, other_card: Card, which: str) -> None:
    rig.present(card)
    rig.present_beside(other_card)
    assert rig.reader.wait_for_card(NOTICED_MS).cards_in_field == 2
    rig.remove(card if which == "first" else other_card)
    left = rig.reader.wait_for_card(NOTICED_MS)
    assert left.cards_in_field == 1
    assert rig.reader.transmit(SELECT_PPSE, 1000).octets[-2:] == b"\x90\x00"
    assert rig.reader.wait_for_card(SHORT_MS) is None


def test_two_cards_that_both_leave_leave_an_empty_field(rig: Any, card: Card, other_card: Card) -> None:
    rig.present(card)
    rig.present_beside(other_card)
    assert rig.reader.wait_for_card(NOTICED_MS).cards_in_field == 2
    rig.remove()
    assert rig.reader.wait_for_removal(NOTICED_MS) is True
    rig.present(card)
    assert rig.reader.wait_for_card(NOTICED_MS).cards_in_field == 1


def test_a_phone_that_offers_peer_to_peer_is_a_card(rig: Any, phone: Phone) -> None:
    rig.present(phone)
    presentation = rig.reader.wait_for_card(NOTICED_MS)
    assert (presentation.takes_apdus, presentation.uid[:1]) == (True, b"\x08")
    assert rig.reader.transmit(SELECT_PPSE, 1000).octets[-2:] == b"\x90\x00"


def test_a_phone_that_was_unlocked_and_comes_back_with_another_uid_is_a_new_presentation(
    rig: Any, phone: Phone
) -> None:
    rig.present(phone)
    first = rig.reader.wait_for_card(NOTICED_MS)
    assert rig.reader.transmit(CONFIRM_ON_THE_PHONE, 1000).octets == SEE_PHONE
    assert rig.reader.wait_for_card(SHORT_MS) is None
    rig.remove()
    assert rig.reader.wait_for_removal(NOTICED_MS) is True
    rig.present(phone)
    second = rig.reader.wait_for_card(NOTICED_MS)
    assert second.uid != first.uid
    assert rig.reader.transmit(SELECT_PPSE, 1000).octets[-2:] == b"\x90\x00"


def test_a_ticket_is_no_payment_card_and_said_once(rig: Any, ticket: MemoryCard) -> None:
    rig.present(ticket)
    presentation = rig.reader.wait_for_card(NOTICED_MS)
    assert (presentation.takes_apdus, presentation.uid, presentation.cards_in_field) == (False, ticket.uid, 1)
    with pytest.raises(CardLost):
        rig.reader.transmit(SELECT_PPSE, 1000)
    assert rig.reader.wait_for_card(SHORT_MS) is None
    assert rig.reader.wait_for_removal(0) is False
    rig.remove()
    assert rig.reader.wait_for_removal(NOTICED_MS) is True


def test_the_time_of_an_exchange_is_the_cards_to_the_microsecond_and_within_the_calls(rig: Any, card: Card) -> None:
    rig.present(card)
    rig.reader.wait_for_card(NOTICED_MS)
    taken_us = []
    for _ in range(3):
        begun = time.monotonic_ns()
        response = rig.reader.transmit(TAKE_60_MS, 1000)
        assert response.elapsed_us <= (time.monotonic_ns() - begun) // 1000
        taken_us.append(response.elapsed_us)
    assert all(us >= 60_000 for us in taken_us)
    assert min(taken_us) < 60_000 + OVERHEAD_US_MAX
    assert any(us % 1000 for us in taken_us)


def test_no_adapter_names_a_wall_clock() -> None:
    """The rigs' clock has none; this is for clocks that are not asked through the port."""
    for path in sorted(Path(adapters.__path__[0]).glob("*.py")):
        names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
        assert not names & WALL_CLOCKS, path.name
