"""ISO 8583:1987 as UnionPay terminals write it: BCD numbers, lengths in BCD that count digits, binary bitmap.

Comes in: an `IsoMessage`, or octets. Goes out: octets, or an `IsoMessage`.
Strategy: the field table is data, pyiso8583 does the packing. A message has exactly one encoding: what does not come
out again byte for byte (a letter among digits, a wrong pad, bytes behind the last field) is refused with field and
offset, so nothing half understood is ever judged. Lent to the host, so it leans on nothing but TLV and the errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any

import iso8583

from taptill.card.tlv import MalformedTlv, encode_tlv, parse_tlv
from taptill.errors import TapTillError

MESSAGE_OCTETS_MAX = 4000
MTI_OCTETS = 2
BITMAP_OCTETS = 8
TPDU_OCTETS = 5
HEADER_OCTETS = 6
MAC_FIELD = 64
MAC_OCTETS = 8
CARD_DATA_FIELD = 55
PRIVATE_DATA_FIELD = 59
SETTLEMENT_TEXTS_FIELD = 63
KSN_TAG = 0xDF01
ENVELOPE_TAG = 0xDF02
TOKEN_TAG = 0xDF03
PAYMENT_REF_TAG = 0xDF04
_TPDU_ID = 0x60


class MalformedMessage(TapTillError):
    """Octets that are no message of this table, or content that does not fit it. Texts never hold the content."""

    code = 3101

    def __init__(self, what: str, *, field_name: str, offset: int | None = None) -> None:
        at = "" if offset is None else f" at offset {offset}"
        super().__init__(what, where=f"message, {field_name}{at}")
        self.field_name = field_name
        self.offset = offset


class Kind(Enum):
    """How a field's content is written. Numbers and track data are digits of one nibble each."""

    NUMBER = "n"
    TRACK = "z"
    TEXT = "ans"
    BINARY = "b"


@dataclass(frozen=True, slots=True)
class FieldFormat:
    """`length` counts digits, characters or bytes: exactly so many if `length_octets` is 0, at most so many otherwise
    (1: LLVAR, 2: LLLVAR)."""

    name: str
    kind: Kind
    length: int
    length_octets: int = 0
    pad_left: bool = False  # where the nibble that fills an odd number of digits stands


_N, _Z, _ANS, _B = Kind.NUMBER, Kind.TRACK, Kind.TEXT, Kind.BINARY

FIELDS: Mapping[int, FieldFormat] = MappingProxyType(
    {
        2: FieldFormat("primary account number", _N, 19, 1),
        3: FieldFormat("processing code", _N, 6),
        4: FieldFormat("amount", _N, 12),
        11: FieldFormat("STAN", _N, 6),
        12: FieldFormat("local time", _N, 6),
        13: FieldFormat("local date", _N, 4),
        14: FieldFormat("expiry date", _N, 4),
        15: FieldFormat("settlement date", _N, 4),
        22: FieldFormat("entry mode", _N, 3),  # 072 goes out as 07 20, unlike all other odd fixed numbers
        23: FieldFormat("card sequence number", _N, 3, pad_left=True),
        25: FieldFormat("condition code", _N, 2),
        26: FieldFormat("PIN capture code", _N, 2),
        32: FieldFormat("acquirer id", _N, 11, 1),
        35: FieldFormat("track 2", _Z, 37, 1),
        36: FieldFormat("track 3", _Z, 104, 2),
        37: FieldFormat("retrieval reference number", _ANS, 12),
        38: FieldFormat("authorisation code", _ANS, 6),
        39: FieldFormat("response code", _ANS, 2),
        41: FieldFormat("terminal id", _ANS, 8),
        42: FieldFormat("merchant id", _ANS, 15),
        44: FieldFormat("additional response data", _ANS, 25, 1),
        48: FieldFormat("totals and counts", _N, 322, 2),
        49: FieldFormat("currency", _ANS, 3),
        52: FieldFormat("PIN block", _B, 8),
        53: FieldFormat("security control", _N, 16),
        54: FieldFormat("additional amounts", _ANS, 20, 2),
        55: FieldFormat("card data", _B, 255, 2),
        59: FieldFormat("private data", _B, 512, 2),
        60: FieldFormat("type, batch, network code", _N, 30, 2),
        61: FieldFormat("original message", _N, 29, 2),
        62: FieldFormat("private text", _ANS, 512, 2),
        63: FieldFormat("settlement texts", _B, 163, 2),  # GB 18030, and a cut character must not cost the message
        64: FieldFormat("MAC", _B, MAC_OCTETS),
    }
)


