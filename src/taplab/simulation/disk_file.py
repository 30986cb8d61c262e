"""A file's bytes while the power may fail: what is durable, and what was asked for since.

Comes in: writes, truncations and syncs in the order SQLite asks for them. Goes out: one of the contents that a power
cut may leave.
Strategy: changes wait for a sync, which makes them durable in order. At a cut every sector of 512 octets shows some
point of its own history, whatever became of its neighbours: pages tear, writes overtake each other. Truncations, which
file systems journal, happened in order up to some point. As SQLite assumes ("powersafe overwrite"), no sector is half
old and half new, and octets that nobody wrote do not change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from random import Random

SECTOR_OCTETS = 512


class Fate:
    """What a power cut does to everything that was not synced."""

    def __init__(self, share: float, random: Random) -> None:
        self._share, self._random = share, random

    @classmethod
    def drawn(cls, random: Random) -> Fate:
        """In a quarter of all cuts everything survives, in a quarter nothing, else a random share."""
        kind = random.randrange(4)
        return cls({0: 0.0, 1: 1.0}.get(kind, random.random()), random)

    def reached(self, steps: int) -> int:
        """How many of `steps`, which follow each other, were done."""
        if self._share == 1.0:
            return steps
        if not steps or self._random.random() >= self._share:
            return 0
        return self._random.randint(1, steps)


class DiskFile:
    """`entered`: the directory durably names it. `length` is in octets, as the programs see it now."""

    __slots__ = ("_changes", "_durable", "_frozen", "entered", "length", "name")

    def __init__(self, name: str, octets: bytes, entered: bool) -> None:
        self.name = name
        self.entered = entered
        self.length = len(octets)
        self._durable = bytearray(octets)
        self._frozen: bytes | None = octets
        self._changes: list[tuple[int, bytes | None]] = []  # octets at an offset; without octets, the new length

    def write(self, offset: int, octets: bytes) -> None:
        self._changes.append((offset, octets))
        self.length = max(self.length, offset + len(octets))

    def truncate(self, length: int) -> None:
        self._changes.append((length, None))
        self.length = length

    def sync(self) -> None:
        """What was asked for is durable, and so is the file's name."""
        self.entered = True
        for offset, octets in self._changes:
            _change(self._durable, offset, octets)
        self._settled()

    def fail_to_sync(self, fate: Fate) -> None:
        """An error came instead: some of it is durable, and the rest is never tried again, for the system takes it for
        written (what Linux does after a failed fsync)."""
        self._durable = bytearray(self.after_cut(fate))
        self._settled()

    def after_cut(self, fate: Fate) -> bytes:
        """What is found when the power is back."""
        if self._changes:
            return self._torn(fate)
        if self._frozen is None:
            self._frozen = bytes(self._durable)
        return self._frozen

    def _torn(self, fate: Fate) -> bytes:
        truncations = fate.reached(sum(octets is None for _, octets in self._changes))
        history = Counter(at // SECTOR_OCTETS for offset, octets in self._changes for at, _ in _parts(offset, octets))
        writes = {sector: fate.reached(times) for sector, times in history.items()}
        content = bytearray(self._durable)
        for offset, octets in self._changes:
            if octets is None and truncations > 0:
                truncations -= 1
                _change(content, offset, None)
            for at, part in _parts(offset, octets):
                if writes[at // SECTOR_OCTETS] > 0:
                    writes[at // SECTOR_OCTETS] -= 1
                    _change(content, at, part)
        return bytes(content)

    def _settled(self) -> None:
        self._changes.clear()
        self._frozen = None


def _parts(offset: int, octets: bytes | None) -> Iterator[tuple[int, bytes]]:
    """A write, cut where sectors meet."""
    end = offset + len(octets or b"")
    at = offset
    while octets is not None and at < end:
        following = min(end, (at // SECTOR_OCTETS + 1) * SECTOR_OCTETS)
        yield at, octets[at - offset : following - offset]
        at = following


def _change(content: bytearray, offset: int, octets: bytes | None) -> None:
    """Beyond the end lie zeros."""
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    if octets is None:
        del content[offset:]
    else:
        content[offset : offset + len(octets)] = octets
