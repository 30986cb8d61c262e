"""libnfc's own tools, which nobody here wrote, meet the software chip."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from taplab.pn532.airtime import Timing
from taplab.pn532.serial_port import VirtualPn532

if TYPE_CHECKING:
    from tests.pn532.conftest import ScriptedCard

TOOL_TIMEOUT_S = 20
POLL_START_TIMEOUT_S = 10
IN_AUTO_POLL = 0x60


def start(tool: str, chip: VirtualPn532) -> subprocess.Popen[str]:
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is missing: install libnfc-bin and libnfc-examples")
    environment = {**os.environ, "LIBNFC_DEFAULT_DEVICE": f"pn532_uart:{chip.path}"}
    return subprocess.Popen([path, "-v"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def output(tool: subprocess.Popen[str]) -> str:
    try:
        return tool.communicate(timeout=TOOL_TIMEOUT_S)[0]
    finally:
        tool.kill()


def wait_until_polling(chip: VirtualPn532) -> None:
    until = time.monotonic() + POLL_START_TIMEOUT_S
    while IN_AUTO_POLL not in chip.command_log and time.monotonic() < until:
        time.sleep(0.02)


def test_nfc_list_shows_the_card_and_nothing_else(chip: VirtualPn532, card: ScriptedCard) -> None:
    chip.present(card)
    shown = output(start("nfc-list", chip))
    assert "1 ISO14443A passive target(s) found" in shown
    assert "ATQA (SENS_RES): 00  44" in shown
    assert "UID (NFCID1): 04  a1  b2  c3  d4  e5  f6" in shown
    assert "SAK (SEL_RES): 20" in shown
    assert "ATS: 75  77  81  02  80" in shown
    assert "Frame Waiting Time: 77.33 ms" in shown
    assert "0 ISO14443B passive target(s) found" in shown


def test_nfc_list_finds_an_empty_field(chip: VirtualPn532) -> None:
    assert "0 ISO14443A passive target(s) found" in output(start("nfc-list", chip))


def test_nfc_list_works_after_a_driver_that_left_the_chip_asleep(chip: VirtualPn532, card: ScriptedCard) -> None:
    chip.present(card)
    for _ in range(2):
        assert "1 ISO14443A passive target(s) found" in output(start("nfc-list", chip))
        assert chip.command_log[-1] == 0x16  # PowerDown


def test_nfc_poll_waits_for_the_card_and_sees_it_leave(card: ScriptedCard) -> None:
    with VirtualPn532(Timing.REAL) as chip:
        tool = start("nfc-poll", chip)
        wait_until_polling(chip)
        chip.present(card)
        time.sleep(0.3)
        chip.remove(card)
        shown = output(tool)
    assert "UID (NFCID1): 04  a1  b2  c3  d4  e5  f6" in shown
    assert "Waiting for card removing" in shown
    assert "done." in shown
