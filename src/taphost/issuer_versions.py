"""Which cryptogram a card makes, read from its issuer application data.

Comes in: 9F10. Goes out: a `CryptogramVersion`: which key, which bytes of 9F10, which padding, which answer.
Strategy: one row per version. Each scheme builds 9F10 in its own way, so a row also says how to know its own: UnionPay
07 key 01 CVR; Visa 06 key 0A or 12 CVR, or 1F 22 key CVR; Mastercard key 10, 11, 14 or 15 CVR.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from taphost.errors import TapHostError
from taphost.issuer_keys import (
    ATC_OCTETS,
    UNPREDICTABLE_NUMBER_OCTETS,
    Padding,
    common_session_key,
    counter_session_key,
    derive_session_key,
    mastercard_session_key,
    visa_script_key,
)

ATC, ISSUER_DATA, UNPREDICTABLE_NUMBER = 0x9F36, 0x9F10, 0x9F37

SessionKey = Callable[[bytes, Mapping[int, bytes]], bytes]
ScriptKey = Callable[[bytes, bytes, bytes], bytes]

_UNIONPAY_OCTETS_MIN, _VISA_OCTETS_MIN, _VISA_FORMAT_2_OCTETS, _MASTERCARD_OCTETS_MIN = 7, 7, 32, 18
_LAYOUT_WITH_CVR_LENGTH = 0x03  # the CVR of UnionPay and Visa carries its own length


class MissingCardData(TapHostError):
    """Field 55 lacks a data object of the cryptogram, or it has a wrong length."""

    code = 8102


@dataclass(frozen=True, slots=True)
class CryptogramVersion:
    """`type_at`: the octet of 9F10 whose bits 6 and 5 say what the card decided; `covers`: what of 9F10 goes into the
    cryptogram. `session_key` takes the card key and field 55, `answer_key` the same for the ARPC, `script_key` the
    card's script key, the ATC and the cryptogram. `arpc_method` is 1 or 2 (EMV Book 2, 8.2)."""

    name: str
    type_at: int
    covers: tuple[slice, ...]
    session_key: SessionKey
    answer_key: SessionKey
    script_key: ScriptKey
    padding: Padding = Padding.MARKED
    arpc_method: int = 1


def required(icc: Mapping[int, bytes], tag: int, length: int) -> bytes:
    """A data object of field 55. Raises MissingCardData."""
    value = icc.get(tag, b"")
    if len(value) != length:
        raise MissingCardData(f"{tag:X} has {len(value)} bytes, {length} are needed", where="field 55")
    return value


def _atc(icc: Mapping[int, bytes]) -> bytes:
    return required(icc, ATC, ATC_OCTETS)


def _unionpay_key(card_key: bytes, icc: Mapping[int, bytes]) -> bytes:
    return derive_session_key(card_key, _atc(icc))


def _common_key(card_key: bytes, icc: Mapping[int, bytes]) -> bytes:
    return counter_session_key(card_key, _atc(icc))


def _mastercard_key(card_key: bytes, icc: Mapping[int, bytes]) -> bytes:
    number = required(icc, UNPREDICTABLE_NUMBER, UNPREDICTABLE_NUMBER_OCTETS)
    return mastercard_session_key(card_key, _atc(icc), number)


def _card_key_itself(card_key: bytes, icc: Mapping[int, bytes]) -> bytes:
    return card_key


def _script_by_counter(script_key: bytes, atc: bytes, cryptogram: bytes) -> bytes:
    return derive_session_key(script_key, atc)


def _script_by_visa(script_key: bytes, atc: bytes, cryptogram: bytes) -> bytes:
    return visa_script_key(script_key, atc)


def _script_by_cryptogram(script_key: bytes, atc: bytes, cryptogram: bytes) -> bytes:
    return common_session_key(script_key, cryptogram)


_CVR = slice(3, 7)  # 9F10 of UnionPay and Visa: length, key index, version, then the CVR with its own length
_ALL = slice(None)
_MCHIP_CVR, _MCHIP_COUNTERS = slice(2, 8), slice(10, None)  # key index, version, CVR, DAC or ICC number, counters

UNIONPAY_01 = CryptogramVersion("UnionPay 01", 4, (_CVR,), _unionpay_key, _unionpay_key, _script_by_counter)
VISA_10 = CryptogramVersion(
    "Visa 10", 4, (_CVR,), _card_key_itself, _card_key_itself, _script_by_visa, padding=Padding.ZEROS
)
VISA_18 = CryptogramVersion("Visa 18", 4, (_ALL,), _common_key, _common_key, _script_by_visa, arpc_method=2)
VISA_22 = CryptogramVersion("Visa 22", 3, (_ALL,), _common_key, _common_key, _script_by_cryptogram, arpc_method=2)
MASTERCARD_10 = CryptogramVersion(
    "Mastercard 10", 2, (_MCHIP_CVR,), _mastercard_key, _card_key_itself, _script_by_cryptogram
)
MASTERCARD_11 = CryptogramVersion(
    "Mastercard 11", 2, (_MCHIP_CVR, _MCHIP_COUNTERS), _mastercard_key, _card_key_itself, _script_by_cryptogram
)
MASTERCARD_14 = CryptogramVersion("Mastercard 14", 2, (_MCHIP_CVR,), _common_key, _common_key, _script_by_cryptogram)
MASTERCARD_15 = CryptogramVersion(
    "Mastercard 15", 2, (_MCHIP_CVR, _MCHIP_COUNTERS), _common_key, _common_key, _script_by_cryptogram
)

VISA_VERSIONS = (VISA_10, VISA_18, VISA_22)
MASTERCARD_VERSIONS = (MASTERCARD_10, MASTERCARD_11, MASTERCARD_14, MASTERCARD_15)

_WITH_CVR_LENGTH = {(0x07, 0x01): UNIONPAY_01, (0x06, 0x0A): VISA_10, (0x06, 0x12): VISA_18}
_MASTERCARD = {0x10: MASTERCARD_10, 0x11: MASTERCARD_11, 0x14: MASTERCARD_14, 0x15: MASTERCARD_15}


def version_of(issuer_data: bytes) -> CryptogramVersion | None:
    """The version a card's 9F10 names; None for one this issuer does not know. Raises MissingCardData for a 9F10 too
    short to hold any card verification results."""
    if len(issuer_data) < min(_UNIONPAY_OCTETS_MIN, _VISA_OCTETS_MIN):
        raise MissingCardData("9F10 holds no card verification results", where="field 55")
    if issuer_data[3] == _LAYOUT_WITH_CVR_LENGTH and (issuer_data[0], issuer_data[2]) in _WITH_CVR_LENGTH:
        return _WITH_CVR_LENGTH[issuer_data[0], issuer_data[2]]
    if issuer_data[:2] == b"\x1f\x22" and len(issuer_data) == _VISA_FORMAT_2_OCTETS:
        return VISA_22
    return _MASTERCARD.get(issuer_data[1]) if len(issuer_data) >= _MASTERCARD_OCTETS_MIN else None
