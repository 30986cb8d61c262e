"""The journal as text that any program can check: one JSON object a line.

Comes in: stored entries and the head they lead to, or the lines of an export. Goes out: lines, or what they verify to.
Strategy: the first line names the format, the number of entries and the head; each further line is an entry with the
exact text that was hashed. An export that was cut says so by itself. No message bytes are exported.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from taptill.journal.chain import GENESIS, StoredEntry, link
from taptill.journal.port import JournalDamaged, JournalForeign, Verified

FORMAT = "taptill journal export"
VERSION = 1


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. `head` and digests are hex."""

    format: str
    version: int
    entries: int
    head: str


class ExportedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One entry. `body` is the stored JSON as text; its UTF-8 bytes are what was hashed."""

    seq: int
    body: str
    digest: str


_encoder = msgspec.json.Encoder()
_header = msgspec.json.Decoder(Header)
_entry = msgspec.json.Decoder(ExportedEntry)


def export_lines(rows: Iterable[StoredEntry], verified: Verified) -> Iterator[str]:
    """Lines without their line ends. `rows` are those that were verified; later ones are left out."""
    header = Header(format=FORMAT, version=VERSION, entries=verified.count, head=verified.head.hex())
    yield _encoder.encode(header).decode()
    for row in rows:
        if row.seq > verified.last_seq:
            return
        line = ExportedEntry(seq=row.seq, body=row.body.decode(), digest=row.digest.hex())
        yield _encoder.encode(line).decode()


def verify_export(lines: Iterable[str]) -> Verified:
    """Raises JournalForeign when it is no export this program reads, JournalDamaged naming the first bad line."""
    numbered = enumerate(lines, 1)
    header = _read_header(next(numbered, (1, ""))[1])
    count, head = 0, GENESIS
    for number, line in numbered:
        count += 1
        head = _follow(number, line, count, head)
    if count < header.entries:
        raise _cut(count + 1, f"it ends after entry {count} of {header.entries}", count)
    if count > header.entries or head.hex() != header.head:
        raise _cut(count + 1, "the entries are not those that the first line names", None)
    return Verified(count, count, head)


def _read_header(line: str) -> Header:
    try:
        header = _header.decode(line)
    except msgspec.MsgspecError as error:
        raise _foreign("the first line is not that of an export") from error
    if header.format != FORMAT or header.version != VERSION:
        raise _foreign(f"it is {header.format!r}, version {header.version}")
    return header


def _follow(number: int, line: str, seq: int, head: bytes) -> bytes:
    try:
        entry = _entry.decode(line)
    except msgspec.MsgspecError as error:
        raise _cut(number, "the line is no entry, or is cut", seq - 1) from error
    digest = link(head, entry.body.encode())
    if entry.seq != seq or entry.digest != digest.hex():
        raise _cut(number, f"entry {entry.seq} does not follow from the one before", seq - 1)
    return digest


def _cut(number: int, what: str, last_good_seq: int | None) -> JournalDamaged:
    return JournalDamaged(
        what,
        where=f"export line {number}",
        next_step="export again from the journal itself",
        bad_seq=None if last_good_seq is None else last_good_seq + 1,
        last_good_seq=last_good_seq,
    )


def _foreign(what: str) -> JournalForeign:
    return JournalForeign(what, where="export line 1", next_step="name a file made by: taptill journal export")
