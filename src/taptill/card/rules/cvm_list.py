"""The cardholder verification method list: which method the card wants for this sale (EMV Book 3, 10.5 and Annex C3).

Comes in: the data objects of terminal and card, by tag. Goes out: the method, CVM results (9F34), TVR and TSI.
Strategy: the list is walked once; a rule whose condition does not hold is passed over, one whose method this terminal
cannot do falls through to the next where the card says so. No PIN is entered here (DESIGN 5.11): online PIN only with a
certified pad, offline PIN never, because a tapped card has left before anybody could type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from taptill.card.aip import AIP_CARDHOLDER_VERIFICATION
from taptill.card.bits import has_bit, with_bit
from taptill.card.outcome import Cvm
from taptill.card.rules.cvm_codes import (
    FAIL,
    FAILED,
    KNOWN_METHODS,
    METHOD,
    NO_CVM,
    NOT_WANTED,
    NOTHING_FITS,
    ONLINE_PIN,
    OR_NEXT,
    SIGNATURE,
    SUCCESSFUL,
    UNKNOWN,
)
from taptill.card.rules.restrictions import has_cashback, is_cash
from taptill.card.rules.risk_management import Findings
from taptill.card.rules.tvr import (
    TSI_CVM_PERFORMED,
    TVR_CVM_FAILED,
    TVR_CVM_UNKNOWN,
    TVR_DATA_MISSING,
    TVR_ONLINE_PIN_ENTERED,
)

_CAN_ONLINE_PIN, _CAN_SIGNATURE, _CAN_NO_CVM = (1, 0x40), (1, 0x20), (1, 0x08)  # 9F33
_AMOUNT_OCTETS = 4
_UNATTENDED_TYPES = range(4, 7)  # the right digit of 9F35, EMV Book 4, Annex A1
_CVMS = {ONLINE_PIN: Cvm.ONLINE_PIN, SIGNATURE: Cvm.SIGNATURE, NO_CVM: Cvm.NONE}


@dataclass(frozen=True, slots=True)
class CvmRule:
    """One cardholder verification rule: method with its "apply succeeding rule" bit, and condition."""

    code: int
    condition: int

    @property
    def method(self) -> int:
        return self.code & METHOD

    @property
    def or_next(self) -> bool:
        return bool(self.code & OR_NEXT)


@dataclass(frozen=True, slots=True)
class CvmList:
    """8E: amounts X and Y in minor units of the application's currency, and the rules in order."""

    x_minor: int
    y_minor: int
    rules: tuple[CvmRule, ...]


@dataclass(frozen=True, slots=True)
class Verification:
    """How the cardholder is verified; `cvm` None: the list leaves no way."""

    cvm: Cvm | None
    results: bytes  # 9F34
    found: Findings


def parse_cvm_list(octets: bytes) -> CvmList | None:
    """EMV Book 3, Annex C3; None for a list that is cut."""
    if len(octets) < 2 * _AMOUNT_OCTETS or len(octets) % 2:
        return None
    x, y, rules = octets[:_AMOUNT_OCTETS], octets[_AMOUNT_OCTETS : 2 * _AMOUNT_OCTETS], octets[2 * _AMOUNT_OCTETS :]
    pairs = zip(rules[::2], rules[1::2], strict=True)
    return CvmList(int.from_bytes(x, "big"), int.from_bytes(y, "big"), tuple(CvmRule(*pair) for pair in pairs))


def verify_cardholder(
    found: Findings,
    terminal: Mapping[int, bytes],
    card: Mapping[int, bytes],
    pin_pad: bool = False,
) -> Verification:
    """EMV Book 3, 10.5. Of the terminal 9C, 9F02, 9F03, 5F2A, 9F33 and 9F35 are looked at, of the card 82, 8E and 9F42.
    A PIN that cannot be entered is not told in the TVR: contactless kernels do not."""
    if not has_bit(card.get(0x82, b""), AIP_CARDHOLDER_VERIFICATION):
        return Verification(Cvm.NONE, NOT_WANTED, found)
    octets = card.get(0x8E, b"")
    methods = parse_cvm_list(octets) if octets else CvmList(0, 0, ())
    if methods is None:
        return _failed(found, NOTHING_FITS)
    if not methods.rules:
        return Verification(Cvm.NONE, NOT_WANTED, Findings(with_bit(found.tvr, TVR_DATA_MISSING), found.tsi))
    return _walk(found, methods, _Sale(terminal, card, pin_pad))


