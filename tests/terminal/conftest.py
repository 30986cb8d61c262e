"""The counter that the stories happen at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.terminal.shop import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop that has opened and signed on."""
    shop = Shop(tmp_path)
    shop.open()
    yield shop
    shop.power_cut()
