"""Command and response APDUs (ISO/IEC 7816-4, 5.1).

Comes in: header, data and expected length, or response bytes. Goes out: short-form bytes, or data and status word.
"""

from __future__ import annotations

from dataclasses import dataclass

from taptill.errors import TapTillError

SW_OK = 0x9000
HEADER_OCTETS = 4


class MalformedApdu(TapTillError):
    """Bytes that are no APDU."""

    code = 1103


@dataclass(frozen=True, slots=True)
class CommandApdu:
    """`le` None: no response data expected; 0: up to 256 bytes. `name` is for people and transcripts."""

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes = b""
    le: int | None = 0
    name: str = ""

    def encode(self) -> bytes:
        if len(self.data) > 255:
            raise MalformedApdu(f"{len(self.data)} data bytes do not fit a short command", where=self.name or "command")
        body = bytes([len(self.data)]) + self.data if self.data else b""
        tail = b"" if self.le is None else bytes([self.le & 0xFF])
        return bytes([self.cla, self.ins, self.p1, self.p2]) + body + tail


@dataclass(frozen=True, slots=True)
class ResponseApdu:
    """Response data, status word, and the time the exchange took."""

    data: bytes
    sw: int
    elapsed_us: int = 0

    @classmethod
    def decode(cls, octets: bytes, elapsed_us: int = 0) -> ResponseApdu:
        """Raises MalformedApdu below two bytes."""
        if len(octets) < 2:
            raise MalformedApdu(f"{len(octets)} bytes hold no status word", where="card response")
        return cls(octets[:-2], int.from_bytes(octets[-2:], "big"), elapsed_us)


def split_command(command: bytes) -> CommandApdu:
    """Command octets taken apart (ISO/IEC 7816-4, 5.1, short form). Raises MalformedApdu."""
    if len(command) < HEADER_OCTETS:
        raise MalformedApdu(f"{len(command)} bytes hold no header", where="command")
    cla, ins, p1, p2 = command[:HEADER_OCTETS]
    body = command[HEADER_OCTETS:]
    if len(body) <= 1:
        return CommandApdu(cla, ins, p1, p2, b"", body[0] if body else None)
    length = body[0]
    if len(body) not in (length + 1, length + 2):
        raise MalformedApdu(f"Lc says {length} bytes, {len(body) - 1} follow", where="command")
    return CommandApdu(cla, ins, p1, p2, body[1 : length + 1], body[length + 1] if len(body) > length + 1 else None)
