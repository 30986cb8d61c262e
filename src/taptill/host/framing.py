"""Frames on a byte stream: two big-endian length bytes, then that many bytes of message.

Comes in: bytes as the network cuts them. Goes out: whole message bodies, in order.
Strategy: sans-io. A length of zero or above the limit is an error at once, before any body is awaited, because nothing
behind it on the stream can be trusted any more.
"""

from __future__ import annotations

from taptill.errors import TapTillError

LENGTH_OCTETS = 2
FRAME_OCTETS_MAX = 4096  # TPDU, header and message


class BrokenFrame(TapTillError):
    """A frame length that no message has: the stream is lost."""

    code = 3102


def frame(body: bytes) -> bytes:
    """`body` with its length in front. Raises BrokenFrame for an empty or oversized body."""
    _check_length(len(body), 0)
    return len(body).to_bytes(LENGTH_OCTETS, "big") + body


class FrameReader:
    """Collects bytes of one connection. After BrokenFrame it is of no further use."""

    __slots__ = ("_buffer", "_consumed")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._consumed = 0

    def receive_data(self, octets: bytes) -> list[bytes]:
        """All bodies that are complete now, maybe none. Raises BrokenFrame with the place in the stream, but hands out
        first what stands before that place: ask until the list is empty."""
        self._buffer += octets
        bodies: list[bytes] = []
        while len(self._buffer) >= LENGTH_OCTETS:
            length = int.from_bytes(self._buffer[:LENGTH_OCTETS], "big")
            if bodies and not _is_length(length):
                break
            _check_length(length, self._consumed)
            end = LENGTH_OCTETS + length
            if len(self._buffer) < end:
                break
            bodies.append(bytes(self._buffer[LENGTH_OCTETS:end]))
            del self._buffer[:end]
            self._consumed += end
        return bodies


def _check_length(length: int, offset: int) -> None:
    if not _is_length(length):
        raise BrokenFrame(f"{length} is outside 1..{FRAME_OCTETS_MAX}", where=f"frame length at offset {offset}")


def _is_length(length: int) -> bool:
    return 0 < length <= FRAME_OCTETS_MAX
