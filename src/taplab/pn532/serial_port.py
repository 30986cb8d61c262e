"""Puts the chip on a pseudo-terminal: a path that any PN532 driver can open.

Comes in: `present`, `remove`, `unplug`, `replug`, `hang` from the lab. Goes out: `path`, a link that stays the same
over a replug, and bytes on it.
Strategy: one thread owns the line, one lock the chip. A pty has no baud rate of its own, so the thread looks at the
speed the other end has set and loses what comes or goes at the wrong one. It keeps the other end open itself: with
nobody there the master would read an error.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import tempfile
import termios
import threading
import time
import tty
from pathlib import Path
from types import TracebackType

from taplab.pn532.airtime import Timing
from taplab.pn532.chip import Pn532Chip
from taplab.pn532.field import HeldCard

READ_OCTETS_MAX = 4096
OUTPUT_SPEED = 5  # index into what tcgetattr returns
SPEEDS = {
    getattr(termios, f"B{baud}"): baud for baud in (9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600)
}  # 1288000 has no constant


class VirtualPn532:
    """A PN532 on a serial line, from `start` (or `with`) to `stop`. Every method may be called from any thread, and
    from a card while it answers."""

    def __init__(self, timing: Timing = Timing.OFF) -> None:
        self._timing = timing
        self._folder = tempfile.TemporaryDirectory(prefix="pn532-")
        self._lock = threading.RLock()
        self._chip = Pn532Chip(timing)
        self._wake_read, self._wake_write = os.pipe()
        self._ends: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._hanging = False
        self._harmless_baud = max(SPEEDS.values())
        self._harm_every = 0
        self._bursts = 0

    @property
    def path(self) -> str:
        return str(Path(self._folder.name) / "ttyPN532")

    @property
    def baud(self) -> int:
        return self._chip.baud

    @property
    def field_is_on(self) -> bool:
        return self._chip.field.on

    @property
    def command_log(self) -> list[int]:
        """The codes of all commands since power-up."""
        with self._lock:
            return list(self._chip.command_log)

    def __enter__(self) -> VirtualPn532:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        self.replug()
        self._thread = threading.Thread(target=self._run, name="pn532", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping = True
        self._wake()
        if self._thread:
            self._thread.join()
        self.unplug()
        os.close(self._wake_read)
        os.close(self._wake_write)
        self._folder.cleanup()

    def present(self, card: HeldCard) -> None:
        """Put a card into the field; a second one beside it makes a collision."""
        with self._lock:
            self._chip.present(card, _now_us())
        self._wake()

    def remove(self, card: HeldCard | None = None) -> None:
        """Take a card out of the field, or all of them."""
        with self._lock:
            self._chip.remove(card, _now_us())
        self._wake()

    def unplug(self) -> None:
        """The line is gone: the other side reads an error. Cards stay where they are."""
        with self._lock:
            if self._ends:
                Path(self.path).unlink()
                for end in self._ends:
                    os.close(end)
                self._ends = None
        self._wake()

    def replug(self) -> None:
        """Power and line are back: a freshly started chip under the same path."""
        with self._lock:
            cards, self._chip = self._chip.field.cards, Pn532Chip(self._timing)
            for card in cards:
                self._chip.present(card, _now_us())
            self._hanging = False
            if self._ends is None:
                self._ends = pty.openpty()
                tty.setraw(self._ends[1])
                os.set_blocking(self._ends[0], False)  # a line that nobody reads loses bytes, it does not wait
                Path(self.path).symlink_to(os.ttyname(self._ends[1]))
        self._wake()

    def hang(self) -> None:
        """The chip says nothing more until it is replugged, as firmware that has crashed."""
        with self._lock:
            self._hanging = True

    def harm_above(self, baud: int, every: int) -> None:
        """A cable too long: at rates above `baud` each `every`-th burst of bytes, either way, has one bit wrong."""
        with self._lock:
            self._harmless_baud, self._harm_every = baud, every

    def lose_in_the_air(self, frames: int) -> None:
        """The next frames to the cards are heard by none."""
        with self._lock:
            self._chip.field.frames_to_lose = frames

    def fail_exchanges(self, status: int) -> None:
        """Every InDataExchange ends with this chip error, such as 0D for overheated, until the chip is replugged."""
        with self._lock:
            self._chip.initiator.broken_with = status

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"!")

    def _run(self) -> None:
        while not self._stopping:
            with self._lock:
                master = self._ends[0] if self._ends else None
                due_us = self._chip.due_us()
            watched = [self._wake_read] if master is None else [self._wake_read, master]
            wait_s = None if due_us is None else max(0, due_us - _now_us()) / 1e6
            with contextlib.suppress(OSError, ValueError):  # unplugged meanwhile
                if self._wake_read in select.select(watched, [], [], wait_s)[0]:
                    os.read(self._wake_read, READ_OCTETS_MAX)
            with self._lock:
                self._serve()

    def _serve(self) -> None:
        if not self._ends:
            return
        master, slave = self._ends
        with contextlib.suppress(BlockingIOError):
            octets = os.read(master, READ_OCTETS_MAX)
            speed = _speed(slave)  # after the bytes: whoever wrote them had set it by then
            self._chip.take_over_baud(speed)  # tcflush, which nfcpy calls, drops what a pty has not handed over yet
            if self._chip.understands(speed):
                self._chip.receive(self._over_the_line(octets), _now_us())
        sent = self._chip.take_due(_now_us())
        if sent and self._ends and self._chip.understands(_speed(slave)) and not self._hanging:
            with contextlib.suppress(BlockingIOError):
                os.write(master, self._over_the_line(sent))

    def _over_the_line(self, octets: bytes) -> bytes:
        if not self._harm_every or self._chip.baud <= self._harmless_baud:
            return octets
        self._bursts += 1
        if self._bursts % self._harm_every:
            return octets
        at = len(octets) // 2
        return octets[:at] + bytes([octets[at] ^ 0x10]) + octets[at + 1 :]


def _speed(slave: int) -> int:
    return SPEEDS.get(termios.tcgetattr(slave)[OUTPUT_SPEED], 0)


def _now_us() -> int:
    return time.monotonic_ns() // 1000
