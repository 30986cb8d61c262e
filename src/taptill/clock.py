"""Time as a port: a monotonic count for deadlines and a wall time that says how far it can be trusted.

Strategy: nothing in a stage reads a clock; it is handed a `Timestamp`. Wall time is at least the build time and the
last time the journal saw, so it never runs backwards over a reboot. Within a boot it runs from the best moment known so
far on the monotonic count: a machine clock that jumps moves nothing (DESIGN 5.14).
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


class FollowingClock(Clock, Protocol):
    """A clock that takes over a better time."""

    def follow(self, at: Timestamp) -> None:
        """From now on wall time runs from `at`, unless what it runs from is trusted more."""


class TimeSource(Protocol):
    """What the machine itself says. Never blocks, never raises."""

    def monotonic_us(self) -> int: ...

    def wall_ms(self) -> int:
        """Milliseconds since 1970 UTC, right or wrong."""

    def trust(self) -> Trust:
        """Of the wall time: NTP, RTC, or a guess."""


class MachineTime:
    """The time of the operating system."""

    def monotonic_us(self) -> int:
        return time.monotonic_ns() // 1000

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def trust(self) -> Trust:
        return Trust.RTC


class SystemClock:
    """The machine's time above a floor, until the host gives a better one."""

    def __init__(self, floor_unix_ms: int, source: TimeSource | None = None) -> None:
        self._floor_unix_ms = floor_unix_ms
        self._source: TimeSource = source or MachineTime()
        self._run_from(self._source.wall_ms(), self._source.trust())

    def monotonic_us(self) -> int:
        return self._source.monotonic_us()

    def now(self) -> Timestamp:
        if self._source.trust() > self._trust:
            self._run_from(self._source.wall_ms(), self._source.trust())
        unix_ms = self._from_ms + (self._source.monotonic_us() - self._from_us) // 1000
        if unix_ms < self._floor_unix_ms:
            return Timestamp(self._floor_unix_ms, Trust.GUESS)
        return Timestamp(unix_ms, self._trust)

    def follow(self, at: Timestamp) -> None:
        if at.trust >= self._trust:
            self._run_from(at.unix_ms, at.trust)

    def _run_from(self, unix_ms: int, trust: Trust) -> None:
        self._from_ms, self._from_us, self._trust = unix_ms, self._source.monotonic_us(), trust
