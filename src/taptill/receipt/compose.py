"""Facts of one payment become the lines of its receipt.

Comes in: `ReceiptFacts` and a language. Goes out: a `Receipt`; equal facts give equal receipts, so a reprint is the
first print plus its mark.
Strategy: one small function per section. A blank fact is left out, never printed as zeros. Whatever comes from outside
(host texts, a masked number) is looked at once more for digits that could be a card number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from taptill.amount.money import CNY, Money
from taptill.card.sensitive import mask_pan
from taptill.receipt.facts import Copy, Item, Language, Line, Qr, Receipt, ReceiptError, ReceiptFacts, Rule, Style
from taptill.receipt.texts import (
    DUPLICATE_MARK,
    PARTIAL_TEXT,
    STATE_TEXTS,
    TEST_MARK,
    TRANSACTION_LABELS,
    UNDO_TEXTS,
    UNFINISHED_TEXT,
    UNVERIFIED_TEXTS,
    Label,
    StateText,
)

PAN_RUN = re.compile(r"\d{13,19}")  # card numbers as issued today; the host's own references have 12 digits
CRYPTOGRAM_TYPES = {0x00: "AAC", 0x40: "TC", 0x80: "ARQC"}  # 9F27, EMV Book 3, 6.5.5.4
SIGNED_STATES = frozenset({"approved", "approved_offline", "deferred"})


def compose(facts: ReceiptFacts, language: Language) -> Receipt:
    """The receipt of `facts`. Raises ReceiptError for a state or a transaction that has no text."""
    if facts.state not in STATE_TEXTS or facts.transaction not in TRANSACTION_LABELS:
        raise ReceiptError(f"no text for {facts.transaction!r} in state {facts.state!r}", where="receipt")
    told = _told(facts)
    sections = (
        _heading(facts, told, language),
        _merchant(facts, language),
        _transaction(facts, language),
        _amounts(facts, told, language),
        _result(facts, told, language),
        _chip(facts, language),
        _verification(facts, language),
        _footer(facts, language),
    )
    return Receipt(tuple(item for section in sections for item in section))


def _told(facts: ReceiptFacts) -> StateText:
    if _is_partial(facts):
        return PARTIAL_TEXT
    if facts.unverified_by and facts.state in UNVERIFIED_TEXTS:
        return UNVERIFIED_TEXTS[facts.state]
    told = STATE_TEXTS[facts.state]
    if facts.transaction == "sale" or told.settled:
        return told
    return UNDO_TEXTS.get(facts.state, UNFINISHED_TEXT)


def _is_partial(facts: ReceiptFacts) -> bool:
    return facts.state == "approved" and facts.approved is not None and facts.approved < facts.amount


def _field(label: Label, value: str, language: Language, style: Style = Style.NORMAL) -> Iterator[Item]:
    if value.strip():
        yield Line(label.text(language), value.strip(), style)


def _centred(text: str, style: Style = Style.NORMAL) -> Line:
    return Line(text, style=style, centred=True)


def _heading(facts: ReceiptFacts, told: StateText, language: Language) -> Iterator[Item]:
    if facts.merchant.test_mode:
        yield _centred(TEST_MARK, Style.EMPHASIS)
    if facts.reprint:
        yield _centred(DUPLICATE_MARK, Style.EMPHASIS)
        yield _centred(Label.REPRINT_COUNT.text(language).format(count=facts.reprint))
    title = TRANSACTION_LABELS[facts.transaction][1] if told.settled else Label.NOTICE
    copy = Label.CUSTOMER_COPY if facts.copy is Copy.CUSTOMER else Label.MERCHANT_COPY
    yield _centred(title.text(language), Style.TITLE)
    yield _centred(copy.text(language))
    yield Rule()


def _merchant(facts: ReceiptFacts, language: Language) -> Iterator[Item]:
    merchant = facts.merchant
    yield from _field(Label.MERCHANT_NAME, merchant.name, language)
    yield from _field(Label.MERCHANT_ID, merchant.merchant_id, language)
    yield from _field(Label.TERMINAL_ID, merchant.terminal_id, language)
    yield from _field(Label.OPERATOR, merchant.operator, language)
    yield from _field(Label.ACQUIRER, merchant.acquirer, language)
    yield Rule()


def _transaction(facts: ReceiptFacts, language: Language) -> Iterator[Item]:
    yield from _field(Label.CARD_NUMBER, _card_number(facts), language)
    yield from _field(Label.SCHEME, facts.scheme, language)
    kind = TRANSACTION_LABELS[facts.transaction][0]
    bilingual = f"{kind.text(Language.ZH)}/{kind.text(Language.EN)}"
    yield from _field(Label.TYPE, bilingual if language is Language.ZH else kind.text(language), language)
    yield from _field(Label.BATCH, _six_digits(facts.batch), language)
    yield from _field(Label.VOUCHER, _six_digits(facts.stan), language)
    yield from _field(Label.AUTH_NUMBER, facts.auth_code, language)
    yield from _field(Label.REFERENCE, facts.rrn, language)
    yield from _field(Label.DATE_TIME, _local_time(facts), language)
    if not facts.time_trusted:
        yield Line("", Label.CLOCK_UNSET.text(language))
    yield from _field(Label.PAYMENT_REF, facts.payment_ref, language)
    if facts.original is not None:
        yield from _field(Label.ORIGINAL_VOUCHER, _six_digits(facts.original.stan), language)
        yield from _field(Label.ORIGINAL_REFERENCE, facts.original.rrn, language)
        yield from _field(Label.ORIGINAL_DATE, facts.original.date, language)
    yield Rule()


def _card_number(facts: ReceiptFacts) -> str:
    if not facts.masked_pan:
        return ""
    entry = f" /{facts.entry_mode}" if facts.entry_mode else ""
    return _without_pan(facts.masked_pan) + entry


def _without_pan(text: str) -> str:
    return PAN_RUN.sub(lambda run: mask_pan(run.group()), text)


def _six_digits(number: int | None) -> str:
    return "" if number is None else f"{number:06d}"


def _local_time(facts: ReceiptFacts) -> str:
    shifted = datetime.fromtimestamp(facts.at_ms // 1000, UTC) + timedelta(minutes=facts.utc_offset_minutes)
    return shifted.strftime("%Y/%m/%d %H:%M:%S")


def _amounts(facts: ReceiptFacts, told: StateText, language: Language) -> Iterator[Item]:
    if _is_partial(facts) and facts.approved is not None:
        yield from _money(Label.AMOUNT_DUE, facts.amount, language)
        yield from _money(Label.AMOUNT_APPROVED, facts.approved, language, Style.EMPHASIS)
        yield from _money(Label.AMOUNT_LEFT, facts.amount - facts.approved, language, Style.EMPHASIS)
    else:
        label = Label.AMOUNT if facts.amount.currency == CNY else Label.FOREIGN_AMOUNT
        paid = facts.approved if told.settled else None
        yield from _money(label, facts.amount if paid is None else paid, language, Style.EMPHASIS)
    yield from _money(Label.AMOUNT_REFUNDED, facts.refunded, language, Style.EMPHASIS)
    plan = facts.instalments
    if plan is not None:
        yield from _field(Label.INSTALMENT_TERMS, str(plan.terms), language)
        yield from _money(Label.INSTALMENT_FIRST, plan.first, language)
        yield from _money(Label.INSTALMENT_EACH, plan.per_term, language)
        yield from _money(Label.INSTALMENT_FEE, plan.fee, language)
    yield Rule()


def _money(label: Label, money: Money | None, language: Language, style: Style = Style.NORMAL) -> Iterator[Item]:
    if money is not None:
        yield from _field(label, str(money), language, style)


def _result(facts: ReceiptFacts, told: StateText, language: Language) -> Iterator[Item]:
    yield _centred(told.headline(language), Style.TITLE)
    if facts.unverified_by:
        yield _centred(Label.UNVERIFIED.text(language).format(name=_without_pan(facts.unverified_by)), Style.EMPHASIS)
    for text in told.lines(language):
        yield Line(text)
    if not told.settled:
        yield from _field(Label.REASON, _reason(facts, language), language)
        yield from _field(Label.NEXT_STEP, facts.next_step.get(language, ""), language)
    for text in facts.host_texts:
        if text.strip():
            yield Line(_without_pan(text.strip()))


def _reason(facts: ReceiptFacts, language: Language) -> str:
    text = facts.reason_text.get(language, "")
    if text and facts.reason:
        return f"{text} ({facts.reason})"
    return text or facts.reason


def _chip(facts: ReceiptFacts, language: Language) -> Iterator[Item]:
    """What the chip said, in the terms disputes are argued in. Two short fields share a line."""
    card = {tag.upper(): value for tag, value in facts.card.items() if value}
    if not card:
        return
    yield Rule()
    aid = next((card[tag] for tag in ("4F", "84", "9F06") if tag in card), "")
    for left, right in (
        ((_cryptogram_type(card), card.get("9F26", "")), None),
        (("AID", aid), None),
        (("TVR", card.get("95", "")), ("TSI", card.get("9B", ""))),
        (("ATC", card.get("9F36", "")), ("AIP", card.get("82", ""))),
        (("UNPR NUM", card.get("9F37", "")), ("ARC", _letters(card.get("8A", "")))),
        (("IAD", card.get("9F10", "")), None),
        (("APPLAB", _letters(card.get("50", ""))), None),
        (("APP NAME", _letters(card.get("9F12", ""))), None),
    ):
        yield from _pair(left, right)
    yield from _field(Label.BALANCE, _balance(card, facts), language)
    if facts.test_keys:
        yield _centred(Label.TEST_KEYS.text(language))


def _pair(left: tuple[str, str], right: tuple[str, str] | None) -> Iterator[Item]:
    texts = [f"{name} {value}" for name, value in (left, right or ("", "")) if value]
    if texts:
        yield Line(texts[0], texts[1] if len(texts) > 1 else None, Style.SMALL)


def _cryptogram_type(card: dict[str, str]) -> str:
    information = _octets(card.get("9F27", ""))
    return CRYPTOGRAM_TYPES.get(information[0] & 0xC0, "AC") if information else "AC"


def _balance(card: dict[str, str], facts: ReceiptFacts) -> str:
    """9F79 (PBOC: electronic cash balance) or 9F5D (available offline spending amount): n12 minor units."""
    digits = card.get("9F79") or card.get("9F5D") or ""
    return str(Money(int(digits), facts.amount.currency)) if re.fullmatch(r"\d{12}", digits) else ""


def _letters(hexadecimal: str) -> str:
    octets = _octets(hexadecimal)
    return octets.decode("ascii") if all(0x20 <= octet < 0x7F for octet in octets) else ""


def _octets(hexadecimal: str) -> bytes:
    return bytes.fromhex(hexadecimal) if re.fullmatch(r"([0-9A-Fa-f]{2})*", hexadecimal) else b""


def is_signed(facts: ReceiptFacts) -> bool:
    """Whether the merchant's copy has a line to be signed on."""
    return facts.cvm == "signature" and facts.state in SIGNED_STATES


def _verification(facts: ReceiptFacts, language: Language) -> Iterator[Item]:
    """The cardholder verification; the signature line stands on the copy the merchant keeps."""
    if facts.state not in SIGNED_STATES:
        return
    if facts.cvm == "none":
        yield _centred(Label.NO_CVM.text(language))
    elif facts.cvm == "consumer device":
        yield _centred(Label.DEVICE_CVM.text(language))
    elif is_signed(facts) and facts.copy is Copy.MERCHANT:
        yield Rule()
        yield Line(Label.SIGNATURE.text(language))
        yield Line("")
        yield Line("")
        yield Rule()
        yield Line(Label.CONSENT.text(language))


def _footer(facts: ReceiptFacts, language: Language) -> Iterator[Item]:
    yield Rule()
    if facts.status_url:
        yield Qr(facts.status_url, Label.SCAN_FOR_STATUS.text(language))
    yield _centred(Label.KEEP.text(language))
    if facts.merchant.test_mode:
        yield _centred(TEST_MARK)
