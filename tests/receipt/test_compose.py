"""What the customer reads, in every state and both languages."""

from __future__ import annotations

import dataclasses

import pytest

from taptill.amount.money import Money
from taptill.receipt.compose import compose
from taptill.receipt.facts import (
    Copy,
    InstalmentTerms,
    Language,
    Line,
    Original,
    Qr,
    Receipt,
    ReceiptError,
    ReceiptFacts,
)
from taptill.receipt.text import render_text
from taptill.receipt.texts import DUPLICATE_MARK, STATE_TEXTS, TEST_MARK, UNVERIFIED_TEXTS

SUCCESS_WORDS = ("交易成功", "APPROVED", "VOIDED", "REFUNDED", "已退货")
SETTLED = {"approved", "approved_offline", "deferred", "voided", "refunded", "partially_refunded"}

SAYS = [
    ("approved", "交易成功", "APPROVED"),
    ("approved_offline", "脱机批准本笔交易", "approved this payment offline"),
    ("deferred", "损失由商户承担", "at the merchant's risk"),
    ("deferred", "尚未授权", "NOT YET AUTHORISED"),
    ("deferred_declined", "事后拒绝", "refused this payment afterwards"),
    ("unknown", "请勿重复付款", "do not pay again"),
    ("unknown", "正在向银行查询", "asking the bank"),
    ("reversing", "未付款:将撤销", "NOT PAID: WILL BE UNDONE"),
    ("reversed", "银行已确认冲正", "confirmed that this payment is undone"),
    ("declined", "本卡未被扣款", "The card was not charged"),
    ("cancelled", "交易已取消", "CANCELLED"),
    ("parked", "与收单机构核实", "checking it with the acquirer"),
    ("voided", "已撤销", "VOIDED"),
    ("refunded", "已退货", "REFUNDED"),
    ("partially_refunded", "部分退货", "PARTLY REFUNDED"),
    ("authorizing", "不是付款凭证", "no proof of payment"),
]


def told(facts: ReceiptFacts, language: Language = Language.ZH) -> str:
    return render_text(compose(facts, language), 200)


def values(receipt: Receipt) -> dict[str, str | None]:
    return {item.text: item.value for item in receipt.items if isinstance(item, Line)}


@pytest.mark.parametrize(("state", "chinese", "english"), SAYS)
def test_every_state_has_its_own_words(approved: ReceiptFacts, state: str, chinese: str, english: str) -> None:
    facts = dataclasses.replace(approved, state=state)
    assert chinese in told(facts)
    assert english in told(facts, Language.EN)


@pytest.mark.parametrize("state", sorted(set(STATE_TEXTS) - SETTLED))
@pytest.mark.parametrize("language", Language)
def test_a_state_in_which_nothing_is_settled_never_looks_like_a_sales_slip(
    approved: ReceiptFacts, state: str, language: Language
) -> None:
    facts = dataclasses.replace(approved, state=state, host_texts=(), cvm="signature", copy=Copy.MERCHANT)
    text = told(facts, language)
    assert not any(word in text for word in SUCCESS_WORDS)
    assert not any(word in text for word in ("签购单", "SALES SLIP", "签名", "SIGNATURE", "本人确认"))


@pytest.mark.parametrize("state", sorted(UNVERIFIED_TEXTS))
@pytest.mark.parametrize(
    ("language", "mark"),
    [(Language.ZH, "人工确认:操作员li"), (Language.EN, "UNVERIFIED: decided by operator li")],
)
def test_an_operators_word_is_marked_once_and_claims_nothing_of_the_bank(
    approved: ReceiptFacts, state: str, language: Language, mark: str
) -> None:
    facts = dataclasses.replace(approved, state=state, unverified_by="li", host_texts=())
    text = told(facts, language)
    assert text.count(mark) == 1
    assert mark not in told(approved, language)
    for claim in (
        "银行已确认",
        "本卡未被扣款",
        "The bank confirmed",
        "The card was not charged",
        "交易成功",
        "APPROVED",
    ):
        assert claim not in text


def test_an_operators_name_that_is_a_card_number_is_masked(approved: ReceiptFacts) -> None:
    facts = dataclasses.replace(approved, unverified_by="6228000100001117")
    assert "6228000100001117" not in told(facts)


