"""What an issuer says back to its card: authentication of the response (91) and script commands (71, 72).

Comes in: the request's cryptogram and counter, the keys of the card, what the issuer wants. Goes out: issuer
authentication data, and whole command APDUs with their MAC, in the order the card has to get them.
Strategy: EMV Book 2, 8.2 and 9; EMV Book 3, 6.5. The version of the card's own cryptogram names method and keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from taphost.issuer_keys import DES_BLOCK_OCTETS, encrypt, mac, xor
from taphost.issuer_versions import (
    ATC,
    ISSUER_DATA,
    MASTERCARD_VERSIONS,
    CryptogramVersion,
    MissingCardData,
    required,
    version_of,
)

ARPC_2_OCTETS = 4
SCRIPT_MAC_OCTETS = 8
_CRYPTOGRAM = 0x9F26


class ScriptAction(Enum):
    """CLA and INS (EMV Book 3, 6.5.1, 6.5.2 and 6.5.10; ISO/IEC 7816-4 with secure messaging)."""

    APPLICATION_BLOCK = bytes.fromhex("841E")
    APPLICATION_UNBLOCK = bytes.fromhex("8418")
    PUT_DATA = bytes.fromhex("04DA")
    UPDATE_RECORD = bytes.fromhex("04DC")
    PIN_CHANGE = bytes.fromhex("8424")


@dataclass(frozen=True, slots=True)
class ScriptCommand:
    """One command before its MAC. `parameters` are P1 and P2: the tag of PUT DATA; record number and SFI reference of
    UPDATE RECORD; 0000 otherwise."""

    action: ScriptAction
    parameters: bytes = bytes(2)
    data: bytes = field(default=b"", repr=False)


def arpc_method_1(session_key: bytes, arqc: bytes, response_code: bytes) -> bytes:
    """EMV Book 2, 8.2.1: eight bytes."""
    return encrypt(session_key, xor(arqc, response_code.ljust(DES_BLOCK_OCTETS, b"\x00")))


def arpc_method_2(session_key: bytes, arqc: bytes, card_status_update: bytes, proprietary: bytes = b"") -> bytes:
    """EMV Book 2, 8.2.2: four bytes."""
    return mac(session_key, arqc + card_status_update + proprietary)[:ARPC_2_OCTETS]


def issuer_authentication_data(card_key: bytes, icc: Mapping[int, bytes], verdict: bytes) -> bytes:
    """The value of 91 for a card that sent this field 55. `verdict`: the response code of method 1, two bytes, or the
    card status update of method 2, four bytes. Raises MissingCardData."""
    version = known_version(icc)
    key, arqc = version.answer_key(card_key, icc), required(icc, _CRYPTOGRAM, DES_BLOCK_OCTETS)
    method = arpc_method_1 if version.arpc_method == 1 else arpc_method_2
    return method(key, arqc, verdict) + verdict


def script_commands(
    script_card_key: bytes, icc: Mapping[int, bytes], commands: Sequence[ScriptCommand]
) -> tuple[bytes, ...]:
    """The commands as APDUs with MAC, one per 86 of a script template. `script_card_key` is derived like the card key,
    from the issuer's script master key. Raises MissingCardData."""
    version = known_version(icc)
    atc, arqc = required(icc, ATC, 2), required(icc, _CRYPTOGRAM, DES_BLOCK_OCTETS)
    return tuple(
        _sealed(version, script_card_key, atc, nth_cryptogram(version, arqc, number), command)
        for number, command in enumerate(commands)
    )


def script_mac(session_key: bytes, header: bytes, atc: bytes, cryptogram: bytes, data: bytes) -> bytes:
    """EMV Book 2, 9.2.3.1, format 2: over CLA INS P1 P2 Lc, ATC, cryptogram and data."""
    return mac(session_key, header + atc + cryptogram + data)[:SCRIPT_MAC_OCTETS]


def nth_cryptogram(version: CryptogramVersion, arqc: bytes, number: int) -> bytes:
    """What the MAC of the command in this place, from 0, runs over: Mastercard counts the cryptogram on."""
    if version not in MASTERCARD_VERSIONS:
        return arqc
    return ((int.from_bytes(arqc, "big") + number) % (1 << 64)).to_bytes(DES_BLOCK_OCTETS, "big")


def known_version(icc: Mapping[int, bytes]) -> CryptogramVersion:
    """Raises MissingCardData."""
    version = version_of(icc.get(ISSUER_DATA, b""))
    if version is None:
        raise MissingCardData("9F10 names no cryptogram version known here", where="field 55")
    return version


def _sealed(
    version: CryptogramVersion, script_card_key: bytes, atc: bytes, cryptogram: bytes, command: ScriptCommand
) -> bytes:
    length = bytes([len(command.data) + SCRIPT_MAC_OCTETS])
    header = command.action.value + command.parameters + length
    key = version.script_key(script_card_key, atc, cryptogram)
    return header + command.data + script_mac(key, header, atc, cryptogram, command.data)
