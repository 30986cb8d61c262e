"""The terminal's PN532 adapter against the software chip on a pty."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from taplab.pn532.airtime import Timing
from taplab.pn532.serial_port import VirtualPn532
from taptill.card.adapters.pn532 import Pn532Reader
from taptill.card.adapters.pn532_listing import parse_listing_a, parse_listing_b
from taptill.card.reader import CardLost, ReaderLost
from taptill.clock import SystemClock
from taptill.errors import ConfigError

if TYPE_CHECKING:
    from tests.pn532.conftest import ScriptedCard

SELECT_PPSE = bytes.fromhex("00a404000e325041592e5359532e444446303100")
IN_DATA_EXCHANGE = 0x40
IN_LIST_PASSIVE_TARGET = 0x4A
NO_GUARD_TIME_ATS = bytes.fromhex("0578807002")
GRACE_MS = 500  # the port's promise beyond a timeout


def make_reader(chip: VirtualPn532) -> Pn532Reader:
    return Pn532Reader(f"pn532:{chip.path}", SystemClock(0))


@pytest.fixture
def reader(chip: VirtualPn532) -> Iterator[Pn532Reader]:
    opened = make_reader(chip)
    opened.open()
    yield opened
    opened.close()


@contextlib.contextmanager
def within_ms(limit_ms: int) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert (time.monotonic() - started) * 1000 < limit_ms


def read_line_within_s(process: subprocess.Popen[str], limit_s: float) -> str:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], limit_s)[0], "the other process said nothing"
    return process.stdout.readline().strip()


@pytest.mark.parametrize("url", ["pn532:", "pn532:ttyAMA0", "pcsc:ACR122", "pn532:/dev/x;reboot", "pn532:/dev/$(x)"])
def test_a_url_that_is_no_plain_absolute_path_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="not of the form"):
        Pn532Reader(url, SystemClock(0))


def test_one_apdu_is_exactly_one_chip_command(chip: VirtualPn532, card: ScriptedCard, reader: Pn532Reader) -> None:
    chip.present(card)
    assert reader.wait_for_card(1000) is not None
    card.script = lambda _command: bytes(256) + b"\x90\x00"
    before = len(chip.command_log)
    for command in (SELECT_PPSE, bytes.fromhex("80a80000ff") + bytes(255) + b"\x00"):
        assert reader.transmit(command, 1000).octets == bytes(256) + b"\x90\x00"
    assert chip.command_log[before:] == [IN_DATA_EXCHANGE] * 2


@pytest.mark.parametrize("octets", [261, 262, 263, 524, 525, 1000])
def test_longer_apdus_are_split_at_the_chips_262_bytes_both_ways(
    chip: VirtualPn532, card: ScriptedCard, reader: Pn532Reader, octets: int
) -> None:
    chip.present(card)
    reader.wait_for_card(1000)
    before = len(chip.command_log)
    long = bytes(index % 251 for index in range(octets))
    card.script = lambda _command: long[::-1]
    assert reader.transmit(long, 1000).octets == long[::-1]
    assert card.commands == [long]
    pieces = -(-octets // 262)
    assert chip.command_log[before:] == [IN_DATA_EXCHANGE] * (2 * pieces - 1)


def test_the_presentation_tells_uid_and_ats(chip: VirtualPn532, card: ScriptedCard, reader: Pn532Reader) -> None:
    chip.present(card)
    presentation = reader.wait_for_card(1000)
    assert presentation is not None
    assert (presentation.uid, presentation.answer) == (card.uid, card.ats)
    assert (presentation.technology, presentation.cards_in_field) == ("A", 1)


def test_two_cards_are_a_collision_until_both_have_left(
    chip: VirtualPn532, card: ScriptedCard, other_card: ScriptedCard, reader: Pn532Reader
) -> None:
    chip.present(card)
    chip.present(other_card)
    presentation = reader.wait_for_card(1000)
    assert presentation is not None
    assert presentation.cards_in_field == 2
    with pytest.raises(CardLost):
        reader.transmit(SELECT_PPSE, 1000)
    chip.remove(other_card)
    assert not reader.wait_for_removal(200)
    chip.remove(card)
    assert reader.wait_for_removal(1000)


def test_a_card_that_computes_for_long_is_waited_for(card: ScriptedCard) -> None:
    with VirtualPn532(Timing.REAL) as chip:
        reader = make_reader(chip)
        reader.open()
        chip.present(card)
        reader.wait_for_card(1000)
        card.compute_ms = 400
        response = reader.transmit(SELECT_PPSE, 2000)
        assert response.octets == SELECT_PPSE + b"\x90\x00"
        assert 400_000 < response.elapsed_us < 800_000
        reader.close()


def test_the_deadline_ends_an_exchange_and_the_chip_is_free_again(card: ScriptedCard) -> None:
    with VirtualPn532(Timing.REAL) as chip:
        reader = make_reader(chip)
        reader.open()
        chip.present(card)
        reader.wait_for_card(1000)
        card.compute_ms = 3000
        with within_ms(200 + GRACE_MS), pytest.raises(CardLost, match="does not answer in time"):
            reader.transmit(SELECT_PPSE, 200)
        assert not reader.wait_for_removal(0)
        chip.remove(card)
        assert reader.wait_for_removal(1000)
        reader.close()


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_card_pulled_at_any_apdu_is_card_lost(
    chip: VirtualPn532, card: ScriptedCard, reader: Pn532Reader, at: int
) -> None:
    def pull(command: bytes) -> bytes:
        if len(card.commands) > at:
            chip.remove(card)
        return command + b"\x90\x00"

    chip.present(card)
    reader.wait_for_card(1000)
    card.script = pull
    for _ in range(at):
        reader.transmit(SELECT_PPSE, 1000)
    with pytest.raises(CardLost):
        reader.transmit(SELECT_PPSE, 1000)
    with pytest.raises(CardLost, match="no card is activated"):
        reader.transmit(SELECT_PPSE, 1000)


def test_a_card_pulled_while_it_computes_is_card_lost(card: ScriptedCard) -> None:
    with VirtualPn532(Timing.REAL) as chip:
        reader = make_reader(chip)
        reader.open()
        chip.present(card)
        reader.wait_for_card(1000)
        card.compute_ms = 300
        puller = threading.Timer(0.1, chip.remove, (card,))
        puller.start()
        with pytest.raises(CardLost):
            reader.transmit(SELECT_PPSE, 2000)
        puller.join()
        reader.close()


def test_a_mute_card_is_card_lost_and_still_there(chip: VirtualPn532, card: ScriptedCard, reader: Pn532Reader) -> None:
    chip.present(card)
    reader.wait_for_card(1000)
    card.script = lambda _command: b""
    with pytest.raises(CardLost):
        reader.transmit(SELECT_PPSE, 1000)
    assert reader.wait_for_card(200) is None
    chip.remove(card)
    assert reader.wait_for_removal(1000)


def test_a_card_put_back_between_two_looks_is_not_a_new_presentation_before_the_field_was_empty(
    chip: VirtualPn532, card: ScriptedCard, reader: Pn532Reader
) -> None:
    chip.present(card)
    reader.wait_for_card(1000)
    chip.remove(card)
    chip.present(card)
    assert reader.wait_for_card(200) is None
    chip.remove(card)
    assert reader.wait_for_removal(1000)
    chip.present(card)
    assert reader.wait_for_card(1000) is not None


def test_a_card_has_left_only_after_three_requests_of_each_type_without_answer(
    chip: VirtualPn532, card: ScriptedCard, reader: Pn532Reader
) -> None:
    card.ats = NO_GUARD_TIME_ATS
    chip.present(card)
    reader.wait_for_card(1000)
    chip.remove(card)
    before = chip.command_log.count(IN_LIST_PASSIVE_TARGET)
    assert reader.wait_for_removal(0)
    assert chip.command_log.count(IN_LIST_PASSIVE_TARGET) == before + 6


def test_a_line_that_is_unplugged_is_reader_lost_and_opens_again(
    chip: VirtualPn532, card: ScriptedCard, reader: Pn532Reader
) -> None:
    chip.present(card)
    reader.wait_for_card(1000)
    chip.unplug()
    with pytest.raises(ReaderLost):
        reader.transmit(SELECT_PPSE, 1000)
    with pytest.raises(ReaderLost):
        reader.open()
    chip.replug()
    reader.open()
    assert reader.wait_for_card(200) is None  # the same card, still lying there
    chip.remove(card)
    assert reader.wait_for_removal(1000)
    chip.present(card)
    assert reader.wait_for_card(1000) is not None


def test_a_chip_that_hangs_is_reader_lost_in_time(chip: VirtualPn532, card: ScriptedCard, reader: Pn532Reader) -> None:
    chip.present(card)
    reader.wait_for_card(1000)
    chip.hang()
    with within_ms(100 + GRACE_MS), pytest.raises(ReaderLost, match="not acknowledged"):
        reader.transmit(SELECT_PPSE, 100)
    with within_ms(GRACE_MS), pytest.raises(ReaderLost):
        reader.wait_for_card(0)


@pytest.mark.parametrize(
    ("status", "error"), [(0x0D, ReaderLost), (0x2D, ReaderLost), (0x01, CardLost), (0x0B, CardLost), (0x27, CardLost)]
)
def test_a_chip_error_is_the_readers_fault_or_the_cards(
    chip: VirtualPn532, card: ScriptedCard, reader: Pn532Reader, status: int, error: type[Exception]
) -> None:
    chip.present(card)
    reader.wait_for_card(1000)
    chip.fail_exchanges(status)
    with pytest.raises(error, match=f"chip error {status:02X}"):
        reader.transmit(SELECT_PPSE, 1000)


def test_closing_brings_the_chip_back_to_115200_with_its_field_off(
    chip: VirtualPn532, card: ScriptedCard, reader: Pn532Reader
) -> None:
    assert chip.baud == 921600
    chip.present(card)
    reader.wait_for_card(1000)
    reader.close()
    assert chip.baud == 115200
    assert not chip.field_is_on
    assert chip.command_log[-3:] == [0x32, 0x10, 0x16]  # field off, baud rate, PowerDown


def test_a_second_program_cannot_take_the_line(chip: VirtualPn532, reader: Pn532Reader) -> None:
    with pytest.raises(ReaderLost, match="lock"):
        make_reader(chip).open()


def test_a_reader_that_is_not_open_says_so(chip: VirtualPn532) -> None:
    with pytest.raises(ReaderLost, match="not open"):
        make_reader(chip).wait_for_card(0)


HOLDS_THE_READER = """
import sys, time
from taptill.card.adapters.pn532 import Pn532Reader
from taptill.clock import SystemClock
reader = Pn532Reader(sys.argv[1], SystemClock(0))
reader.open()
reader.wait_for_card(2000)
print("holding", flush=True)
while True:
    reader.transmit(bytes.fromhex("00a4040000"), 1000)
