"""What every CardReader keeps, on every rig: presentations, exchanges, deadlines, loss and return."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from hashlib import sha1
from typing import Any

import pytest

from taplab.card import Card
from taptill.card.reader import CardLost, ReaderLost

NOTICED_MS = 3000  # within this a reader has seen a card come or go
SHORT_MS = 300
ALLOWED_MS = 500  # by which a call may exceed its timeout
SELECT_PPSE = bytes.fromhex("00A404000E325041592E5359532E444446303100")
TAKE_A_MINUTE = bytes.fromhex("00B1000000")
WhileRunning = Callable[[int, Callable[[], None]], AbstractContextManager[None]]


def elapsed_ms(begun: float) -> float:
    return (time.monotonic() - begun) * 1000


def test_a_presented_card_is_reported_and_answers(rig: Any, card: Card) -> None:
    rig.present(card)
    presentation = rig.reader.wait_for_card(NOTICED_MS)
    assert presentation is not None
    assert presentation.cards_in_field == 1
    assert presentation.technology in ("A", "B", "?")
    assert rig.reader.transmit(SELECT_PPSE, 1000).octets[-2:] == b"\x90\x00"


def test_the_uid_is_the_cards(rig: Any, card: Card) -> None:
    rig.present(card)
    assert rig.reader.wait_for_card(NOTICED_MS).uid == card.uid


def test_the_answer_holds_the_cards_historical_bytes(rig: Any, card: Card) -> None:
    rig.present(card)
    assert b"TapLab" in rig.reader.wait_for_card(NOTICED_MS).answer


def test_an_empty_field_reports_nothing_until_the_timeout(rig: Any) -> None:
    begun = time.monotonic()
    assert rig.reader.wait_for_card(SHORT_MS) is None
    assert SHORT_MS * 0.9 <= elapsed_ms(begun) <= SHORT_MS + ALLOWED_MS


def test_one_presentation_is_reported_once_however_long_the_card_rests(rig: Any, card: Card) -> None:
    rig.present(card)
    assert rig.reader.wait_for_card(NOTICED_MS) is not None
    assert [rig.reader.wait_for_card(SHORT_MS) for _ in range(4)] == [None] * 4
    rig.reader.wait_for_removal(SHORT_MS)
    assert rig.reader.wait_for_card(1200) is None


def test_a_resting_card_still_answers_after_it_was_waited_for(rig: Any, card: Card) -> None:
    rig.present(card)
    assert rig.reader.wait_for_card(NOTICED_MS) is not None
    assert rig.reader.wait_for_removal(SHORT_MS) is False
    assert rig.reader.transmit(SELECT_PPSE, 1000).octets[-2:] == b"\x90\x00"


def test_removal_and_a_new_presentation_are_reported(rig: Any, card: Card) -> None:
    for _ in range(3):
        rig.present(card)
        assert rig.reader.wait_for_card(NOTICED_MS) is not None
        rig.remove()
        assert rig.reader.wait_for_removal(NOTICED_MS) is True


def test_a_removal_nobody_waited_for_ends_the_presentation_too(rig: Any, card: Card) -> None:
    rig.present(card)
    assert rig.reader.wait_for_card(NOTICED_MS) is not None
    rig.remove()
    assert rig.reader.wait_for_card(1200) is None
    rig.present(card)
    assert rig.reader.wait_for_card(NOTICED_MS) is not None


def test_a_resting_card_has_not_left(rig: Any, card: Card) -> None:
    rig.present(card)
    rig.reader.wait_for_card(NOTICED_MS)
    begun = time.monotonic()
    assert rig.reader.wait_for_removal(SHORT_MS) is False
    assert SHORT_MS * 0.9 <= elapsed_ms(begun) <= SHORT_MS + ALLOWED_MS


def test_an_empty_field_is_empty_at_once(rig: Any) -> None:
    begun = time.monotonic()
    assert rig.reader.wait_for_removal(NOTICED_MS) is True
    assert elapsed_ms(begun) < ALLOWED_MS


@pytest.mark.parametrize("count", [0, 1, 16, 61, 62, 125, 126, 200, 253, 254, 255])
def test_an_answer_comes_back_whole(rig: Any, card: Card, count: int) -> None:
    rig.present(card)
    rig.reader.wait_for_card(NOTICED_MS)
    command = bytes([0x00, 0xB0, 0x00, 0x00, count])
    expected = bytes((7 * at + count) & 0xFF for at in range(count)) + b"\x90\x00"
    response = rig.reader.transmit(command, 2000)
    assert response.octets == expected
    assert response.elapsed_us > 0


@pytest.mark.parametrize("count", [1, 55, 56, 120, 250, 255])
def test_a_command_arrives_whole(rig: Any, card: Card, count: int) -> None:
    rig.present(card)
    rig.reader.wait_for_card(NOTICED_MS)
    command = bytes([0x00, 0xD6, 0x00, 0x00, count]) + bytes(at & 0xFF for at in range(count)) + b"\x00"
    assert rig.reader.transmit(command, 2000).octets == sha1(command).digest() + b"\x90\x00"


def test_a_card_pulled_in_the_middle_of_an_exchange_is_lost_and_the_reader_goes_on(
    rig: Any, card: Card, while_running: WhileRunning
) -> None:
    rig.present(card)
    rig.reader.wait_for_card(NOTICED_MS)
    begun = time.monotonic()
    with while_running(100, rig.remove), pytest.raises(CardLost):
        rig.reader.transmit(TAKE_A_MINUTE, 2000)
    assert elapsed_ms(begun) <= 2000 + ALLOWED_MS
    assert rig.reader.wait_for_removal(NOTICED_MS) is True
    rig.present(card)
    assert rig.reader.wait_for_card(NOTICED_MS) is not None
    assert rig.reader.transmit(SELECT_PPSE, 1000).octets[-2:] == b"\x90\x00"


def test_a_card_pulled_between_two_commands_is_lost(rig: Any, card: Card) -> None:
    rig.present(card)
    rig.reader.wait_for_card(NOTICED_MS)
    rig.reader.transmit(SELECT_PPSE, 1000)
    rig.remove()
    with pytest.raises(CardLost):
        rig.reader.transmit(SELECT_PPSE, 1000)


def test_a_card_that_never_answers_is_lost_at_the_timeout_and_the_reader_goes_on(rig: Any, card: Card) -> None:
    rig.present(card)
    rig.reader.wait_for_card(NOTICED_MS)
    begun = time.monotonic()
    with pytest.raises(CardLost):
        rig.reader.transmit(TAKE_A_MINUTE, SHORT_MS)
    assert elapsed_ms(begun) <= SHORT_MS + ALLOWED_MS
    rig.remove()
    assert rig.reader.wait_for_removal(NOTICED_MS) is True
    rig.present(card)
    assert rig.reader.wait_for_card(NOTICED_MS) is not None
    assert rig.reader.transmit(SELECT_PPSE, 1000).octets[-2:] == b"\x90\x00"


def test_a_command_without_a_card_is_a_lost_card(rig: Any) -> None:
    with pytest.raises(CardLost):
        rig.reader.transmit(SELECT_PPSE, SHORT_MS)


@pytest.mark.parametrize("call", ["wait_for_card", "wait_for_removal"])
def test_a_lost_reader_is_said_in_time_and_can_be_opened_again(rig: Any, card: Card, call: str) -> None:
    rig.lose_reader()
    begun = time.monotonic()
    with pytest.raises(ReaderLost):
        getattr(rig.reader, call)(1000)
    assert elapsed_ms(begun) <= 1000 + ALLOWED_MS
    rig.restore_reader()
    rig.reader.open()
    rig.present(card)
    assert rig.reader.wait_for_card(NOTICED_MS) is not None
    assert rig.reader.transmit(SELECT_PPSE, 1000).octets[-2:] == b"\x90\x00"


def test_a_reader_lost_while_a_card_is_waited_for_is_said(rig: Any, while_running: WhileRunning) -> None:
    begun = time.monotonic()
    with while_running(150, rig.lose_reader), pytest.raises(ReaderLost):
        rig.reader.wait_for_card(2000)
    assert elapsed_ms(begun) <= 2000 + ALLOWED_MS


def test_a_reader_lost_between_two_commands_is_not_a_lost_card(rig: Any, card: Card) -> None:
    rig.present(card)
    rig.reader.wait_for_card(NOTICED_MS)
    rig.lose_reader()
    with pytest.raises(ReaderLost):
        rig.reader.transmit(SELECT_PPSE, 1000)


def test_a_reader_that_is_not_there_cannot_be_opened(rig: Any) -> None:
    rig.reader.close()
    rig.lose_reader()
    with pytest.raises(ReaderLost):
        rig.reader.open()


def test_a_card_reported_before_the_reader_was_lost_has_to_leave_before_it_is_reported_again(
    rig: Any, card: Card
) -> None:
    rig.present(card)
    assert rig.reader.wait_for_card(NOTICED_MS) is not None
    rig.lose_reader()
    with pytest.raises(ReaderLost):
        rig.reader.wait_for_card(1000)
    rig.restore_reader()
    rig.reader.open()
    assert rig.reader.wait_for_card(1200) is None
    rig.remove()
    assert rig.reader.wait_for_removal(NOTICED_MS) is True
    rig.present(card)
    assert rig.reader.wait_for_card(NOTICED_MS) is not None


def test_closing_twice_is_no_error_and_a_closed_reader_says_so(rig: Any) -> None:
    rig.reader.close()
    rig.reader.close()
    with pytest.raises(ReaderLost):
        rig.reader.wait_for_card(SHORT_MS)
