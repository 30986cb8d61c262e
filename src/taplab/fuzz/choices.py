"""Octets made up by a fuzzer, read as choices.

Comes in: any octets. Goes out: numbers, flags, other octets. Strategy: when they are used up every choice is zero, and
zero is always "behave", so that a short input is a good card with one fault and the shortest failing one is readable.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """One run's worth."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    def octet(self) -> int:
        """0 to 255."""
        self._at += 1
        return self._octets[self._at - 1] if self._at <= len(self._octets) else 0

    def below(self, limit: int) -> int:
        """0 to `limit` - 1, two octets of input where one is not enough."""
        number = self.octet()
        if limit > 0x100:
            number = number << 8 | self.octet()
        return number % limit

    def one_of(self, many: Sequence[T]) -> T:
        """The first when in doubt."""
        return many[self.below(len(many))]

    def octets(self, count: int) -> bytes:
        """As they come; fewer where the input ends."""
        taken = self._octets[self._at : self._at + count]
        self._at += count
        return taken

    def rest(self) -> bytes:
        """All that is left."""
        return self.octets(max(0, len(self._octets) - self._at))
