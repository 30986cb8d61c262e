"""The PC/SC adapter on a pcscd of our own, whose virtual reader is named and behaves like an ACR122U."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from taplab.pcsc.acr122 import Acr122
from taplab.pcsc.firmware import HeldCard
from taplab.pcsc.pcscd import ACR122_NAME, OwnPcscd, PcscUnavailable
from taptill.card.adapters.pcsc import PcscReader
from taptill.clock import Clock


@dataclass
class PcscRig:
    reader: PcscReader
    daemon: OwnPcscd

    def present(self, card: HeldCard) -> None:
        self.daemon.slots[0].present(card)

    def present_beside(self, card: HeldCard) -> None:
        self.daemon.slots[0].present_beside(card)

    def remove(self, card: HeldCard | None = None) -> None:
        self.daemon.slots[0].remove(card)

    def lose_reader(self) -> None:
        self.daemon.stop()

    def restore_reader(self) -> None:
        self.daemon.start()


@contextmanager
def pcsc_rig(clock: Clock) -> Iterator[PcscRig]:
    daemon = OwnPcscd(ACR122_NAME, Acr122)
    try:
        daemon.start()
    except PcscUnavailable as missing:
        pytest.skip(str(missing))
    with daemon:
        reader = PcscReader("pcsc:ACR122", clock)
        try:
            yield PcscRig(reader, daemon)
        finally:
            reader.close()