def test_the_slip_names_everything_a_dispute_needs(approved: ReceiptFacts) -> None:
    text = told(approved)
    for expected in (
        "签购单",
        "持卡人存根",
        "东方便利店",
        "898310048160001",
        "10000001",
        "银联商务",
        "622800******1117 /C",
        "000001",
        "000007",
        "A12345",
        "254313000007",
        "2025/11/22 16:26:40",
        "¥128.50",
        "ARQC A1B2C3D4E5F60718",
        "AID A000000333010101",
        "TVR 0000000000",
        "TSI E800",
        "ATC 0012",
        "AIP 7C00",
        "UNPR NUM 01020304",
        "ARC 00",
        "IAD 07010103A0B802010A01000000000000000000",
        "APPLAB PBOC CREDIT",
        "CUP 祝您购物愉快",
    ):
        assert expected in text


def test_both_copies_and_both_languages_have_their_names(approved: ReceiptFacts) -> None:
    merchant = dataclasses.replace(approved, copy=Copy.MERCHANT)
    assert "商户存根" in told(merchant)
    assert "MERCHANT COPY" in told(merchant, Language.EN)
    assert "CARDHOLDER COPY" in told(approved, Language.EN)


def test_a_cryptogram_is_named_by_its_type(approved: ReceiptFacts) -> None:
    """9F27: EMV Book 3, 6.5.5.4, bits 8 and 7."""
    for information, name in (("40", "TC"), ("80", "ARQC"), ("00", "AAC"), ("", "AC")):
        card = {**approved.card, "9F27": information}
        assert f"\n{name} A1B2C3D4E5F60718" in told(dataclasses.replace(approved, card=card))


def test_blank_fields_are_left_out(approved: ReceiptFacts) -> None:
    merchant = dataclasses.replace(approved.merchant, acquirer="", operator="")
    bare = dataclasses.replace(
        approved, merchant=merchant, batch=None, stan=None, auth_code="", rrn="", masked_pan="", scheme="", card={}
    )
    text = told(bare)
    labels = ("批次号", "凭证号", "授权码", "参考号", "卡号", "卡组织", "操作员号", "收单机构", "TVR", "AID", "AC ")
    assert not any(label in text for label in labels)
    assert not any(line.endswith(" 000000") for line in text.splitlines())


def test_an_untrusted_clock_is_said_in_both_languages(approved: ReceiptFacts) -> None:
    guessed = dataclasses.replace(approved, time_trusted=False)
    assert "时间未校准" in told(guessed)
    assert "时间未校准" in told(guessed, Language.EN)
    assert "时间未校准" not in told(approved)


def test_test_mode_and_test_keys_are_marked(approved: ReceiptFacts) -> None:
    assert TEST_MARK in told(approved)
    assert "测试CA公钥" in told(dataclasses.replace(approved, test_keys=True))
    live = dataclasses.replace(approved, merchant=dataclasses.replace(approved.merchant, test_mode=False))
    assert "测试" not in told(live)
    assert "TEST" not in told(live, Language.EN)


def test_a_reprint_is_the_first_print_plus_its_mark(approved: ReceiptFacts) -> None:
    first = compose(approved, Language.ZH).items
    second = compose(dataclasses.replace(approved, reprint=2), Language.ZH).items
    marks = [item for item in second if item not in first]
    assert [item.text for item in marks if isinstance(item, Line)] == [DUPLICATE_MARK, "第2次重打印"]
    assert "REPRINT NO. 2" in told(dataclasses.replace(approved, reprint=2), Language.EN)


def test_only_a_signed_payment_has_a_signature_line(approved: ReceiptFacts) -> None:
    for cvm in ("none", "consumer device", "N/A", "online PIN"):
        assert "签名:" not in told(dataclasses.replace(approved, cvm=cvm, copy=Copy.MERCHANT))
    signed = dataclasses.replace(approved, cvm="signature", copy=Copy.MERCHANT)
    assert "持卡人签名:" in told(signed)
    assert "本人确认以上交易" in told(signed)
    assert "免密免签" in told(approved)


def test_a_partial_approval_says_what_is_left_to_pay(approved: ReceiptFacts) -> None:
    partial = compose(dataclasses.replace(approved, approved=Money(10000)), Language.EN)
    assert values(partial)["AMOUNT DUE"] == "¥128.50"
    assert values(partial)["APPROVED AMOUNT"] == "¥100.00"
    assert values(partial)["STILL TO PAY"] == "¥28.50"
    assert "PARTLY APPROVED" in values(partial)


