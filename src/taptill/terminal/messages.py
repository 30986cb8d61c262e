"""The messages of EMV Book A, 9.4, in the languages of this terminal.

Comes in: a user interface request. Goes out: one line of text. Strategy: the customer's language where the card named
one that is spoken here, else the shop's.
"""

from __future__ import annotations

from taptill.amount.money import CURRENCIES, Currency, Money
from taptill.card.outcome import MessageId, UiRequest
from taptill.host.profile import Texts

LANGUAGE_CODE_CHARACTERS = 2  # ISO 639-1; 5F2D holds up to four of them, best first
_SPOKEN = {"zh": "zh-CN", "en": "en"}

MESSAGES = {
    MessageId.APPROVED: Texts("批准", "Approved"),
    MessageId.NOT_AUTHORISED: Texts("未批准", "Not authorised"),
    MessageId.PLEASE_ENTER_PIN: Texts("请输入密码", "Please enter your PIN"),
    MessageId.PROCESSING_ERROR: Texts("处理出错", "Processing error"),
    MessageId.REMOVE_CARD: Texts("请移开卡片", "Please remove card"),
    MessageId.WELCOME: Texts("欢迎", "Welcome"),
    MessageId.PRESENT_CARD: Texts("请出示卡片", "Present card"),
    MessageId.PROCESSING: Texts("处理中", "Processing"),
    MessageId.CARD_READ_OK: Texts("读卡成功，请移开卡片", "Card read OK, please remove card"),
    MessageId.INSERT_OR_SWIPE: Texts("请插卡或刷卡", "Please insert or swipe card"),
    MessageId.PRESENT_ONE_CARD_ONLY: Texts("请只出示一张卡", "Please present one card only"),
    MessageId.APPROVED_PLEASE_SIGN: Texts("批准，请签名", "Approved, please sign"),
    MessageId.AUTHORISING: Texts("正在联机授权，请稍候", "Authorising, please wait"),
    MessageId.INSERT_SWIPE_OR_TRY_ANOTHER_CARD: Texts("请插卡、刷卡或换卡", "Insert, swipe or try another card"),
    MessageId.INSERT_CARD: Texts("请插卡", "Please insert card"),
    MessageId.CLEAR_DISPLAY: Texts("", ""),
    MessageId.SEE_PHONE: Texts("请查看手机提示", "See phone for instructions"),
    MessageId.PRESENT_CARD_AGAIN: Texts("请再次出示卡片", "Present card again"),
}
VALUES = {"amount": Texts("金额", "amount"), "balance": Texts("余额", "balance")}


def message_text(ui: UiRequest, language: str) -> str:
    """`language`: "zh-CN" or "en", for customers whose card has no preference. Raises nothing."""
    language = _preferred(ui.language_preference) or language
    text = MESSAGES[ui.message].of(language)
    if ui.value_minor is None:
        return text
    value = str(Money(ui.value_minor, _currency(ui.currency)))
    kind = VALUES.get(ui.value_qualifier)
    return f"{text} ({kind.of(language)} {value})" if kind else f"{text} ({value})"


def _preferred(preference: str) -> str | None:
    codes = (preference[at : at + LANGUAGE_CODE_CHARACTERS] for at in range(0, len(preference), 2))
    return next((_SPOKEN[code] for code in codes if code in _SPOKEN), None)


def _currency(number: str) -> Currency:
    number = number[-3:]
    return CURRENCIES.get(number, Currency(number, number, 2, f"[{number}] "))
