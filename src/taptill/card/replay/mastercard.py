"""How a recorded Mastercard reader must have been configured (EMV Book C-2, A.1).

Comes in: what was observed of the recording. Goes out: configuration data objects for kernel C-2.
Strategy: what a reader was set to is told from what it made of the card: the cryptogram it asked for, the cardholder
verification it chose, the protocols it ran. The action codes then only confirm what was asked.
"""

from __future__ import annotations

from taptill.card.bits import has_bit
from taptill.card.replay.observation import Observed
from taptill.card.rules.tvr import TVR_FLOOR_LIMIT_EXCEEDED

# EMV Book 3, Annex C3 and 10.5; on the device itself by EMV Book C-2, CVM.3 and CVM.4.
ON_DEVICE, ONLINE_PIN, SIGNATURE, NO_CVM, NONE_PERFORMED = 0x01, 0x02, 0x1E, 0x1F, 0x3F

_CARD_INPUT, _CVM_REQUIRED, _CVM_NOT_REQUIRED, _SECURITY = 0xDF8117, 0xDF8118, 0xDF8119, 0xDF811F  # make up 9F33
_KERNEL_CONFIGURATION = 0xDF811B
_TAC_DEFAULT, _TAC_DENIAL, _TAC_ONLINE = 0xDF8120, 0xDF8121, 0xDF8122
_FLOOR_LIMIT, _CVM_LIMIT = 0xDF8123, 0xDF8126

_EMV_MODE_ONLY, _ON_DEVICE_CVM, _RELAY_RESISTANCE = 0x80, 0x20, 0x10  # of DF811B
_CAPABILITY = {ONLINE_PIN: 0x40, SIGNATURE: 0x20, NO_CVM: 0x08}  # of the second octet of 9F33
_ANY_CVM = 0x68
_SUCCESSFUL = b"\x02"
_MAG_STRIPE_RECORD, _MAG_STRIPE_PLACE = bytes.fromhex("08010100"), (1, 1)
_COMBINED_AUTHENTICATION = 0x08
_ASKED, _ASKED_FOR_CDA = 0xC0, 0x10  # of P1 of GENERATE AC
_AAC, _TC = 0x00, 0x40
_EVERY_BIT, _NO_BIT = b"\xff" * 5, bytes(5)
_ABOVE_IT, _NEVER = bytes(6), bytes.fromhex("999999999999")


def verified_by(observed: Observed) -> int | None:
    """The cardholder verification of 9F34, without its "apply the next one" bit; None where none was recorded."""
    results = observed.sent.get(0x9F34, b"")
    return results[0] & 0x3F if results else None


def mastercard_configuration(observed: Observed) -> dict[int, bytes]:
    """Raises nothing."""
    method = verified_by(observed)
    told = _capabilities_told(observed)
    signs = _COMBINED_AUTHENTICATION if _asked_for(observed, _ASKED_FOR_CDA) else 0
    card_input, cvm_told, security = told if len(told) == 3 else (0, 0, signs)
    cvm = bytes([cvm_told or _CAPABILITY.get(method or 0, _ANY_CVM)])
    above_cvm_limit = method in (ONLINE_PIN, SIGNATURE, ON_DEVICE)
    return {
        _KERNEL_CONFIGURATION: bytes([_kernel_configuration(observed)]),
        _CARD_INPUT: bytes([card_input]),
        _CVM_REQUIRED: cvm,
        _CVM_NOT_REQUIRED: cvm,
        _SECURITY: bytes([security]),
        _CVM_LIMIT: _ABOVE_IT if above_cvm_limit else _NEVER,
        _FLOOR_LIMIT: _ABOVE_IT if has_bit(observed.sent.get(0x95, b""), TVR_FLOOR_LIMIT_EXCEEDED) else _NEVER,
        **_action_codes(observed),
    }


def _capabilities_told(observed: Observed) -> bytes:
    """9F33 as the cryptogram was asked with: before the amount is held against the CVM limit, its second octet is not
    settled yet (EMV Book C-2, S456.32 and S456.33)."""
    sent = [*(each.sent for each in observed.cryptograms[:1]), observed.sent]
    return next((each[0x9F33] for each in sent if 0x9F33 in each), b"")


def _kernel_configuration(observed: Observed) -> int:
    """A reader that also knows mag-stripe mode leaves out the record that only this mode needs (C-2, S3.30)."""
    begins_with_it = observed.data.get(0x94, b"").startswith(_MAG_STRIPE_RECORD)
    left_out = begins_with_it and bool(observed.records) and _MAG_STRIPE_PLACE not in observed.records
    configuration = 0 if left_out or observed.checksum_values is not None else _EMV_MODE_ONLY
    configuration |= _ON_DEVICE_CVM if _leaves_it_to_the_device(observed) else 0
    return configuration | (_RELAY_RESISTANCE if observed.entropies else 0)


def _leaves_it_to_the_device(observed: Observed) -> bool:
    """Above the CVM limit the device has verified its owner, below it nobody has to, and both have succeeded."""
    return verified_by(observed) in (ON_DEVICE, NONE_PERFORMED) and observed.sent[0x9F34][-1:] == _SUCCESSFUL


def _action_codes(observed: Observed) -> dict[int, bytes]:
    """Of an ARQC or AAC that was asked for, the codes ask for it whatever was found; else they ask for nothing."""
    codes = dict.fromkeys((_TAC_DEFAULT, _TAC_DENIAL, _TAC_ONLINE), _NO_BIT)
    if not observed.cryptograms:
        return codes
    kind = observed.cryptograms[0].reference_control & _ASKED
    if kind != _TC:
        codes[_TAC_DENIAL if kind == _AAC else _TAC_ONLINE] = _EVERY_BIT
        codes[_TAC_DEFAULT] = _EVERY_BIT if kind == _AAC else _NO_BIT
    return codes


def _asked_for(observed: Observed, bits: int) -> int:
    return observed.cryptograms[0].reference_control & bits if observed.cryptograms else bits
