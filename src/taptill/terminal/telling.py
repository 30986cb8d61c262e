"""What people are told once it is true: the state for every face, the receipt for the customer.

Strategy: called only for entries that are on the disk. Texts come from the host profile's answers and from the
terminal's own reasons; a receipt is composed from the payment record alone, so a reprint tells the same story.
"""

from __future__ import annotations

from taptill.amount.money import CURRENCIES, Money
from taptill.clock import Trust
from taptill.host.profile import Profile, Texts
from taptill.receipt.facts import Language, Merchant, ReceiptFacts
from taptill.terminal.config import TerminalConfig
from taptill.terminal.machine import PaymentState
from taptill.terminal.payment import Payment
from taptill.terminal.reasons import Reason, explain_reason

_SCHEMES = {"A000000333": "银联 UnionPay", "A000000003": "Visa", "A000000004": "Mastercard"}
_NOT_CONFIRMED = "partial-approval-not-confirmed"
_PAY_AGAIN = Texts("可以重新付款", "it is safe to pay again")
_WILL_BE = Texts("未扣款，将自动撤销", "not paid, it will be undone")
_IS = Texts("未扣款，已撤销", "not paid, it was undone")
_UNDONE = {
    PaymentState.REVERSING: Reason(_WILL_BE, _WILL_BE, _PAY_AGAIN),
    PaymentState.REVERSED: Reason(_IS, _IS, _PAY_AGAIN),
}
_LANGUAGES = {"zh": Language.ZH, "en": Language.EN}


def receipt_facts(payment: Payment, config: TerminalConfig, profile: Profile, reprint: int) -> ReceiptFacts:
    """All a receipt says about `payment`, in its present state."""
    identity = config.identity
    currency = CURRENCIES[payment.currency]
    last = payment.transaction
    reason = reason_of(payment, profile)
    card = dict(payment.tender.card)
    return ReceiptFacts(
        merchant=Merchant(
            name=identity.merchant_name,
            merchant_id=identity.merchant_id,
            terminal_id=identity.terminal_id,
            operator=identity.operator,
            acquirer=identity.acquirer,
            test_mode=not identity.live,
        ),
        payment_ref=payment.payment_ref,
        state=payment.state.value,
        amount=Money(payment.amount_minor, currency),
        approved=Money(payment.approved_minor, currency) if payment.approved_minor else None,
        masked_pan=payment.tender.masked_pan,
        entry_mode="C",
        scheme=_SCHEMES.get(card.get("84", "")[:10], card.get("label", "")),
        batch=last.batch if last else None,
        stan=last.stan if last else None,
        auth_code=last.auth_code if last else "",
        rrn=last.rrn if last else "",
        at_ms=payment.decided_at_ms,
        time_trusted=payment.time_trust > Trust.GUESS,
        reason=payment.reason,
        reason_text=_both(reason.customer) if reason else {},
        next_step=_both(reason.next_step) if reason else {},
        card=_printable(card),
        cvm=card.get("cvm", "none"),
        test_keys=card.get("test_key") == "True",
        reprint=reprint,
        unverified_by=payment.operator,
        status_url=identity.status_url.replace("{ref}", payment.payment_ref),
        utc_offset_minutes=identity.utc_offset_minutes,
    )


def reason_of(payment: Payment, profile: Profile) -> Reason | None:
    """Why it did not simply succeed. What made the result unknown is past once the payment is undone: nobody is to wait
    for a result any more."""
    if not payment.reason:
        return None
    if payment.reason != _NOT_CONFIRMED and payment.state in _UNDONE:
        return _UNDONE[payment.state]
    return explain_reason(payment.reason, profile)


def language_of(payment: Payment, config: TerminalConfig) -> Language:
    """The customer's, as the card prefers (5F2D: up to four two-letter codes, best first), else the shop's."""
    preference = bytes.fromhex(payment.tender.card.get("5F2D", "")).decode("ascii", "replace").lower()
    for start in range(0, len(preference) - 1, 2):
        language = _LANGUAGES.get(preference[start : start + 2])
        if language is not None:
            return language
    return Language(config.identity.language)


def _both(texts: Texts) -> dict[Language, str]:
    return {Language.ZH: texts.zh, Language.EN: texts.en}


def _printable(card: dict[str, str]) -> dict[str, str]:
    """Tags only, with the TVR as it stood after the tap."""
    tags = {tag: value for tag, value in card.items() if _is_tag(tag)}
    return tags | ({"95": card["tvr"]} if "tvr" in card else {})


def _is_tag(name: str) -> bool:
    return name.isalnum() and name == name.upper() and not name.isalpha()
