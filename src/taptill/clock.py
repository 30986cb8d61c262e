"""Time as a port: a monotonic count for deadlines and a wall time that says how far it can be trusted.

Strategy: nothing in a stage reads a clock; it is handed a `Timestamp`. Wall time is at least the build time and the
last time the journal saw, so it never runs backwards over a reboot (DESIGN 5.14).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


class Trust(IntEnum):
    """How far a wall time can be believed, weakest first."""

    GUESS = 0
    RTC = 1
    NTP = 2
    HOST = 3


@dataclass(frozen=True, slots=True)
class Timestamp:
    """Wall time in milliseconds since 1970 UTC, and its trust."""

    unix_ms: int
    trust: Trust


class Clock(Protocol):
    """Never blocks, never raises."""

    def monotonic_us(self) -> int:
        """Microseconds since an arbitrary start, never decreasing."""

    def now(self) -> Timestamp:
        """Wall time, never before the floor."""


class SystemClock:
    """The machine's clock above a floor. `offset_ms` follows the host's time once a sign-on gave it."""

    def __init__(self, floor_unix_ms: int, trust: Trust = Trust.RTC) -> None:
        self._floor_unix_ms = floor_unix_ms
        self._offset_ms = 0
        self._trust = trust

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1000

    def now(self) -> Timestamp:
        unix_ms = time.time_ns() // 1_000_000 + self._offset_ms
        if unix_ms < self._floor_unix_ms:
            return Timestamp(self._floor_unix_ms, Trust.GUESS)
        return Timestamp(unix_ms, self._trust)

    def follow(self, at: Timestamp) -> None:
        """Take over a better time: from now on wall time runs from `at`."""
        if at.trust >= self._trust:
            self._offset_ms = at.unix_ms - time.time_ns() // 1_000_000
            self._trust = at.trust
