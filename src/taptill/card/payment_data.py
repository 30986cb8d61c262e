"""What every card says alike: the answer to GPO, track 2, the number.

Comes in: the GPO response, and the data objects of the tap. Goes out: what they mean, or why they mean nothing.
Sources: EMV Book 3, 6.5.8.4 and Annex A.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from taptill.card.apdu import CommandApdu
from taptill.card.certificates import Refused
from taptill.card.outcome import CardNumber, CryptogramType
from taptill.card.sensitive import SensitiveBytes
from taptill.card.tlv import Tlv, encode_tlv, parse_tlv

FORMAT_1, FORMAT_2 = 0x80, 0x77
_CRYPTOGRAMS = {0x00: CryptogramType.AAC, 0x40: CryptogramType.TC, 0x80: CryptogramType.ARQC}
_CID_OF = {kind: bytes([code]) for code, kind in _CRYPTOGRAMS.items()}
_PAN_DIGITS = range(8, 20)


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


def cryptogram_type(information: bytes | None) -> CryptogramType | None:
    """What 9F27 says (EMV Book 3, 6.5.5.4); None when it says nothing."""
    return _CRYPTOGRAMS.get(information[0] & 0xC0) if information else None


def cryptogram_information(kind: CryptogramType) -> bytes:
    """9F27 as field 55 wants it, also where the card gave none."""
    return _CID_OF[kind]


def parse_track2(value: bytes) -> Track2 | None:
    """EMV Book 3, Annex A, tag 57: PAN, D, YYMM, service code, discretionary data, F. None when it is not so."""
    text = value.hex().upper().rstrip("F")
    pan, separator, rest = text.partition("D")
    if not separator or not pan.isdigit() or len(pan) not in _PAN_DIGITS or not rest.isdigit() or len(rest) < 4:
        return None
    return Track2(pan, rest[:4], text)


def card_number(data: Mapping[int, bytes]) -> CardNumber | Refused:
    """PAN and track 2 of the tap. 5A and 57, where both are there, have to name the same card."""
    track2 = parse_track2(data.get(0x57, b""))
    pan = track2.pan if track2 else data.get(0x5A, b"").hex().upper().rstrip("F")
    if not pan.isdigit() or len(pan) not in _PAN_DIGITS:
        return Refused("data-missing-57")
    if 0x5A in data and data[0x5A].hex().upper().rstrip("F") != pan:
        return Refused("card-numbers-differ")
    expiry = data.get(0x5F24, b"").hex()[:4]
    sequence = data.get(0x5F34)
    return CardNumber(
        pan=SensitiveBytes(pan.encode()),
        track2=SensitiveBytes(track2.text.encode() if track2 else b""),
        sequence_number=sequence.hex() if sequence else None,
        expiry_yymm=track2.expiry_yymm if track2 else expiry,
    )
