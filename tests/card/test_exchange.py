"""One command and what a card may answer instead of an answer; and a tap that a card would drag on for ever."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from taptill.card.apdu import CommandApdu, MalformedApdu, ResponseApdu
from taptill.card.dialogue import Dialogue
from taptill.card.outcome import CardRead, OutcomeKind
from taptill.card.outcomes import try_again
from taptill.card.read_card import COMMANDS_PER_TAP_MAX, RESPONSE_OCTETS_MAX, TAP_US_MAX, drive, exchange
from taptill.card.reader import CardLost, Presentation, RawResponse

READ = CommandApdu(0x00, 0xB2, 0x01, 0x0C)
OPTIONS = CommandApdu(0x80, 0xA8, 0x00, 0x00, b"\x83\x00")


class Reader:
    """Answers the n-th command by `answers[n]`, the last one for ever."""

    url = "test:"

    def __init__(self, *answers: str, elapsed_us: int = 1_000) -> None:
        self.answers = [bytes.fromhex(answer) for answer in answers]
        self.commands: list[str] = []
        self.elapsed_us = elapsed_us

    def open(self) -> None: ...

    def close(self) -> None: ...

    def wait_for_card(self, timeout_ms: int) -> Presentation | None:
        return Presentation(b"", "A")

    def wait_for_removal(self, timeout_ms: int) -> bool:
        return True

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        self.commands.append(command.hex().upper())
        return RawResponse(self.answers[min(len(self.commands), len(self.answers)) - 1], self.elapsed_us)


def test_an_answer_is_data_status_word_and_time() -> None:
    assert exchange(READ, Reader("70009000"), 1000) == ResponseApdu(b"\x70\x00", 0x9000, 1_000)
    assert exchange(READ, Reader("6A83"), 1000) == ResponseApdu(b"", 0x6A83, 1_000)


def test_a_record_of_256_octets_comes_in_one_answer() -> None:
    record = "7081FD" + "9F4681F8" + "A5" * 0xF8 + "00"
    assert len(record) == 512
    assert exchange(READ, Reader(record + "9000"), 1000).data.hex().upper() == record


def test_a_record_that_comes_in_parts_is_one_record_and_its_times_add_up() -> None:
    reader = Reader("A1" * 256 + "6120", "B2" * 32 + "6104", "C3" * 4 + "9000")
    response = exchange(READ, reader, 1000)
    assert response.data == b"\xa1" * 256 + b"\xb2" * 32 + b"\xc3" * 4
    assert (response.sw, response.elapsed_us) == (0x9000, 3_000)
    assert reader.commands == ["00B2010C00", "00C0000020", "00C0000004"]


def test_more_data_are_fetched_in_the_class_of_the_command() -> None:
    reader = Reader("6110", "77009000")
    assert exchange(OPTIONS, reader, 1000).data == b"\x77\x00"
    assert reader.commands == ["80A8000002830000", "80C0000010"]


def test_more_data_are_fetched_in_class_00_where_the_card_knows_no_other() -> None:
    reader = Reader("6110", "6E00", "6C02", "77009000")
    assert exchange(OPTIONS, reader, 1000) == ResponseApdu(b"\x77\x00", 0x9000, 4_000)
    assert reader.commands[1:] == ["80C0000010", "00C0000010", "00C0000002"]


def test_an_unknown_class_is_an_answer_to_everything_else() -> None:
    for command in (OPTIONS, READ):
        reader = Reader("6E00")
        assert exchange(command, reader, 1000).sw == 0x6E00
        assert len(reader.commands) == 1


@pytest.mark.parametrize("command", [READ, OPTIONS])
def test_a_wrong_length_is_corrected_in_the_same_command(command: CommandApdu) -> None:
    reader = Reader("6C05", "70037F00009000")
    assert exchange(command, reader, 1000).data.hex().upper() == "70037F0000"
    assert reader.commands[1] == reader.commands[0][:-2] + "05"


def test_data_beside_a_wrong_length_are_not_kept() -> None:
    assert exchange(READ, Reader("DEAD6C02", "70009000"), 1000).data == b"\x70\x00"


def test_a_length_that_was_asked_for_is_not_asked_for_again() -> None:
    reader = Reader("6C00")
    assert exchange(READ, reader, 1000).sw == 0x6C00
    assert len(reader.commands) == 1


@pytest.mark.parametrize("answers", [("6110",), ("6C01", "6C02"), ("6110", "6C05"), ("6110", "6E00", "6110", "6C01")])
def test_a_card_that_never_comes_to_an_end_is_not_asked_for_ever(answers: tuple[str, ...]) -> None:
    reader = Reader(*answers * 10)
    assert exchange(OPTIONS, reader, 1000).sw != 0x9000
    assert len(reader.commands) <= 9


def test_more_octets_than_any_answer_has_are_refused() -> None:
    assert len(exchange(READ, Reader("00" * RESPONSE_OCTETS_MAX + "9000"), 1000).data) == RESPONSE_OCTETS_MAX
    with pytest.raises(MalformedApdu, match=f"more than {RESPONSE_OCTETS_MAX}"):
        exchange(READ, Reader("00" * (RESPONSE_OCTETS_MAX + 1) + "9000"), 1000)
    with pytest.raises(MalformedApdu):
        exchange(READ, Reader("00" * 300 + "6100"), 1000)


@pytest.mark.parametrize(("answer", "said"), [("", "0 bytes"), ("90", "1 bytes")])
def test_an_answer_without_a_status_word_is_refused(answer: str, said: str) -> None:
    with pytest.raises(MalformedApdu, match=said):
        exchange(READ, Reader(answer), 1000)
    with pytest.raises(MalformedApdu, match=said):
        exchange(READ, Reader("6110", answer), 1000)


def one_command(seen: list[str]) -> Dialogue:
    try:
        yield READ
    except CardLost as lost:
        seen.append(lost.what)
        return CardRead(try_again("lost"))
    return CardRead(try_again("answered"))


@pytest.mark.parametrize("answer", ["", "90"])
def test_the_kernel_learns_of_a_broken_answer_as_of_a_card_that_left(answer: str) -> None:
    seen: list[str] = []
    assert drive(one_command(seen), Reader(answer), 1000).outcome.reason == "lost"
    assert len(seen) == 1


def test_a_command_of_ours_that_fits_no_apdu_is_not_the_card_s_fault() -> None:
    def too_long() -> Dialogue:
        try:
            yield CommandApdu(0x00, 0x82, 0x00, 0x00, bytes(256), None, "EXTERNAL AUTHENTICATE")
        except CardLost:
            return CardRead(try_again("lost"))
        return CardRead(try_again("answered"))

    reader = Reader("9000")
    with pytest.raises(MalformedApdu, match="EXTERNAL AUTHENTICATE"):
        drive(too_long(), reader, 1000)
    assert reader.commands == []


def without_end(stubborn: bool) -> Dialogue:
    while True:
        try:
            yield READ
        except CardLost:
            if not stubborn:
                raise


@pytest.mark.parametrize("answer", ["9000", ""])
def test_a_tap_ends_after_so_many_commands(answer: str) -> None:
    reader = Reader(answer)
    read = drive(without_end(stubborn=True), reader, 1000)
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.END_APPLICATION, "too-many-commands")
    assert len(reader.commands) == COMMANDS_PER_TAP_MAX


def test_a_tap_ends_after_so_much_time_however_few_its_commands() -> None:
    reader = Reader("9000", elapsed_us=TAP_US_MAX // 4)
    read = drive(without_end(stubborn=False), reader, 1000)
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.TRY_AGAIN, "card-too-slow")
    assert len(reader.commands) == 5


def test_every_tap_is_driven_to_its_own_end(tap: Callable[..., tuple[CardRead, list[bytes]]]) -> None:
    for answer in (b"", b"\x90", b"\x61\x00", b"\x6c\x01", b"\x90\x00", b"\x00" * 300 + b"\x90\x00"):
        read, commands = tap(lambda _, answer=answer: answer)
        assert read.outcome.kind in (OutcomeKind.TRY_AGAIN, OutcomeKind.END_APPLICATION)
        assert len(commands) < 20
