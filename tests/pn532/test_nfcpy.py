"""nfcpy, which nobody here wrote, meets the software chip: bring-up, activation, its own ISO-DEP, clean close."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import nfc
import nfc.clf.pn532
import nfc.clf.transport
import nfc.tag.tt4
import pytest

from taplab.pn532.serial_port import VirtualPn532

if TYPE_CHECKING:
    from tests.pn532.conftest import ScriptedCard

SELECT_PPSE = bytes.fromhex("00a404000e325041592e5359532e444446303100")


@pytest.fixture
def frontend(chip: VirtualPn532) -> Iterator[Any]:
    opened = nfc.ContactlessFrontend()
    opened.device = nfc.clf.pn532.init(nfc.clf.transport.TTY(chip.path))
    yield opened
    opened.device.close()


def activate(frontend: Any) -> Any:
    target = frontend.sense(nfc.clf.RemoteTarget("106A"))
    return target and nfc.tag.activate(frontend, target)


def test_nfcpy_raises_the_line_to_921600_and_brings_it_back(chip: VirtualPn532) -> None:
    device = nfc.clf.pn532.init(nfc.clf.transport.TTY(chip.path))
    assert chip.baud == 921600
    device.close()
    assert chip.baud == 115200


def test_nfcpy_opens_the_chip_again_after_its_own_close(chip: VirtualPn532) -> None:
    for _ in range(2):
        nfc.clf.pn532.init(nfc.clf.transport.TTY(chip.path)).close()


def test_nfcpy_sees_an_empty_field(frontend: Any) -> None:
    assert activate(frontend) is None


def test_nfcpy_activates_the_card_as_a_type_4_tag(chip: VirtualPn532, card: ScriptedCard, frontend: Any) -> None:
    chip.present(card)
    tag = activate(frontend)
    assert isinstance(tag, nfc.tag.tt4.Type4Tag)
    assert tag.identifier == card.uid


def test_nfcpys_own_iso_dep_exchanges_apdus_with_the_card(
    chip: VirtualPn532, card: ScriptedCard, frontend: Any
) -> None:
    chip.present(card)
    tag = activate(frontend)
    card.script = lambda _command: bytes(range(20)) + b"\x90\x00"
    assert tag.transceive(SELECT_PPSE) == bytes(range(20)) + b"\x90\x00"
    assert card.commands == [SELECT_PPSE]


def test_nfcpy_and_the_card_chain_both_ways(chip: VirtualPn532, card: ScriptedCard, frontend: Any) -> None:
    chip.present(card)
    tag = activate(frontend)
    long = bytes.fromhex("80a80000c8") + bytes(range(200))
    card.script = lambda _command: bytes(range(255, -1, -1)) + b"\x90\x00"
    assert tag.transceive(long) == bytes(range(255, -1, -1)) + b"\x90\x00"
    assert card.commands == [long]


def test_nfcpy_grants_a_slow_card_more_time(chip: VirtualPn532, card: ScriptedCard, frontend: Any) -> None:
    chip.present(card)
    tag = activate(frontend)
    card.compute_ms = 500
    assert tag.transceive(SELECT_PPSE) == SELECT_PPSE + b"\x90\x00"


def test_nfcpy_notices_that_the_card_has_left(chip: VirtualPn532, card: ScriptedCard, frontend: Any) -> None:
    chip.present(card)
    tag = activate(frontend)
    assert tag.is_present
    chip.remove(card)
    assert not tag.is_present


def test_nfcpy_needs_four_chip_commands_for_an_apdu(chip: VirtualPn532, card: ScriptedCard, frontend: Any) -> None:
    chip.present(card)
    tag = activate(frontend)
    before = len(chip.command_log)
    tag.transceive(SELECT_PPSE)
    assert chip.command_log[before:] == [0x06, 0x08, 0x32, 0x42]
