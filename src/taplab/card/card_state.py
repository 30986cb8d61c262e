"""Where a card's counter and balance survive a restart of the lab: one small JSON file per card.

Comes in: a `CardState` before each answer that depends on it. Goes out: the same state at the next start.
Strategy: hosts refuse an ATC they have seen, so a lab that forgot it would get its good cards declined.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from taplab.card.card import CardState
from taptill.errors import ConfigError


class CardStateError(ConfigError):
    """The state file is there and is none."""


def read_state(path: Path) -> CardState | None:
    """None when the card has not been used yet. Raises CardStateError."""
    if not path.exists():
        return None
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
        return CardState(atc=int(written["atc"]), balance_minor=int(written["balance_minor"]))
    except (OSError, ValueError, KeyError, TypeError) as broken:
        what = f"no card state: {type(broken).__name__}"
        raise CardStateError(
            what, where=str(path), next_step="remove it, and the card's history at the host"
        ) from broken


def write_state(path: Path, state: CardState) -> None:
    """Replaces the older state in one step."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps(asdict(state)), encoding="utf-8")
    draft.replace(path)
