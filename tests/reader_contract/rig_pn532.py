"""The PN532 adapter on a software chip, for the CardReader contract suite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from taplab.pn532.airtime import Timing
from taplab.pn532.picc import ContactlessCard
from taplab.pn532.serial_port import VirtualPn532
from taptill.card.adapters.pn532 import Pn532Reader
from taptill.card.reader import CardReader
from taptill.clock import SystemClock


class Pn532Rig:
    """`reader` is not opened yet; losing it is pulling its cable."""

    def __init__(self, chip: VirtualPn532) -> None:
        self._chip = chip
        self.reader: CardReader = Pn532Reader(f"pn532:{chip.path}", SystemClock(0))

    def present(self, card: ContactlessCard) -> None:
        self._chip.present(card)

    def remove(self) -> None:
        self._chip.remove()

    def lose_reader(self) -> None:
        self._chip.unplug()

    def restore_reader(self) -> None:
        self._chip.replug()


@contextmanager
def pn532_rig() -> Iterator[Pn532Rig]:
    with VirtualPn532(Timing(uart=False, air=False, compute=True)) as chip:
        rig = Pn532Rig(chip)
        yield rig
        rig.reader.close()
