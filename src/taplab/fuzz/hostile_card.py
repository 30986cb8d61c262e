"""A card that does as a fuzzer pleases.

Comes in: choices, and a good card to begin with. Goes out: a `CardReader` on which it lies, and the story of what was
said, for people. Strategy: every answer may be spoiled, late, or not come at all.
"""

from __future__ import annotations

from taplab.fuzz.choices import Choices
from taplab.fuzz.good_cards import GoodCard
from taplab.fuzz.spoil import spoiled
from taptill.card.apdu_names import describe_apdu
from taptill.card.read_card import COMMANDS_PER_TAP_MAX
from taptill.card.reader import CardLost, Presentation, RawResponse

EXCHANGES_MAX = COMMANDS_PER_TAP_MAX * 9  # each command with all follow-ups it may have
COMMAND_OCTETS_MAX = 261  # ISO/IEC 7816-4, 5.1: a short command with header, Lc, data and Le
_ELAPSED_US = (1_000, 0, 1, 50_000, 3_000_000, 2**40)
_KINDS = 8
_GET_RESPONSE = 0xC0
_CHAINED_OCTETS = 250


class LawBroken(AssertionError):
    """The terminal did what no card may make it do."""


class HostileCard:
    """Raises LawBroken when it is asked too much."""

    url = "fuzz:"

    def __init__(self, good: GoodCard, choices: Choices) -> None:
        self.story: list[str] = [f"begins as {good.name}"]
        self.exchanges = 0
        self._good = good
        self._choices = choices
        self._others = tuple(good.by_header.values())
        self._chained = 0  # answers still to come by GET RESPONSE

    def open(self) -> None:
        """It is."""

    def close(self) -> None:
        """It stays."""

    def wait_for_card(self, timeout_ms: int) -> Presentation | None:
        return Presentation(b"\x08\x00\x00\x01", "A")

    def wait_for_removal(self, timeout_ms: int) -> bool:
        return True

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        self.exchanges += 1
        if self.exchanges > EXCHANGES_MAX:
            raise LawBroken(f"a tap of more than {EXCHANGES_MAX} exchanges")
        if not 4 <= len(command) <= COMMAND_OCTETS_MAX:
            raise LawBroken(f"a command of {len(command)} octets")
        answer, elapsed_us = self._answer(command), _ELAPSED_US[0]
        kind = self._choices.below(_KINDS)
        if kind == _KINDS - 1 and self._choices.below(4) == 0:
            self.story.append(f"{_told(command)} -> leaves")
            raise CardLost("left", where="fuzz")
        if kind == _KINDS - 2:
            elapsed_us = self._choices.one_of(_ELAPSED_US)
        if kind % 2:
            answer = spoiled(self._choices, answer, self._others)
        self.story.append(f"{_told(command)} -> {answer.hex().upper() or 'nothing'} after {elapsed_us} us")
        return RawResponse(answer, elapsed_us)

    def _answer(self, command: bytes) -> bytes:
        """The good card's, or one of many parts that never seem to end."""
        if command[1] == _GET_RESPONSE and self._chained:
            self._chained -= 1
            return self._choices.octets(_CHAINED_OCTETS) + (b"\x61\xff" if self._chained else b"\x90\x00")
        answer = self._good.answer(command)
        self._chained = self._choices.below(16) if self._choices.below(16) == 15 else 0
        return answer[:-2] + b"\x61\xff" if self._chained else answer


def _told(command: bytes) -> str:
    return f"{describe_apdu(command).title} {command.hex().upper()}"
