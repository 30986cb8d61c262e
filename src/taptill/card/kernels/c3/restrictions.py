"""What a Visa card may not be used for by contactless (EMV Book C-3, 5.5.1.3 to 5.5.1.5).

Comes in: the tap after its last command. Goes out: the outcome that forbids it, or None.
Strategy: application usage control (9F07) is EMV's own check; the card's qualifiers say whether its owner may try
another interface instead. An offline approval of cash needs the proof that cash is allowed; online the issuer knows.
"""

from __future__ import annotations

from taptill.card.bits import Place, has_bit
from taptill.card.ctq import CTQ_NOT_FOR_ATM, CTQ_SWITCH_FOR_CASH, CTQ_SWITCH_FOR_CASHBACK
from taptill.card.kernels.fast.tap import FastTap
from taptill.card.outcome import CryptogramType, Outcome
from taptill.card.outcomes import declined, try_another_interface
from taptill.card.rules.restrictions import check_usage, has_cashback, is_atm, is_cash
from taptill.card.rules.tvr import NO_TVR, TVR_SERVICE_NOT_ALLOWED


def usage_refusal(tap: FastTap) -> Outcome | None:
    """None where nothing speaks against this kind of transaction."""
    if is_cash(tap.sent) and not _usage_allows(tap):
        return _elsewhere_or_declined(tap, CTQ_SWITCH_FOR_CASH, "cash-not-allowed")
    if has_cashback(tap.sent) and not _usage_allows(tap):
        return _elsewhere_or_declined(tap, CTQ_SWITCH_FOR_CASHBACK, "cashback-not-allowed")
    if is_atm(tap.sent) and has_bit(tap.qualifiers, CTQ_NOT_FOR_ATM):
        return try_another_interface("not-for-atm")
    return None


def _usage_allows(tap: FastTap) -> bool:
    told = 0x9F07 in tap.data and 0x5F28 in tap.data
    if not told:
        return tap.kind is not CryptogramType.TC
    return not has_bit(check_usage(NO_TVR, tap.sent, tap.data), TVR_SERVICE_NOT_ALLOWED)


def _elsewhere_or_declined(tap: FastTap, switch: Place, reason: str) -> Outcome:
    return try_another_interface(reason) if has_bit(tap.qualifiers, switch) else declined(reason)
