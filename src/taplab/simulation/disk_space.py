"""Room on the terminal's disk: it is plenty until the schedule says that the disk is full.

Comes in: for how long it is full, and files that want to grow. Goes out: a full disk's refusal, or room that the
journal's reserve gave up. Strategy: on a full disk nothing grows but into that room; overwriting goes on.
"""

from __future__ import annotations

import apsw

from taplab.simulation.agenda import Agenda

RESERVE_OCTETS = 2 * 1024 * 1024


class DiskSpace:
    """`room_octets`: what was given up on a full disk and is not used yet."""

    def __init__(self, agenda: Agenda) -> None:
        self._agenda = agenda
        self._full_until_us = 0
        self.room_octets = 0

    def fill(self, for_ms: int) -> None:
        self._full_until_us = self._agenda.now_us + for_ms * 1_000

    def mend(self) -> None:
        """Somebody made room."""
        self._full_until_us = 0

    def is_full(self) -> bool:
        return self._agenda.now_us < self._full_until_us

    def grow(self, octets: int) -> None:
        """A file grows. Raises apsw.FullError."""
        if self.is_full():
            if octets > self.room_octets:
                raise apsw.FullError("the disk is full")
            self.room_octets -= octets

    def give_room(self, octets: int) -> None:
        self.room_octets += octets

    def take_room(self, octets: int) -> bool:
        """False on a full disk."""
        if self.is_full():
            return False
        self.room_octets = max(0, self.room_octets - octets)
        return True


class DiskReserve:
    """The journal's `Reserve` on this disk, whole at first. It outlives a power cut as it is."""

    def __init__(self, space: DiskSpace) -> None:
        self._space = space
        self._whole = True

    @property
    def whole(self) -> bool:
        return self._whole

    def release(self) -> bool:
        released, self._whole = self._whole, False
        if released:
            self._space.give_room(RESERVE_OCTETS)
        return released

    def restore(self) -> bool:
        """A reserve that is whole is only overwritten, which a full disk allows."""
        self._whole = self._whole or self._space.take_room(RESERVE_OCTETS)
        return self._whole
