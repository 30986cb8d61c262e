"""The hardships there are, by name.

Comes in: a hardship's name. Goes out: what runs it, and how often when nobody says.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from taplab.hardship import cut, full, kill, power
from taplab.hardship.report import Report

Run = Callable[[Path, int, int, Callable[[str], None]], Report]

HARDSHIPS: dict[str, tuple[Run, int]] = {
    "kill": (kill.run, 200),
    "cut": (cut.run, 16),  # bytes between two cuts
    "full": (full.run, 3),
    "power": (power.run, 20),
}
