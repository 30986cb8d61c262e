"""A message for people: fields with names, card data as a tree, card numbers masked.

Comes in: octets, with or without frame length, TPDU and header. Goes out: lines of text, or plain data for JSON.
"""

from __future__ import annotations

from dataclasses import dataclass

from taptill.card.sensitive import mask_pan
from taptill.card.tlv import MalformedTlv
from taptill.card.tlv_names import TlvNode, describe_tlv, render_tree
from taptill.host.codec import (
    CARD_DATA_FIELD,
    ENVELOPE_TAG,
    FIELDS,
    KSN_TAG,
    PAYMENT_REF_TAG,
    PRIVATE_DATA_FIELD,
    SETTLEMENT_TEXTS_FIELD,
    TOKEN_TAG,
    Wrapped,
    decode_message,
    unwrap,
)
from taptill.host.framing import LENGTH_OCTETS

_PRIVATE_NAMES = {
    f"{KSN_TAG:X}": "key serial number",
    f"{ENVELOPE_TAG:X}": "envelope",
    f"{TOKEN_TAG:X}": "token",
    f"{PAYMENT_REF_TAG:X}": "payment reference",
}
_NUMBER_FIELDS = frozenset({2, 35, 36})
_HIDDEN_FIELDS = frozenset({14, 52})
_TLV_FIELDS = frozenset({CARD_DATA_FIELD, PRIVATE_DATA_FIELD})
_TPDU_FIRST = 0x60  # no MTI begins like this


@dataclass(frozen=True, slots=True)
class FieldDescription:
    """One field as shown; `nodes` in place of `value` where it is a TLV."""

    number: int
    name: str
    value: str
    nodes: tuple[TlvNode, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageDescription:
    """A message as shown. TPDU and header are in hex, empty where there are none."""

    mti: str
    tpdu: str
    header: str
    fields: tuple[FieldDescription, ...]

    def as_json(self) -> dict[str, object]:
        """Plain data for JSON."""
        return {
            "mti": self.mti,
            "tpdu": self.tpdu,
            "header": self.header,
            "fields": [
                {"number": shown.number, "name": shown.name, "value": shown.value}
                | ({"tlv": [node.as_json() for node in shown.nodes]} if shown.nodes else {})
                for shown in self.fields
            ],
        }

    def as_text(self) -> str:
        """One line a field, TLV content indented below it."""
        lines = [f"TPDU {self.tpdu}, header {self.header}"] if self.tpdu else []
        lines.append(f"MTI {self.mti}")
        for shown in self.fields:
            lines.append(f"DE{shown.number} {shown.name}: {shown.value}".rstrip())
            if shown.nodes:
                lines.append(render_tree(shown.nodes, "  "))
        return "\n".join(lines)


def describe_message(octets: bytes) -> MessageDescription:
    """Raises MalformedMessage."""
    wrapped = _unwrapped(octets)
    message = decode_message(wrapped.message)
    shown = tuple(_describe_field(number, content) for number, content in message.fields.items())
    return MessageDescription(message.mti, wrapped.tpdu.hex().upper(), wrapped.header.hex().upper(), shown)


def _unwrapped(octets: bytes) -> Wrapped:
    length = int.from_bytes(octets[:LENGTH_OCTETS], "big")
    if length == len(octets) - LENGTH_OCTETS and octets[LENGTH_OCTETS : LENGTH_OCTETS + 1] == bytes([_TPDU_FIRST]):
        octets = octets[LENGTH_OCTETS:]
    return unwrap(octets) if octets[:1] == bytes([_TPDU_FIRST]) else Wrapped(b"", b"", octets)


def _describe_field(number: int, content: str | bytes) -> FieldDescription:
    name = FIELDS[number].name
    if number in _HIDDEN_FIELDS:
        return FieldDescription(number, name, "*" * len(content))
    if isinstance(content, str):
        return FieldDescription(number, name, _masked(content) if number in _NUMBER_FIELDS else content)
    if number in _TLV_FIELDS:
        return _describe_tlv_field(number, name, content)
    if number == SETTLEMENT_TEXTS_FIELD:
        return FieldDescription(number, name, content.decode("gb18030", "replace"))
    return FieldDescription(number, name, content.hex().upper())


def _describe_tlv_field(number: int, name: str, content: bytes) -> FieldDescription:
    """What is no TLV is not shown: a card number may be in it, and nothing says where."""
    try:
        nodes = describe_tlv(content, f"DE{number}")
    except MalformedTlv as refusal:
        return FieldDescription(number, name, f"{len(content)} bytes, malformed: {refusal.what}")
    return FieldDescription(number, name, "", tuple(_with_private_name(number, node) for node in nodes))


def _with_private_name(number: int, node: TlvNode) -> TlvNode:
    private_name = _PRIVATE_NAMES.get(node.tag) if number == PRIVATE_DATA_FIELD else None
    return TlvNode(node.tag, private_name, node.length, node.value) if private_name else node


def _masked(digits: str) -> str:
    """Of track data only the masked number remains."""
    return mask_pan(digits.partition("D")[0])
