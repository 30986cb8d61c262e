"""The card's block protocol against the scenarios of ISO/IEC 14443-4, annex B, frame by frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from taplab.pn532.picc import Picc, State
from taptill.card.adapters.activation import parse_ats

if TYPE_CHECKING:
    from tests.pn532.conftest import ScriptedCard

RATS_64 = "e050"
FSCI_0_ATS = bytes.fromhex("0200")  # no interface bytes; FSCI 0: 16-byte frames


def say(picc: Picc, frame: str) -> str | None:
    answer = picc.receive(bytes.fromhex(frame))
    return answer.octets.hex() if answer else None


@pytest.fixture
def picc(card: ScriptedCard) -> Picc:
    """Selected, RATS answered, 64-byte frames both ways."""
    ready = Picc(card)
    ready.power(True)
    assert ready.request(wake=False)
    ready.select(card.uid)
    assert say(ready, RATS_64) == card.ats.hex()
    return ready


def test_information_blocks_alternate(picc: Picc) -> None:
    assert say(picc, "02aa01") == "02aa019000"
    assert say(picc, "03aa02") == "03aa029000"
    assert say(picc, "02aa03") == "02aa039000"


def test_a_lost_answer_is_repeated_for_r_nak_without_asking_the_card_again(picc: Picc, card: ScriptedCard) -> None:
    first = say(picc, "02aa01")
    assert say(picc, "b2") == first
    assert say(picc, "b2") == first
    assert card.commands == [bytes.fromhex("aa01")]


def test_a_lost_command_is_told_apart_by_r_ack(picc: Picc) -> None:
    assert say(picc, "02aa01") == "02aa019000"
    assert say(picc, "b3") == "a2"  # the block 1 never came
    assert say(picc, "03aa02") == "03aa029000"


def test_a_chained_command_is_acknowledged_piece_by_piece(picc: Picc, card: ScriptedCard) -> None:
    assert say(picc, "12aa") == "a2"
    assert say(picc, "13bb") == "a3"
    assert say(picc, "02cc") == "02aabbcc9000"
    assert card.commands == [bytes.fromhex("aabbcc")]


def test_a_chained_answer_goes_on_with_every_r_ack(picc: Picc, card: ScriptedCard) -> None:
    card.script = lambda _command: bytes(61) + b"\x11" * 61 + b"\x22"
    assert say(picc, "02aa") == "12" + "00" * 61
    assert say(picc, "a3") == "13" + "11" * 61
    assert say(picc, "a3") == "13" + "11" * 61  # the same acknowledgement again: the same block again
    assert say(picc, "a2") == "0222"


def test_a_command_longer_than_the_waiting_time_asks_for_more(picc: Picc, card: ScriptedCard) -> None:
    card.compute_ms = 200  # FWI 8: 77.3 ms
    assert say(picc, "02aa") == "f202"  # 200 - 58 ms need two waiting times more
    assert say(picc, "f202") == "02aa9000"


def test_the_waiting_time_multiplier_stays_within_59(picc: Picc, card: ScriptedCard) -> None:
    card.compute_ms = 10_000
    assert say(picc, "02aa") == "f23b"
    assert say(picc, "f23b") is not None


def test_deselect_halts_the_card_and_only_wupa_wakes_it(picc: Picc) -> None:
    assert say(picc, "c2") == "c2"
    assert picc.state is State.HALT
    assert say(picc, "02aa") is None
    assert not picc.request(wake=False)
    assert picc.request(wake=True)


def test_requests_mean_nothing_to_a_card_in_its_protocol(picc: Picc) -> None:
    assert not picc.request(wake=False)
    assert not picc.request(wake=True)
    assert say(picc, "02aa") == "02aa9000"


def test_an_active_card_that_hears_a_request_is_silent_once(card: ScriptedCard) -> None:
    picc = Picc(card)
    picc.power(True)
    assert picc.request(wake=False)
    picc.select(card.uid)
    assert not picc.request(wake=False)
    assert picc.request(wake=False)


def test_pps_is_answered_only_right_after_rats(picc: Picc) -> None:
    assert say(picc, "d01100") == "d0"
    assert say(picc, "02aa") == "02aa9000"
    assert say(picc, "d01100") is None


def test_blocks_for_another_card_identifier_are_not_meant(card: ScriptedCard) -> None:
    picc = Picc(card)
    picc.power(True)
    picc.request(wake=False)
    picc.select(card.uid)
    say(picc, "e053")
    assert say(picc, "0a04aa") is None
    assert say(picc, "02aa") is None
    assert say(picc, "0a03aa") == "0a03aa9000"


def test_a_frame_longer_than_the_card_takes_is_not_heard(card: ScriptedCard) -> None:
    card.ats = FSCI_0_ATS
    picc = Picc(card)
    picc.power(True)
    picc.request(wake=False)
    picc.select(card.uid)
    say(picc, RATS_64)
    assert say(picc, "02" + "aa" * 13) is not None
    assert say(picc, "03" + "aa" * 14) is None


def test_power_off_resets_the_card(picc: Picc, card: ScriptedCard) -> None:
    assert card.resets == 1
    picc.power(False)
    assert say(picc, "02aa") is None
    picc.power(True)
    assert card.resets == 2
    assert picc.request(wake=False)


@pytest.mark.parametrize(
    ("ats", "frame_octets_max", "waiting_ms", "takes_cid"),
    [
        ("067577810280", 64, 77.3, True),  # MIFARE Plus, as nfc-list reads it
        ("0578807002", 256, 38.7, True),  # nfcpy's own default ATS
        ("01", 32, 4.8, False),  # nothing but its length: all defaults
        ("0200", 16, 4.8, False),
    ],
)
def test_the_ats_tells_frame_size_and_waiting_time(
    ats: str, frame_octets_max: int, waiting_ms: float, takes_cid: bool
) -> None:
    parsed = parse_ats(bytes.fromhex(ats))
    assert (parsed.frame_octets_max, parsed.takes_cid) == (frame_octets_max, takes_cid)
    assert abs(parsed.waiting_us / 1000 - waiting_ms) < 0.1


@pytest.mark.parametrize("ats", ["", "05788070", "0378", "0275"])
def test_an_ats_that_promises_more_than_it_holds_is_refused(ats: str) -> None:
    with pytest.raises(ValueError, match="ATS"):
        parse_ats(bytes.fromhex(ats))
