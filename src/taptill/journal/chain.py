"""The hash chain over the stored entries.

Comes in: entries to store, or the rows of a journal or export. Goes out: exact bytes and digests, or a verdict.
Strategy: digest n = SHA-256(digest n-1 | body n), from 32 zero bytes on; the body holds its own sequence number, so a
row can be neither altered, moved, left out nor repeated without breaking the chain behind it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from taptill.journal.entries import AnyEntry, BatchSealed
from taptill.journal.port import JournalDamaged, Record, Verified

GENESIS = bytes(32)
RESTORE = "keep the file, start no sale with it, and recover from an export or from the host's lines"


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored and hashed: the entry with its sequence number."""

    seq: int
    entry: AnyEntry


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Body)


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """A row of the journal as it lies on the disk."""

    seq: int
    body: bytes
    digest: bytes


def encode_body(seq: int, entry: AnyEntry) -> bytes:
    """The exact bytes that are stored and hashed."""
    return _encoder.encode(Body(seq=seq, entry=entry))


def link(previous: bytes, body: bytes) -> bytes:
    """The digest of `body` behind the digest `previous`."""
    return sha256(previous + body).digest()


def read_entry(row: StoredEntry) -> Record:
    """Raises JournalDamaged when the body is no entry of this release."""
    try:
        body = _decoder.decode(row.body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise broken_at(row.seq, f"the stored bytes are no entry: {error}") from error
    if body.seq != row.seq:
        raise broken_at(row.seq, f"the stored bytes carry the number {body.seq}")
    return Record(row.seq, body.entry, row.digest)


def walk(rows: Iterable[StoredEntry], after: Verified | None = None) -> Iterator[Record]:
    """The records of `rows`, each given out only when it continues the chain from `after` (None: from the start).
    Raises JournalDamaged naming the first bad entry and the last good one."""
    seq, head = (after.last_seq, after.head) if after else (0, GENESIS)
    for row in rows:
        seq += 1
        if row.seq != seq:
            raise broken_at(seq, f"the entry is missing, {row.seq} stands in its place")
        if row.digest != link(head, row.body):
            raise broken_at(seq, "the digest does not follow from the stored bytes and the entry before")
        record = read_entry(row)
        if isinstance(record.entry, BatchSealed) and not _closes(record.entry, seq - 1, head):
            raise broken_at(seq, "the seal does not repeat the digest of the entry before it")
        head = row.digest
        yield record


def verify_chain(rows: Iterable[StoredEntry], after: Verified | None = None) -> Verified:
    """Walk all of `rows`. Raises JournalDamaged."""
    count, last, head = (after.count, after.last_seq, after.head) if after else (0, 0, GENESIS)
    for record in walk(rows, after):
        count, last, head = count + 1, record.seq, record.digest
    return Verified(count, last, head)


def _closes(seal: BatchSealed, entries: int, head: bytes) -> bool:
    return (seal.entries, seal.head) == (entries, head.hex())


def broken_at(seq: int, what: str) -> JournalDamaged:
    """The chain ends before `seq`."""
    return JournalDamaged(
        what,
        where=f"journal entry {seq}",
        next_step=f"entries up to {seq - 1} are good; {RESTORE}",
        bad_seq=seq,
        last_good_seq=seq - 1,
    )
