"""Cards of type B, and what foreign drivers make of them: ATQB, ATTRIB, numbered blocks, both types in one field."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import nfc
import nfc.clf.pn532
import nfc.clf.transport
import nfc.tag.tt4
import pytest

from taplab.pn532.held_cards import TypeBCard
from taplab.pn532.picc import State
from taplab.pn532.picc_b import PiccB
from taplab.pn532.serial_port import VirtualPn532
from taptill.card.adapters.activation import parse_atqb

if TYPE_CHECKING:
    from tests.pn532.conftest import ScriptedCard

PUPI = "11223344"
APPLICATION_DATA = "a0112233"
PROTOCOL_INFO = "008171"
REQB, WUPB = "050000", "050008"
ATTRIB = "1d" + PUPI + "00" + "05" + "01" + "01"
TOOL_TIMEOUT_S = 20


@pytest.fixture
def type_b(card: ScriptedCard) -> TypeBCard:
    card.uid = bytes.fromhex(PUPI)
    return TypeBCard(card, bytes.fromhex(APPLICATION_DATA), bytes.fromhex(PROTOCOL_INFO))


@pytest.fixture
def picc(type_b: TypeBCard) -> PiccB:
    ready = PiccB(type_b)
    ready.power(True)
    return ready


def say(picc: PiccB, frame: str) -> str | None:
    answer = picc.receive(bytes.fromhex(frame))
    return answer.octets.hex() if answer else None


def test_a_request_is_answered_with_atqb_and_attrib_begins_the_blocks(picc: PiccB) -> None:
    assert say(picc, "0a01aa") is None
    assert say(picc, REQB) == "50" + PUPI + APPLICATION_DATA + PROTOCOL_INFO
    assert say(picc, "1d" + "55667788" + "00050101") is None
    assert say(picc, ATTRIB) == "01"
    assert say(picc, "0a01aa") == "0a01aa9000"
    assert say(picc, REQB) is None


@pytest.mark.parametrize(("family", "answers"), [("00", True), ("a0", True), ("a1", False), ("b0", False)])
def test_only_the_application_family_that_is_asked_for_answers(picc: PiccB, family: str, answers: bool) -> None:
    assert (say(picc, "05" + family + "00") is not None) == answers


def test_a_deselected_or_halted_card_hears_only_the_wake_up(picc: PiccB) -> None:
    say(picc, REQB)
    say(picc, ATTRIB)
    assert say(picc, "ca01") == "ca01"
    assert picc.state is State.HALT
    assert say(picc, REQB) is None
    assert say(picc, WUPB) is not None
    assert say(picc, "50" + PUPI) == "00"
    assert say(picc, REQB) is None
    assert say(picc, WUPB) is not None


def test_a_chain_keeps_the_cards_number(picc: PiccB, card: ScriptedCard) -> None:
    say(picc, REQB)
    say(picc, ATTRIB)
    card.script = lambda _command: bytes(60) + b"\x11" * 60
    assert say(picc, "1a01aa") == "aa01"
    assert say(picc, "0b01bb") == "1b01" + "00" * 60
    assert say(picc, "aa01") == "0a01" + "11" * 60
    assert card.commands == [b"\xaa\xbb"]


@pytest.mark.parametrize(
    ("atqb", "frame_octets_max", "waiting_ms", "takes_cid", "takes_apdus"),
    [
        ("50122345561253544e3381c3", 256, 1237, True, True),  # ST19XR, as ACS prints it
        ("501122334400000000008171", 256, 38.7, True, True),
        ("501122334400000000002140", 32, 4.8, False, True),
        ("501122334400000000008080", 256, 77.3, False, False),  # a Chinese identity card: no ISO/IEC 14443-4
        ("5011223344000000000001f0", 16, 4.8, False, True),  # FWI 15 is reserved
    ],
)
def test_the_atqb_tells_sizes_and_times(
    atqb: str, frame_octets_max: int, waiting_ms: float, takes_cid: bool, takes_apdus: bool
) -> None:
    said = parse_atqb(bytes.fromhex(atqb))
    assert (said.frame_octets_max, said.takes_cid, said.takes_apdus) == (frame_octets_max, takes_cid, takes_apdus)
    assert abs(said.waiting_us / 1000 - waiting_ms) < 0.5


def test_the_extended_atqb_tells_the_guard_time() -> None:
    assert parse_atqb(bytes.fromhex("50112233440000000000817180")).guard_us // 1000 == 77
    assert parse_atqb(bytes.fromhex("501122334400000000008171")).guard_us == 0


@pytest.mark.parametrize("atqb", ["", "50112233440000000000817", "51112233440000000000817100"])
def test_what_is_no_atqb_is_refused(atqb: str) -> None:
    with pytest.raises(ValueError, match="no ATQB"):
        parse_atqb(bytes.fromhex(atqb if len(atqb) % 2 == 0 else atqb[:-1]))


def test_libnfc_lists_both_cards_of_type_a_and_the_one_of_type_b(
    chip: VirtualPn532, type_b: TypeBCard, other_card: ScriptedCard
) -> None:
    tool = shutil.which("nfc-list")
    if tool is None:
        pytest.skip("nfc-list is missing: install libnfc-bin and libnfc-examples")
    third = type(other_card)(uid=bytes.fromhex("04a1b2c3d4e5f6"))
    for held in (type_b, other_card, third):
        chip.present(held)
    environment = {**os.environ, "LIBNFC_DEFAULT_DEVICE": f"pn532_uart:{chip.path}"}
    shown = subprocess.run(
        [tool, "-v", "-t", "9"], env=environment, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=True
    ).stdout
    assert "2 ISO14443A passive target(s) found" in shown
    assert "1 ISO14443B passive target(s) found" in shown
    assert "PUPI: 11  22  33  44" in shown
    assert "Protocol Info: 00  81  71" in shown
    assert "Maximum frame sizes: 256 bytes" in shown
    assert "Frame Waiting Time: 38.66 ms" in shown


def test_nfcpy_wakes_the_card_itself_and_exchanges_apdus(
    chip: VirtualPn532, type_b: TypeBCard, card: ScriptedCard
) -> None:
    chip.present(type_b)
    frontend: Any = nfc.ContactlessFrontend()
    frontend.device = nfc.clf.pn532.init(nfc.clf.transport.TTY(chip.path))
    target = frontend.sense(nfc.clf.RemoteTarget("106B"))
    tag = nfc.tag.activate(frontend, target)
    assert isinstance(tag, nfc.tag.tt4.Type4BTag)
    assert tag.identifier == bytes.fromhex(PUPI)
    long = bytes.fromhex("80a80000c8") + bytes(range(200))
    assert tag.transceive(long) == long + b"\x90\x00"
    assert card.commands == [long]
    frontend.device.close()
