"""TTQ and CTQ: what reader and card tell each other of themselves, and the cardholder verification that follows.

Comes in: the TTQ (9F66) sent, and the card's CTQ (9F6C) with what vouches for it. Goes out: a `Cvm`, or why there is
none; 9F34 for the host.
Sources: EMV Book C-3, 5.7; EMV Book C-7; PBOC 3.0 part 12, which shares both data objects.
"""

from __future__ import annotations

from collections.abc import Mapping

from taptill.card.bits import has_bit
from taptill.card.ctq import CTQ_CONSUMER_DEVICE, CTQ_ONLINE_PIN, CTQ_SIGNATURE
from taptill.card.outcome import CryptogramType, Cvm
from taptill.card.proof.offline_authentication import FDDA_V01
from taptill.card.refused import Refused
from taptill.card.ttq import TTQ_CVM_REQUIRED, TTQ_ONLINE_PIN, TTQ_SIGNATURE

_CTQ_IN_9F69 = slice(5, 7)  # after the version (1) and the card's unpredictable number (4)


def verification_of(ttq: bytes, data: Mapping[int, bytes], kind: CryptogramType) -> Cvm | Refused:
    """The CVM both sides can do (EMV Book C-3, 5.7.1). "no-pin-pad": one is required and nothing fits (DESIGN 5.11);
    "device-verification-unproven": the card claims one that nothing vouches for."""
    required = has_bit(ttq, TTQ_CVM_REQUIRED)
    signature = has_bit(ttq, TTQ_SIGNATURE)
    qualifiers = data.get(0x9F6C)
    if not qualifiers:
        return _without_qualifiers(ttq) if required else Cvm.NONE
    if has_bit(qualifiers, CTQ_ONLINE_PIN) and has_bit(ttq, TTQ_ONLINE_PIN):
        return Cvm.ONLINE_PIN
    if has_bit(qualifiers, CTQ_CONSUMER_DEVICE):
        proven = _vouched_for(qualifiers, data.get(0x9F69), kind)
        return Cvm.CONSUMER_DEVICE if proven else Refused("device-verification-unproven")
    if has_bit(qualifiers, CTQ_SIGNATURE) and signature:
        return Cvm.SIGNATURE
    return Refused("no-pin-pad") if required else Cvm.NONE


def _without_qualifiers(ttq: bytes) -> Cvm | Refused:
    """EMV Book C-3, 5.7.1.1: what the reader can do, the signature first."""
    if has_bit(ttq, TTQ_SIGNATURE):
        return Cvm.SIGNATURE
    return Cvm.ONLINE_PIN if has_bit(ttq, TTQ_ONLINE_PIN) else Refused("no-pin-pad")


def _vouched_for(qualifiers: bytes, card_related: bytes | None, kind: CryptogramType) -> bool:
    """A CTQ stands outside every signature; its copy in a 9F69 of fDDA version 01 does not. Without 9F69 only the
    issuer can tell, so only an online cryptogram will do (EMV Book C-3, 5.7.1.2)."""
    online = kind is CryptogramType.ARQC
    if card_related is None:
        return online
    signed = card_related[:1] == FDDA_V01
    return card_related[_CTQ_IN_9F69] == qualifiers[:2] and (signed or online)
