"""The network between a terminal and its host, on virtual time, with what can go wrong in it.

Comes in: whole frames from either end. Goes out: bytes at the other end, `WAY_US` later or as a fault has it.
Strategy: a connection passes bytes in order; a frame's fault is decided where the frame is handed over, so what is
under way needs nobody. A frame that comes late, twice or overtaken was held by a switch between the two, and reaches
the host even when its connection is gone. What a terminal was to see dies with its power.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Protocol

from taplab.simulation.agenda import Agenda
from taplab.simulation.frames import name_frame, nonsense, with_forged_decline, with_wrong_mac
from taplab.simulation.schedule import Fault, Faults, Kind, Point
from taplab.simulation.story import Story
from taptill.errors import TapTillError

TERMINAL = "terminal"  # owner of what is forgotten at a power cut
CONNECT_US = 3_000
WAY_US = 25_000
OVERTAKEN_US_MAX = 1_000_000  # a frame that nothing overtakes arrives so much later

_ON_ANY_FRAME = (
    Kind.POWER_CUT,
    Kind.LOST,
    Kind.TWICE,
    Kind.LATE,
    Kind.OVERTAKEN,
    Kind.CUT,
    Kind.HALF_OPEN,
    Kind.AWAY,
)
AT_THE_HOST = (Kind.SILENT, Kind.SLOW_HOST, Kind.BUSY, Kind.REFUSES, Kind.DUPLICATE, Kind.POISON, Kind.HOST_RESTART)
FORGERIES = (Kind.WRONG_MAC, Kind.FORGED_DECLINE, Kind.NONSENSE)
KINDS: Mapping[Point, tuple[Kind, ...]] = MappingProxyType(
    {
        Point.CONNECT: (Kind.POWER_CUT, Kind.REFUSED, Kind.HANGS),
        Point.REQUEST: _ON_ANY_FRAME + AT_THE_HOST,
        Point.REPLY: _ON_ANY_FRAME + FORGERIES,
    }
)


class NoSuchFault(TapTillError):
    """A schedule names something that cannot happen at its point."""


@dataclass(slots=True, eq=False)
class Connection:
    """`terminal` and `host` say which end is still there, `carries` whether bytes get through between them."""

    number: int
    end: TerminalEnd
    terminal: bool = True
    host: bool = False
    carries: bool = True


class TerminalEnd(Protocol):
    """What a terminal does about its connection. One that it closed, or that died with it, calls nothing any more."""

    def made(self) -> None: ...

    def received(self, octets: bytes) -> None: ...

    def lost(self, reason: str) -> None: ...

    def power_fails(self) -> None:
        """Raises PowerCut."""


class HostEnd(Protocol):
    """What a host does about its connections. It answers through the `Wires`."""

    def accepted(self, wires: Wires, connection: Connection) -> None: ...

    def received(self, wires: Wires, connection: Connection, octets: bytes, fault: Fault | None) -> None:
        """`fault` is the host's own, for the message in these bytes."""

    def received_apart(self, wires: Wires, connection: Connection, octets: bytes) -> None:
        """A whole frame that did not come in its place on the stream; the connection may be gone."""

    def lost(self, connection: Connection) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """A frame under way. `name` is for the story and empty without one."""

    point: Point
    connection: Connection
    octets: bytes
    fault: Fault | None
    name: str


