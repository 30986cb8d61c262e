"""The PC/SC adapter where it goes beyond the contract: names, false presence, a hung or restarted service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from taplab.card import Card
from taplab.pcsc.pcscd import READER_NAMES, OwnPcscd
from taptill.card.adapters.pcsc import PcscReader
from taptill.card.reader import CardLost, ReaderLost
from taptill.clock import SystemClock
from taptill.errors import ConfigError

SEEN_S = 0.9  # pcscd looks into its slots every 400 ms
SELECT = bytes.fromhex("00A4040008A00000033301010200")
RESTARTS = 15
WITHOUT_PYSCARD = """
import sys
sys.modules["smartcard"] = None
from taptill.card.adapters.pcsc import PcscReader
from taptill.card.adapters.pcsc_calls import PcscMissing
from taptill.clock import SystemClock
try:
    PcscReader("pcsc:", SystemClock(0)).open()
except PcscMissing as missing:
    print(missing)
"""


@pytest.mark.parametrize("name", ["", "Virtual PCD", "PCD 00 01"])
def test_a_reader_is_found_by_any_part_of_its_name(daemon: OwnPcscd, card: Card, name: str) -> None:
    reader = PcscReader(f"pcsc:{name}", SystemClock(0))
    reader.open()
    daemon.slots[1 if name.endswith("01") else 0].present(card)
    assert reader.wait_for_card(3000) is not None
    reader.close()


def test_a_name_nobody_has_is_answered_with_the_names_there_are(daemon: OwnPcscd) -> None:
    with pytest.raises(ReaderLost, match=READER_NAMES[0]):
        PcscReader("pcsc:ACR122", SystemClock(0)).open()


def test_another_url_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match="pcsc:ACR122"):
        PcscReader("pn532:/dev/ttyAMA0", SystemClock(0))


def test_a_missing_library_says_how_to_install_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYSCARD], capture_output=True, text=True, timeout=60, check=True
    )
    assert "taptill[pcsc]" in done.stdout
    assert "libpcsclite" in done.stdout


def test_the_adapter_loads_no_library_before_it_is_opened() -> None:
    asked = "import sys, taptill.card.adapters.pcsc; print('smartcard' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"


def test_a_card_that_left_before_it_was_connected_is_not_reported(
    daemon: OwnPcscd, reader: PcscReader, card: Card
) -> None:
    daemon.slots[0].present(card)
    time.sleep(SEEN_S)
    daemon.slots[0].remove()
    assert reader.wait_for_card(100) is None


def test_a_card_that_left_and_came_while_nobody_looked_is_a_new_presentation(
    daemon: OwnPcscd, reader: PcscReader, card: Card
) -> None:
    daemon.slots[0].present(card)
    assert reader.wait_for_card(3000) is not None
    daemon.slots[0].remove()
    time.sleep(SEEN_S)
    daemon.slots[0].present(card)
    time.sleep(SEEN_S)
    assert reader.wait_for_removal(0) is True
    assert reader.wait_for_card(500) is not None


def test_a_card_another_program_holds_is_a_lost_reader_in_the_end(
    daemon: OwnPcscd, reader: PcscReader, card: Card
) -> None:
    other = PcscReader(reader.url, SystemClock(0))
    other.open()
    daemon.slots[0].present(card)
    assert other.wait_for_card(3000) is not None
    with pytest.raises(ReaderLost, match=r"(?i)sharing"):
        reader.wait_for_card(500)
    other.close()


@pytest.mark.parametrize("call", ["wait_for_card", "wait_for_removal", "transmit"])
def test_a_service_that_hangs_is_a_lost_reader_in_time(
    daemon: OwnPcscd, reader: PcscReader, card: Card, call: str
) -> None:
    daemon.slots[0].present(card)
    assert reader.wait_for_card(3000) is not None
    assert daemon.process_id is not None
    os.kill(daemon.process_id, signal.SIGSTOP)
    begun = time.monotonic()
    try:
        with pytest.raises((ReaderLost, CardLost)):
            reader.transmit(SELECT, 300) if call == "transmit" else getattr(reader, call)(300)
        assert time.monotonic() - begun < 0.8
        begun = time.monotonic()
        with pytest.raises(ReaderLost):
            reader.wait_for_card(300)
        assert time.monotonic() - begun < 0.8
    finally:
        os.kill(daemon.process_id, signal.SIGCONT)
    reader.open()
    daemon.slots[0].remove()
    assert reader.wait_for_removal(3000) is True


def test_the_reader_survives_many_restarts_of_the_service(daemon: OwnPcscd, reader: PcscReader, card: Card) -> None:
    for _ in range(RESTARTS):
        daemon.stop()
        with pytest.raises(ReaderLost):
            reader.wait_for_card(500)
        daemon.start()
        reader.open()
    daemon.slots[0].present(card)
    assert reader.wait_for_card(3000) is not None
    assert reader.transmit(SELECT, 1000).octets[-2:] == b"\x90\x00"
