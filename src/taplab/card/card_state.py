"""What changes in a card's life, and where it survives a restart of the lab: one small JSON file per card.

Comes in: the states of a card's applications before each answer that depends on them. Goes out: the same at the next
start.
Strategy: hosts refuse an ATC they have seen, so a lab that forgot it would get its good cards declined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import msgspec

from taptill.errors import ConfigError


class CardStateError(ConfigError):
    """The state file is there and is none."""


@dataclass(frozen=True, slots=True)
class CardState:
    """One application: the last ATC used, the offline balance in minor units, and what its issuer changed.

    `request_atc` and `request` are the last ARQC, which issuer responses refer to; `scripts_seen` counts the commands
    that came for it. `recoverable` holds the terminal's data and the answer of the last GENERATE AC."""

    atc: int = 0
    balance_minor: int = 0
    blocked: bool = False
    request_atc: int = 0
    request: bytes = b""
    scripts_seen: int = 0
    objects: Mapping[int, bytes] = field(default_factory=lambda: MappingProxyType({}))  # PUT DATA, by tag
    records: Mapping[tuple[int, int], bytes] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    recoverable: tuple[bytes, bytes] | None = field(default=None, repr=False)


class _Stored(msgspec.Struct, forbid_unknown_fields=True):
    """The written form; octets in hex, a record's key `SFI/number`. `others` are the card's further applications."""

    atc: int
    balance_minor: int
    blocked: bool = False
    request_atc: int = 0
    request: str = ""
    scripts_seen: int = 0
    objects: dict[str, str] = {}
    records: dict[str, str] = {}
    recoverable: list[str] = []
    others: list[_Stored] = []


def read_states(path: Path) -> tuple[CardState, ...]:
    """In the order of the card's applications; empty when the card has not been used yet. Raises CardStateError."""
    if not path.exists():
        return ()
    try:
        stored = msgspec.json.decode(path.read_bytes(), type=_Stored)
        return tuple(_state_of(each) for each in (stored, *stored.others))
    except (OSError, ValueError) as broken:
        what = f"no card state: {type(broken).__name__}"
        raise CardStateError(
            what, where=str(path), next_step="remove it, and the card's history at the host"
        ) from broken


def write_states(path: Path, states: Sequence[CardState]) -> None:
    """Replaces the older states in one step."""
    stored, *others = (_stored_of(state) for state in states)
    stored.others = others
    draft = path.with_name(path.name + ".new")
    draft.write_bytes(msgspec.json.encode(stored))
    draft.replace(path)


def _stored_of(state: CardState) -> _Stored:
    return _Stored(
        atc=state.atc,
        balance_minor=state.balance_minor,
        blocked=state.blocked,
        request_atc=state.request_atc,
        request=state.request.hex(),
        scripts_seen=state.scripts_seen,
        objects={f"{tag:X}": value.hex() for tag, value in state.objects.items()},
        records={f"{sfi}/{number}": value.hex() for (sfi, number), value in state.records.items()},
        recoverable=[part.hex() for part in state.recoverable or ()],
    )


def _state_of(stored: _Stored) -> CardState:
    """Raises ValueError."""
    places = {name: tuple(int(part) for part in name.split("/")) for name in stored.records}
    asked, answered = (bytes.fromhex(part) for part in stored.recoverable or ("", ""))
    return CardState(
        atc=stored.atc,
        balance_minor=stored.balance_minor,
        blocked=stored.blocked,
        request_atc=stored.request_atc,
        request=bytes.fromhex(stored.request),
        scripts_seen=stored.scripts_seen,
        objects={int(tag, 16): bytes.fromhex(value) for tag, value in stored.objects.items()},
        records={(places[name][0], places[name][1]): bytes.fromhex(value) for name, value in stored.records.items()},
        recoverable=(asked, answered) if answered else None,
    )
