"""Turning a card number into what may leave of it.

Comes in: the `CardNumber` of a tap, a key store, a reserved key counter. Goes out: a `Credential`.
Strategy: a TLV of number, track 2, sequence number and expiry is sealed for the host alone and bound to the payment,
so that it cannot be played into another one. The card number and the plaintext are wiped whatever happens.
"""

from __future__ import annotations

from taptill.card.outcome import CardNumber
from taptill.card.sensitive import mask_pan
from taptill.card.tlv import encode_length, encode_tag
from taptill.credential.credential import Credential
from taptill.credential.keystore import KeyStore
from taptill.errors import TapTillError, Who

PAN_TAG = 0x5A
TRACK2_TAG = 0x57
SEQUENCE_NUMBER_TAG = 0x5F34
EXPIRY_TAG = 0x5F24
PAN_DIGITS_MIN = 8
PAN_DIGITS_MAX = 19
_TRACK2_DIGITS = b"0123456789D"
_ANY_DAY = b"00"  # 5F24 is YYMMDD, and only year and month are known


class UnusableCardNumber(TapTillError):
    """A card number or track 2 of a form that no host takes. The text shows none of it."""

    code = 2003
    who = Who.CUSTOMER


def seal_card(number: CardNumber, keys: KeyStore, key_counter: int, nonce: bytes, payment_ref: str) -> Credential:
    """`nonce` has 12 unpredictable bytes, `key_counter` is reserved. `number` is wiped on return, also when this
    raises: UnusableCardNumber, KeyStoreError."""
    plaintext = bytearray()
    try:
        pan = number.pan.reveal()
        if not PAN_DIGITS_MIN <= len(pan) <= PAN_DIGITS_MAX or not pan.isdigit():
            raise UnusableCardNumber(f"{len(pan)} characters are no card number", where="card")
        _write_plaintext(number, plaintext)
        return Credential(
            token=keys.tokenize(pan),
            masked_pan=mask_pan(pan.decode("ascii")),
            sequence_number=number.sequence_number,
            expiry_known=bool(number.expiry_yymm),
            key_counter=key_counter,
            envelope=keys.seal(key_counter, nonce, plaintext, payment_ref.encode("utf-8")),
        )
    finally:
        number.pan.wipe()
        number.track2.wipe()
        plaintext[:] = bytes(len(plaintext))


def _write_plaintext(number: CardNumber, plaintext: bytearray) -> None:
    """EMV Book 3, Annex A formats: 5A and 57 as digits padded with F, 5F34 two digits, 5F24 six."""
    _append(plaintext, PAN_TAG, number.pan.reveal())
    if len(number.track2):
        _append(plaintext, TRACK2_TAG, number.track2.reveal())
    if number.sequence_number:
        _append(plaintext, SEQUENCE_NUMBER_TAG, bytearray(number.sequence_number.encode("ascii")))
    if number.expiry_yymm:
        _append(plaintext, EXPIRY_TAG, bytearray(number.expiry_yymm.encode("ascii") + _ANY_DAY))


def _append(plaintext: bytearray, tag: int, digits: bytearray) -> None:
    """Packs in place, so that no other copy of the digits is made."""
    if any(digit not in _TRACK2_DIGITS for digit in digits):
        raise UnusableCardNumber(f"tag {tag:X} holds something other than digits", where="card")
    plaintext += encode_tag(tag) + encode_length((len(digits) + 1) // 2)
    for index in range(0, len(digits), 2):
        low = _nibble(digits[index + 1]) if index + 1 < len(digits) else 0xF
        plaintext.append(_nibble(digits[index]) << 4 | low)


def _nibble(digit: int) -> int:
    return 0xD if digit == ord("D") else digit - ord("0")
