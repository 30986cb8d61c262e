"""The command `taptill` as people run it: a process, its exit status, and what it printed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from taplab.card import packaged_cards
from taplab.card.card_file import read_card_file

RUN = "import sys; from taptill.cli import main; sys.exit(main())"
LAB_CARD_NUMBERS = {read_card_file(path).pan for path in packaged_cards().values()}


@dataclass(frozen=True, slots=True)
class Done:
    """How a run ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run_taptill(*arguments: str) -> Done:
    """No run may end in a traceback or show a card number."""
    command = [sys.executable, "-c", RUN, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "Traceback" not in done.stderr
    for pan in LAB_CARD_NUMBERS:
        assert pan not in done.stdout + done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


Taptill = Callable[..., Done]


@pytest.fixture
def taptill() -> Taptill:
    return run_taptill
