"""Every word of a receipt, in both languages, as data.

Comes in: nothing. Goes out: `Label` (names of fields), `StateText` per payment state, and a few marks that are
bilingual by custom.
Strategy: only states in which money has moved for good may say so; every other text tells the customer plainly that it
did not, or that nobody knows yet and paying again would be wrong (DESIGN F1, F2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from taptill.receipt.facts import Language

TEST_MARK = "***测试/TESTING,凭证无效***"
DUPLICATE_MARK = "****重打印/DUPLICATED****"


class Label(Enum):
    """A field's name or a fixed phrase: Chinese, English."""

    SALES_SLIP = ("签购单", "SALES SLIP")
    VOID_SLIP = ("撤销单", "VOID SLIP")
    REFUND_SLIP = ("退货单", "REFUND SLIP")
    NOTICE = ("交易通知单", "PAYMENT NOTICE")
    CUSTOMER_COPY = ("持卡人存根", "CARDHOLDER COPY")
    MERCHANT_COPY = ("商户存根", "MERCHANT COPY")
    MERCHANT_NAME = ("商户名称", "MERCHANT")
    MERCHANT_ID = ("商户编号", "MERCHANT NO.")
    TERMINAL_ID = ("终端编号", "TERMINAL NO.")
    OPERATOR = ("操作员号", "OPERATOR NO.")
    ACQUIRER = ("收单机构", "ACQUIRER")
    CARD_NUMBER = ("卡号", "CARD NO.")
    SCHEME = ("卡组织", "CARD SCHEME")
    TYPE = ("交易类型", "TYPE")
    SALE = ("消费", "SALE")
    VOID = ("消费撤销", "VOID")
    REFUND = ("退货", "REFUND")
    BATCH = ("批次号", "BATCH NO.")
    VOUCHER = ("凭证号", "VOUCHER NO.")
    AUTH_NUMBER = ("授权码", "AUTH NO.")
    REFERENCE = ("参考号", "REF. NO.")
    DATE_TIME = ("日期时间", "DATE/TIME")
    CLOCK_UNSET = ("时间未校准", "CLOCK NOT SET: 时间未校准")
    PAYMENT_REF = ("付款编号", "PAYMENT REF.")
    ORIGINAL_VOUCHER = ("原凭证号", "ORIG. VOUCHER")
    ORIGINAL_REFERENCE = ("原参考号", "ORIG. REF. NO.")
    ORIGINAL_DATE = ("原交易日期", "ORIG. DATE")
    AMOUNT = ("金额(RMB)", "AMOUNT (RMB)")
    FOREIGN_AMOUNT = ("金额", "AMOUNT")
    AMOUNT_DUE = ("应付金额", "AMOUNT DUE")
    AMOUNT_APPROVED = ("已批准金额", "APPROVED AMOUNT")
    AMOUNT_LEFT = ("尚欠金额", "STILL TO PAY")
    AMOUNT_REFUNDED = ("已退金额", "REFUNDED")
    INSTALMENT_TERMS = ("分期期数", "INSTALMENTS")
    INSTALMENT_FIRST = ("首期金额", "FIRST PAYMENT")
    INSTALMENT_EACH = ("每期金额", "EACH TERM")
    INSTALMENT_FEE = ("手续费", "FEE")
    REASON = ("原因", "REASON")
    NEXT_STEP = ("下一步", "NEXT STEP")
    BALANCE = ("电子现金余额", "E-CASH BALANCE")
    NO_CVM = ("免密免签", "NO PIN, NO SIGNATURE REQUIRED")
    DEVICE_CVM = ("持卡人已在手机上验证", "VERIFIED ON THE CARDHOLDER'S DEVICE")
    SIGNATURE = ("持卡人签名:", "CARDHOLDER SIGNATURE:")
    CONSENT = (
        "本人确认以上交易,同意将其计入本卡账户",
        "I acknowledge this transaction and agree that it is charged to this card account.",
    )
    TEST_KEYS = ("脱机认证使用测试CA公钥", "CARD AUTHENTICATED WITH A TEST CA KEY")
    UNVERIFIED = ("人工确认:操作员{name}", "UNVERIFIED: decided by operator {name}")
    REPRINT_COUNT = ("第{count}次重打印", "REPRINT NO. {count}")
    SCAN_FOR_STATUS = ("扫码查询本笔付款状态", "Scan to see the state of this payment")
    KEEP = ("请妥善保管此凭证", "Please keep this slip")

    def text(self, language: Language) -> str:
        return self.value[0] if language is Language.ZH else self.value[1]


TRANSACTION_LABELS: Mapping[str, tuple[Label, Label]] = MappingProxyType(
    {
        "sale": (Label.SALE, Label.SALES_SLIP),
        "void": (Label.VOID, Label.VOID_SLIP),
        "refund": (Label.REFUND, Label.REFUND_SLIP),
    }
)


@dataclass(frozen=True, slots=True)
class StateText:
    """One state told to the customer. `settled` states carry the title of a slip, all others that of a notice."""

    zh_headline: str
    en_headline: str
    zh_lines: tuple[str, ...]
    en_lines: tuple[str, ...]
    settled: bool = False

    def headline(self, language: Language) -> str:
        return self.zh_headline if language is Language.ZH else self.en_headline

    def lines(self, language: Language) -> tuple[str, ...]:
        return self.zh_lines if language is Language.ZH else self.en_lines


