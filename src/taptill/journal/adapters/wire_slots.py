"""Message bytes in slots of one size, erased by overwriting.

Comes in: message bytes, or the number of their first slot. Goes out: that number, or the bytes.
Strategy: a slot is two octets of length, four of the next slot's number, the bytes, and zeros. A free slot is all
zeros. Longer messages run through several slots. Every change belongs to the transaction the caller has open.
"""

from __future__ import annotations

import heapq
import struct

import apsw

from taptill.journal.adapters.schema import SLOT_OCTETS
from taptill.journal.port import JournalDamaged, JournalError

WIRE_OCTETS_MAX = 65_535  # what two length octets in front of a message can say
_HEAD = struct.Struct(">HI")
_ROOM = SLOT_OCTETS - _HEAD.size


class WireSlots:
    """The slots of one journal; one writer."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._free: list[int] = []
        self.look_again()

    def look_again(self) -> None:
        """Find the free slots: at first, and after a transaction was rolled back."""
        rows = self._connection.execute("SELECT slot FROM wire WHERE substr(octets, 1, 2) = x'0000' ORDER BY slot")
        self._free = [int(str(slot)) for (slot,) in rows]

    def keep(self, message: bytes) -> int:
        """Raises JournalError for a message of no or too many octets."""
        if not 0 < len(message) <= WIRE_OCTETS_MAX:
            raise JournalError(f"{len(message)} octets are no message", where="journal wire")
        parts = [message[at : at + _ROOM] for at in range(0, len(message), _ROOM)]
        following = 0
        for part in reversed(parts):
            following = self._fill(part, following)
        return following

    def erase(self, slot: int) -> None:
        """Overwrite the message that begins in `slot`."""
        for number, _ in chain_of(self._connection, slot):
            self._connection.execute(f"UPDATE wire SET octets = zeroblob({SLOT_OCTETS}) WHERE slot = ?", (number,))
            heapq.heappush(self._free, number)

    def _fill(self, part: bytes, following: int) -> int:
        octets = (_HEAD.pack(len(part), following) + part).ljust(SLOT_OCTETS, b"\0")
        if self._free:
            slot = heapq.heappop(self._free)
            self._connection.execute("UPDATE wire SET octets = ? WHERE slot = ?", (octets, slot))
            return slot
        self._connection.execute("INSERT INTO wire (octets) VALUES (?)", (octets,))
        return self._connection.last_insert_rowid()


def chain_of(connection: apsw.Connection, slot: int) -> list[tuple[int, bytes]]:
    """Numbers and bytes of the slots of one message. Raises JournalDamaged when a slot is missing or empty."""
    found: list[tuple[int, bytes]] = []
    while slot and len(found) * _ROOM < WIRE_OCTETS_MAX:
        octets = connection.execute("SELECT octets FROM wire WHERE slot = ?", (slot,)).get
        if not isinstance(octets, bytes) or len(octets) != SLOT_OCTETS:
            raise _broken(slot)
        length, following = _HEAD.unpack_from(octets)
        if not 0 < length <= _ROOM:
            raise _broken(slot)
        found.append((slot, octets[_HEAD.size : _HEAD.size + length]))
        slot = following
    return found


def message_in(connection: apsw.Connection, slot: int) -> bytes:
    """The message that begins in `slot`. Raises JournalDamaged."""
    return b"".join(part for _, part in chain_of(connection, slot))


def _broken(slot: int) -> JournalDamaged:
    return JournalDamaged(
        "the message bytes of something open are missing",
        where=f"journal wire slot {slot}",
        next_step="keep the file; the entries say what is owed, the host's lines say what was received",
    )
