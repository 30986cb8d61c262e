"""Offline data authentication: is this card, and is what it said, its issuer's (EMV Book 2, 5 and 6).

Comes in: what the card gave (`Evidence`), the CA keys and the data a signature covers. Goes out: an `Oda` with method,
verdict, a stable reason, and the data objects that only a signature says (9F4C, 9F45, the 9F26 of CDA).
Strategy: one chain, CA key to issuer key to card key, serves every method; a method only says what its signature
covers. Nothing depends on the scheme but the RID that picks the CA key.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from taptill.card.aid import RID_OCTETS
from taptill.card.dol import asks_for
from taptill.card.outcome import Oda, OdaMethod, OdaVerdict
from taptill.card.proof.ca_keys import CaKey, CaKeyStore
from taptill.card.proof.certificates import (
    HASH_OCTETS,
    PresentedCertificate,
    RsaPublicKey,
    century_year,
    dynamic_number,
    emv_hash,
    recover_icc_key,
    recover_issuer_key,
    verify_dynamic,
    verify_static,
)
from taptill.card.refused import Refused
from taptill.card.tlv import MalformedTlv, parse_tlv, without_tag

RECORD_TEMPLATE = 0x70
DEFAULT_DDOL = bytes.fromhex("9F3704")  # EMV Book 2, 6.5.1: for a card without a DDOL (9F49) of its own
SFI_WITHOUT_TEMPLATE_MAX = 10  # EMV Book 3, 10.3: records of SFI 1 to 10 count without their template

FDDA_V01 = b"\x01"  # the first octet of 9F69


@dataclass(frozen=True, slots=True)
class AuthenticatedRecord:
    """A record that the AFL counts into offline data authentication, as the card returned it."""

    sfi: int
    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the card gave: its RID, its data objects, its PAN in digits, the static data to be authenticated."""

    rid: bytes
    data: Mapping[int, bytes] = field(repr=False)
    pan: str = field(repr=False)
    static_data: bytes | Refused = field(repr=False)
    date_yymmdd: str


@dataclass(frozen=True, slots=True)
class CombinedSignature:
    """A GENERATE AC response with CDA: what was sent (PDOL and CDOL values) and what came back, the content of template
    77 octet by octet. `cdol2_values` are of a second GENERATE AC. `relay_resistance`: what EXCHANGE RELAY RESISTANCE
    DATA exchanged last, fourteen octets: terminal entropy, device entropy, minimum, maximum and estimated time;
    empty when the protocol was not run."""

    unpredictable_number: bytes
    pdol_values: bytes
    cdol_values: bytes
    response: bytes = field(repr=False)
    cdol2_values: bytes = b""
    relay_resistance: bytes = b""


def static_data_of(records: Sequence[AuthenticatedRecord], data: Mapping[int, bytes]) -> bytes | Refused:
    """EMV Book 3, 10.3: the records in order, then the AIP when 9F4A asks for it."""
    parts: list[bytes] = []
    for record in records:
        try:
            template = parse_tlv(record.octets, f"record of SFI {record.sfi}")
        except MalformedTlv:
            return Refused("static-data-malformed")
        if len(template) != 1 or template[0].tag != RECORD_TEMPLATE:
            return Refused("static-data-malformed")
        parts.append(template[0].value if record.sfi <= SFI_WITHOUT_TEMPLATE_MAX else record.octets)
    tag_list = data.get(0x9F4A)
    if tag_list is None:
        return b"".join(parts)
    if tag_list != b"\x82" or 0x82 not in data:
        return Refused("static-data-tag-list-wrong")
    return b"".join(parts) + data[0x82]


def authenticate_static(evidence: Evidence, ca_keys: CaKeyStore) -> Oda:
    """SDA (EMV Book 2, 5): the card's data is its issuer's; says nothing about the card."""
    ca_key, issuer = issuer_key_of(evidence, ca_keys)
    signature = evidence.data.get(0x93)
    if signature is None:
        return _failed(OdaMethod.SDA, Refused("data-missing-93"), ca_key)
    if isinstance(issuer, Refused):
        return _failed(OdaMethod.SDA, issuer, ca_key)
    if isinstance(evidence.static_data, Refused):
        return _failed(OdaMethod.SDA, evidence.static_data, ca_key)
    code = verify_static(signature, issuer, evidence.static_data)
    if isinstance(code, Refused):
        return _failed(OdaMethod.SDA, code, ca_key)
    return _passed(OdaMethod.SDA, {0x9F45: code}, ca_key)