UNFINISHED_TEXT = StateText(
    "交易未完成",
    "NOT FINISHED",
    ("本单不是付款凭证。",),
    ("This is no proof of payment.",),
)

PARTIAL_TEXT = StateText(
    "部分批准",
    "PARTLY APPROVED",
    ("本卡只批准了部分金额,余额请用其他方式支付。",),
    ("The card paid a part only. Please pay the rest another way.",),
    settled=True,
)

STATE_TEXTS: Mapping[str, StateText] = MappingProxyType(
    {
        "approved": StateText("交易成功", "APPROVED", (), (), settled=True),
        "approved_offline": StateText(
            "交易成功(脱机)",
            "APPROVED OFFLINE",
            ("卡片已脱机批准本笔交易(电子现金/脱机),款项稍后入账。",),
            ("The card approved this payment offline. It will be booked later.",),
            settled=True,
        ),
        "deferred": StateText(
            "已受理,待授权",
            "ACCEPTED, NOT YET AUTHORISED",
            ("网络中断,发卡行尚未授权本笔交易;联网后补做授权。", "如被拒绝,损失由商户承担。请勿重复付款。"),
            (
                "The network is down and the bank has not authorised this payment yet. We will ask it later.",
                "A refusal is at the merchant's risk. Please do not pay again.",
            ),
            settled=True,
        ),
        "deferred_declined": StateText(
            "补授权被拒绝",
            "LATER REFUSED BY THE BANK",
            ("发卡行事后拒绝了本笔交易,本卡未被扣款。", "损失由商户承担。"),
            ("The bank refused this payment afterwards. The card was not charged.", "The loss is the merchant's."),
        ),
        "unknown": StateText(
            "交易结果未知",
            "RESULT UNKNOWN",
            ("请勿重复付款!", "终端正在向银行查询,结果确定后会通知商户。", "本单不是付款凭证。"),
            ("Please do not pay again!", "We are asking the bank for the result.", "This is no proof of payment."),
        ),
        "reversing": StateText(
            "未付款:将撤销",
            "NOT PAID: WILL BE UNDONE",
            ("本笔交易未成功,正在向银行冲正。", "如已扣款,款项将退回本卡。"),
            ("This payment did not succeed and is being undone.", "If the card was charged, it will be paid back."),
        ),
        "reversed": StateText(
            "未付款:已撤销",
            "NOT PAID: UNDONE",
            ("银行已确认冲正,本卡未被扣款。",),
            ("The bank confirmed that this payment is undone. The card is not charged.",),
        ),
        "declined": StateText("交易未成功", "DECLINED", ("本卡未被扣款。",), ("The card was not charged.",)),
        "cancelled": StateText("交易已取消", "CANCELLED", ("本卡未被扣款。",), ("The card was not charged.",)),
        "parked": StateText(
            "待人工核实",
            "BEING CHECKED BY HAND",
            ("银行的答复不明确,商户将与收单机构核实。", "请勿重复付款,并保留本单。"),
            (
                "The bank's answer is not clear; the merchant is checking it with the acquirer.",
                "Please do not pay again and keep this slip.",
            ),
        ),
        "voided": StateText("已撤销", "VOIDED", ("本笔消费已撤销。",), ("This sale has been voided.",), settled=True),
        "refunded": StateText(
            "已退货", "REFUNDED", ("款项将退回原卡。",), ("The money goes back to the same card.",), settled=True
        ),
        "partially_refunded": StateText(
            "部分退货",
            "PARTLY REFUNDED",
            ("所退款项将退回原卡。",),
            ("The refunded part goes back to the same card.",),
            settled=True,
        ),
        "armed": UNFINISHED_TEXT,
        "reading": UNFINISHED_TEXT,
        "authorizing": UNFINISHED_TEXT,
        "confirming": UNFINISHED_TEXT,
        "cancelling": UNFINISHED_TEXT,
    }
)

# Decided by an operator: nothing may claim that the bank or the card said so.
UNVERIFIED_TEXTS: Mapping[str, StateText] = MappingProxyType(
    {
        "approved": StateText(
            "已付款",
            "PAID",
            ("商户与收单机构核实后人工确认,未经终端验证。",),
            ("The merchant checked it with the acquirer; this terminal could not verify it.",),
            settled=True,
        ),
        "reversed": StateText(
            "未付款:已撤销",
            "NOT PAID: UNDONE",
            ("商户与收单机构核实后人工确认,未经终端验证。", "如已扣款,请凭本单联系商户。"),
            (
                "The merchant checked it with the acquirer; this terminal could not verify it.",
                "If the card was charged, show this slip to the merchant.",
            ),
        ),
        **dict.fromkeys(
            ("declined", "deferred_declined"),
            StateText(
                "未付款",
                "NOT PAID",
                ("商户与收单机构核实后人工确认,未经终端验证。", "如已扣款,请凭本单联系商户。"),
                (
                    "The merchant checked it with the acquirer; this terminal could not verify it.",
                    "If the card was charged, show this slip to the merchant.",
                ),
            ),
        ),
    }
)

# A void or a refund that did not come through leaves the sale as it was.
UNDO_TEXTS: Mapping[str, StateText] = MappingProxyType(
    {
        "declined": StateText("未成功", "NOT DONE", ("原交易保持不变。",), ("The original transaction stands.",)),
        "unknown": StateText(
            "交易结果未知",
            "RESULT UNKNOWN",
            ("请勿重复操作,终端正在向银行查询。",),
            ("Please do not repeat it: we are asking the bank for the result.",),
        ),
    }
)
