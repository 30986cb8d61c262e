"""Octets to requests and answers to octets (facts: host protocol, 2.1 to 2.3; profile `aes`).

Comes in: the body of a frame. Goes out: `Incoming`, then a `Request`; back: an `Answer` as a body with its MAC.
Strategy: two steps. What cannot even be answered (no message, no KSN, no number to answer under) raises
UnreadableMessage; whatever else is wrong with a message becomes a flaw in its request and is refused with a code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from taphost.accounts import OpenedCard
from taphost.errors import UnreadableMessage
from taphost.message_keys import MessageKeys
from taphost.requests import (
    Answer,
    Echo,
    Financial,
    FinancialKind,
    MessageClass,
    MessageKey,
    Request,
    Reversal,
    SignOn,
    StatusQuery,
    Unsupported,
)
from taptill.card.tlv import MalformedTlv, flatten, parse_tlv
from taptill.host.codec import (
    MAC_FIELD,
    MAC_OCTETS,
    IsoMessage,
    MalformedMessage,
    PrivateData,
    Wrapped,
    answer_tpdu,
    decode_message,
    decode_private_data,
    encode_message,
    mac_input,
    unwrap,
    wrap,
)

_SALE, _STATUS = "000000", "531000"
_FINANCIAL_KINDS = {
    ("0200", _SALE, "22"): FinancialKind.SALE,
    ("0200", _SALE, "36"): FinancialKind.OFFLINE_ADVICE,
    ("0220", _SALE, "30"): FinancialKind.DEFERRED_ADVICE,
}
_ECHO, _SIGN_ON = ("0820", "301"), ("0800", "004")
_ECHOED_FIELDS = (3, 4, 11, 25, 41, 42, 49, 60)
_PAN_TAG, _SEQUENCE_TAG = 0x5A, 0x5F34
_BATCH = slice(2, 8)
_NETWORK_CODE = slice(8, 11)
_PARTIAL_FLAG = slice(13, 14)
_DE60_DIGITS_MIN = 11
_DE61_DIGITS_MIN = 12
_ORGANISATION = "CUP"
_SETTLEMENT_TEXT_OCTETS = 20


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that can be answered. `signed` is what its MAC covers; nothing of it is believed before that MAC."""

    wrapped: Wrapped
    message: IsoMessage
    private: PrivateData = field(repr=False)
    signed: bytes = field(repr=False)
    terminal: str
    merchant: str
    batch: int
    stan: int

    @property
    def mac(self) -> bytes:
        return self.message.octets(MAC_FIELD)

    @property
    def network_code(self) -> str:
        """60.3"""
        return self.message.text(60)[_NETWORK_CODE]

    def key(self, message_class: MessageClass) -> MessageKey:
        return MessageKey(self.terminal, self.batch, self.stan, message_class)


def read_incoming(body: bytes) -> Incoming:
    """The body of a frame, not yet authenticated. Raises UnreadableMessage."""
    try:
        wrapped = unwrap(body)
        message = decode_message(wrapped.message)
        signed = mac_input(wrapped.message)
        private = decode_private_data(message.octets(59))
    except MalformedMessage as error:
        raise UnreadableMessage(error.what, where=error.where) from error
    stan, de60 = message.text(11), message.text(60)
    if not stan or len(de60) < _DE60_DIGITS_MIN or not message.text(41):
        raise UnreadableMessage("DE11, DE41 or DE60 is missing", where="message")
    return Incoming(
        wrapped=wrapped,
        message=message,
        private=private,
        signed=signed,
        terminal=message.text(41).rstrip(),
        merchant=message.text(42).rstrip(),
        batch=int(de60[_BATCH]),
        stan=int(stan),
    )


def read_request(incoming: Incoming, keys: MessageKeys) -> Request:
    """What the authenticated message asks for."""
    message = incoming.message
    mti, processing_code, transaction_type = message.mti, message.text(3), message.text(60)[:2]
    kind = _FINANCIAL_KINDS.get((mti, processing_code, transaction_type))
    if kind is not None and message.text(4):
        return _read_financial(kind, incoming, keys)
    if (mti, processing_code) == ("0200", _STATUS) and len(message.text(61)) >= _DE61_DIGITS_MIN:
        return _read_query(incoming)
    if (mti, processing_code) == ("0400", _SALE) and message.text(4):
        reference = incoming.private.payment_ref
        return Reversal(incoming.key(MessageClass.REVERSAL), int(message.text(4)), reference, message.text(39))
    if (mti, incoming.network_code) == _SIGN_ON:
        return SignOn()
    return Echo() if (mti, incoming.network_code) == _ECHO else Unsupported()