"""


def test_a_killed_process_leaves_a_chip_that_the_next_one_finds(chip: VirtualPn532, card: ScriptedCard) -> None:
    chip.present(card)
    for _ in range(3):
        victim = subprocess.Popen(
            [sys.executable, "-c", HOLDS_THE_READER, f"pn532:{chip.path}"], stdout=subprocess.PIPE, text=True
        )
        try:
            assert read_line_within_s(victim, 10) == "holding"
        finally:
            os.kill(victim.pid, signal.SIGKILL)
            victim.wait()
        assert chip.baud == 921600
    reader = make_reader(chip)
    reader.open()
    assert reader.wait_for_card(1000) is not None
    reader.close()


def test_importing_the_adapter_does_not_load_nfcpy() -> None:
    script = "import sys, taptill.card.adapters.pn532; sys.exit('nfc' in sys.modules or 'serial' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=20).returncode == 0


@pytest.mark.parametrize(
    ("listing", "reason"),
    [
        ("", "number of targets"),
        ("01", "target 1"),
        ("0101004420", "target 1"),
        ("010100442007" + "04a1b2c3d4e5", "target 1"),
        ("020100442004" + "0badcafe" + "0278", "target 2"),
    ],
)
def test_a_cut_listing_is_refused_with_its_place(listing: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"{reason}.*cut short"):
        parse_listing_a(bytes.fromhex(listing))


@pytest.mark.parametrize(
    ("listing", "reason"),
    [
        ("", "number of targets"),
        ("01" + "0150112233", "target 1"),
        ("01" + "01" + "501122334400000000008171" + "02" + "01", "ATTRIB answer of target 1"),
        ("02" + "01" + "501122334400000000008171" + "01" + "01", "target 2"),
    ],
)
def test_a_cut_listing_of_type_b_is_refused_with_its_place(listing: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"{reason}.*cut short"):
        parse_listing_b(bytes.fromhex(listing))
