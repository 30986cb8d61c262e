"""The printer behind its interface: roll, sensors, print head and receive buffer.

Comes in: printer events, and what the lab does to the printer. Goes out: finished slips and status octets.
Strategy: a printer without paper or offline stops where it stands and keeps its buffer; with new paper it goes on by
itself, even if whoever sent the job has long gone. Real-time questions are answered in between, always.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition

from taplab.printer.events import Cut, Event, StatusRequest
from taplab.printer.paper import Paper

Answer = Callable[[bytes], None]

_FIXED = 0x12  # DLE EOT: bits 1 and 4 are always set
_OFFLINE, _STOPPED_FOR_PAPER, _ROLL_END = 0x08, 0x20, 0x60


class Mechanism:
    """Used by two threads: `print` by the one that empties the buffer, everything else by anybody."""

    def __init__(self, columns: int, finished: Callable[[Paper], None]) -> None:
        self.line_ms = 0
        self.silent = False
        self._columns = columns
        self._finished = finished
        self._changed = Condition()
        self._lines_left: int | None = None
        self._offline = False
        self._off = False
        self.paper = Paper(columns)

    def set_roll(self, lines_left: int | None) -> None:
        """None is a new roll."""
        with self._changed:
            self._lines_left = lines_left
            self._changed.notify_all()

    def set_offline(self, offline: bool) -> None:
        with self._changed:
            self._offline = offline
            self._changed.notify_all()

    def switch_off(self) -> None:
        """What has not been printed is lost."""
        with self._changed:
            self._off = True
            self._changed.notify_all()

    def real_time(self, question: int) -> bytes:
        """The answer to DLE EOT 1..4; nothing from a printer that has fallen silent."""
        if self.silent:
            return b""
        with self._changed:
            out = self._lines_left == 0
            bits = {
                1: _OFFLINE if out or self._offline else 0,
                2: _STOPPED_FOR_PAPER if out else 0,
                4: _ROLL_END if out else 0,
            }
        return bytes([_FIXED | bits.get(question, 0)])

    def print(self, event: Event, answer: Answer) -> bool:
        """Carry out one event as soon as the printer can; False when it was switched off instead."""
        with self._changed:
            self._changed.wait_for(lambda: self._off or not (self._offline or self._lines_left == 0))
            if self._off:
                return False
        if isinstance(event, StatusRequest):
            if not self.silent:
                answer(b"\x00")  # GS r: paper is there, or this would not run
            return True
        before = self.paper.lines
        self.paper.add(event)
        self._use(self.paper.lines - before)
        if isinstance(event, Cut):
            slip, self.paper = self.paper, Paper(self._columns)
            if not slip.blank:
                self._finished(slip)
        return True

    def _use(self, lines: int) -> None:
        with self._changed:
            if lines and self.line_ms:
                self._changed.wait_for(lambda: self._off, lines * self.line_ms / 1000)
            if self._lines_left is not None:
                self._lines_left = max(self._lines_left - lines, 0)
