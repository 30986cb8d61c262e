"""One command at a time to a PN532 over an open serial line (UM0701-02, 6.2.2).

Comes in: command code and parameters. Goes out: the response data, None where the chip took the command and did not
finish it in time, or ReaderLost.
Strategy: a strict order of ACK and response, each with its own deadline. What comes before the ACK is left over from
earlier and dropped; a damaged response is asked for again with a NACK; an unfinished command is aborted with an ACK.
How long the chip took ends with its first response, damaged or not: asking again says nothing about the card.
"""

from __future__ import annotations

import os
import select
from collections import deque

from taptill.card.adapters.pn532_frames import (
    SYNTAX_ERROR_PAYLOAD,
    TO_CHIP,
    TO_HOST,
    Event,
    Frame,
    Framer,
    Signal,
    frame,
)
from taptill.card.reader import ReaderLost
from taptill.clock import Clock

ACK_TIMEOUT_MS = 100  # the chip needs 15 ms, USB adapters some more
WRITE_TIMEOUT_MS = 200
REPEATS_MAX = 2
READ_OCTETS_MAX = 1024
WAKE_UP = b"\x55\x55" + bytes(14)  # a sleeping chip loses what wakes it (AN10609, HSU wake-up)


class Pn532Link:
    """`line` is an open, raw file descriptor that stays somebody else's; `where` names it in errors."""

    def __init__(self, line: int, where: str, clock: Clock) -> None:
        self._line = line
        self._where = where
        self._clock = clock
        self._framer = Framer()
        self._events: deque[Event] = deque()
        self._heard_us = 0  # when the newest bytes came
        self.elapsed_us = 0  # of the last command that was answered: first byte out to last byte of the response in
        self.damaged_responses = 0  # since the line was opened

    def command(self, code: int, data: bytes, timeout_ms: int, ack_timeout_ms: int = ACK_TIMEOUT_MS) -> bytes | None:
        """Response data without code; None if the chip accepted the command but gave no answer in `timeout_ms`, which
        aborts it. Raises ReaderLost on silence, garbage, refusal or a dead line."""
        self._framer.reset()
        self._events.clear()
        begun_us = self._clock.monotonic_us()
        self._write(frame(bytes([TO_CHIP, code]) + data))
        self._await_ack(code, self._in_ms(ack_timeout_ms))
        response = self._await_response(code, begun_us, self._in_ms(timeout_ms))
        if response is None:
            self.acknowledge()
        return response

    def acknowledge(self) -> None:
        """An ACK from the host: aborts what runs, or confirms a new baud rate. Raises ReaderLost."""
        self._write(Signal.ACK.value)

    def wake_up(self) -> None:
        """Bytes that end a sleep, and an abort for a chip that was left in the middle of a command."""
        self._write(WAKE_UP + Signal.ACK.value)

    def _await_ack(self, code: int, until_us: int) -> None:
        while (event := self._next_event(until_us)) is not Signal.ACK:
            if event is None:
                raise self._lost(f"command {code:02X} is not acknowledged")

    def _await_response(self, code: int, begun_us: int, until_us: int) -> bytes | None:
        repeats = 0
        while (event := self._next_event(until_us)) is not None:
            if isinstance(event, Signal):
                continue
            if repeats == 0:
                self.elapsed_us = max(1, self._heard_us - begun_us)
            if not isinstance(event, Frame):
                self.damaged_responses += 1
                if repeats == REPEATS_MAX:
                    raise self._lost(f"the response to command {code:02X} stays garbled: {event.reason}")
                repeats += 1
                self._write(Signal.NACK.value)
            elif event.payload == SYNTAX_ERROR_PAYLOAD:
                raise self._lost(f"the chip does not understand command {code:02X}")
            elif event.payload[:2] == bytes([TO_HOST, code + 1]):
                return event.payload[2:]
        return None

    def _next_event(self, until_us: int) -> Event | None:
        while not self._events:
            left_us = until_us - self._clock.monotonic_us()
            if left_us <= 0 or not select.select([self._line], [], [], left_us / 1e6)[0]:
                return None
            octets = self._read()
            self._heard_us = self._clock.monotonic_us()
            self._events.extend(self._framer.feed(octets))
        return self._events.popleft()

    def _read(self) -> bytes:
        try:
            octets = os.read(self._line, READ_OCTETS_MAX)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._lost(f"the line cannot be read: {error.strerror}") from error
        if not octets:
            raise self._lost("the line has ended")
        return octets

    def _write(self, octets: bytes) -> None:
        until_us = self._in_ms(WRITE_TIMEOUT_MS)
        while octets:
            left_us = max(0, until_us - self._clock.monotonic_us())
            try:
                if not select.select([], [self._line], [], left_us / 1e6)[1]:
                    raise self._lost("the line takes no more bytes")
                octets = octets[os.write(self._line, octets) :]
            except OSError as error:
                raise self._lost(f"the line cannot be written: {error.strerror}") from error

    def _in_ms(self, duration_ms: int) -> int:
        return self._clock.monotonic_us() + duration_ms * 1000

    def _lost(self, what: str) -> ReaderLost:
        return ReaderLost(what, where=self._where, next_step="check the reader's cable and power")