def write_reply(incoming: Incoming, answer: Answer, local_time: datetime, batch: int | None = None) -> bytes:
    """The answer's message up to its MAC, which is what a repeat is answered with again. `batch` replaces 60.2."""
    message = incoming.message
    fields = {number: message.fields[number] for number in _ECHOED_FIELDS if number in message.fields}
    if answer.amount_minor is not None and 4 in fields:
        fields[4] = f"{answer.amount_minor:012d}"
    if batch is not None:
        de60 = message.text(60)
        fields[60] = f"{de60[:2]}{batch:06d}{de60[8:]}"
    fields |= {12: f"{local_time:%H%M%S}", 13: f"{local_time:%m%d}", 39: answer.code, 63: _settlement_texts(answer)}
    fields |= {37: answer.rrn} if answer.rrn else {}
    fields |= {38: answer.auth_code} if answer.auth_code else {}
    fields |= {62: answer.private_text} if answer.private_text else {}
    reply = IsoMessage(f"{int(message.mti) + 10:04d}", fields | {MAC_FIELD: bytes(MAC_OCTETS)})
    return mac_input(encode_message(reply))


def seal_reply(incoming: Incoming, reply: bytes, keys: MessageKeys) -> bytes:
    """The body of the answer's frame: `reply` with its MAC under the request's KSN, addresses swapped."""
    tpdu = answer_tpdu(incoming.wrapped.tpdu)
    return wrap(tpdu, incoming.wrapped.header, reply + keys.response_mac(reply))


def _read_financial(kind: FinancialKind, incoming: Incoming, keys: MessageKeys) -> Financial:
    message, private = incoming.message, incoming.private
    card = open_card(keys.open_envelope(private.envelope, private.payment_ref.encode("ascii")))
    icc = _read_icc(message.octets(55))
    flaw = "" if card else "the envelope does not open"
    return Financial(
        kind=kind,
        key=incoming.key(MessageClass.FINANCIAL),
        amount_minor=int(message.text(4)),
        currency=message.text(49),
        payment_ref=private.payment_ref,
        token=private.token,
        card=card,
        icc=icc or {},
        partial_allowed=message.text(60)[_PARTIAL_FLAG] == "1",
        flaw=flaw if icc is not None else "DE55 is no TLV",
    )


def _read_query(incoming: Incoming) -> StatusQuery:
    digits = incoming.message.text(61)
    original = MessageKey(incoming.terminal, int(digits[:6]), int(digits[6:12]), MessageClass.FINANCIAL)
    return StatusQuery(original, incoming.private.payment_ref)


def open_card(plaintext: bytes | None) -> OpenedCard | None:
    """The card in an opened envelope: a TLV of 5A and perhaps 5F34, digits padded with F. None where it is none."""
    found = _read_icc(plaintext) if plaintext else None
    pan = (found or {}).get(_PAN_TAG, b"").hex().rstrip("f")
    sequence = (found or {}).get(_SEQUENCE_TAG, b"").hex()
    if not pan.isdigit() or (sequence and not sequence.isdigit()):
        return None
    return OpenedCard(pan, sequence or None)


def _read_icc(octets: bytes) -> dict[int, bytes] | None:
    try:
        return flatten(parse_tlv(octets, "DE55"))
    except MalformedTlv:
        return None


def _settlement_texts(answer: Answer) -> bytes:
    """DE63: organisation (3), then issuer, centre and acquirer, 20 bytes each, GB 18030."""
    texts = (answer.issuer, answer.remark, "TapHost")
    return _ORGANISATION.encode("ascii") + b"".join(_fixed(text) for text in texts)


def _fixed(text: str) -> bytes:
    """Cut between characters, padded with blanks."""
    whole = text.encode("gb18030")[:_SETTLEMENT_TEXT_OCTETS].decode("gb18030", "ignore").encode("gb18030")
    return whole.ljust(_SETTLEMENT_TEXT_OCTETS)
