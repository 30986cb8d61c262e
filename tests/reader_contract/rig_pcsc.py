"""The PC/SC adapter on a pcscd of our own with vsmartcard's virtual reader."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from taplab.card import Card
from taplab.pcsc.pcscd import READER_NAMES, OwnPcscd, PcscUnavailable
from taptill.card.adapters.pcsc import PcscReader
from taptill.clock import SystemClock


@dataclass
class PcscRig:
    reader: PcscReader
    daemon: OwnPcscd

    def present(self, card: Card) -> None:
        self.daemon.slots[0].present(card)

    def remove(self) -> None:
        self.daemon.slots[0].remove()

    def lose_reader(self) -> None:
        self.daemon.stop()

    def restore_reader(self) -> None:
        self.daemon.start()


@contextmanager
def pcsc_rig() -> Iterator[PcscRig]:
    daemon = OwnPcscd()
    try:
        daemon.start()
    except PcscUnavailable as missing:
        pytest.skip(str(missing))
    with daemon:
        reader = PcscReader(f"pcsc:{READER_NAMES[0]}", SystemClock(0))
        try:
            yield PcscRig(reader, daemon)
        finally:
            reader.close()
