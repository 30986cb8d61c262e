"""What goes wrong in a world, and where.

Comes in: faults, each for the n-th time something happens. Goes out: the fault that strikes now, and how often each
kind of thing happened.
Strategy: a fault names a place in the run and not a moment, so a schedule can be enumerated, replayed alone and shrunk
fault by fault. Counting goes on over restarts of the terminal. The whole schedule is data, made before the world runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Point(Enum):
    """Kinds of things that happen, each counted from 0."""

    STEP = "step"  # an effect that the loop is about to perform
    DISK = "file operation"  # a write, truncation, sync or removal that SQLite asks for
    CONNECT = "connection"
    REQUEST = "request"  # a frame that leaves the terminal
    REPLY = "reply"  # a frame that leaves the host
    APDU = "card command"
    SLIP = "slip"


class Kind(Enum):
    """What can go wrong. `Fault.value` says how much, where there is a how much."""

    POWER_CUT = "the power fails"  # any point; at a frame: after `value` bytes of it left; at the disk: see Disk
    # STEP
    RESTORE = "the power fails and an older copy of the disk is put in"  # `value` steps older
    CLOCK_JUMP = "the machine's clock jumps"  # by `value` ms, or back by -`value`
    # DISK
    IO_ERROR = "the disk reports an error"
    FULL = "the disk is full"  # for `value` ms
    SLOW = "the disk is slow"  # each sync takes longer, for `value` ms
    # CONNECT
    REFUSED = "the host's address refuses"
    HANGS = "the connection is never made"
    # REQUEST, REPLY
    LOST = "the frame is lost"
    TWICE = "the frame arrives twice"
    LATE = "the frame is late"  # by `value` ms
    OVERTAKEN = "the next frame arrives before it"
    CUT = "the connection breaks inside the frame"  # after `value` bytes of it arrived
    HALF_OPEN = "from here on nothing arrives, and nobody is told"
    AWAY = "the host cannot be reached"  # for `value` ms; the connection breaks
    # REQUEST: the host
    SILENT = "the host takes it and does not answer"
    SLOW_HOST = "the host answers slowly"  # `value` ms later
    BUSY = "the host says that it is busy"
    DUPLICATE = "the host books it and answers 94"
    REFUSES = "the host will not look at it and refuses it for good"
    POISON = "the host never answers this message"  # nor its repeats, until `Faults.stop`
    HOST_RESTART = "the host restarts after booking it"
    # REPLY
    WRONG_MAC = "the reply's MAC is wrong"
    FORGED_DECLINE = "somebody declines in the host's place"
    NONSENSE = "the host answers nonsense"
    # APDU
    PULLED = "the card is pulled away"
    # SLIP
    PAPER_OUT = "the paper is out"
    NO_CONFIRMATION = "the printer does not confirm"


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` strikes when `point` happens for the `nth` time."""

    point: Point
    nth: int
    kind: Kind
    value: int = 0

    def __str__(self) -> str:
        how_much = f" ({self.value})" if self.value else ""
        return f"at {self.point.value} {self.nth} {self.kind.value}{how_much}"


class Faults:
    """The schedule while it runs."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._at: dict[tuple[Point, int], Fault] = {(fault.point, fault.nth): fault for fault in faults}
        self.counts: Counter[Point] = Counter()
        self.struck: list[Fault] = []
        self.stopped = False

    def strike(self, point: Point) -> Fault | None:
        """Count one occurrence of `point`; the fault planned for it, if any."""
        if self.stopped:
            return None
        nth = self.counts[point]
        self.counts[point] += 1
        fault = self._at.pop((point, nth), None)
        if fault is not None:
            self.struck.append(fault)
        return fault

    def stop(self) -> None:
        """From now on nothing new goes wrong, and nothing is counted."""
        self.stopped = True
