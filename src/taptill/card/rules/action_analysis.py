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


# EMV Book 3, 10.7: without action codes nothing denies, and everything sends online or is denied.
NOT_GIVEN = ActionCodes(NONE, ALL, ALL)
ALL_ONES = ActionCodes(ALL, ALL, ALL)


def issuer_action_codes(
    card: Mapping[int, bytes], not_given: ActionCodes = NOT_GIVEN, malformed: ActionCodes = ALL_ONES
) -> ActionCodes:
    """9F0E, 9F0F and 9F0D; what counts instead of one the card leaves out, and of one of a wrong length."""

    def code(tag: int, absent: bytes, wrong: bytes) -> bytes:
        octets = card.get(tag)
        if octets is None:
            return absent
        return octets if len(octets) == ACTION_CODE_OCTETS else wrong

    return ActionCodes(
        denial=code(0x9F0E, not_given.denial, malformed.denial),
        online=code(0x9F0F, not_given.online, malformed.online),
        default=code(0x9F0D, not_given.default, malformed.default),
    )


def reach_of(terminal_type: int) -> Reach:
    """What 9F35 says the terminal can do."""
    kind = terminal_type & 0x0F
    if kind in _OFFLINE_ONLY_TYPES:
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