def authenticate_dynamic(evidence: Evidence, ca_keys: CaKeyStore, ddol_values: bytes, signature: bytes) -> Oda:
    """DDA (EMV Book 2, 6.5): the card signed the terminal's unpredictable number, which its DDOL has to ask for."""
    ca_key, icc = card_key(evidence, ca_keys)
    if isinstance(icc, RsaPublicKey) and not asks_for(evidence.data.get(0x9F49, DEFAULT_DDOL), 0x9F37):
        icc = Refused("ddol-without-unpredictable-number")
    dynamic = verify_dynamic(signature, icc, ddol_values) if isinstance(icc, RsaPublicKey) else icc
    return _of_dynamic(OdaMethod.DDA, dynamic, ca_key)


def authenticate_fast(evidence: Evidence, ca_keys: CaKeyStore, sent: Mapping[int, bytes]) -> Oda:
    """fDDA (EMV Book C-3, Annex C; PBOC 3.0 part 12): the signature came with GPO and covers what GPO sent."""
    ca_key, icc = card_key(evidence, ca_keys)
    signature = evidence.data.get(0x9F4B)
    covered = fast_terminal_data(sent, evidence.data.get(0x9F69, b""))
    if signature is None:
        return _failed(OdaMethod.FDDA, Refused("data-missing-9F4B"), ca_key)
    if isinstance(icc, Refused):
        return _failed(OdaMethod.FDDA, icc, ca_key)
    if isinstance(covered, Refused):
        return _failed(OdaMethod.FDDA, covered, ca_key)
    return _of_dynamic(OdaMethod.FDDA, verify_dynamic(signature, icc, covered), ca_key)


def fast_terminal_data(sent: Mapping[int, bytes], card_related: bytes) -> bytes | Refused:
    """What fDDA covers: 9F37 in version 00; 9F37, 9F02, 5F2A and 9F69 in version 01. 9F69 names the version."""
    tags = (0x9F37, 0x9F02, 0x5F2A) if card_related[:1] == FDDA_V01 else (0x9F37,)
    if card_related[:1] > FDDA_V01:
        return Refused("fdda-version-unknown")
    missing = [tag for tag in tags if tag not in sent]
    if missing:
        return Refused(f"data-missing-{missing[0]:X}")
    return b"".join(sent[tag] for tag in tags) + (card_related if len(tags) > 1 else b"")


def authenticate_combined(evidence: Evidence, ca_keys: CaKeyStore, combined: CombinedSignature) -> Oda:
    """CDA (EMV Book 2, 6.6): the signature covers the cryptogram and the hash of all that was exchanged.
    Raises MalformedTlv for a response that is none."""
    ca_key, icc = card_key(evidence, ca_keys)
    signature = _answered(combined, 0x9F4B)
    if signature is None:
        return _failed(OdaMethod.CDA, Refused("data-missing-9F4B"), ca_key)
    if isinstance(icc, Refused):
        return _failed(OdaMethod.CDA, icc, ca_key)
    dynamic = verify_dynamic(signature, icc, combined.unpredictable_number)
    judged = dynamic if isinstance(dynamic, Refused) else _judge_combined(dynamic, combined)
    return _of_dynamic(OdaMethod.CDA, judged, ca_key)


def _answered(combined: CombinedSignature, tag: int) -> bytes | None:
    objects = parse_tlv(combined.response, "GENERATE AC response")
    return next((tlv.value for tlv in objects if tlv.tag == tag), None)


def combined_cryptogram(dynamic: bytes) -> bytes | None:
    """The application cryptogram inside the ICC dynamic data of CDA: length, ICC dynamic number, CID, AC, hash."""
    at = 1 + (dynamic[0] if dynamic else 0)
    return dynamic[at + 1 : at + 9] if len(dynamic) >= at + 9 + HASH_OCTETS else None


