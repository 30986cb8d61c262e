"""A card whose answers are written down, and a software PN532 to hold it to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from taplab.pn532.airtime import Timing
from taplab.pn532.serial_port import VirtualPn532
from taptill.card.adapters.pn532 import Pn532Reader
from taptill.clock import SystemClock

SMALL_FRAMES_ATS = bytes.fromhex("067577810280")  # FSCI 5 (64 bytes), FWI 8 (77 ms), CID supported; a MIFARE Plus' ATS


@dataclass(frozen=True, slots=True)
class ScriptedAnswer:
    octets: bytes
    compute_ms: float = 0


class ScriptedCard:
    """Answers every command through `script`; echoes the command with 9000 unless told otherwise."""

    def __init__(self, uid: bytes = bytes.fromhex("04a1b2c3d4e5f6"), ats: bytes = SMALL_FRAMES_ATS) -> None:
        self.uid = uid
        self.ats = ats
        self.script: Callable[[bytes], bytes] = lambda command: command + b"\x90\x00"
        self.compute_ms = 0.0
        self.commands: list[bytes] = []
        self.resets = 0

    def answer(self, command: bytes) -> ScriptedAnswer:
        self.commands.append(command)
        return ScriptedAnswer(self.script(command), self.compute_ms)

    def reset(self) -> None:
        self.resets += 1


@pytest.fixture
def card() -> ScriptedCard:
    return ScriptedCard()


@pytest.fixture
def other_card() -> ScriptedCard:
    return ScriptedCard(uid=bytes.fromhex("0badcafe"), ats=bytes.fromhex("0578807002"))


@pytest.fixture
def chip() -> Iterator[VirtualPn532]:
    with VirtualPn532() as running:
        yield running


@pytest.fixture
def chip_that_computes() -> Iterator[VirtualPn532]:
    """Line and air take no time, a card's own work does."""
    with VirtualPn532(Timing(uart=False, air=False, compute=True)) as running:
        yield running


@pytest.fixture
def reader(chip: VirtualPn532) -> Iterator[Pn532Reader]:
    opened = Pn532Reader(f"pn532:{chip.path}", SystemClock(0))
    opened.open()
    yield opened
    opened.close()
