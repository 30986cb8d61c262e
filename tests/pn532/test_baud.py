"""The rate of the line: as high as it holds, found again after a kill, lowered where bytes come to harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import serial

from taplab.pn532.serial_port import VirtualPn532
from taptill.card.adapters.pn532 import DAMAGED_RESPONSES_MAX, Pn532Reader
from taptill.card.adapters.pn532_baud import slower_baud
from taptill.card.adapters.pn532_frames import Signal, frame
from taptill.card.reader import ReaderLost
from taptill.clock import SystemClock

if TYPE_CHECKING:
    from tests.pn532.conftest import ScriptedCard

SELECT_PPSE = bytes.fromhex("00a404000e325041592e5359532e444446303100")
WAKE_UP = b"\x55\x55" + bytes(14)
SET_BAUD_RATE = 0x10
BAUD_CODES = {230400: 5, 460800: 6, 921600: 7}


def make_reader(chip: VirtualPn532) -> Pn532Reader:
    return Pn532Reader(f"pn532:{chip.path}", SystemClock(0))


def leave_at(chip: VirtualPn532, baud: int) -> None:
    """As a program that was killed leaves it."""
    with serial.Serial(chip.path, 115200, timeout=1) as line:
        line.write(WAKE_UP + frame(bytes([0xD4, SET_BAUD_RATE, BAUD_CODES[baud]])))
        assert len(line.read(15)) == 15
        line.write(Signal.ACK.value)
        line.baudrate = baud
        line.write(frame(b"\xd4\x02"))
        assert line.read(6) == Signal.ACK.value
    assert chip.baud == baud


def test_a_good_line_runs_at_921600(chip: VirtualPn532, card: ScriptedCard) -> None:
    reader = make_reader(chip)
    reader.open()
    assert chip.baud == 921600
    reader.close()
    assert chip.baud == 115200


@pytest.mark.parametrize("baud", [230400, 460800, 921600])
def test_a_chip_left_at_any_rate_is_found_and_raised(chip: VirtualPn532, card: ScriptedCard, baud: int) -> None:
    leave_at(chip, baud)
    chip.present(card)
    reader = make_reader(chip)
    reader.open()
    assert chip.baud == 921600
    assert reader.wait_for_card(1000) is not None
    assert reader.transmit(SELECT_PPSE, 1000).octets == SELECT_PPSE + b"\x90\x00"
    reader.close()


@pytest.mark.parametrize("bears", [115200, 230400, 460800])
def test_a_line_that_harms_bytes_runs_at_the_rate_it_bears(chip: VirtualPn532, card: ScriptedCard, bears: int) -> None:
    chip.harm_above(bears, every=5)
    reader = make_reader(chip)
    reader.open()
    assert chip.baud == bears
    chip.present(card)
    assert reader.wait_for_card(1000) is not None
    for _ in range(5):
        assert reader.transmit(SELECT_PPSE, 1000).octets == SELECT_PPSE + b"\x90\x00"
    reader.close()
    tried = chip.command_log.count(SET_BAUD_RATE)
    reader.open()
    assert chip.baud == bears
    raises = 0 if bears == 115200 else 1
    assert chip.command_log.count(SET_BAUD_RATE) - tried == raises  # what failed is not tried again
    reader.close()


def test_a_chip_left_at_a_rate_the_line_does_not_bear_is_talked_down(chip: VirtualPn532) -> None:
    leave_at(chip, 921600)
    chip.harm_above(230400, every=5)
    reader = make_reader(chip)
    reader.open()
    assert chip.baud == 230400
    reader.close()


def test_a_chip_that_cannot_be_talked_down_needs_its_power_cut_and_is_not_raised_so_far_again(
    chip: VirtualPn532,
) -> None:
    chip.harm_above(115200, every=1)
    reader = make_reader(chip)
    with pytest.raises(ReaderLost, match=r"921600 baud.*power"):
        reader.open()
    chip.unplug()
    chip.replug()
    chip.harm_above(460800, every=1)
    reader.open()
    assert chip.baud == 460800
    reader.close()


def test_a_line_that_turns_bad_is_opened_slower_the_next_time(chip: VirtualPn532, card: ScriptedCard) -> None:
    reader = make_reader(chip)
    reader.open()
    chip.present(card)
    reader.wait_for_card(1000)
    chip.harm_above(460800, every=5)
    spoilt = 0
    while spoilt <= 4 * DAMAGED_RESPONSES_MAX:
        try:
            reader.transmit(SELECT_PPSE, 1000)
        except ReaderLost:
            break
        spoilt += 1
    reader.close()
    reader.open()
    assert chip.baud == 460800
    reader.close()


def test_each_rate_has_the_next_lower_one_and_the_lowest_none() -> None:
    assert [slower_baud(baud) for baud in (921600, 460800, 230400, 115200)] == [460800, 230400, 115200, 115200]


def test_bytes_at_the_wrong_rate_are_heard_by_nobody_on_either_side(chip: VirtualPn532) -> None:
    leave_at(chip, 460800)
    with serial.Serial(chip.path, 921600, timeout=0.1) as line:
        line.write(WAKE_UP + frame(b"\xd4\x02"))
        assert line.read(1) == b""
    heard = len(chip.command_log)
    with serial.Serial(chip.path, 460800, timeout=1) as line:
        line.write(frame(b"\xd4\x02"))
        assert line.read(6) == Signal.ACK.value
    assert len(chip.command_log) == heard + 1
