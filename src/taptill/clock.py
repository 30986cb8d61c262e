"""Time as a port: a monotonic count for deadlines and a wall time that says how far it can be trusted.

Strategy: nothing in a stage reads a clock; it is handed a `Timestamp`. Wall time is at least the build time and the
last time in the journal that somebody vouched for: one wild guess must not date everything after it. Within a boot it
runs from the best moment known so far on the monotonic count: a machine clock that jumps moves nothing (DESIGN 5.14).
The host's moment is kept where a restart within the same boot finds it again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from taptill import machine_time

TRUST_ASKED_EVERY_US = 10_000_000


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


class CheckingClock(Clock, Protocol):
    """A clock that dates of certificates can be checked against."""

    def surely_past(self) -> Timestamp:
        """Now if the host or a time server vouches for it, else the floor: the one moment that has passed for sure."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A wall time, and the monotonic count at which it was true."""

    at: Timestamp
    monotonic_us: int


class MomentKeeper(Protocol):
    """Where a moment outlives the program, but not the boot. Never raises: a moment that is lost is learned again."""

    def recall(self) -> Moment | None:
        """The last one kept in this boot of the machine."""

    def keep(self, moment: Moment) -> None: ...


class TimeSource(Protocol):
    """What the machine itself says. Never blocks, never raises."""

    def monotonic_us(self) -> int: ...

    def wall_ms(self) -> int:
        """Milliseconds since 1970 UTC, right or wrong."""

    def trust(self) -> Trust:
        """Of the wall time: NTP, RTC, or a guess."""


class MachineTime:
    """The time of the operating system. Its count goes on while the machine is suspended, as wall time does."""

    def __init__(self) -> None:
        self._trust = Trust.GUESS
        self._asked_us: int | None = None

    def monotonic_us(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def trust(self) -> Trust:
        """Asked anew after ten seconds: a time daemon may find its servers at any time."""
        now_us = self.monotonic_us()
        if self._asked_us is None or now_us - self._asked_us >= TRUST_ASKED_EVERY_US:
            self._asked_us, self._trust = now_us, self._ask()
        return self._trust

    def _ask(self) -> Trust:
        if machine_time.is_synchronised():
            return Trust.NTP
        return Trust.RTC if machine_time.is_set_from_rtc(self.wall_ms() // 1000) else Trust.GUESS


class SystemClock:
    """The machine's time above a floor, until the host gives a better one or `keeper` still has one of this boot."""

    def __init__(
        self, floor_unix_ms: int, source: TimeSource | None = None, keeper: MomentKeeper | None = None
    ) -> None:
        self._floor_unix_ms = floor_unix_ms
        self._source: TimeSource = source or MachineTime()
        self._keeper = keeper
        self._moment = self._of_source()  # replaced whole: other threads read it meanwhile
        kept = keeper.recall() if keeper else None
        if kept is not None and kept.at.trust >= self._moment.at.trust:
            self._moment = kept

    def monotonic_us(self) -> int:
        return self._source.monotonic_us()

    def now(self) -> Timestamp:
        moment = self._moment
        if self._source.trust() > moment.at.trust:
            moment = self._moment = self._of_source()
        unix_ms = moment.at.unix_ms + (self._source.monotonic_us() - moment.monotonic_us) // 1000
        if unix_ms < self._floor_unix_ms:
            return Timestamp(self._floor_unix_ms, Trust.GUESS)
        return Timestamp(unix_ms, moment.at.trust)

    def surely_past(self) -> Timestamp:
        now = self.now()
        return now if now.trust >= Trust.NTP else Timestamp(self._floor_unix_ms, Trust.GUESS)

    def follow(self, at: Timestamp) -> None:
        if at.trust >= self._moment.at.trust:
            if at.trust is Trust.HOST:  # entries written under a wild guess may lie in the future
                self._floor_unix_ms = min(self._floor_unix_ms, at.unix_ms)
            self._moment = Moment(at, self._source.monotonic_us())
            if self._keeper is not None:
                self._keeper.keep(self._moment)

    def _of_source(self) -> Moment:
        """A guess below the floor is worth nothing: time then runs from the floor on."""
        trust, unix_ms = self._source.trust(), self._source.wall_ms()
        if trust is Trust.GUESS:
            unix_ms = max(unix_ms, self._floor_unix_ms)
        return Moment(Timestamp(unix_ms, trust), self._source.monotonic_us())
