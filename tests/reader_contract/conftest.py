"""The rigs the reader contract runs on: every file `rig_NAME.py` beside this one adds one.

Comes in: `NAME_rig(clock)` of such a file, a context manager that gives a `Rig`. Goes out: the fixture `rig`, once per
rig, with a clock that has no wall time.
A new adapter joins the suite with one file and no change here; the file imports nothing from this one.
"""

from __future__ import annotations

import importlib.util
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha1
from pathlib import Path
from typing import Protocol

import pytest

from taplab.card import Card, CardAnswer, Scheme
from taplab.card.card_file import CardFile, personalise
from taplab.pcsc.firmware import HeldCard
from taplab.pn532.held_cards import MemoryCard, Phone, TypeBCard
from taptill.card.reader import CardReader
from taptill.clock import Clock, Timestamp
from taptill.entropy import SystemEntropy

NEVER_MS = 60_000
SEE_PHONE = b"\x69\x86"


class Rig(Protocol):
    """A reader and the hands that hold cards to it. Nothing here waits for the reader to notice."""

    @property
    def reader(self) -> CardReader:
        """Not yet opened; the rig closes it at the end."""

    def present(self, card: HeldCard) -> None:
        """Into the empty field."""

    def present_beside(self, card: HeldCard) -> None:
        """A second card."""

    def remove(self, card: HeldCard | None = None) -> None:
        """One card or all, whatever they are doing."""

    def lose_reader(self) -> None:
        """Unplugged, or its driver gone. A card stays where it is."""

    def restore_reader(self) -> None:
        """Back, as a user would bring it back."""


RigFactory = Callable[[Clock], AbstractContextManager[Rig]]


class MonotonicClock:
    """A clock no reader may read the wall time of."""

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1000

    def now(self) -> Timestamp:
        raise AssertionError("a reader has asked for the wall time")


def load_rigs() -> dict[str, RigFactory]:
    """Name of the rig to its factory."""
    rigs: dict[str, RigFactory] = {}
    for path in sorted(Path(__file__).parent.glob("rig_*.py")):
        spec = importlib.util.spec_from_file_location(f"reader_contract_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses look their module up
        spec.loader.exec_module(module)
        name = path.stem.removeprefix("rig_")
        rigs[name] = getattr(module, f"{name}_rig")
    return rigs


RIGS = load_rigs()


class PatternCard(Card):
    """A credit card that also knows some commands of its own: 00 B0 xx xx Le gives Le bytes, 00 D6 xx xx data gives the
    SHA-1 of the command, 00 B1 takes a minute, 00 B3 wants the phone unlocked, 00 B4 xx xx Le takes Le ms."""

    def answer(self, command: bytes) -> CardAnswer:
        match command[:2]:
            case b"\x00\xb0":
                return CardAnswer(pattern(command[4]) + b"\x90\x00")
            case b"\x00\xd6":
                return CardAnswer(sha1(command).digest() + b"\x90\x00")
            case b"\x00\xb1":
                return CardAnswer(b"\x90\x00", NEVER_MS)
            case b"\x00\xb3":
                return CardAnswer(SEE_PHONE)
            case b"\x00\xb4":
                return CardAnswer(b"\x90\x00", command[4])
        return super().answer(command)


def pattern(count: int) -> bytes:
    return bytes((7 * at + count) & 0xFF for at in range(count))


@pytest.fixture(params=sorted(RIGS))
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Opened, and given back at the end."""
    with RIGS[request.param](MonotonicClock()) as built:
        built.reader.open()
        yield built


@pytest.fixture(scope="session")
def scheme() -> Scheme:
    return Scheme.generate(SystemEntropy())


@pytest.fixture
def card(scheme: Scheme) -> PatternCard:
    return personal_card(scheme)


@pytest.fixture
def other_card(scheme: Scheme) -> PatternCard:
    return personal_card(scheme)


@pytest.fixture
def type_b(card: PatternCard) -> TypeBCard:
    return TypeBCard(card)


@pytest.fixture
def phone(card: PatternCard) -> Phone:
    """SEL_RES 60, and a new UID each time it is activated."""
    return Phone(card, card.ats)


@pytest.fixture
def ticket() -> MemoryCard:
    return MemoryCard(bytes.fromhex("0badcafe"))


def personal_card(scheme: Scheme) -> PatternCard:
    file = CardFile(label="Contract", pan="6228000100001117", expiry="2031-12")
    return PatternCard(personalise(file, scheme), SystemEntropy())


@contextmanager
def after_ms(delay_ms: int, action: Callable[[], None]) -> Iterator[None]:
    """Does `action` while the block is running, as a hand that moves in the middle of things."""
    timer = threading.Timer(delay_ms / 1000, action)
    timer.start()
    try:
        yield
    finally:
        timer.join()


@pytest.fixture
def while_running() -> Callable[[int, Callable[[], None]], AbstractContextManager[None]]:
    return after_ms