class Wires:
    """Outlives the terminal's power. `frames` are point and length of each frame in its order; `sent` and `replies`
    are their bytes, as they left."""

    def __init__(self, agenda: Agenda, faults: Faults, story: Story, host: HostEnd) -> None:
        self._agenda = agenda
        self._faults = faults
        self._story = story
        self._host = host
        self._connections_made = 0
        self._listening: list[Connection] = []  # those whose terminal's end is there
        self._held: dict[Point, list[_Frame]] = {Point.REQUEST: [], Point.REPLY: []}
        self._away_until_us = 0
        self.frames: list[tuple[Point, int]] = []
        self.sent: list[bytes] = []
        self.replies: list[bytes] = []

    def connect(self, end: TerminalEnd) -> Connection:
        """`made` or `lost` follows, or nothing does. Raises PowerCut."""
        connection = Connection(self._connections_made, end)
        self._connections_made += 1
        self._listening.append(connection)
        fault = self._strike(Point.CONNECT)
        if self._story.told:
            self._story.tell(f"connection {connection.number} is tried" + (f": {fault.kind.value}" if fault else ""))
        match fault.kind if fault else None:
            case Kind.POWER_CUT:
                self._cut_power(connection)
            case Kind.REFUSED:
                self._agenda.after(CONNECT_US, partial(self._tell_terminal, connection, "refused"), TERMINAL)
            case Kind.HANGS:
                pass
            case _:
                self._agenda.after(CONNECT_US, partial(self._make, connection), TERMINAL)
        return connection

    def send(self, connection: Connection, octets: bytes) -> None:
        """A whole request leaves the terminal. Raises PowerCut."""
        self.sent.append(octets)
        self._carry(self._take(Point.REQUEST, connection, octets))

    def answer(self, connection: Connection, octets: bytes) -> None:
        """A whole reply leaves the host, if it still has its end of the connection."""
        if not connection.host:
            self._story.tell("an answer has nobody to go to")
            return
        self.replies.append(octets)
        self._carry(self._take(Point.REPLY, connection, octets))

    def close(self, connection: Connection) -> None:
        """The terminal gives its end up; what it sent before still arrives before that."""
        self._stop_listening(connection)
        self._agenda.after(WAY_US, partial(self._closed_by_terminal, connection))

    def drop(self, connection: Connection) -> None:
        """The host gives its end up; what it sent before still arrives before that."""
        connection.host = False
        self._agenda.after(WAY_US, partial(self._closed_by_host, connection), TERMINAL)

    def terminal_died(self) -> None:
        """Nobody listens at the terminal's ends any more, and nobody has told the host."""
        for connection in self._listening:
            connection.terminal = False
        self._listening.clear()

    def mend(self) -> None:
        """The host can be reached again."""
        self._away_until_us = 0

    def _strike(self, point: Point) -> Fault | None:
        fault = self._faults.strike(point)
        if fault is not None and fault.kind not in KINDS[point]:
            raise NoSuchFault(f"{fault.kind.name} cannot happen here", where=f"fault {fault}")
        return fault

    def _take(self, point: Point, connection: Connection, octets: bytes) -> _Frame:
        """Count a frame that leaves one end, and see what is to become of it."""
        nth = len(self.frames)
        self.frames.append((point, len(octets)))
        fault = self._strike(point)
        name = ""
        if self._story.told:
            name = f"{name_frame(octets)} (frame {nth}, connection {connection.number})"
            who = "terminal" if point is Point.REQUEST else "host"
            self._story.tell(f"the {who} sends {name}" + (f": {fault.kind.value} ({fault.value})" if fault else ""))
        return _Frame(point, connection, octets, fault, name)

    def _carry(self, frame: _Frame) -> None:
        overtaken = frame.fault is not None and frame.fault.kind is Kind.OVERTAKEN
        held = [] if overtaken else self._held[frame.point]
        if frame.fault is None or frame.fault.kind in AT_THE_HOST:
            self._plan(frame, WAY_US, partial(self._arrive, frame))
        elif frame.fault.kind in FORGERIES:
            forged = _forge(frame.octets, frame.fault)
            self._plan(frame, WAY_US, partial(self._arrive, frame, forged))
        else:
            self._fail(frame, frame.fault)
        while held:
            late = held.pop(0)
            self._plan(late, WAY_US, partial(self._arrive_apart, late))

    def _fail(self, frame: _Frame, fault: Fault) -> None:
        """What the network does to a frame."""
        value_us = fault.value * 1000
        match fault.kind:
            case Kind.TWICE:
                self._plan(frame, WAY_US, partial(self._arrive, frame))
                self._plan(frame, WAY_US + value_us, partial(self._arrive_apart, frame))
            case Kind.LATE:
                self._plan(frame, WAY_US + value_us, partial(self._arrive_apart, frame))
            case Kind.OVERTAKEN:
                self._held[frame.point].append(frame)
                self._plan(frame, WAY_US + OVERTAKEN_US_MAX, partial(self._let_go, frame))
            case Kind.CUT:
                self._plan(frame, WAY_US, partial(self._arrive, frame, frame.octets[: fault.value]))
                self._break(frame.connection, "connection reset")
            case Kind.HALF_OPEN:
                frame.connection.carries = False
            case Kind.AWAY:
                frame.connection.carries = False
                self._away_until_us = self._agenda.now_us + value_us
                self._break(frame.connection, "host unreachable")
            case Kind.POWER_CUT:
                self._fail_power(frame, frame.octets[: fault.value])

    def _fail_power(self, frame: _Frame, passed: bytes) -> None:
        """`passed` has left when it fails, or has arrived. Raises PowerCut."""
        if frame.point is Point.REQUEST:
            self._plan(frame, WAY_US, partial(self._arrive, frame, passed))
            self._cut_power(frame.connection)
        else:
            self._plan(frame, WAY_US, partial(self._arrive_and_fail, frame, passed))

    def _plan(self, frame: _Frame, delay_us: int, arrive: partial[None]) -> None:
        """What was to arrive at a terminal that has no power arrives nowhere."""
        self._agenda.after(delay_us, arrive, TERMINAL if frame.point is Point.REPLY else None)

    def _arrive(self, frame: _Frame, octets: bytes | None = None) -> None:
        """In its place on the stream; `octets` if not all of the frame, or another one."""
        connection, arriving = frame.connection, frame.octets if octets is None else octets
        there = connection.host if frame.point is Point.REQUEST else connection.terminal
        if not (there and connection.carries and arriving):
            self._tell_fate(frame, "arrives nowhere")
            return
        self._tell_fate(frame, "arrives" if len(arriving) >= len(frame.octets) else f"arrives to byte {len(arriving)}")
        if frame.point is Point.REQUEST:
            host_fault = frame.fault if frame.fault and frame.fault.kind in AT_THE_HOST else None
            self._host.received(self, connection, arriving, host_fault)
        else:
            connection.end.received(arriving)

    def _arrive_apart(self, frame: _Frame) -> None:
        """Whole, but not in its place: a switch has held it."""
        if frame.point is Point.REPLY:
            self._arrive(frame)
            return
        self._tell_fate(frame, "arrives by itself")
        self._host.received_apart(self, frame.connection, frame.octets)

    def _arrive_and_fail(self, frame: _Frame, passed: bytes) -> None:
        """Raises PowerCut, unless the terminal has given the connection up meanwhile."""
        there = frame.connection.terminal and frame.connection.carries
        self._arrive(frame, passed)
        if there:
            self._cut_power(frame.connection)

    def _let_go(self, frame: _Frame) -> None:
        """Nothing has overtaken it."""
        if frame in self._held[frame.point]:
            self._held[frame.point].remove(frame)
            self._arrive_apart(frame)

    def _cut_power(self, connection: Connection) -> None:
        self.terminal_died()
        connection.end.power_fails()

    def _make(self, connection: Connection) -> None:
        if not connection.terminal:
            return
        if self._agenda.now_us < self._away_until_us:
            self._tell_terminal(connection, "host unreachable")
            return
        connection.host = True
        self._host.accepted(self, connection)
        connection.end.made()

    def _break(self, connection: Connection, reason: str) -> None:
        """Both ends see it, behind what arrives until then."""
        self._agenda.after(WAY_US, partial(self._tell_host, connection))
        self._agenda.after(WAY_US, partial(self._tell_terminal, connection, reason), TERMINAL)

    def _closed_by_terminal(self, connection: Connection) -> None:
        if connection.carries:
            self._tell_host(connection)

    def _closed_by_host(self, connection: Connection) -> None:
        if connection.carries:
            self._tell_terminal(connection, "closed by the host")

    def _tell_host(self, connection: Connection) -> None:
        connection.carries = False
        if connection.host:
            connection.host = False
            self._host.lost(connection)

    def _tell_terminal(self, connection: Connection, reason: str) -> None:
        if not connection.terminal:
            return
        if self._story.told:
            self._story.tell(f"connection {connection.number} is lost: {reason}")
        self._stop_listening(connection)
        connection.end.lost(reason)

    def _stop_listening(self, connection: Connection) -> None:
        if connection.terminal:
            connection.terminal = False
            self._listening.remove(connection)

    def _tell_fate(self, frame: _Frame, fate: str) -> None:
        if self._story.told:
            self._story.tell(f"{frame.name} {fate}")


def _forge(octets: bytes, fault: Fault) -> bytes:
    """What somebody on the way puts in the reply's place."""
    match fault.kind:
        case Kind.WRONG_MAC:
            return with_wrong_mac(octets, fault.value)
        case Kind.FORGED_DECLINE:
            return with_forged_decline(octets)
        case _:
            return nonsense(Random(f"{fault.value} {fault.nth}"))
