"""A payment card made of software: command bytes in, answer bytes out.

Comes in: what the issuer wrote into the card, and commands. Goes out: the answers of its applications, each with the
time a card's processor would take; whoever holds the card up to a reader lets that time pass.
Strategy: no I/O, and deterministic given its entropy. The card itself knows the directory and which application is
selected; everything else is the application's affair (unionpay, visa, mastercard).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from taplab.card.application import Application, Remember
from taplab.card.card_state import CardState
from taplab.card.commands import (
    SW_CONDITIONS_NOT_SATISFIED,
    SW_FILE_NOT_FOUND,
    SW_OK,
    SW_WRONG_DATA,
    SW_WRONG_LENGTH,
    CardAnswer,
    Command,
)
from taplab.card.mastercard import MastercardApplication
from taplab.card.personalisation import Brand, Personalisation
from taplab.card.unionpay import UnionPayApplication
from taplab.card.visa import VisaApplication
from taptill.entropy import Entropy

PPSE_NAME = b"2PAY.SYS.DDF01"
RANDOM_UID_FIRST = b"\x08"  # ISO/IEC 14443-3, Table 8
NAME_OCTETS_MIN = 5

_SELECT = b"\x00\xa4"
_FIRST, _NEXT = b"\x04\x00", b"\x04\x02"  # P1 and P2: by name, first or next occurrence
_NEEDS_SELECTION = frozenset({b"\x80\xa8", b"\x00\xb2", b"\x80\xca"})

_APPLICATIONS: Mapping[Brand, type[Application]] = MappingProxyType(
    {
        Brand.UNIONPAY: UnionPayApplication,
        Brand.VISA: VisaApplication,
        Brand.MASTERCARD: MastercardApplication,
    }
)


def _keep_in_memory(states: Sequence[CardState]) -> None:
    """A card whose life ends with its process."""


class Card:
    """One card. `uid` is 4 bytes; `ats` as in ISO/IEC 14443-4, `atr` as a PC/SC reader makes it up from that; `phone`
    says that it is one. `states` and `remember`: one state per application, in the order of the directory."""

    def __init__(
        self,
        written: Personalisation,
        entropy: Entropy,
        states: Sequence[CardState] = (),
        remember: Callable[[Sequence[CardState]], None] = _keep_in_memory,
    ) -> None:
        self.label = written.label
        self.ats = written.ats
        self.atr = _atr_of(written.ats)
        self.phone = any(issued.phone is not None for issued in written.applications)
        self._written = written
        self._entropy = entropy
        self._remember = remember
        known = [*states, *[None] * len(written.applications)]
        self._applications = [
            _APPLICATIONS[issued.brand](issued, state, entropy, self._keeper(place))
            for place, (issued, state) in enumerate(zip(written.applications, known, strict=False))
        ]
        self._selected: int | None = None
        self._take_uid()

    def reset(self) -> None:
        """The field went off and on: nothing is selected, nothing half done is kept, a random UID changes."""
        self._selected = None
        for application in self._applications:
            application.field_off()
        self._take_uid()

    def state(self, place: int = 0) -> CardState:
        """Of the application in this place of the directory."""
        return self._applications[place].state

    def answer(self, command: bytes) -> CardAnswer:
        """The answer to one APDU; malformed ones get their status word."""
        asked = Command.of(command)
        if asked is None:
            return CardAnswer(SW_WRONG_LENGTH)
        if asked.name == _SELECT:
            return self._select(asked)
        if self._selected is not None:
            return self._applications[self._selected].answer(asked)
        return CardAnswer(SW_CONDITIONS_NOT_SATISFIED) if asked.name in _NEEDS_SELECTION else asked.unknown()

    def _take_uid(self) -> None:
        self.uid = self._written.uid or RANDOM_UID_FIRST + self._entropy.octets(3)

    def _select(self, command: Command) -> CardAnswer:
        """By name; a shorter name of at least five bytes selects too (EMV Book 1, 12.2.1)."""
        compute_ms = self._written.compute.select_ms
        if command.parameters not in (_FIRST, _NEXT):
            return CardAnswer(SW_WRONG_DATA, compute_ms)
        behind = -1 if command.parameters == _FIRST or self._selected is None else self._selected
        self._selected = None
        if command.data == PPSE_NAME and command.parameters == _FIRST:
            return CardAnswer(self._written.ppse + SW_OK, compute_ms)
        places = range(behind + 1, len(self._applications))
        self._selected = next((place for place in places if self._is_named(place, command.data)), None)
        if self._selected is None:
            return CardAnswer(SW_FILE_NOT_FOUND, compute_ms)
        return self._applications[self._selected].select()

    def _is_named(self, place: int, name: bytes) -> bool:
        issued = self._applications[place].issued
        return len(name) >= NAME_OCTETS_MIN and (
            issued.aid.startswith(name) or name == issued.aid + issued.extended_selection
        )

    def _keeper(self, place: int) -> Remember:
        def keep(state: CardState) -> None:
            states = [application.state for application in self._applications]
            self._remember([*states[:place], state, *states[place + 1 :]])

        return keep


def _atr_of(ats: bytes) -> bytes:
    """PC/SC Part 3, 3.1.3.2.3.1: 3B, 80 and the count, 80 01, historical bytes of the ATS, check byte."""
    interface_octets = sum(1 for bit in (0x10, 0x20, 0x40) if ats[1] & bit)
    historical = ats[2 + interface_octets :]
    checked = bytes([0x80 | len(historical), 0x80, 0x01]) + historical
    check = 0
    for octet in checked:
        check ^= octet
    return b"\x3b" + checked + bytes([check])
