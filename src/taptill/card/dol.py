"""Data object lists: what the card asks for, and the answer without tags (EMV Book 3, 5.4).

Comes in: a DOL and the sources that know values. Goes out: the concatenated values in exactly the lengths asked for.
Strategy: the first source that knows a tag wins; unknown tags, and templates, are filled with zeros. A length is one
octet, so FB asks for 251; a list that makes no sense so is read once more with 81 as the long form some cards write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from taptill.card.data_elements import Format, format_of
from taptill.card.tlv import MalformedTlv, is_constructed, read_tag
from taptill.errors import TapTillError

FILLED_OCTETS_MAX = 252  # what a short GPO carries in its template 83; no command carries much more
_LONG_FORM = 0x81


class MalformedDol(TapTillError):
    """A list that ends within an entry, or asks for more than any command can carry."""

    code = 1202


@dataclass(frozen=True, slots=True)
class DolEntry:
    """One tag and the number of bytes wanted of it."""

    tag: int
    length: int


def iterate_dol(dol: bytes, where: str = "DOL") -> Iterator[DolEntry]:
    """The entries in order. Raises MalformedDol at the first bad one, after the good ones."""
    yield from _entries(dol, where, long_form=_LONG_FORM in dol and not _fits(dol, False) and _fits(dol, True))


def _entries(dol: bytes, where: str, long_form: bool) -> Iterator[DolEntry]:
    at = 0
    while at < len(dol):
        try:
            tag, at = read_tag(dol, at, len(dol), where)
        except MalformedTlv as cut:
            raise MalformedDol(cut.what, where=where) from cut
        at += long_form and dol[at : at + 1] == bytes([_LONG_FORM])
        if at >= len(dol):
            raise MalformedDol(f"tag {tag:X} has no length at offset {at}", where=where)
        yield DolEntry(tag, dol[at])
        at += 1


def _fits(dol: bytes, long_form: bool) -> bool:
    """Whether this reading makes a list that a command can answer."""
    try:
        return dol_length(tuple(_entries(dol, "DOL", long_form))) <= FILLED_OCTETS_MAX
    except MalformedDol:
        return False


def parse_dol(dol: bytes, where: str = "DOL") -> tuple[DolEntry, ...]:
    """All entries. Raises MalformedDol."""
    return tuple(iterate_dol(dol, where))


def asks_for(dol: bytes, tag: int) -> bool:
    """Whether the list names the tag. A list that breaks asks for what stands before the break."""
    try:
        return any(entry.tag == tag for entry in iterate_dol(dol))
    except MalformedDol:
        return False


def dol_length(entries: tuple[DolEntry, ...]) -> int:
    """How many bytes a filled list has."""
    return sum(entry.length for entry in entries)


def fill_dol(dol: bytes, *sources: Mapping[int, bytes], where: str = "DOL") -> bytes:
    """The values the list asks for. Raises MalformedDol."""
    entries = parse_dol(dol, where)
    if dol_length(entries) > FILLED_OCTETS_MAX:
        raise MalformedDol(f"asks for {dol_length(entries)} bytes, at most {FILLED_OCTETS_MAX} fit", where=where)
    return b"".join(_value_for(entry, sources) for entry in entries)


def split_dol(dol: bytes, filled: bytes, where: str = "DOL") -> dict[int, bytes]:
    """The other way round: what a filled list says per tag. Raises MalformedDol when the lengths disagree."""
    entries = parse_dol(dol, where)
    if dol_length(entries) != len(filled):
        raise MalformedDol(f"asks for {dol_length(entries)} bytes, {len(filled)} are there", where=where)
    values: dict[int, bytes] = {}
    at = 0
    for entry in entries:
        values.setdefault(entry.tag, filled[at : at + entry.length])
        at += entry.length
    return values


def _value_for(entry: DolEntry, sources: tuple[Mapping[int, bytes], ...]) -> bytes:
    value = next((source[entry.tag] for source in sources if entry.tag in source), None)
    if value is None or is_constructed(entry.tag):
        return bytes(entry.length)
    return fit(value, entry.length, format_of(entry.tag))


def fit(value: bytes, length: int, data_format: Format) -> bytes:
    """A value in another length: numeric keeps its right end, everything else its left end (EMV Book 3, 5.4)."""
    if data_format is Format.NUMERIC:
        return value[max(0, len(value) - length) :].rjust(length, b"\x00")
    filler = b"\xff" if data_format is Format.COMPRESSED_NUMERIC else b"\x00"
    return value[:length].ljust(length, filler)
