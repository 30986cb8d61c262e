"""Seals: from where on opening a journal has to verify.

Comes in: the chain so far, and the entry that is to follow. Goes out: the seal to put in front of it, or none.
Strategy: a seal is an entry like any other that repeats the digest of the one before it; the journal keeps the same
digest in a row of its own, so an opening can begin there without trusting the entries before. Who writes entries need
not know: a batch is sealed when the next one opens, and no more than SEAL_ENTRIES_MAX entries stand behind a seal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from taptill.journal.chain import broken_at
from taptill.journal.entries import AnyEntry, BatchOpened, BatchSealed
from taptill.journal.port import Record, Verified

SEAL_ENTRIES_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Seal:
    """The row kept beside a `BatchSealed`."""

    seq: int  # of that entry
    batch: int
    head: bytes  # digest of the entry before it


def seal_before(entry: AnyEntry, head: Verified, sealed_seq: int, batch: int) -> BatchSealed | None:
    """The seal that goes in front of `entry`. `head` is the last entry, `sealed_seq` the last seal (0: none yet),
    `batch` the one that is current until now."""
    unsealed = head.last_seq - sealed_seq
    if unsealed < SEAL_ENTRIES_MAX and not (isinstance(entry, BatchOpened) and unsealed):
        return None
    return BatchSealed(at_ms=entry.at_ms, trust=entry.trust, batch=batch, entries=head.last_seq, head=head.head.hex())


def seal_of(record: Record) -> Seal | None:
    """The row that belongs beside a record, None where it is no seal."""
    if not isinstance(record.entry, BatchSealed):
        return None
    return Seal(record.seq, record.entry.batch, bytes.fromhex(record.entry.head))


def refuse_strays(held: Iterable[Seal], made: Iterable[Seal]) -> None:
    """Raises JournalDamaged for the first seal whose row is missing, or says something else than the entries do."""
    strays = set(held) ^ set(made)
    if strays:
        first = min(seal.seq for seal in strays)
        raise broken_at(first, "the row kept beside the seal does not follow from the entries")