def test_a_decline_tells_reason_and_next_step(approved: ReceiptFacts) -> None:
    declined = dataclasses.replace(
        approved,
        state="declined",
        approved=None,
        reason="51",
        reason_text={Language.ZH: "余额不足", Language.EN: "Not enough funds"},
        next_step={Language.ZH: "请换卡或用其他方式支付", Language.EN: "Use another card"},
    )
    assert values(compose(declined, Language.ZH))["原因"] == "余额不足 (51)"
    assert values(compose(declined, Language.EN))["NEXT STEP"] == "Use another card"
    codes_only = dataclasses.replace(declined, reason_text={}, next_step={})
    assert values(compose(codes_only, Language.EN))["REASON"] == "51"


def test_a_declined_payment_shows_what_was_asked_for(approved: ReceiptFacts) -> None:
    declined = dataclasses.replace(approved, state="declined", approved=Money(0))
    assert values(compose(declined, Language.ZH))["金额(RMB)"] == "¥128.50"


def test_a_void_names_its_original(approved: ReceiptFacts) -> None:
    void = dataclasses.replace(
        approved, state="voided", transaction="void", original=Original(3, "254313000003", "1122")
    )
    shown = values(compose(void, Language.ZH))
    assert shown["原凭证号"] == "000003"
    assert shown["原参考号"] == "254313000003"
    assert shown["交易类型"] == "消费撤销/VOID"
    assert "撤销单" in shown


def test_a_refused_void_leaves_the_sale_standing(approved: ReceiptFacts) -> None:
    text = told(dataclasses.replace(approved, state="declined", transaction="void"), Language.EN)
    assert "The original transaction stands" in text
    assert "not charged" not in text


def test_the_plan_that_was_agreed_stands_on_the_slip(approved: ReceiptFacts) -> None:
    plan = InstalmentTerms(12, Money(1071), fee=Money(300), first=Money(1069))
    shown = values(compose(dataclasses.replace(approved, instalments=plan), Language.ZH))
    assert (shown["分期期数"], shown["首期金额"], shown["每期金额"], shown["手续费"]) == (
        "12",
        "¥10.69",
        "¥10.71",
        "¥3.00",
    )


def test_the_qr_leads_to_the_status_page(approved: ReceiptFacts) -> None:
    codes = [item.content for item in compose(approved, Language.ZH).items if isinstance(item, Qr)]
    assert codes == [approved.status_url]
    without = dataclasses.replace(approved, status_url="")
    assert not any(isinstance(item, Qr) for item in compose(without, Language.ZH).items)


def test_a_card_number_is_masked_wherever_it_comes_from(approved: ReceiptFacts) -> None:
    careless = dataclasses.replace(approved, masked_pan="6228000100001117", host_texts=("CARD 6228000100001117 OK",))
    text = told(careless)
    assert "6228000100001117" not in text
    assert text.count("622800******1117") == 2


def test_only_named_tags_are_printed(approved: ReceiptFacts) -> None:
    text = told(dataclasses.replace(approved, card={"5A": "6228000100001117", "5F24": "301231", "95": "0000000000"}))
    assert "6228000100001117" not in text
    assert "301231" not in text


def test_broken_card_data_is_left_out(approved: ReceiptFacts) -> None:
    card = {"50": "FF00", "9F27": "xx", "9F79": "ABC", "95": "0000000000"}
    assert "APPLAB" not in told(dataclasses.replace(approved, card=card))


def test_the_electronic_cash_balance_is_money(approved: ReceiptFacts) -> None:
    text = told(dataclasses.replace(approved, card={"9F79": "000000012345"}))
    assert "¥123.45" in text


def test_a_state_without_a_text_is_refused(approved: ReceiptFacts) -> None:
    with pytest.raises(ReceiptError, match="receipt: no text for 'sale' in state 'paid'"):
        compose(dataclasses.replace(approved, state="paid"), Language.ZH)


def test_a_qr_content_no_slip_can_hold_is_refused(approved: ReceiptFacts) -> None:
    with pytest.raises(ReceiptError, match="receipt QR"):
        compose(dataclasses.replace(approved, status_url="x" * 513), Language.ZH)
