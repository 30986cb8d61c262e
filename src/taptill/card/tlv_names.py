"""BER-TLV for people: the tree with names, card numbers masked.

Comes in: octets. Goes out: a tree of nodes, its lines of text, or plain data for JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from taptill.card.data_elements import SENSITIVE_TAGS, Format, format_of, name_of
from taptill.card.dol import MalformedDol, parse_dol
from taptill.card.sensitive import mask_pan
from taptill.card.tlv import Tlv, is_constructed, parse_tlv

_LISTS = frozenset({0x9F38, 0x8C, 0x8D, 0x97, 0x9F49, 0x9F4F})
_NUMBERS = frozenset({0x5A, 0x57, 0x9F6B})


@dataclass(frozen=True, slots=True)
class TlvNode:
    """One data object as shown: tag in hex, name, value in hex (masked where it names a person or a card), meaning."""

    tag: str
    name: str
    length: int
    value: str
    meaning: str = ""
    children: tuple[TlvNode, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Plain data for JSON."""
        plain: dict[str, object] = {"tag": self.tag, "name": self.name, "length": self.length}
        if self.children:
            plain["children"] = [child.as_json() for child in self.children]
        else:
            plain["value"] = self.value
        if self.meaning:
            plain["meaning"] = self.meaning
        return plain


def describe_tlv(octets: bytes, where: str = "TLV") -> tuple[TlvNode, ...]:
    """The tree of the octets. Raises MalformedTlv."""
    return tuple(_node(tlv) for tlv in parse_tlv(octets, where))


def render_tree(nodes: Iterable[TlvNode], indent: str = "") -> str:
    """One line a node, children indented."""
    return "\n".join(_lines(nodes, indent))


def shown_value(tag: int, value: bytes) -> str:
    """The value in hex, or its masked form for tags that hold a card number or a name."""
    if tag not in SENSITIVE_TAGS:
        return value.hex().upper()
    if tag not in _NUMBERS:
        return "*" * len(value)
    return mask_pan(value.hex().upper().partition("D")[0].rstrip("F"))


def _node(tlv: Tlv) -> TlvNode:
    children = tuple(_node(child) for child in tlv.children)
    meaning = "" if is_constructed(tlv.tag) else _meaning(tlv.tag, tlv.value)
    # A template's own octets would repeat what its children hide.
    value = "" if is_constructed(tlv.tag) else shown_value(tlv.tag, tlv.value)
    return TlvNode(f"{tlv.tag:X}", name_of(tlv.tag), len(tlv.value), value, meaning, children)


def _meaning(tag: int, value: bytes) -> str:
    if tag in _LISTS:
        try:
            return ", ".join(
                f"{entry.tag:X}[{entry.length}] {name_of(entry.tag)}".rstrip() for entry in parse_dol(value)
            )
        except MalformedDol as refusal:
            return f"malformed: {refusal.what}"
    if format_of(tag) is Format.TEXT and tag not in SENSITIVE_TAGS:
        return value.decode("ascii", "replace") if value.isascii() else ""
    return ""


def _lines(nodes: Iterable[TlvNode], indent: str) -> Iterator[str]:
    for node in nodes:
        head = f"{indent}{node.tag} {node.name}".rstrip() + f" [{node.length}]"
        yield head + (f" {node.value}" if node.value else "") + (f' "{node.meaning}"' if node.meaning else "")
        yield from _lines(node.children, indent + "  ")
