"""What the PC/SC tests share: a pcscd of our own, a reader on it, a card."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from taplab.card import Card, Scheme, load_card
from taplab.pcsc.pcscd import READER_NAMES, OwnPcscd, PcscUnavailable
from taptill.card.adapters.pcsc import PcscReader
from taptill.clock import SystemClock
from taptill.entropy import SystemEntropy


@pytest.fixture
def daemon() -> Iterator[OwnPcscd]:
    own = OwnPcscd()
    try:
        own.start()
    except PcscUnavailable as missing:
        pytest.skip(str(missing))
    with own:
        yield own


@pytest.fixture
def reader(daemon: OwnPcscd) -> Iterator[PcscReader]:
    opened = PcscReader(f"pcsc:{READER_NAMES[0]}", SystemClock(0))
    opened.open()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def scheme() -> Scheme:
    return Scheme.generate(SystemEntropy())


@pytest.fixture
def card(scheme: Scheme, tmp_path: Path) -> Card:
    return load_card("good_credit", scheme, SystemEntropy(), tmp_path / "state.json")