def _judge_combined(dynamic: bytes, combined: CombinedSignature) -> bytes | Refused:
    """EMV Book 2, 6.6.2, steps 6 to 12. EMV Book C-2, Table 6.8: the data of the relay resistance protocol stand behind
    the hash in what the card signed, so nobody between card and reader can have changed them."""
    at = 1 + (dynamic[0] if dynamic else 0)
    if combined_cryptogram(dynamic) is None:
        return Refused("signature-wrong")
    if dynamic[at : at + 1] != (_answered(combined, 0x9F27) or b""):
        return Refused("cryptogram-information-differs")
    exchanged = without_tag(combined.response, 0x9F4B)
    expected = emv_hash(combined.pdol_values + combined.cdol_values + combined.cdol2_values + exchanged)
    behind = at + 9 + HASH_OCTETS
    if not hmac.compare_digest(dynamic[at + 9 : behind], expected):
        return Refused("transaction-data-differ")
    if not dynamic.startswith(combined.relay_resistance, behind):
        return Refused("relay-resistance-data-differ")
    return dynamic


def card_key(evidence: Evidence, ca_keys: CaKeyStore) -> tuple[CaKey | None, RsaPublicKey | Refused]:
    """The card's own public key, proven down from the CA key."""
    ca_key, issuer = issuer_key_of(evidence, ca_keys)
    if isinstance(issuer, Refused):
        return ca_key, issuer
    presented = _presented(evidence.data, 0x9F46, 0x9F48, 0x9F47)
    if isinstance(presented, Refused):
        return ca_key, presented
    if isinstance(evidence.static_data, Refused):
        return ca_key, evidence.static_data
    key = recover_icc_key(presented, issuer, evidence.static_data, evidence.pan, evidence.date_yymmdd)
    return ca_key, key


def issuer_key_of(evidence: Evidence, ca_keys: CaKeyStore) -> tuple[CaKey | None, RsaPublicKey | Refused]:
    """The issuer's public key, proven by the CA key the card names."""
    index = evidence.data.get(0x8F, b"")
    if len(index) != 1:
        return None, Refused("data-missing-8F")
    ca_key = ca_keys.find(evidence.rid[:RID_OCTETS], index[0])
    if ca_key is None:
        return None, Refused("no-ca-key")
    if _past(ca_key.expiry_yymmdd, evidence.date_yymmdd):
        return ca_key, Refused("ca-key-expired")
    presented = _presented(evidence.data, 0x90, 0x92, 0x9F32)
    if isinstance(presented, Refused):
        return ca_key, presented
    above = RsaPublicKey(ca_key.modulus, ca_key.exponent)
    revoked = ca_keys.revoked.under(ca_key.rid, ca_key.index)
    return ca_key, recover_issuer_key(presented, above, evidence.pan, evidence.date_yymmdd, revoked)


def _presented(
    data: Mapping[int, bytes], certificate: int, remainder: int, exponent: int
) -> PresentedCertificate | Refused:
    for tag in (certificate, exponent):
        if not data.get(tag):
            return Refused(f"data-missing-{tag:X}")
    return PresentedCertificate(data[certificate], data.get(remainder, b""), data[exponent])


def _past(expiry_yymmdd: str, date_yymmdd: str) -> bool:
    if not expiry_yymmdd:
        return False
    return (century_year(expiry_yymmdd[:2]), expiry_yymmdd[2:]) < (century_year(date_yymmdd[:2]), date_yymmdd[2:])


def _of_dynamic(method: OdaMethod, dynamic: bytes | Refused, ca_key: CaKey | None) -> Oda:
    """What a good signature says beside being good: the ICC dynamic number, and with CDA the cryptogram."""
    if isinstance(dynamic, Refused):
        return _failed(method, dynamic, ca_key)
    cryptogram = combined_cryptogram(dynamic) if method is OdaMethod.CDA else None
    found = ((0x9F4C, dynamic_number(dynamic)), (0x9F26, cryptogram))
    return _passed(method, {tag: value for tag, value in found if value is not None}, ca_key)


def _passed(method: OdaMethod, signed_data: Mapping[int, bytes], ca_key: CaKey | None) -> Oda:
    return Oda(method, OdaVerdict.PASSED, "", ca_key is not None and ca_key.test, signed_data)


def _failed(method: OdaMethod, why: Refused, ca_key: CaKey | None) -> Oda:
    return Oda(method, OdaVerdict.FAILED, why.reason, ca_key is not None and ca_key.test)