@dataclass(frozen=True, slots=True)
class IsoMessage:
    """Binary fields (52, 55, 59, 63, 64) are bytes, all others text without pad nibbles. The repr shows no content."""

    mti: str
    fields: Mapping[int, str | bytes] = field(repr=False)

    def text(self, number: int) -> str:
        """The text of a field, empty where it is absent."""
        content = self.fields.get(number, "")
        return content if isinstance(content, str) else ""

    def octets(self, number: int) -> bytes:
        """The bytes of a binary field, empty where it is absent."""
        content = self.fields.get(number, b"")
        return content if isinstance(content, bytes) else b""


@dataclass(frozen=True, slots=True)
class PrivateData:
    """DE59: what stands in for the card number (DESIGN, wire). Absent parts are empty."""

    ksn: bytes = b""  # initial key id and counter, 12 bytes
    envelope: bytes = field(default=b"", repr=False)
    token: bytes = b""
    payment_ref: str = ""


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A message with what stands in front of it on the wire."""

    tpdu: bytes
    header: bytes
    message: bytes

    @property
    def processing_request(self) -> int:
        """Sixth nibble of the header: what the host wants done (0 nothing, 3 sign on again, ...)."""
        return self.header[2] & 0x0F


def encode_message(message: IsoMessage) -> bytes:
    """MTI, bitmap and fields. Raises MalformedMessage naming the field that does not fit."""
    document = {"t": _digits(message.mti, 4, "MTI")}
    for number, content in message.fields.items():
        document[str(number)] = _to_document(number, content)
    try:
        octets, _ = iso8583.encode(document, _SPEC)
    except iso8583.EncodeError as error:
        raise MalformedMessage(error.msg, field_name=_field_name(error.field)) from None
    return bytes(octets)


def decode_message(octets: bytes) -> IsoMessage:
    """The message in `octets`, which hold nothing else. Raises MalformedMessage naming field and offset."""
    _check_bitmap(octets)
    try:
        document, parts = iso8583.decode(octets, _SPEC)
    except iso8583.DecodeError as error:
        raise MalformedMessage(error.msg, field_name=_field_name(error.field), offset=error.pos) from None
    offset = MTI_OCTETS + BITMAP_OCTETS
    fields: dict[int, str | bytes] = {}
    _digits(document["t"], 4, "MTI", 0)
    for number in sorted(int(key) for key in document if key.isdigit()):
        part = parts[str(number)]
        fields[number] = _from_document(number, document[str(number)], part["data"], offset)
        offset += len(part["len"]) + len(part["data"])
    return IsoMessage(document["t"], MappingProxyType(fields))


def mac_input(octets: bytes) -> bytes:
    """What DE64 covers of an encoded message: MTI to the last field before it. DE64 has to be there, and last.
    Raises MalformedMessage."""
    body = MTI_OCTETS + BITMAP_OCTETS
    if len(octets) < body + MAC_OCTETS or not octets[body - 1] & 0x01:
        raise MalformedMessage("there is no MAC", field_name=f"DE{MAC_FIELD}")
    return octets[:-MAC_OCTETS]


def encode_private_data(private: PrivateData) -> bytes:
    """DE59 with the parts that are not empty. Raises MalformedMessage for a reference that is not ASCII."""
    if not private.payment_ref.isascii():
        raise MalformedMessage("the payment reference is not ASCII", field_name="DE59")
    reference = private.payment_ref.encode("ascii")
    parts = (
        (KSN_TAG, private.ksn),
        (ENVELOPE_TAG, private.envelope),
        (TOKEN_TAG, private.token),
        (PAYMENT_REF_TAG, reference),
    )
    return b"".join(encode_tlv(tag, value) for tag, value in parts if value)


def decode_private_data(octets: bytes) -> PrivateData:
    """Raises MalformedMessage for anything but the four known parts, each at most once."""
    try:
        items = parse_tlv(octets, "DE59")
        found = {item.tag: item.value for item in items}
        reference = found.get(PAYMENT_REF_TAG, b"").decode("ascii")
    except (MalformedTlv, UnicodeDecodeError):
        raise MalformedMessage("is no TLV of private data", field_name="DE59") from None
    if len(found) != len(items) or not found.keys() <= {KSN_TAG, ENVELOPE_TAG, TOKEN_TAG, PAYMENT_REF_TAG}:
        raise MalformedMessage("holds a part twice, or an unknown one", field_name="DE59")
    return PrivateData(found.get(KSN_TAG, b""), found.get(ENVELOPE_TAG, b""), found.get(TOKEN_TAG, b""), reference)


def wrap(tpdu: bytes, header: bytes, message: bytes) -> bytes:
    """The body of a frame. Raises MalformedMessage for a TPDU or header of a wrong length."""
    if len(tpdu) != TPDU_OCTETS or tpdu[0] != _TPDU_ID or len(header) != HEADER_OCTETS:
        raise MalformedMessage("TPDU or header is not of its form", field_name="TPDU")
    return tpdu + header + message


def unwrap(body: bytes) -> Wrapped:
    """The body of a frame in its three parts. Raises MalformedMessage where it is too short or no TPDU begins it."""
    if len(body) < TPDU_OCTETS + HEADER_OCTETS or body[0] != _TPDU_ID:
        raise MalformedMessage("no TPDU and header begin it", field_name="TPDU", offset=0)
    start = TPDU_OCTETS + HEADER_OCTETS
    return Wrapped(body[:TPDU_OCTETS], body[TPDU_OCTETS:start], body[start:])


def answer_tpdu(tpdu: bytes) -> bytes:
    """The TPDU of an answer: destination and source change places."""
    return tpdu[:1] + tpdu[3:5] + tpdu[1:3]


def _spec_of(form: FieldFormat) -> dict[str, str | int]:
    """One field in pyiso8583's own words."""
    spec: dict[str, str | int] = {
        "data_enc": "ascii" if form.kind is Kind.TEXT else "b",
        "len_enc": "bcd",
        "len_type": form.length_octets,
        "max_len": form.length,
        "desc": form.name,
    }
    if form.kind in (Kind.NUMBER, Kind.TRACK):
        spec |= {"len_count": "nibbles", "left_pad" if form.pad_left else "right_pad": "0"}
    return spec


