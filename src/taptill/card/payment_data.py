"""What every card says alike: the answer to GPO, track 2, the number.

Comes in: the GPO response, and the data objects of the tap. Goes out: what they mean, or why they mean nothing.
Sources: EMV Book 3, 6.5.8.4 and Annex A.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from taptill.card.apdu import SW_OK, CommandApdu, ResponseApdu
from taptill.card.data_elements import SENSITIVE_TAGS
from taptill.card.outcome import CardNumber, CryptogramType
from taptill.card.refused import Refused
from taptill.card.sensitive import SensitiveBytes
from taptill.card.tlv import MalformedTlv, Tlv, encode_tlv, find, parse_tlv

FORMAT_1, FORMAT_2 = 0x80, 0x77
_CRYPTOGRAMS = {0x00: CryptogramType.AAC, 0x40: CryptogramType.TC, 0x80: CryptogramType.ARQC}
_CID_OF = {kind: bytes([code]) for code, kind in _CRYPTOGRAMS.items()}
_PAN_DIGITS = range(8, 20)
_CRYPTOGRAM_OCTETS = range(11, 44)  # EMV Book 3, 6.5.5.4: CID, ATC, AC and up to 32 of issuer application data in 80

# EMV Book 3, Annex A: how long the data objects are that decide about money.
_FIXED_OCTETS = {
    1: (0x5F34, 0x8F, 0x9F27),
    2: (0x82, 0x9F36, 0x9F6C),
    3: (0x5F24, 0x5F25),
    8: (0x9F26,),
}
_OCTETS: Mapping[int, range] = MappingProxyType(
    {tag: range(length, length + 1) for length, tags in _FIXED_OCTETS.items() for tag in tags}
    | {0x5A: range(1, 11), 0x57: range(1, 20), 0x9F10: range(1, 33)}
)
# The terminal's word, or the issuer's: nobody is told it on the word of a card (EMV Book 3, Annex A, source).
_NEVER_THE_CARDS = frozenset({0x89, 0x8A, 0x91, 0x95, 0x9B, 0x9F02, 0x9F03, 0x9F34, 0x9F37, 0x9F5B, 0xDF31})
# Anybody recovers the card number from what an issuer signed for its card (EMV Book 2, Tables 14 and 24).
_HOLDS_THE_NUMBER = frozenset({0x9F46, 0x9F2D})
_NOT_SHOWN = SENSITIVE_TAGS | _HOLDS_THE_NUMBER


@dataclass(frozen=True, slots=True)
class Track2:
    """57 taken apart: PAN digits, expiry YYMM, and the whole as ASCII digits with `D`."""

    pan: str = field(repr=False)
    expiry_yymm: str
    text: str = field(repr=False)


def get_processing_options(pdol_values: bytes) -> CommandApdu:
    """GET PROCESSING OPTIONS (EMV Book 3, 6.5.8)."""
    return CommandApdu(0x80, 0xA8, 0x00, 0x00, encode_tlv(0x83, pdol_values), 0, "GET PROCESSING OPTIONS")


def gpo_objects(response: bytes) -> tuple[Tlv, ...] | Refused:
    """The data objects of a GPO response (EMV Book 3, 6.5.8.4): template 77, or AIP and AFL in 80. Raises
    MalformedTlv."""
    templates = parse_tlv(response, "GPO response")
    if len(templates) != 1:
        return Refused("gpo-response-malformed")
    template = templates[0]
    if template.tag == FORMAT_2:
        return template.children
    if template.tag == FORMAT_1 and len(template.value) >= 2:
        afl = (Tlv(0x94, template.value[2:]),) if len(template.value) > 2 else ()
        return (Tlv(0x82, template.value[:2]), *afl)
    return Refused("gpo-response-malformed")


@dataclass(frozen=True, slots=True)
class CryptogramAnswer:
    """A GENERATE AC response: its data objects, and the content of template 77 as the card wrote it, which is what CDA
    covers (empty in the format without tags, which has no room for a signature)."""

    objects: tuple[Tlv, ...] = field(default=(), repr=False)
    octets: bytes = field(default=b"", repr=False)


def cryptogram_answer(response: bytes) -> CryptogramAnswer | Refused:
    """A GENERATE AC response in either format (EMV Book 3, 6.5.5.4). Raises MalformedTlv."""
    templates = parse_tlv(response, "GENERATE AC response")
    if len(templates) == 1 and templates[0].tag == FORMAT_2:
        return CryptogramAnswer(templates[0].children, templates[0].value)
    if len(templates) != 1 or templates[0].tag != FORMAT_1 or len(templates[0].value) not in _CRYPTOGRAM_OCTETS:
        return Refused("card-data-malformed")
    value = templates[0].value
    parts = ((0x9F27, value[:1]), (0x9F36, value[1:3]), (0x9F26, value[3:11]), (0x9F10, value[11:]))
    return CryptogramAnswer(tuple(Tlv(tag, part) for tag, part in parts if part))


def wrong_form(data: Mapping[int, bytes]) -> Refused | None:
    """Whether a data object that counts has another length than it can have. An empty one is as good as absent."""
    wrong = any(data.get(tag) and len(data[tag]) not in octets for tag, octets in _OCTETS.items())
    return Refused("card-data-malformed") if wrong else None


def shown(terminal: Mapping[int, bytes], card: Mapping[int, bytes], aid: bytes) -> dict[int, bytes]:
    """What the stages below are given of a tap: no card number, and nothing from the card that is not the card's to
    say. The application is the one that was selected (84)."""
    said = {tag: value for tag, value in card.items() if tag not in _NEVER_THE_CARDS}
    said |= {**terminal, 0x84: aid}
    return {tag: value for tag, value in said.items() if tag not in _NOT_SHOWN}


def get_data(tag: int) -> Generator[CommandApdu, ResponseApdu, bytes | None]:
    """GET DATA (EMV Book 3, 6.5.7); None where the card does not tell: refused, malformed, or another data object."""
    response = yield CommandApdu(0x80, 0xCA, tag >> 8, tag & 0xFF, b"", 0, f"GET DATA {tag:X}")
    if response.sw != SW_OK:
        return None
    try:
        return find(parse_tlv(response.data, f"GET DATA {tag:X}"), tag)
    except MalformedTlv:
        return None


def pan_digits(value: bytes) -> str:
    """A number in compressed numeric form, without its padding (EMV Book 3, 4.3): `62..17FF` -> "62..17"."""
    return value.hex().upper().rstrip("F")


def cryptogram_type(information: bytes | None) -> CryptogramType | None:
    """What 9F27 says (EMV Book 3, 6.5.5.4); None when it says nothing."""
    return _CRYPTOGRAMS.get(information[0] & 0xC0) if information else None


def cryptogram_information(kind: CryptogramType) -> bytes:
    """9F27 as field 55 wants it, also where the card gave none."""
    return _CID_OF[kind]


def parse_track2(value: bytes) -> Track2 | None:
    """EMV Book 3, Annex A, tag 57: PAN, D, YYMM, service code, discretionary data, F. None when it is not so."""
    text = pan_digits(value)
    pan, separator, rest = text.partition("D")
    if not separator or not pan.isdigit() or len(pan) not in _PAN_DIGITS or not rest.isdigit() or len(rest) < 4:
        return None
    return Track2(pan, rest[:4], text)


def card_number(data: Mapping[int, bytes]) -> CardNumber | Refused:
    """PAN and track 2 of the tap. 5A and 57, where both are there, have to name the same card."""
    track2 = parse_track2(data.get(0x57, b""))
    if track2 is None and data.get(0x57):
        return Refused("data-missing-57")
    pan = track2.pan if track2 else pan_digits(data.get(0x5A, b""))
    if not pan.isdigit() or len(pan) not in _PAN_DIGITS:
        return Refused("data-missing-57")
    if 0x5A in data and pan_digits(data[0x5A]) != pan:
        return Refused("card-numbers-differ")
    expiry = data.get(0x5F24, b"").hex()[:4]
    sequence = data.get(0x5F34)
    return CardNumber(
        pan=SensitiveBytes(pan.encode()),
        track2=SensitiveBytes(track2.text.encode() if track2 else b""),
        sequence_number=sequence.hex() if sequence else None,
        expiry_yymm=track2.expiry_yymm if track2 else expiry,
    )
