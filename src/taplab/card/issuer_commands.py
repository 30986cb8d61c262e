"""What a card does with its issuer's answer: EXTERNAL AUTHENTICATE and script commands.

Comes in: a command, the application and its state, whose `request` is the ARQC the issuer answers. Goes out: a status
word and the state behind it; nothing where the command is none of these.
Strategy: EMV Book 2, 8 and 9; EMV Book 3, 6.5. A MAC that is missing gets 6987, a wrong one 6988, a command without an
ARQC before it 6985. Which data objects PUT DATA may change is our own choice: the offline limits.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, replace

from taphost.issuer_keys import DES_BLOCK_OCTETS
from taphost.issuer_response import (
    SCRIPT_MAC_OCTETS,
    ScriptAction,
    arpc_method_1,
    arpc_method_2,
    nth_cryptogram,
    script_mac,
)
from taphost.issuer_versions import ATC, ISSUER_DATA, CryptogramVersion, version_of
from taplab.card.card_state import CardState
from taplab.card.commands import (
    SW_CONDITIONS_NOT_SATISFIED,
    SW_DATA_NOT_FOUND,
    SW_ISSUER_NOT_AUTHENTIC,
    SW_MAC_MISSING,
    SW_MAC_WRONG,
    SW_OK,
    SW_RECORD_NOT_FOUND,
    SW_WRONG_DATA,
    SW_WRONG_LENGTH,
    SW_WRONG_PARAMETERS,
    Command,
)
from taplab.card.personalisation import Brand, Issued

EXTERNAL_AUTHENTICATE = b"\x00\x82"
_SCRIPTS = {action.value[1]: action for action in ScriptAction}
_SECURE_MESSAGING = 0x04
_BALANCE, _SINGLE_LIMIT, _CEILING, _UPPER_AMOUNT = 0x9F79, 0x9F78, 0x9F77, 0xCB
_AMOUNT_OCTETS = 6
_ARPC_1_OCTETS, _ARPC_2_OCTETS, _RESPONSE_CODE_OCTETS, _STATUS_UPDATE_OCTETS = 8, 4, 2, 4


@dataclass(frozen=True, slots=True)
class IssuerAnswer:
    """The status word, and the application's state from then on."""

    status: bytes
    state: CardState


def answer_issuer(command: Command, issued: Issued, state: CardState) -> IssuerAnswer | None:
    """None where the command is not the issuer's."""
    if command.name == EXTERNAL_AUTHENTICATE and issued.brand is not Brand.MASTERCARD:
        return _authenticate(command, issued, state)
    if command.name[0] & _SECURE_MESSAGING and command.name[1] in _SCRIPTS:
        return _script(command, issued, state)
    return None


def issuer_is_authentic(issued: Issued, state: CardState, authentication_data: bytes) -> bool:
    """Whether 91 answers the last ARQC (EMV Book 2, 8.2)."""
    version = _version(issued)
    icc = {ATC: state.request_atc.to_bytes(2, "big"), ISSUER_DATA: issued.issuer_data}
    key = version.answer_key(issued.keys.cryptogram, icc)
    if version.arpc_method == 1:
        told, verdict = authentication_data[:_ARPC_1_OCTETS], authentication_data[_ARPC_1_OCTETS:]
        return len(verdict) == _RESPONSE_CODE_OCTETS and hmac.compare_digest(
            told, arpc_method_1(key, state.request, verdict)
        )
    told, rest = authentication_data[:_ARPC_2_OCTETS], authentication_data[_ARPC_2_OCTETS:]
    update, proprietary = rest[:_STATUS_UPDATE_OCTETS], rest[_STATUS_UPDATE_OCTETS:]
    return len(update) == _STATUS_UPDATE_OCTETS and hmac.compare_digest(
        told, arpc_method_2(key, state.request, update, proprietary)
    )


