"""BER-TLV as cards speak it (EMV Book 3, Annex B).

Comes in: octets of a response, a record or field 55. Goes out: a tuple of `Tlv` trees, or octets again.
Strategy: strict, because a card is a stranger: a cut tag, a cut length or a value that overruns is refused with its tag
and offset, and nothing is guessed. 00 padding around elements is skipped, and may be missing at the end of the last
template. Lent to the host, so it leans on nothing but the errors and msgspec, whose objects are made in a tenth of a
dataclass's time: a tap makes hundreds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from taptill.errors import TapTillError

TAG_OCTETS_MAX = 4
LENGTH_OCTETS_MAX = 4
# Templates within templates, each a call deep: real cards stay below six, an answer of 2,304 octets has room for
# hundreds.
DEPTH_MAX = 24

_CONSTRUCTED = 0x20
_TAG_CONTINUES = 0x1F
_MORE = 0x80


class MalformedTlv(TapTillError):
    """Octets that are not BER-TLV, or a tag that cannot be written as such."""

    code = 1201


class Tlv(msgspec.Struct, frozen=True, gc=False):
    """One data object. `children` is empty for primitive tags; `value` is always the whole value, hidden in reprs."""

    tag: int
    value: bytes
    children: tuple[Tlv, ...] = ()

    def __repr__(self) -> str:
        return f"Tlv(tag={self.tag:X}, octets={len(self.value)}, children={self.children})"


def parse_tlv(octets: bytes, where: str = "TLV") -> tuple[Tlv, ...]:
    """All data objects of `octets` in order, templates opened. Raises MalformedTlv naming tag and offset."""
    return _parse(octets, 0, len(octets), where, 0)


def encode_tlv(tag: int, value: bytes) -> bytes:
    """One data object with the shortest length field. Raises MalformedTlv for a number that is no tag."""
    return encode_tag(tag) + encode_length(len(value)) + value


def encode_tag(tag: int) -> bytes:
    """`0x9F02` -> 9F 02. Raises MalformedTlv for a number that is no tag."""
    octets = tag.to_bytes(max(1, (tag.bit_length() + 7) // 8), "big") if tag > 0 else b""
    end = _tag_end(octets, 0, len(octets))
    if end is None or end != len(octets) or end > TAG_OCTETS_MAX:
        raise MalformedTlv(f"{tag:#x} is no BER tag", where="TLV encoding")
    return octets


def encode_length(length: int) -> bytes:
    """EMV Book 3, Annex B2: one octet below 128, else 81.. and the count."""
    if length < _MORE:
        return bytes([length])
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([_MORE | len(digits)]) + digits


def encode_tlvs(tlvs: Iterable[Tlv]) -> bytes:
    """The data objects one after the other, each with its shortest length field, however the card had written it."""
    return b"".join(encode_tlv(tlv.tag, tlv.value) for tlv in tlvs)


def without_tag(octets: bytes, tag: int, where: str = "TLV") -> bytes:
    """The data objects of `octets` as they stand, but for `tag`; templates are not opened. Where a hash covers what was
    said, it covers the length fields as they were written. Padding between data objects is none of them. Raises
    MalformedTlv."""
    kept, at, end = bytearray(), 0, len(octets)
    while at < end:
        if octets[at] == 0x00:
            at += 1
            continue
        found, behind = read_tag(octets, at, end, where)
        length, behind = read_length(octets, behind, end, where, found)
        if behind + length > end:
            raise MalformedTlv(f"tag {found:X} is cut at offset {at}", where=where)
        if found != tag:
            kept += octets[at : behind + length]
        at = behind + length
    return bytes(kept)


def walk(tlvs: Iterable[Tlv]) -> Iterator[Tlv]:
    """Every data object, templates before their content."""
    for tlv in tlvs:
        yield tlv
        yield from walk(tlv.children)


def find(tlvs: Iterable[Tlv], tag: int) -> bytes | None:
    """The value of the first `tag`, depth first; None when there is none."""
    return next((tlv.value for tlv in walk(tlvs) if tlv.tag == tag), None)


def find_all(tlvs: Iterable[Tlv], tag: int) -> tuple[Tlv, ...]:
    """Every `tag`, depth first."""
    return tuple(tlv for tlv in walk(tlvs) if tlv.tag == tag)


def flatten(tlvs: Iterable[Tlv]) -> dict[int, bytes]:
    """The primitive data objects without their templates; of a tag that comes twice the last one stays."""
    return {tlv.tag: tlv.value for tlv in walk(tlvs) if not is_constructed(tlv.tag)}


def is_constructed(tag: int) -> bool:
    """Whether the tag announces a template (bit 6 of its first octet)."""
    first = tag >> (8 * (max(1, (tag.bit_length() + 7) // 8) - 1))
    return bool(first & _CONSTRUCTED)


def _parse(octets: bytes, at: int, end: int, where: str, depth: int) -> tuple[Tlv, ...]:
    """Tags of one and two octets and lengths of one are read here and not by a call, for speed."""
    if depth > DEPTH_MAX:
        raise MalformedTlv(f"more than {DEPTH_MAX} templates within each other at offset {at}", where=where)
    found: list[Tlv] = []
    while at < end:
        first = tag = octets[at]
        at += 1
        if first & _TAG_CONTINUES == _TAG_CONTINUES:
            if at < end and octets[at] < _MORE:
                tag = first << 8 | octets[at]
                at += 1
            else:
                tag, at = read_tag(octets, at - 1, end, where)
        elif first == 0x00:
            continue
        length = octets[at] if at < end else _MORE
        if length < _MORE:
            at += 1
        else:
            length, at = read_length(octets, at, end, where, tag)
        stop = at + length
        if stop > end:
            stop = _end_of_cut(octets, at, end, (tag, length, depth), where)
        value = octets[at:stop]
        if first & _CONSTRUCTED:
            found.append(Tlv(tag, value, _parse(octets, at, stop, where, depth + 1)))
        else:
            found.append(Tlv(tag, value))
        at = stop
    return tuple(found)


def _end_of_cut(octets: bytes, at: int, end: int, cut: tuple[int, int, int], where: str) -> int:
    """Where the value of a data object ends that is longer than what is left. Raises MalformedTlv."""
    tag, length, depth = cut
    if depth or not is_constructed(tag) or not _only_padding_is_missing(octets, at, end):
        over = f"tag {tag:X} wants {length} bytes at offset {at}, {end - at} are left"
        raise MalformedTlv(over, where=where)
    return end


def _only_padding_is_missing(octets: bytes, at: int, end: int) -> bool:
    """Whether the data objects of a cut template are whole and padding had begun before the cut."""
    if at >= end or octets[end - 1] != 0x00:
        return False
    try:
        return len(_parse(octets, at, end - 1, "", 1)) == len(_parse(octets, at, end, "", 1))
    except MalformedTlv:
        return False


def read_tag(octets: bytes, at: int, end: int, where: str) -> tuple[int, int]:
    """The tag that begins at offset `at` and the offset behind it. Raises MalformedTlv for a cut or overlong one."""
    stop = _tag_end(octets, at, end)
    if stop is None:
        raise MalformedTlv(f"tag {octets[at:end][:TAG_OCTETS_MAX].hex().upper()} is cut at offset {at}", where=where)
    if stop - at > TAG_OCTETS_MAX:
        raise MalformedTlv(f"the tag at offset {at} is longer than {TAG_OCTETS_MAX} bytes", where=where)
    return int.from_bytes(octets[at:stop], "big"), stop


def _tag_end(octets: bytes, at: int, end: int) -> int | None:
    if at >= end:
        return None
    if octets[at] & _TAG_CONTINUES != _TAG_CONTINUES:
        return at + 1
    at += 1
    while at < end:
        if not octets[at] & _MORE:
            return at + 1
        at += 1
    return None


def read_length(octets: bytes, at: int, end: int, where: str, tag: int) -> tuple[int, int]:
    """The length that begins at offset `at` and the offset behind it. Raises MalformedTlv for a cut or unknown form."""
    if at >= end:
        raise MalformedTlv(f"tag {tag:X} has no length at offset {at}", where=where)
    first = octets[at]
    if first < _MORE:
        return first, at + 1
    count = first & ~_MORE
    # "80" would be the indefinite form, which EMV Book 3, Annex B2 does not know. Behind a primitive tag with nothing
    # more to come it can only mean that there is no value.
    if (count == 0 and (is_constructed(tag) or at + 1 < end)) or count > LENGTH_OCTETS_MAX:
        raise MalformedTlv(f"tag {tag:X} has length form {first:02X} at offset {at}", where=where)
    stop = at + 1 + count
    if stop > end:
        raise MalformedTlv(f"the length of tag {tag:X} is cut at offset {at}", where=where)
    return int.from_bytes(octets[at + 1 : stop], "big"), stop
