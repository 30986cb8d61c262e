"""An ACR122 is asked for more than PC/SC knows; a reader that refuses is a plain one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from taplab.card import Card, Scheme, load_card
from taplab.pcsc.acr122 import Acr122
from taplab.pcsc.pcscd import ACR122_NAME, READER_NAMES, OwnPcscd, PcscUnavailable
from taplab.pn532.held_cards import MemoryCard, TypeBCard
from taptill.card.adapters.acr122 import cards_in_field
from taptill.card.adapters.pcsc import PcscReader
from taptill.clock import SystemClock
from taptill.entropy import SystemEntropy

SELECT_PPSE = bytes.fromhex("00A404000E325041592E5359532E444446303100")
GET_UID, GET_ATS = bytes.fromhex("FFCA000000"), bytes.fromhex("FFCA010000")
TYPES_A_AND_B_ONLY = 0xE3
REGISTERS = bytes.fromhex("FF00000008D40663026303633D")


@pytest.fixture
def other_card(scheme: Scheme) -> Card:
    return load_card("good_credit", scheme, SystemEntropy())


@pytest.fixture
def firmware(card: Card) -> Acr122:
    """With a card on it, chosen and activated."""
    alone = Acr122()
    alone.present(card)
    alone.power()
    return alone


def started(name: str) -> OwnPcscd:
    daemon = OwnPcscd(name, Acr122)
    try:
        daemon.start()
    except PcscUnavailable as missing:
        pytest.skip(str(missing))
    return daemon


@pytest.fixture
def acr122() -> Iterator[OwnPcscd]:
    with started(ACR122_NAME) as daemon:
        yield daemon


def firmware_of(daemon: OwnPcscd) -> Acr122:
    return cast(Acr122, daemon.slots[0].firmware)


def test_the_chip_inside_answers_what_is_sent_to_it(firmware: Acr122) -> None:
    assert firmware.answer(bytes.fromhex("FF00000002D402"))[0].hex() == "d503320106079000"


def test_uid_and_ats_are_known_to_the_reader(firmware: Acr122, card: Card) -> None:
    assert firmware.answer(GET_UID)[0] == card.uid + b"\x90\x00"
    assert firmware.answer(GET_ATS)[0] == card.ats + b"\x90\x00"
    firmware.remove()
    firmware.present(TypeBCard(card))
    firmware.power()
    assert firmware.answer(GET_UID)[0] == card.uid[:4] + b"\x90\x00"
    assert firmware.answer(GET_ATS)[0].hex() == "6a81"


def test_a_second_card_is_counted_time_and_again_and_nothing_is_left_changed(
    firmware: Acr122, other_card: Card
) -> None:
    def transmit(command: bytes) -> bytes:
        return firmware.answer(command)[0]

    registers = transmit(REGISTERS)
    assert cards_in_field(transmit) == 1
    firmware.present(other_card)
    assert [cards_in_field(transmit) for _ in range(3)] == [2, 2, 2]
    firmware.remove(other_card)
    assert cards_in_field(transmit) == 1
    assert transmit(REGISTERS) == registers
    assert transmit(SELECT_PPSE)[-2:] == b"\x90\x00"


def test_a_card_of_type_b_is_never_taken_for_two(firmware: Acr122, card: Card) -> None:
    firmware.remove()
    firmware.present(TypeBCard(card))
    firmware.power()
    assert cards_in_field(lambda command: firmware.answer(command)[0]) == 1


@pytest.mark.parametrize("refusal", ["6300", "6a81", "", "d50700009000", "d5439000"])
def test_a_reader_that_refuses_or_babbles_has_one_card(refusal: str) -> None:
    assert cards_in_field(lambda _command: bytes.fromhex(refusal)) == 1


def test_a_reader_found_by_its_name_is_kept_quiet_and_polls_for_what_can_pay(acr122: OwnPcscd, card: Card) -> None:
    reader = PcscReader("pcsc:ACR122", SystemClock(0))
    reader.open()
    acr122.slots[0].present(card)
    assert reader.wait_for_card(3000) is not None
    reader.close()
    assert not firmware_of(acr122).beeps
    assert firmware_of(acr122).polls_for == TYPES_A_AND_B_ONLY


def test_a_reader_that_takes_no_commands_for_its_chip_still_reads_cards(
    acr122: OwnPcscd, card: Card, other_card: Card
) -> None:
    firmware_of(acr122).is_talkative = False
    reader = PcscReader("pcsc:ACR122", SystemClock(0))
    reader.open()
    acr122.slots[0].present(card)
    acr122.slots[0].present_beside(other_card)
    presentation = reader.wait_for_card(3000)
    assert presentation is not None
    assert presentation.cards_in_field == 1
    assert reader.transmit(SELECT_PPSE, 1000).octets[-2:] == b"\x90\x00"
    reader.close()


def test_a_ticket_beside_a_payment_card_is_counted_too(acr122: OwnPcscd, card: Card) -> None:
    reader = PcscReader("pcsc:ACR122", SystemClock(0))
    reader.open()
    acr122.slots[0].present(card)
    acr122.slots[0].present_beside(MemoryCard(bytes.fromhex("0badcafe")))
    presentation = reader.wait_for_card(3000)
    assert presentation is not None
    assert presentation.cards_in_field == 2
    reader.close()


def test_a_reader_of_another_name_is_told_nothing_special(card: Card) -> None:
    with started("Virtual PCD") as daemon:
        reader = PcscReader(f"pcsc:{READER_NAMES[0]}", SystemClock(0))
        reader.open()
        daemon.slots[0].present(card)
        assert reader.wait_for_card(3000) is not None
        reader.close()
        assert firmware_of(daemon).beeps


def test_a_card_swapped_for_another_between_two_looks_of_the_service_is_a_new_presentation(
    daemon: OwnPcscd, reader: PcscReader, card: Card, other_card: Card
) -> None:
    """Readers tell of a removal late; the next command is what finds out."""
    daemon.slots[0].present(card)
    assert reader.wait_for_card(3000) is not None
    daemon.slots[0].present(other_card)
    presentation = reader.wait_for_card(3000)
    assert presentation is not None
    assert presentation.uid == other_card.uid
