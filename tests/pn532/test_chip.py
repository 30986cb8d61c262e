"""The chip without a line: frames in and out on a clock that stands in the test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taplab.pn532.airtime import Timing
from taplab.pn532.chip import Pn532Chip
from taplab.pn532.serial_port import VirtualPn532
from taptill.card.adapters.pn532_frames import Frame, Framer, Signal, frame

if TYPE_CHECKING:
    from tests.pn532.conftest import ScriptedCard

WAKE_UP = b"\x55\x55" + bytes(14)
LIST_ONE = "4a0100"
LIST_TWO = "4a0200"
SYNTAX_ERROR = "7f"


class Host:
    """Speaks to a chip and lets its time pass."""

    def __init__(self, timing: Timing = Timing.OFF) -> None:
        self.chip = Pn532Chip(timing)
        self.now_us = 0
        self.chip.receive(WAKE_UP, 0)
        self._framer = Framer()

    def send(self, command: str) -> None:
        self.chip.receive(frame(b"\xd4" + bytes.fromhex(command)), self.now_us)

    def signal(self, signal: Signal) -> None:
        self.chip.receive(signal.value, self.now_us)

    def wait_ms(self, duration_ms: int) -> None:
        self.now_us += duration_ms * 1000

    def heard(self) -> list[str]:
        """Everything the chip has to say until it waits for us or for a card; ACK as `ack`."""
        octets = b""
        while (due_us := self.chip.due_us()) is not None:
            self.now_us = max(self.now_us, due_us)
            octets += self.chip.take_due(self.now_us)
        events = self._framer.feed(octets)
        return [event.payload.hex() if isinstance(event, Frame) else "ack" for event in events]

    def ask(self, command: str) -> str:
        """The response to a command, without TFI."""
        self.send(command)
        ack, response = self.heard()
        assert ack == "ack"
        return response.removeprefix("d5")


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def host_with_card(host: Host, card: ScriptedCard) -> Host:
    host.chip.present(card, 0)
    host.ask(LIST_ONE)
    return host


def test_the_firmware_is_the_published_one(host: Host) -> None:
    assert host.ask("02") == "0332010607"


@pytest.mark.parametrize(
    "command",
    ["8c00", "8601", "99", "", "4a", "4a0300", "4a0000", "3202", "3277", "10", "00", "0077", "1400", "080102"],
)
def test_what_is_no_command_of_a_reader_gets_the_syntax_error_frame(host: Host, command: str) -> None:
    assert host.ask(command) == SYNTAX_ERROR


def test_a_frame_that_is_not_for_the_chip_gets_the_syntax_error_frame(host: Host) -> None:
    host.chip.receive(frame(b"\xd5\x02"), 0)
    assert host.heard() == ["ack", SYNTAX_ERROR]


def test_the_line_test_echoes_263_bytes(host: Host) -> None:
    longest = "00" + "00" + "5a" * 262
    assert host.ask(longest) == "01" + longest[2:]


def test_a_damaged_command_is_not_acknowledged(host: Host) -> None:
    host.chip.receive(bytes.fromhex("0000ff02fed4032a00"), 0)
    assert host.heard() == []


def test_a_nack_brings_the_last_response_again(host: Host) -> None:
    host.ask("02")
    host.signal(Signal.NACK)
    assert host.heard() == ["d50332010607"]


def test_a_sleeping_chip_loses_what_wakes_it() -> None:
    host = Host()
    host.ask("1610")
    host.send("02")
    assert host.heard() == []
    assert host.ask("02") == "0332010607"


def test_a_chip_told_not_to_wake_on_the_line_sleeps_on(host: Host) -> None:
    assert host.ask("1680") == "1700"
    host.chip.receive(WAKE_UP, 0)
    host.send("02")
    assert host.heard() == []


def test_a_new_baud_rate_holds_after_the_hosts_ack(host: Host) -> None:
    assert host.ask("1007") == "11"
    assert host.chip.baud == 115200
    assert host.chip.understands(115200)
    assert host.chip.understands(921600)
    host.signal(Signal.ACK)
    assert host.chip.baud == 921600
    assert not host.chip.understands(115200)


def test_without_the_ack_the_old_baud_rate_stays(host: Host) -> None:
    host.ask("1007")
    host.ask("02")
    host.signal(Signal.ACK)
    assert host.chip.baud == 115200


def test_a_listed_card_has_its_ats_when_rats_is_automatic(host: Host, card: ScriptedCard) -> None:
    host.chip.present(card, 0)
    assert host.ask(LIST_ONE) == "4b01" + "01" + "0044" + "20" + "07" + "04a1b2c3d4e5f6" + "067577810280"


def test_without_automatic_rats_the_card_is_only_selected(host: Host, card: ScriptedCard) -> None:
    host.chip.present(card, 0)
    host.ask("1200")
    assert host.ask(LIST_ONE) == "4b01" + "01" + "0044" + "20" + "07" + "04a1b2c3d4e5f6"
    assert host.ask("42e050") == "4300067577810280"
    assert host.ask("4202aa") == "430002aa9000"


def test_two_cards_are_listed_and_the_second_is_the_active_one(
    host: Host, card: ScriptedCard, other_card: ScriptedCard
) -> None:
    host.chip.present(card, 0)
    host.chip.present(other_card, 0)
    listing = host.ask(LIST_TWO)
    assert listing.startswith("4b02")
    assert listing.endswith("02" + "0004" + "20" + "04" + "0badcafe" + "0578807002")
    assert host.ask("4001aa") == "4127"
    assert host.ask("4002aa") == "4100aa9000"
    assert host.ask("5401") == "5500"
    assert host.ask("4001aa") == "4100aa9000"
    assert host.ask("4002aa") == "4127"


def test_a_wanted_uid_is_found_among_two(host: Host, card: ScriptedCard, other_card: ScriptedCard) -> None:
    host.ask("3205000102")
    host.chip.present(card, 0)
    host.chip.present(other_card, 0)
    assert host.ask(LIST_ONE + "0badcafe")[14:22] == "0badcafe"
    host.ask("320100")
    host.wait_ms(6)
    assert host.ask(LIST_ONE + "8804a1b2c3d4e5f6")[14:28] == "04a1b2c3d4e5f6"
    host.ask("320100")
    host.wait_ms(6)
    assert host.ask(LIST_ONE + "01020304") == "4b00"


def test_other_codings_find_nobody(host: Host, card: ScriptedCard) -> None:
    host.ask("3205000102")
    host.chip.present(card, 0)
    for coding in ("0100ffff0100", "0200ffff0100", "0300", "04"):
        assert host.ask("4a01" + coding) == "4b00"


@pytest.mark.parametrize(
    ("command", "status"),
    [("4002aa", "4127"), ("5402", "5527"), ("4402", "4500"), ("5202", "5300")],
    ids=["exchange", "select", "deselect", "release"],
)
def test_an_unlisted_target_is_a_wrong_context_where_it_matters(
    host_with_card: Host, command: str, status: str
) -> None:
    assert host_with_card.ask(command) == status


def test_a_deselected_card_can_be_selected_and_a_released_one_cannot(host_with_card: Host) -> None:
    host = host_with_card
    assert host.ask("4401") == "4500"
    assert host.ask("4001aa") == "4127"
    assert host.ask("5401") == "5500"
    assert host.ask("4001aa") == "4100aa9000"
    assert host.ask("5200") == "5300"
    assert host.ask("5401") == "5527"


def test_a_halted_card_is_not_listed_before_the_field_was_off(host_with_card: Host) -> None:
    host = host_with_card
    host.ask("3205000102")
    host.ask("5200")
    assert host.ask(LIST_ONE) == "4b00"
    host.ask("320100")
    host.wait_ms(6)
    assert host.ask(LIST_ONE).startswith("4b01")


def test_the_attention_request_tells_whether_the_card_is_there(host_with_card: Host) -> None:
    assert host_with_card.ask("0006") == "0100"
    host_with_card.chip.remove(None, 0)
    assert host_with_card.ask("0006") == "0101"


def test_a_card_that_left_is_a_timeout(host_with_card: Host) -> None:
    host_with_card.chip.remove(None, 0)
    assert host_with_card.ask("4001aa") == "4101"
    assert host_with_card.ask("42b2") == "4301"


def test_field_off_is_felt_by_the_card(host_with_card: Host, card: ScriptedCard) -> None:
    assert card.resets == 1
    host_with_card.ask("320100")
    assert host_with_card.ask("4001aa") == "4127"
    host_with_card.wait_ms(6)
    host_with_card.ask("320101")
    assert card.resets == 2


def test_a_field_gap_too_short_to_notice_resets_no_card(host_with_card: Host, card: ScriptedCard) -> None:
    host_with_card.ask("320100")
    host_with_card.wait_ms(4)
    host_with_card.ask("320101")
    assert card.resets == 1


def test_raw_frames_reach_no_card_with_another_modulation(host_with_card: Host) -> None:
    assert host_with_card.ask("42b2").startswith("4300")
    host_with_card.ask("08" + "6302" + "83")  # CIU_TxMode: type B framing
    assert host_with_card.ask("42b2") == "4301"


def test_an_unanswered_request_lies_in_the_fifo(host: Host) -> None:
    host.ask("3205000102")
    host.ask(LIST_ONE)
    assert host.ask("066339") == "0726"


def test_the_general_status_counts_targets(host_with_card: Host) -> None:
    assert host_with_card.ask("04") == "05" + "0001" + "01" + "01000010" + "00"


def test_an_endless_search_ends_with_the_card(host: Host, card: ScriptedCard) -> None:
    host.send(LIST_ONE)
    assert host.heard() == ["ack"]
    host.chip.present(card, host.now_us)
    assert host.heard()[0].startswith("d54b01")


def test_an_endless_search_ends_with_the_hosts_ack(host: Host, card: ScriptedCard) -> None:
    host.send(LIST_ONE)
    host.heard()
    host.signal(Signal.ACK)
    host.chip.present(card, host.now_us)
    assert host.heard() == []


def test_auto_poll_gives_up_after_its_rounds_and_periods(host: Host) -> None:
    host.now_us = 1_000_000
    assert host.ask("60" + "14" + "02" + "001020") == "6100"
    assert host.now_us == 1_000_000 + 20 * 2 * 3 * 150_000


def test_auto_poll_names_the_card_type(host: Host, card: ScriptedCard) -> None:
    host.chip.present(card, 0)
    assert host.ask("60ff0120").startswith("61" + "01" + "20" + "12" + "01" + "0044")


def test_an_exchange_takes_the_air_the_wire_and_the_card_time(card: ScriptedCard) -> None:
    host = Host(Timing.REAL)
    host.chip.present(card, 0)
    host.ask(LIST_ONE)
    card.compute_ms = 30
    started_us = host.now_us
    host.ask("4001" + "aa" * 20)
    wire_us = (30 + 6 + 32) * 10 * 1_000_000 / 115200
    air_us = 2 * 86 + (1 + 20 + 2 + 1 + 22 + 2) * 85
    assert host.now_us - started_us == pytest.approx(wire_us + air_us + 30_000, abs=5)


def test_activation_takes_about_as_long_as_measured_from_the_standard(card: ScriptedCard) -> None:
    """Field guard, request, anticollision, select and RATS: about 11 ms by the standard's own figures."""
    host = Host(Timing(uart=False, air=True, compute=False))
    host.chip.present(card, 0)
    host.ask(LIST_ONE)
    assert 9_000 < host.now_us < 12_000


