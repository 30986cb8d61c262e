"""Which cryptogram to ask for: what issuer and acquirer want done about the terminal's findings (EMV Book 3, 10.7).

Comes in: the TVR (95), the action codes of both, and how far the terminal can reach. Goes out: AAC, ARQC or TC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from taptill.card.outcome import CryptogramType

ACTION_CODE_OCTETS = 5
NONE, ALL = bytes(ACTION_CODE_OCTETS), b"\xff" * ACTION_CODE_OCTETS

_ONLINE_ONLY_TYPES, _OFFLINE_ONLY_TYPES = (1, 4), (3, 6)  # the right digit of 9F35, EMV Book 4, Annex A1


@dataclass(frozen=True, slots=True)
class ActionCodes:
    """For each bit of the TVR: whether it denies, sends online, and denies where online is out of reach."""

    denial: bytes = NONE
    online: bytes = NONE
    default: bytes = NONE


class Reach(Enum):
    """Whether the issuer can be asked."""

    ONLINE_ONLY = "online only"
    ONLINE = "offline with online capability"
    OFFLINE = "offline only"


def issuer_action_codes(card: Mapping[int, bytes]) -> ActionCodes:
    """9F0E, 9F0F and 9F0D. EMV Book 3, 10.7: without them nothing denies, and everything sends online or is denied; one
    of a wrong length counts as all ones."""
    return ActionCodes(
        denial=_code(card.get(0x9F0E, NONE)),
        online=_code(card.get(0x9F0F, ALL)),
        default=_code(card.get(0x9F0D, ALL)),
    )


def reach_of(terminal_type: int, online_possible: bool) -> Reach:
    """9F35 says what the terminal could, `online_possible` whether it can now."""
    kind = terminal_type & 0x0F
    if kind in _OFFLINE_ONLY_TYPES or not online_possible:
        return Reach.OFFLINE
    return Reach.ONLINE_ONLY if kind in _ONLINE_ONLY_TYPES else Reach.ONLINE


def requested_cryptogram(tvr: bytes, issuer: ActionCodes, terminal: ActionCodes, reach: Reach) -> CryptogramType:
    """EMV Book 3, 10.7: denial first, then online where it can be had, else the default."""
    if _meets(tvr, issuer.denial, terminal.denial):
        return CryptogramType.AAC
    if reach is Reach.ONLINE_ONLY:
        return CryptogramType.ARQC
    if reach is Reach.ONLINE:
        return CryptogramType.ARQC if _meets(tvr, issuer.online, terminal.online) else CryptogramType.TC
    return CryptogramType.AAC if _meets(tvr, issuer.default, terminal.default) else CryptogramType.TC


def _meets(tvr: bytes, *codes: bytes) -> bool:
    return any(finding & weight for code in codes for finding, weight in zip(tvr, code, strict=True))


def _code(octets: bytes) -> bytes:
    return octets if len(octets) == ACTION_CODE_OCTETS else ALL