@dataclass(frozen=True, slots=True)
class _Sale:
    """What both sides say of this sale, and what can be done here."""

    terminal: Mapping[int, bytes]
    card: Mapping[int, bytes]
    pin_pad: bool

    def can(self, method: int) -> bool:
        capabilities = self.terminal.get(0x9F33, b"")
        if method == ONLINE_PIN:
            return self.pin_pad and has_bit(capabilities, _CAN_ONLINE_PIN)
        if method == SIGNATURE:
            return has_bit(capabilities, _CAN_SIGNATURE)
        return method == NO_CVM and has_bit(capabilities, _CAN_NO_CVM)

    @property
    def unattended(self) -> bool:
        return (self.terminal.get(0x9F35) or b"\x00")[0] & 0x0F in _UNATTENDED_TYPES

    @property
    def amount_in_the_cards_currency(self) -> int | None:
        digits = self.terminal.get(0x9F02, b"").hex()
        same = 0x9F42 in self.card and self.card[0x9F42] == self.terminal.get(0x5F2A)
        return int(digits) if same and digits.isdigit() else None


def _walk(found: Findings, methods: CvmList, sale: _Sale) -> Verification:
    results = NOTHING_FITS
    for rule in methods.rules:
        if not _holds(rule, methods, sale):
            continue
        if sale.can(rule.method):
            return _chosen(found, rule)
        found = _found_wanting(found, rule)
        if rule.method == FAIL:
            results = bytes([rule.code, rule.condition, FAILED])
        if not rule.or_next:
            break
    return _failed(found, results)


def _holds(rule: CvmRule, methods: CvmList, sale: _Sale) -> bool:
    """EMV Book 3, Annex C3; a condition that is unknown, or whose data are missing, does not hold."""
    cash, cashback = is_cash(sale.terminal), has_cashback(sale.terminal)
    plain = {
        0x00: True,
        0x01: cash and sale.unattended,
        0x02: not cash and not cashback,
        0x03: rule.method == FAIL or sale.can(rule.method),
        0x04: cash and not sale.unattended,
        0x05: cashback,
    }
    if rule.condition in plain:
        return plain[rule.condition]
    amount_minor = sale.amount_in_the_cards_currency
    if amount_minor is None:
        return False
    x, y = methods.x_minor, methods.y_minor
    by_amount = {0x06: amount_minor < x, 0x07: amount_minor > x, 0x08: amount_minor < y, 0x09: amount_minor > y}
    return by_amount.get(rule.condition, False)


def _chosen(found: Findings, rule: CvmRule) -> Verification:
    result = SUCCESSFUL if rule.method == NO_CVM else UNKNOWN
    tvr = with_bit(found.tvr, TVR_ONLINE_PIN_ENTERED) if rule.method == ONLINE_PIN else found.tvr
    after = Findings(tvr, with_bit(found.tsi, TSI_CVM_PERFORMED))
    return Verification(_CVMS[rule.method], bytes([rule.code, rule.condition, result]), after)


def _found_wanting(found: Findings, rule: CvmRule) -> Findings:
    if rule.method not in KNOWN_METHODS:
        return Findings(with_bit(found.tvr, TVR_CVM_UNKNOWN), found.tsi)
    return found


def _failed(found: Findings, results: bytes) -> Verification:
    after = Findings(with_bit(found.tvr, TVR_CVM_FAILED), with_bit(found.tsi, TSI_CVM_PERFORMED))
    return Verification(None, results, after)