def test_a_card_that_leaves_while_it_computes_turns_the_answer_into_a_timeout(card: ScriptedCard) -> None:
    host = Host(Timing.REAL)
    host.chip.present(card, 0)
    host.ask(LIST_ONE)
    card.compute_ms = 50
    host.send("4001aa")
    host.chip.remove(card, host.now_us)
    assert host.heard() == ["ack", "d54101"]


def test_bytes_at_the_wrong_speed_are_lost(chip: VirtualPn532) -> None:
    import serial

    with serial.Serial(chip.path, 9600, timeout=0.2) as line:
        line.write(WAKE_UP + frame(b"\xd4\x02"))
        assert line.read(1) == b""
        assert chip.command_log == []
        line.baudrate = 115200
        line.write(WAKE_UP + frame(b"\xd4\x02"))
        assert line.read(6) == Signal.ACK.value


def test_a_replugged_chip_has_forgotten_its_baud_rate_and_keeps_its_path(chip: VirtualPn532) -> None:
    import serial

    path = chip.path
    with serial.Serial(path, 115200, timeout=1) as line:
        line.write(WAKE_UP + frame(b"\xd4\x10\x07"))
        assert len(line.read(15)) == 15
        line.write(Signal.ACK.value)
        line.baudrate = 921600
        line.write(frame(b"\xd4\x02"))
        assert line.read(6) == Signal.ACK.value
    assert chip.baud == 921600
    chip.unplug()
    chip.replug()
    assert (chip.path, chip.baud) == (path, 115200)