_FRAME_SPEC: dict[str, dict[str, str | int]] = {
    "h": {"data_enc": "b", "len_enc": "b", "len_type": 0, "max_len": 0, "desc": "header"},
    "t": {"data_enc": "b", "len_enc": "b", "len_type": 0, "max_len": 2, "desc": "MTI"},
    "p": {"data_enc": "b", "len_enc": "b", "len_type": 0, "max_len": 8, "desc": "bitmap"},
}
_SPEC: dict[str, dict[str, Any]] = _FRAME_SPEC | {str(number): _spec_of(form) for number, form in FIELDS.items()}


def _check_bitmap(octets: bytes) -> None:
    """pyiso8583 follows any bit; this table ends at 64 and has holes."""
    if len(octets) > MESSAGE_OCTETS_MAX:
        raise MalformedMessage(f"{len(octets)} bytes, more than {MESSAGE_OCTETS_MAX}", field_name="MTI", offset=0)
    bitmap = octets[MTI_OCTETS : MTI_OCTETS + BITMAP_OCTETS]
    if len(bitmap) < BITMAP_OCTETS:
        raise MalformedMessage("the message ends here", field_name="bitmap", offset=len(octets))
    bits = int.from_bytes(bitmap, "big")
    for number in range(1, 65):
        if bits >> (64 - number) & 1 and number not in FIELDS:
            raise MalformedMessage("no such field in the table", field_name=f"DE{number}", offset=MTI_OCTETS)


def _to_document(number: int, content: str | bytes) -> str:
    form = FIELDS.get(number)
    name = f"DE{number}"
    if form is None:
        raise MalformedMessage("no such field in the table", field_name=name)
    if isinstance(content, bytes) != (form.kind is Kind.BINARY):
        raise MalformedMessage(f"content of type {type(content).__name__} does not fit", field_name=name)
    if isinstance(content, bytes):
        return content.hex().upper()
    _check_text(form, content, name)
    return content


def _from_document(number: int, content: str, raw: bytes, offset: int) -> str | bytes:
    form = FIELDS[number]
    if form.kind is Kind.BINARY:
        return raw
    _check_text(form, content, f"DE{number}", offset)
    return content


def _check_text(form: FieldFormat, content: str, name: str, offset: int | None = None) -> None:
    if form.kind is Kind.NUMBER:
        _digits(content, len(content), name, offset)
    elif form.kind is Kind.TRACK and not set(content) <= set("0123456789D"):
        raise MalformedMessage("no track data", field_name=name, offset=offset)
    elif form.kind is Kind.TEXT and not (content.isascii() and (content.isprintable() or not content)):
        raise MalformedMessage("a character that cannot be printed", field_name=name, offset=offset)


def _digits(content: str, length: int, name: str, offset: int | None = None) -> str:
    if len(content) != length or (content and not (content.isascii() and content.isdigit())):
        raise MalformedMessage("something other than digits", field_name=name, offset=offset)
    return content


def _field_name(key: str) -> str:
    return {"t": "MTI", "p": "bitmap"}.get(key, f"DE{key}")
