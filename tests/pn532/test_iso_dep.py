"""The chip's ISO-DEP against the card's, with frames lost in the air."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taplab.pn532.iso_dep import RATS, IsoDep, RfFault
from taplab.pn532.picc import Picc
from taplab.pn532.picc_blocks import AirAnswer
from taptill.card.adapters.activation import parse_ats


@dataclass(frozen=True, slots=True)
class Answer:
    octets: bytes
    compute_ms: float = 0


class CountingCard:
    uid = bytes.fromhex("0badcafe")

    def __init__(self, fsci: int, response: bytes, compute_ms: float = 0) -> None:
        self.ats = bytes([2, fsci])
        self.commands: list[bytes] = []
        self._answer = Answer(response, compute_ms)

    def answer(self, command: bytes) -> Answer:
        self.commands.append(command)
        return self._answer

    def reset(self) -> None:
        self.commands.clear()


class Air:
    """Loses the frames whose number is listed, counting both directions, and keeps the longest of each."""

    def __init__(self, card: CountingCard, lost: set[int]) -> None:
        self._picc = Picc(card)
        self._picc.power(True)
        self._picc.request(wake=False)
        self._picc.select(card.uid)
        self._picc.receive(RATS)
        self._lost = lost
        self._count = 0
        self.longest_octets = 0

    def transceive(self, frame: bytes, timeout_us: int) -> bytes | None:
        answer: AirAnswer | None = None if self._loses() else self._picc.receive(frame)
        if answer is None or self._loses() or answer.compute_us > timeout_us:
            return None
        self.longest_octets = max(self.longest_octets, len(frame), len(answer.octets))
        return answer.octets

    def _loses(self) -> bool:
        self._count += 1
        return self._count in self._lost


def exchange_all(chip: IsoDep, command: bytes) -> bytes:
    answer, more = chip.exchange(command, more=False)
    while more:
        rest, more = chip.exchange(b"", more=False)
        answer += rest
    return answer


@given(
    st.integers(0, 8),
    st.binary(min_size=1, max_size=300),
    st.binary(min_size=2, max_size=600),
    st.sampled_from([0, 30, 700]),
    st.sets(st.integers(1, 80), max_size=12),
)
def test_lost_frames_never_repeat_a_command_and_never_change_a_byte(
    fsci: int, command: bytes, response: bytes, compute_ms: int, lost: set[int]
) -> None:
    card = CountingCard(fsci, response, compute_ms)
    air = Air(card, lost)
    chip = IsoDep(air.transceive, parse_ats(card.ats))
    try:
        assert exchange_all(chip, command) == response
        assert card.commands == [command]
    except RfFault:
        assert lost
        assert card.commands in ([], [command])


@given(st.integers(0, 8), st.binary(min_size=1, max_size=300), st.integers(1, 40))
def test_a_single_loss_is_always_healed(fsci: int, command: bytes, lost: int) -> None:
    card = CountingCard(fsci, command[::-1] + b"\x90\x00")
    chip = IsoDep(Air(card, {lost}).transceive, parse_ats(card.ats))
    assert exchange_all(chip, command) == command[::-1] + b"\x90\x00"
    assert exchange_all(chip, command) == command[::-1] + b"\x90\x00"
    assert card.commands == [command, command]


@pytest.mark.parametrize(("fsci", "longest"), [(0, 62), (5, 62), (8, 254)])
def test_frames_stay_within_64_bytes_to_the_chip_and_the_cards_size_to_the_card(fsci: int, longest: int) -> None:
    """62 bytes and CRC are the chip's 64."""
    card = CountingCard(fsci, bytes(258))
    air = Air(card, set())
    exchange_all(IsoDep(air.transceive, parse_ats(card.ats)), bytes(260))
    assert air.longest_octets == longest


def test_262_bytes_come_at_once_and_263_in_two_turns() -> None:
    for octets, turns in ((262, 1), (263, 2)):
        card = CountingCard(8, bytes(octets))
        chip = IsoDep(Air(card, set()).transceive, parse_ats(card.ats))
        assert chip.exchange(b"\x00", more=False) == (bytes(262), turns == 2)


def test_a_command_may_come_from_the_host_in_pieces() -> None:
    card = CountingCard(8, b"\x90\x00")
    chip = IsoDep(Air(card, set()).transceive, parse_ats(card.ats))
    assert chip.exchange(b"\x01\x02", more=True) == (b"", False)
    assert chip.exchange(b"\x03", more=False) == (b"\x90\x00", False)
    assert card.commands == [b"\x01\x02\x03"]


def test_a_card_that_is_gone_is_a_timeout() -> None:
    chip = IsoDep(lambda _frame, _timeout_us: None, parse_ats(b"\x01"))
    with pytest.raises(RfFault, match="01"):
        chip.exchange(b"\x00", more=False)


def test_a_block_that_breaks_the_protocol_is_status_0b() -> None:
    chip = IsoDep(lambda _frame, _timeout_us: b"\x03\x90\x00", parse_ats(b"\x01"))
    with pytest.raises(RfFault, match="0B"):
        chip.exchange(b"\x00", more=False)
