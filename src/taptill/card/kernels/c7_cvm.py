"""Who holds the card: the cardholder verification of a qPBOC tap.

Comes in: the TTQ sent, and the card's CTQ (9F6C) with what vouches for it. Goes out: a `Cvm`, or None when the amount
needs one and nothing fits; 9F34 for the host.
Source: EMV Book C-7 and C-3, 5.7; PBOC 3.0 part 12.
"""

from __future__ import annotations

from collections.abc import Mapping

from taptill.card.bits import has_bit
from taptill.card.outcome import CryptogramType, Cvm
from taptill.card.preprocessing import TTQ_CVM_REQUIRED, TTQ_ONLINE_PIN, TTQ_SIGNATURE

CTQ_ONLINE_PIN = (0, 0x80)
CTQ_SIGNATURE = (0, 0x40)
CTQ_ONLINE_IF_ODA_FAILS = (0, 0x20)
CTQ_SWITCH_IF_ODA_FAILS = (0, 0x10)
CTQ_ONLINE_IF_EXPIRED = (0, 0x08)
CTQ_CONSUMER_DEVICE = (1, 0x80)

# EMV Book 4, A4. No CVM list is walked here, so a tap without CVM says nothing (as recorded terminals do); the code for
# consumer device CVM is our own reading.
CVM_RESULTS = {
    Cvm.NONE: bytes(3),
    Cvm.NOT_APPLICABLE: bytes(3),
    Cvm.SIGNATURE: bytes.fromhex("1E0300"),
    Cvm.ONLINE_PIN: bytes.fromhex("020300"),
    Cvm.CONSUMER_DEVICE: bytes.fromhex("010002"),
}


def verification_of(ttq: bytes, data: Mapping[int, bytes], kind: CryptogramType) -> Cvm | None:
    """The CVM both sides can do. None: one is required and there is none."""
    required = has_bit(ttq, TTQ_CVM_REQUIRED)
    qualifiers = data.get(0x9F6C)
    signature = has_bit(ttq, TTQ_SIGNATURE)
    if qualifiers is None:
        if not required:
            return Cvm.NONE
        return Cvm.SIGNATURE if signature else None
    if has_bit(qualifiers, CTQ_ONLINE_PIN) and has_bit(ttq, TTQ_ONLINE_PIN):
        return Cvm.ONLINE_PIN
    if has_bit(qualifiers, CTQ_CONSUMER_DEVICE) and _vouched_for(qualifiers, data.get(0x9F69), kind):
        return Cvm.CONSUMER_DEVICE
    if has_bit(qualifiers, CTQ_SIGNATURE) and signature:
        return Cvm.SIGNATURE
    return None if required else Cvm.NONE


def _vouched_for(qualifiers: bytes, card_related: bytes | None, kind: CryptogramType) -> bool:
    """A CTQ stands outside every signature; its copy in 9F69 does not. Without 9F69 only the issuer can tell, so only
    an online cryptogram will do (EMV Book C-3, 5.7)."""
    if card_related is None:
        return kind is CryptogramType.ARQC
    return card_related[5:7] == qualifiers[:2]
