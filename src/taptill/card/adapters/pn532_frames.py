"""The PN532's host frames: bytes in, frames out, and the other way round (PN532 user manual UM0701-02, 6.2.1).

Comes in: payloads to wrap, or whatever a serial line delivered, cut anywhere and with noise between frames.
Goes out: bytes for the line, or `Frame`, `Signal` and `Damaged` in the order they ended.
Strategy: the framer waits for the start code 00 FF and believes a length only with its checksum; after a false start
it looks on one byte later, after a damaged body behind the frame. Pre- and postambles are noise to it. Both ends speak
the same frames, so the lab's chip uses this file too; nfcpy and libnfc judge it there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

START = b"\x00\xff"
EXTENDED = b"\xff\xff"
TO_CHIP = 0xD4  # TFI, the first payload byte of a command
TO_HOST = 0xD5  # TFI of a response
SYNTAX_ERROR_PAYLOAD = b"\x7f"  # the whole payload of the chip's error frame

PAYLOAD_OCTETS_MAX = 265  # TFI, command code and up to 263 bytes of parameters
SHORT_PAYLOAD_OCTETS_MAX = 255


class Signal(Enum):
    """The two frames without payload. From the host an ACK outside the protocol aborts the running command."""

    ACK = b"\x00\x00\xff\x00\xff\x00"
    NACK = b"\x00\x00\xff\xff\x00\x00"


@dataclass(frozen=True, slots=True)
class Frame:
    """A payload whose checksums were right: TFI first, or the lone error byte 7F."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Damaged:
    """A frame with a right length and a wrong body."""

    reason: str


Event = Frame | Signal | Damaged


def frame(payload: bytes) -> bytes:
    """A normal frame up to 255 bytes of payload, an extended one above. Raises ValueError outside 1 to 265 bytes."""
    length = len(payload)
    if not 1 <= length <= PAYLOAD_OCTETS_MAX:
        raise ValueError(f"a PN532 frame carries 1 to {PAYLOAD_OCTETS_MAX} bytes, not {length}")
    short = length <= SHORT_PAYLOAD_OCTETS_MAX
    head = length.to_bytes(1 if short else 2, "big")
    marker = b"" if short else EXTENDED
    return b"\x00" + START + marker + head + _checksum(head) + payload + _checksum(payload) + b"\x00"


class Framer:
    """Keeps the bytes of an unfinished frame between calls; never more than one frame's worth."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._after_body = False  # the next 00 is a postamble, not the first half of a start code

    def feed(self, octets: bytes) -> list[Event]:
        """Everything that became whole with these bytes."""
        self._rest += octets
        self._drop_postamble()
        return list(self._events())

    def reset(self) -> None:
        """Forget an unfinished frame."""
        self._rest.clear()
        self._after_body = False

    def _events(self) -> Iterator[Event]:
        while self._seek_start():
            head = self._head()
            if head is None:
                return
            offset, length = head
            if length == 0:
                signal = Signal.ACK if self._rest[2:4] == b"\x00\xff" else Signal.NACK
                self._take(offset)
                yield signal
                continue
            if len(self._rest) < offset + length + 1:
                return
            body = self._take(offset + length + 1)[offset:]
            yield Frame(body[:-1]) if sum(body) & 0xFF == 0 else Damaged("the data checksum is wrong")

    def _take(self, count: int) -> bytes:
        taken = bytes(self._rest[:count])
        del self._rest[:count]
        self._after_body = True
        self._drop_postamble()
        return taken

    def _drop_postamble(self) -> None:
        if self._after_body and self._rest:
            self._after_body = False
            del self._rest[: self._rest.startswith(b"\x00")]

    def _seek_start(self) -> bool:
        """Drop noise up to the next start code; a last 00 may be its first half."""
        at = self._rest.find(START)
        if at < 0:
            del self._rest[: len(self._rest) - self._rest.endswith(START[:1])]
            return False
        del self._rest[:at]
        return True

    def _head(self) -> tuple[int, int] | None:
        """Where the payload starts and how long it is (0 for ACK and NACK); None while bytes are missing."""
        while len(self._rest) >= 4:
            fields = bytes(self._rest[2:4])
            if fields in (b"\x00\xff", b"\xff\x00"):
                return 4, 0
            offset = 7 if fields == EXTENDED else 4
            if len(self._rest) < offset:
                return None
            if fields == EXTENDED:
                fields = bytes(self._rest[4:7])
            length = int.from_bytes(fields[:-1], "big")
            if sum(fields) & 0xFF == 0 and 1 <= length <= PAYLOAD_OCTETS_MAX:
                return offset, length
            del self._rest[:1]  # no frame starts here
            if not self._seek_start():
                return None
        return None


def _checksum(octets: bytes) -> bytes:
    """The byte that makes the sum of all zero modulo 256."""
    return bytes([-sum(octets) & 0xFF])
