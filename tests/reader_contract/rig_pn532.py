"""The PN532 adapter on a software chip, for the CardReader contract suite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from taplab.pn532.airtime import Timing
from taplab.pn532.field import HeldCard
from taplab.pn532.serial_port import VirtualPn532
from taptill.card.adapters.pn532 import Pn532Reader
from taptill.card.reader import CardReader
from taptill.clock import Clock


class Pn532Rig:
    """`reader` is not opened yet; losing it is pulling its cable."""

    def __init__(self, chip: VirtualPn532, clock: Clock) -> None:
        self._chip = chip
        self.reader: CardReader = Pn532Reader(f"pn532:{chip.path}", clock)

    def present(self, card: HeldCard) -> None:
        self._chip.present(card)

    def present_beside(self, card: HeldCard) -> None:
        self._chip.present(card)

    def remove(self, card: HeldCard | None = None) -> None:
        self._chip.remove(card)

    def lose_reader(self) -> None:
        self._chip.unplug()

    def restore_reader(self) -> None:
        self._chip.replug()


@contextmanager
def pn532_rig(clock: Clock) -> Iterator[Pn532Rig]:
    with VirtualPn532(Timing(uart=False, air=False, compute=True)) as chip:
        rig = Pn532Rig(chip, clock)
        yield rig
        rig.reader.close()
