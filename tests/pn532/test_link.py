"""The terminal's command link against a chip played by hand: late, garbled, left-over and missing frames."""

from __future__ import annotations

import os
import pty
import threading
import time
import tty
from collections.abc import Iterator

import pytest

from taptill.card.adapters.pn532_frames import Frame, Framer, Signal, frame
from taptill.card.adapters.pn532_link import Pn532Link
from taptill.card.reader import ReaderLost
from taptill.clock import SystemClock

ACK, NACK = Signal.ACK.value, Signal.NACK.value
FIRMWARE = frame(bytes.fromhex("d50332010607"))
GARBLED = FIRMWARE[:-2] + b"\x00\x00"


class PlayedChip:
    """Answers the n-th thing the host sends with the n-th entry of `script`; `heard` is what the host sent."""

    def __init__(self) -> None:
        self.line, self._end = pty.openpty()[::-1]
        tty.setraw(self.line)
        self.script: list[bytes] = []
        self.heard: list[Frame | Signal] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self, *script: bytes) -> None:
        self.script = list(script)
        self._thread.start()

    def say(self, octets: bytes) -> None:
        os.write(self._end, octets)

    def hang_up(self) -> None:
        os.close(self._end)

    def _run(self) -> None:
        framer = Framer()
        while octets := self._read():
            for event in framer.feed(octets):
                assert isinstance(event, Frame | Signal)
                self.heard.append(event)
                if self.script:
                    os.write(self._end, self.script.pop(0))

    def _read(self) -> bytes:
        try:
            return os.read(self._end, 1024)
        except OSError:
            return b""


@pytest.fixture
def chip() -> Iterator[PlayedChip]:
    played = PlayedChip()
    yield played
    os.close(played.line)


@pytest.fixture
def link(chip: PlayedChip) -> Pn532Link:
    return Pn532Link(chip.line, "played chip", SystemClock(0))


def ask_firmware(link: Pn532Link, timeout_ms: int = 200) -> bytes | None:
    return link.command(0x02, b"", timeout_ms)


def wait_until_heard(chip: PlayedChip, count: int) -> list[Frame | Signal]:
    until = time.monotonic() + 2
    while len(chip.heard) < count and time.monotonic() < until:
        time.sleep(0.005)
    return chip.heard


def test_ack_and_response_may_come_in_one_piece_with_noise_before(chip: PlayedChip, link: Pn532Link) -> None:
    chip.start(b"\x55\xaa" + ACK + FIRMWARE)
    assert ask_firmware(link) == bytes.fromhex("32010607")


def test_a_response_left_over_from_earlier_is_not_taken_for_this_one(chip: PlayedChip, link: Pn532Link) -> None:
    chip.say(frame(bytes.fromhex("d503ffffffff")))
    chip.start(ACK + FIRMWARE)
    assert ask_firmware(link) == bytes.fromhex("32010607")


def test_a_response_without_acknowledgement_is_no_response(chip: PlayedChip, link: Pn532Link) -> None:
    chip.start(FIRMWARE)
    with pytest.raises(ReaderLost, match="02 is not acknowledged"):
        ask_firmware(link)


def test_a_garbled_response_is_asked_for_again(chip: PlayedChip, link: Pn532Link) -> None:
    chip.start(ACK + GARBLED, FIRMWARE)
    assert ask_firmware(link) == bytes.fromhex("32010607")
    assert chip.heard[1:] == [Signal.NACK]


def test_a_response_that_stays_garbled_is_reader_lost(chip: PlayedChip, link: Pn532Link) -> None:
    chip.start(ACK + GARBLED, GARBLED, GARBLED)
    with pytest.raises(ReaderLost, match="stays garbled"):
        ask_firmware(link)


def test_a_command_that_is_not_answered_in_time_is_aborted(chip: PlayedChip, link: Pn532Link) -> None:
    chip.start(ACK)
    started = time.monotonic()
    assert ask_firmware(link, timeout_ms=50) is None
    assert 0.05 <= time.monotonic() - started < 0.5
    assert wait_until_heard(chip, 2)[1:] == [Signal.ACK]


def test_the_answer_to_another_command_is_waited_over(chip: PlayedChip, link: Pn532Link) -> None:
    chip.start(ACK + frame(bytes.fromhex("d54100")) + FIRMWARE)
    assert ask_firmware(link) == bytes.fromhex("32010607")


def test_the_syntax_error_frame_is_reader_lost_with_the_command(chip: PlayedChip, link: Pn532Link) -> None:
    chip.start(ACK + frame(b"\x7f"))
    with pytest.raises(ReaderLost, match="does not understand command 02"):
        ask_firmware(link)


def test_a_line_that_ends_is_reader_lost(chip: PlayedChip, link: Pn532Link) -> None:
    chip.hang_up()
    with pytest.raises(ReaderLost, match="played chip: the line"):
        ask_firmware(link)


def test_the_time_of_a_command_ends_with_the_first_response_however_often_it_is_asked_for_again(
    chip: PlayedChip, link: Pn532Link
) -> None:
    chip.start(ACK + GARBLED, b"", FIRMWARE)
    again = threading.Timer(0.12, chip.say, (FIRMWARE,))
    again.start()
    begun = time.monotonic_ns()
    assert ask_firmware(link, timeout_ms=1000) == bytes.fromhex("32010607")
    assert (time.monotonic_ns() - begun) // 1000 > 110_000
    assert 0 < link.elapsed_us < 100_000
    assert link.damaged_responses == 1
    again.join()


def test_the_time_of_a_command_counts_the_chips_work_and_not_what_was_left_over(
    chip: PlayedChip, link: Pn532Link
) -> None:
    chip.start(ACK + frame(bytes.fromhex("d54100")))
    answer = threading.Timer(0.06, chip.say, (FIRMWARE,))
    begun = time.monotonic_ns()
    answer.start()
    assert ask_firmware(link, timeout_ms=1000) == bytes.fromhex("32010607")
    assert 50_000 < link.elapsed_us <= (time.monotonic_ns() - begun) // 1000
    answer.join()
