"""A new PIN for a card, as a script command: the PIN in a block, the block enciphered.

Comes in: digits, the card's keys, field 55 of the request. Goes out: PIN CHANGE/UNBLOCK before its MAC (EMV Book 3,
6.5.10). The PIN is one for contact terminals; nothing of this project ever asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from taphost.issuer_keys import DES_BLOCK_OCTETS, CardKeyError, Padding, encrypt, pad, xor
from taphost.issuer_response import ScriptAction, ScriptCommand, known_version
from taphost.issuer_versions import ATC, VISA_22, VISA_VERSIONS, required

_BLOCK_DIGITS = 14  # behind the octet that tells the length
_PIN_DIGITS = range(4, 13)
_NEW_WITH_OLD, _NEW = bytes.fromhex("0001"), bytes.fromhex("0002")
_CRYPTOGRAM = 0x9F26


class Enciphering(Enum):
    """How a scheme enciphers command data: Visa block by block with the length in front, Mastercard chained and padded
    only where the last block is not whole, EMV chained and always padded."""

    VISA = "Visa"
    MASTERCARD = "Mastercard"
    EMV = "EMV"


def visa_pin_block(card_key: bytes, pin: str, current_pin: str = "") -> bytes:
    """Bound to the card by the end of its key's left half, and to the old PIN where that is known. Raises
    CardKeyError."""
    block = xor(bytes(4) + card_key[4:8], bytes([len(pin)]) + _digits(pin))
    if not current_pin:
        return block
    _digits(current_pin)
    return xor(block, bytes.fromhex(current_pin.ljust(2 * DES_BLOCK_OCTETS, "0")))


def iso_pin_block(pin: str) -> bytes:
    """ISO 9564-1, format 2. Raises CardKeyError."""
    return bytes([0x20 | len(pin)]) + _digits(pin)


def encipher(session_key: bytes, data: bytes, enciphering: Enciphering) -> bytes:
    """Command data for a card alone to read (EMV Book 2, 9.3)."""
    if enciphering is Enciphering.VISA:
        return encrypt(session_key, pad(bytes([len(data)]) + data, Padding.MARKED))
    whole = enciphering is Enciphering.MASTERCARD and len(data) % DES_BLOCK_OCTETS == 0
    chained = modes.CBC(bytes(DES_BLOCK_OCTETS))
    cipher = Cipher(TripleDES(session_key + session_key[:DES_BLOCK_OCTETS]), chained).encryptor()
    return cipher.update(data if whole else pad(data, Padding.MARKED))


def pin_change(
    card_key: bytes, secret_card_key: bytes, icc: Mapping[int, bytes], pin: str, current_pin: str = ""
) -> ScriptCommand:
    """The first command of a script. `secret_card_key` is derived from the issuer's master key of confidentiality.
    Raises MissingCardData, CardKeyError."""
    version = known_version(icc)
    cryptogram = required(icc, _CRYPTOGRAM, DES_BLOCK_OCTETS)
    key = version.script_key(secret_card_key, required(icc, ATC, 2), cryptogram)
    if version not in VISA_VERSIONS:
        return ScriptCommand(ScriptAction.PIN_CHANGE, _NEW, encipher(key, iso_pin_block(pin), Enciphering.MASTERCARD))
    # Version 22 took up the block of ISO 9564; with an old PIN it keeps Visa's own.
    own = bool(current_pin) or version != VISA_22
    block = visa_pin_block(card_key, pin, current_pin) if own else iso_pin_block(pin)
    parameters = _NEW_WITH_OLD if current_pin else _NEW
    return ScriptCommand(ScriptAction.PIN_CHANGE, parameters, encipher(key, block, Enciphering.VISA))


def _digits(pin: str) -> bytes:
    if len(pin) not in _PIN_DIGITS or not (pin.isascii() and pin.isdigit()):
        raise CardKeyError("a PIN has 4 to 12 digits", where="PIN block")
    return bytes.fromhex(pin.ljust(_BLOCK_DIGITS, "F"))
