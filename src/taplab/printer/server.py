"""A receipt printer on a TCP port, as the terminal meets one on the counter.

Comes in: ESC/POS from one connection at a time. Goes out: `Job`s (text and picture) in a directory, status answers, and
whatever the lab does to the printer: no paper, offline, slow, silent, unplugged.
Strategy: one thread listens and answers real-time questions, one empties the receive buffer into the mechanism.
"""

from __future__ import annotations

import contextlib
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Condition, Thread
from types import TracebackType

from taplab.printer.decoder import Decoder
from taplab.printer.events import QrSymbol, Unknown
from taplab.printer.fonts import printer_font
from taplab.printer.mechanism import Answer, Mechanism
from taplab.printer.paper import Paper

POLL_S = 0.05
JOIN_TIMEOUT_S = 5.0
REAL_TIME = re.compile(rb"\x10\x04([\x01-\x04])")


@dataclass(frozen=True, slots=True)
class Job:
    """One slip, cut off. `png` is None for a printer that does not draw."""

    text: str
    png: Path | None
    qr_contents: tuple[str, ...] = ()


class LabPrinter:
    """`with LabPrinter(directory) as printer:` prints into `directory` what arrives at `printer.url`."""

    def __init__(self, directory: Path, *, columns: int = 32, draw: bool = True, host: str = "127.0.0.1") -> None:
        self.jobs: list[Job] = []
        self._directory = directory
        self._draw = draw
        self._host, self._port = host, 0
        self._decoder = Decoder()
        self._mechanism = Mechanism(columns, self._finish)
        self._buffer: SimpleQueue[tuple[bytes, Answer] | None] = SimpleQueue()
        self._printed = Condition()
        self._listening = False
        self._threads: list[Thread] = []

    @property
    def url(self) -> str:
        return f"escpos+tcp://{self._host}:{self._port}"

    @property
    def unknown(self) -> list[Unknown]:
        """Commands this printer did not know."""
        return self._decoder.unknown

    @property
    def note(self) -> str:
        """Why pictures will not look right, if so."""
        return printer_font().note

    @property
    def hanging(self) -> str:
        """Text on the paper that has not been cut off yet."""
        return self._mechanism.paper.text()

    def __enter__(self) -> LabPrinter:
        self._directory.mkdir(parents=True, exist_ok=True)
        self.plug_in()
        emptier = Thread(target=self._empty_buffer, name="printer-mechanism", daemon=True)
        emptier.start()
        self._threads.append(emptier)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._mechanism.switch_off()
        self._buffer.put(None)
        self.unplug()
        for thread in self._threads:
            thread.join(JOIN_TIMEOUT_S)

    def run_out_of_paper(self, after_lines: int = 0) -> None:
        """The roll ends after so many more lines."""
        self._mechanism.set_roll(after_lines)

    def refill(self) -> None:
        """A new roll; the printer goes on with what it holds."""
        self._mechanism.set_roll(None)

    def go_offline(self) -> None:
        self._mechanism.set_offline(True)

    def come_online(self) -> None:
        self._mechanism.set_offline(False)

    def slow_down(self, line_ms: int) -> None:
        """Every line takes so long from now on."""
        self._mechanism.line_ms = line_ms

    def fall_silent(self, silent: bool = True) -> None:
        """Print, but answer nothing: what many cheap printers do behind a network box."""
        self._mechanism.silent = silent

    def plug_in(self) -> None:
        """Listen, at the same port as before."""
        listener = socket.create_server((self._host, self._port))
        self._port = listener.getsockname()[1]
        self._listening = True
        thread = Thread(target=self._serve, args=(listener,), name="printer-interface", daemon=True)
        thread.start()
        self._threads.append(thread)

    def unplug(self) -> None:
        """Drop the connection and refuse new ones. What is in the buffer stays there."""
        self._listening = False
        for thread in self._threads:
            if thread.name == "printer-interface":
                thread.join(JOIN_TIMEOUT_S)

    def wait_for_jobs(self, count: int, timeout_s: float = 5.0) -> bool:
        """True once so many slips have been cut off."""
        with self._printed:
            return self._printed.wait_for(lambda: len(self.jobs) >= count, timeout_s)

    def _serve(self, listener: socket.socket) -> None:
        with listener:
            listener.settimeout(POLL_S)
            while self._listening:
                with contextlib.suppress(TimeoutError):
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        self._receive(connection)

    def _receive(self, connection: socket.socket) -> None:
        connection.settimeout(POLL_S)
        tail = b""

        def answer(octets: bytes) -> None:
            with contextlib.suppress(OSError):  # the sender may be gone when its turn comes
                connection.sendall(octets)

        while self._listening:
            try:
                octets = connection.recv(4096)
            except TimeoutError:
                continue
            if not octets:
                return
            for question in REAL_TIME.finditer(tail + octets):
                answer(self._mechanism.real_time(question[1][0]))
            tail = _cut_short(tail + octets)
            self._buffer.put((octets, answer))

    def _empty_buffer(self) -> None:
        while (chunk := self._buffer.get()) is not None:
            octets, answer = chunk
            for event in self._decoder.feed(octets):
                if not self._mechanism.print(event, answer):
                    return

    def _finish(self, slip: Paper) -> None:
        stem = self._directory / f"slip-{len(self.jobs) + 1:04d}"
        stem.with_suffix(".txt").write_text(slip.text(), encoding="utf-8")
        png = slip.png(stem.with_suffix(".png")) if self._draw else None
        contents = tuple(row.content.decode(errors="replace") for row in slip.rows if isinstance(row, QrSymbol))
        with self._printed:
            self.jobs.append(Job(slip.text(), png, contents))
            self._printed.notify_all()


def _cut_short(octets: bytes) -> bytes:
    """The beginning of a real-time question at the end of what came: its rest follows in the next piece."""
    for length in (2, 1):
        if b"\x10\x04".startswith(octets[-length:]):
            return octets[-length:]
    return b""
