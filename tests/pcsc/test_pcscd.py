"""A pcscd of our own: beside another one, stopped and started again, fast enough."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from taplab.card import Card
from taplab.pcsc.pcscd import READER_NAMES, OwnPcscd
from taptill.card.adapters.pcsc import PcscReader

ANOTHER_PROCESS_LISTS_ITS_READERS = """
from taplab.pcsc.pcscd import OwnPcscd
with OwnPcscd() as own:
    from smartcard import scard
    result, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    print(own.socket_path, scard.SCardListReaders(context, [])[1])
"""
FORGETS_TO_STOP = """
from taplab.pcsc.pcscd import OwnPcscd
own = OwnPcscd()
own.start()
print(own.process_id)
"""
SELECT = bytes.fromhex("00A4040008A00000033301010200")
MEDIAN_EXCHANGE_US_MAX = 20_000  # 48 ms with delayed acknowledgements


def test_a_second_one_runs_beside_the_first(daemon: OwnPcscd, reader: PcscReader) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ANOTHER_PROCESS_LISTS_ITS_READERS],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    path, _, names = done.stdout.partition(" ")
    assert names.strip() == str(list(READER_NAMES))
    assert path != str(daemon.socket_path)
    assert reader.wait_for_removal(500) is True


def test_stopping_leaves_no_process_no_socket_and_free_ports(daemon: OwnPcscd) -> None:
    daemon.stop()
    assert daemon.process_id is None
    assert not daemon.socket_path.exists()
    for slot in daemon.slots:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", slot.port), 1).close()


def test_starting_a_running_one_starts_nothing(daemon: OwnPcscd) -> None:
    first = daemon.process_id
    daemon.start()
    assert daemon.process_id == first


def test_it_ends_with_its_process_when_nobody_stops_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORGETS_TO_STOP], capture_output=True, text=True, timeout=60, check=True
    )
    assert not Path(f"/proc/{int(done.stdout)}").exists()


def test_a_card_stays_in_the_slot_over_a_restart(daemon: OwnPcscd, reader: PcscReader, card: Card) -> None:
    reader.close()
    daemon.slots[0].present(card)
    daemon.stop()
    daemon.start()
    reader.open()
    assert reader.wait_for_card(3000) is not None


def test_both_slots_hold_a_card_of_their_own(daemon: OwnPcscd, reader: PcscReader, card: Card) -> None:
    daemon.slots[1].present(card)
    assert reader.wait_for_card(1000) is None
    daemon.slots[0].present(card)
    assert reader.wait_for_card(3000) is not None


def test_an_exchange_does_not_wait_for_acknowledgements(daemon: OwnPcscd, reader: PcscReader, card: Card) -> None:
    daemon.slots[0].present(card)
    reader.wait_for_card(3000)
    begun = time.monotonic()
    taken_us = sorted(reader.transmit(SELECT, 1000).elapsed_us for _ in range(15))
    assert taken_us[7] < MEDIAN_EXCHANGE_US_MAX
    assert sum(taken_us) / 1e6 <= time.monotonic() - begun