def _authenticate(command: Command, issued: Issued, state: CardState) -> IssuerAnswer:
    """EMV Book 3, 6.5.4: once per ARQC."""
    if not state.request:
        return IssuerAnswer(SW_CONDITIONS_NOT_SATISFIED, state)
    if not 8 <= len(command.data) <= 16:
        return IssuerAnswer(SW_WRONG_LENGTH, state)
    authentic = issuer_is_authentic(issued, state, command.data)
    return IssuerAnswer(SW_OK if authentic else SW_ISSUER_NOT_AUTHENTIC, state)


def _script(command: Command, issued: Issued, state: CardState) -> IssuerAnswer:
    if not state.request:
        return IssuerAnswer(SW_CONDITIONS_NOT_SATISFIED, state)
    if len(command.data) < SCRIPT_MAC_OCTETS:
        return IssuerAnswer(SW_MAC_MISSING, state)
    data, told = command.data[:-SCRIPT_MAC_OCTETS], command.data[-SCRIPT_MAC_OCTETS:]
    seen = replace(state, scripts_seen=state.scripts_seen + 1)
    if not hmac.compare_digest(told, _expected_mac(command, data, issued, state)):
        return IssuerAnswer(SW_MAC_WRONG, seen)
    match _SCRIPTS[command.name[1]]:
        case ScriptAction.APPLICATION_BLOCK:
            return IssuerAnswer(SW_OK, replace(seen, blocked=True))
        case ScriptAction.APPLICATION_UNBLOCK:
            return IssuerAnswer(SW_OK, replace(seen, blocked=False))
        case ScriptAction.PUT_DATA:
            return _put_data(int.from_bytes(command.parameters, "big"), data, issued, seen)
        case ScriptAction.UPDATE_RECORD:
            return _update_record(command.parameters[0], command.parameters[1], data, issued, seen)
        case ScriptAction.PIN_CHANGE:
            return _change_pin(command.parameters, data, seen)


def _expected_mac(command: Command, data: bytes, issued: Issued, state: CardState) -> bytes:
    version = _version(issued)
    atc = state.request_atc.to_bytes(2, "big")
    cryptogram = nth_cryptogram(version, state.request, state.scripts_seen)
    key = version.script_key(issued.keys.scripts, atc, cryptogram)
    header = command.name + command.parameters + bytes([len(command.data)])
    return script_mac(key, header, atc, cryptogram, data)


def _put_data(tag: int, value: bytes, issued: Issued, state: CardState) -> IssuerAnswer:
    mastercard = issued.brand is Brand.MASTERCARD
    if tag not in ({_UPPER_AMOUNT} if mastercard else {_BALANCE, _SINGLE_LIMIT, _CEILING}):
        return IssuerAnswer(SW_DATA_NOT_FOUND, state)
    if len(value) != _AMOUNT_OCTETS or not value.hex().isdecimal():
        return IssuerAnswer(SW_WRONG_DATA, state)
    if tag in (_BALANCE, _UPPER_AMOUNT):
        return IssuerAnswer(SW_OK, replace(state, balance_minor=int(value.hex())))
    return IssuerAnswer(SW_OK, replace(state, objects={**state.objects, tag: value}))


def _update_record(number: int, reference: int, record: bytes, issued: Issued, state: CardState) -> IssuerAnswer:
    place = (reference >> 3, number)
    if place not in issued.records:
        return IssuerAnswer(SW_RECORD_NOT_FOUND, state)
    return IssuerAnswer(SW_OK, replace(state, records={**state.records, place: record}))


def _change_pin(parameters: bytes, data: bytes, state: CardState) -> IssuerAnswer:
    """A PIN is for contact terminals: this card takes a new one and never looks at it. Without data it only forgives
    wrong tries."""
    if parameters == b"\x00\x00" and not data:
        return IssuerAnswer(SW_OK, state)
    if parameters not in (b"\x00\x01", b"\x00\x02"):
        return IssuerAnswer(SW_WRONG_PARAMETERS, state)
    whole = data and len(data) % DES_BLOCK_OCTETS == 0
    return IssuerAnswer(SW_OK if whole else SW_WRONG_DATA, state)


def _version(issued: Issued) -> CryptogramVersion:
    """A card is personalised with a version its issuer knows."""
    version = version_of(issued.issuer_data)
    assert version is not None
    return version
