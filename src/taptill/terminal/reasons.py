"""Why a payment did not simply succeed, in words for the cashier and the customer, and what to do next.

Comes in: a code as journaled: DE39, or a stable word of this program with an optional detail behind a colon.
Goes out: three pairs of texts. Strategy: host codes are the profile's, the rest is the table below, and no code is
ever shown without a text.
"""

from __future__ import annotations

from dataclasses import dataclass

from taptill.host.profile import Profile, Texts

HOST_CODE_CHARACTERS = 2  # DE39


@dataclass(frozen=True, slots=True)
class Reason:
    """What happened, for each side of the counter, and the next step."""

    cashier: Texts
    customer: Texts
    next_step: Texts


def _same(zh: str, en: str, next_zh: str, next_en: str) -> Reason:
    """Nothing here needs to be hidden from either side."""
    return Reason(Texts(zh, en), Texts(zh, en), Texts(next_zh, next_en))


_ANOTHER_WAY = ("请换卡、手机支付、扫码或现金", "use another card, a phone, QR or cash")
_TAP_AGAIN = ("请重新出示卡片", "hold the card to the reader again")
_NOTHING_CHARGED = ("未扣款，请重试", "nothing was charged, try again")
_ASKING = ("请勿重复支付，结果马上揭晓", "do not pay again, the result is on its way")
_NO_PAYMENTS = Texts("终端暂停收款，未扣款", "no payments here for now, nothing was charged")
_BAD_DATA = _same("卡片数据异常", "the card's data make no sense", *_ANOTHER_WAY)
_NOT_GENUINE = _same("卡片真伪校验未通过", "the card could not be proven genuine", *_ANOTHER_WAY)
_NOT_TAKEN = _same("本终端不支持此卡种", "this kind of card is not taken here", *_ANOTHER_WAY)


def _not_built_in(scheme_zh: str, scheme_en: str) -> Reason:
    return _same(f"本终端不支持{scheme_zh}", f"{scheme_en} is not taken here", *_ANOTHER_WAY)


REASONS: dict[str, Reason] = {
    "cancelled": _same("已取消", "cancelled", "如需付款请重新输入金额", "enter the amount again to pay"),
    "nobody-tapped": _same("超时未刷卡，已取消", "no card came, cancelled", "请重新输入金额", "enter the amount again"),
    "restarted": _same(
        "终端重启，已取消", "the terminal restarted, cancelled", "请重新输入金额", "enter the amount again"
    ),
    "connecting": _same("正在连接银行", "connecting to the bank", "请稍候再出示卡片", "wait a moment before the tap"),
    "card-read": _same("读卡成功，可移开卡片", "card read, it may be taken away", "请等待结果", "wait for the result"),
    "one-card-only": _same("检测到多张卡", "more than one card", "请只出示一张卡", "hold only one card to the reader"),
    "not-a-payment-card": _same("这不是支付卡", "this is not a payment card", *_ANOTHER_WAY),
    "card-lost": _same("卡片移开过早", "the card left too early", *_TAP_AGAIN),
    "try again": _same("未读到卡片", "the card was not read", *_TAP_AGAIN),
    "reader-lost": _same("读卡器断开", "the reader went away", "请检查读卡器后重试", "check the reader and try again"),
    "journal-not-writable": Reason(
        Texts("此终端暂停收款：存储故障", "no payments here for now: this terminal cannot store"),
        _NO_PAYMENTS,
        Texts("请联系技术人员", "call a technician"),
    ),
    "disk-full": Reason(
        Texts("此终端暂停收款：磁盘已满", "no payments here for now: the disk of this terminal is full"),
        _NO_PAYMENTS,
        Texts("请清理磁盘空间，之后自动恢复", "free space on it, it goes on by itself"),
    ),
    "disk-slow": Reason(
        Texts("此终端暂停收款：存储过慢", "no payments here for now: the disk of this terminal is too slow"),
        _NO_PAYMENTS,
        Texts(
            "恢复后自动继续；若反复出现请更换存储卡", "it goes on by itself; if it comes back, replace the memory card"
        ),
    ),
    "outcome-not-stored": Reason(
        Texts("结果暂时无法保存，终端正在重试", "the result cannot be stored yet, the terminal keeps trying"),
        Texts("请稍候，请勿重复付款", "please wait, do not pay again"),
        Texts("请检查磁盘空间或联系技术人员", "free space on its disk, or call a technician"),
    ),
    "counter-busy": _same(
        "柜台还有一笔未结束", "another payment is at the counter", "请先完成或取消它", "finish or cancel it first"
    ),
    "idempotency-key-used": _same(
        "同一请求号用于不同交易", "the key was used for another request", "请核对原交易", "look at the payment it made"
    ),
    "client-ref-used": _same(
        "此单号已用于另一笔付款", "this reference names another payment", "请查看那笔付款", "look at that payment"
    ),
    "too-late-to-cancel": _same(
        "已发往银行，无法取消", "too late to cancel, it was sent", "请等待结果", "wait for the result"
    ),
    "currency-not-accepted": _same(
        "本终端不收此币种", "this currency is not taken here", "请换币种", "ask for another currency"
    ),
    "amount-not-accepted": _same("金额不正确", "not an amount to pay", "请重新输入金额", "enter the amount again"),
    "silent": _same("银行未答复，结果未知", "the bank did not answer, result unknown", *_ASKING),
    "asking-the-bank": _same("正在向银行查询结果", "asking the bank for the result", *_ASKING),
    "not-sent": _same("网络不通，交易未发出", "no network, nothing was sent", *_NOTHING_CHARGED),
    "query": _same("未扣款，将自动撤销", "not paid, it will be undone", "可以重新付款", "it is safe to pay again"),
    "not-proven": _same(
        "结果无法确认", "the result cannot be proven", "请联系收单机构核实", "ask the acquirer about it"
    ),
    "partial-approval-not-confirmed": _same(
        "银行只承兑部分金额，将撤销", "the bank offered only a part, it will be undone", *_ANOTHER_WAY
    ),
    "host-unreachable": _same("网络不通，联机授权暂不可用", "the bank cannot be reached", *_ANOTHER_WAY),
    "host-refuses": _same(
        "收单机构拒绝本终端", "the acquirer refuses this terminal", "请联系收单机构", "call the acquirer"
    ),
    "operator": _same("人工核实：未付款", "checked by hand: not paid", "可以重新付款", "it is safe to pay again"),
    "operator-unknown": _same(
        "本终端不认识此操作员",
        "this operator is not known here",
        "请在配置中登记公钥",
        "add the public key to the config",
    ),
    "signature-wrong": _same(
        "签名不符", "the signature does not fit", "请用登记的密钥重新签名", "sign again with the key in the config"
    ),
    "statement-for-another-terminal": _same(
        "该声明属于另一台终端", "the statement is for another terminal", "请在那台终端提交", "offer it to that terminal"
    ),
    "target-not-parked": _same(
        "该项不需人工处理", "nothing here waits for an operator", "请先查看其状态", "look at it with: taptill why"
    ),
    "statement-stale": _same(
        "声明已过期：该项后来又被搁置",
        "the statement is about an earlier refusal",
        "请核对后重新签名",
        "look at it again and sign anew",
    ),
    "decision-impossible": _same(
        "该项不能这样决定",
        "this cannot be decided so",
        "债务：send again、settled；交易：paid、not paid",
        "a debt: send again, settled; a transaction: paid, not paid",
    ),
    "reason-holds-a-card-number": _same(
        "理由中像有卡号", "the reason seems to hold a card number", "请只写掩码卡号", "write the masked number only"
    ),
    "journal-format-too-old": _same(
        "交易日志为旧格式，存不下此决定",
        "the journal's format is too old to hold a decision",
        "请停止终端并运行 taptill journal migrate",
        "stop the terminal and run: taptill journal migrate",
    ),
    "disposition-not-stored": _same(
        "决定未能存储", "the decision could not be stored", "请处理后重新提交", "see to that and offer it again"
    ),
    "offline": _same("已脱机批准", "approved offline", "联网后自动上送", "sent to the bank when it is back"),
    "card-declined": _same("卡片拒绝交易", "the card declined", *_ANOTHER_WAY),
    "card-refused": _same("卡片拒绝应答", "the card refuses to answer", *_ANOTHER_WAY),
    "card-wants-its-owner": _same(
        "请先在手机上确认", "look at the phone first", "确认后请再次挥手机", "confirm there, then hold it here again"
    ),
    "card-wants-another-interface": _same("卡片要求插卡，本终端不支持", "the card wants to be inserted", *_ANOTHER_WAY),
    "no-pin-pad": _same(
        "本终端不支持密码", "this terminal has no PIN", "请用手机支付、扫码或现金", "use a phone, QR or cash"
    ),
    "no-kernel": _NOT_TAKEN,
    "no-kernel: Visa": _not_built_in("Visa", "Visa"),
    "no-kernel: Mastercard": _not_built_in("万事达卡", "Mastercard"),
    "no-kernel: American Express": _not_built_in("美国运通卡", "American Express"),
    "no-kernel: JCB": _not_built_in("JCB 卡", "JCB"),
    "no-kernel: Discover": _not_built_in("发现卡 (Discover)", "Discover"),
    "no-kernel: UnionPay": _not_built_in("银联卡", "UnionPay"),
    "scheme-not-accepted": _NOT_TAKEN,
    "no-payment-application": _same("卡片没有支付应用", "no payment application on the card", *_ANOTHER_WAY),
    "application-malformed": _BAD_DATA,
    "card-data-malformed": _BAD_DATA,
    "card-too-slow": _same("卡片响应太慢", "the card takes too long", *_TAP_AGAIN),
    "card-numbers-differ": _BAD_DATA,
    "record-refused": _BAD_DATA,
    "record-malformed": _BAD_DATA,
    "afl-malformed": _BAD_DATA,
    "gpo-response-malformed": _BAD_DATA,
    "static-data-tag-list-wrong": _BAD_DATA,
    "cryptogram-not-asked-for": _BAD_DATA,
    "pdol-without-ttq": _BAD_DATA,
    "no-cryptogram": _BAD_DATA,
    "too-many-commands": _BAD_DATA,
    "too-many-presentations": _same("多次出示仍未成功", "too many attempts with this card", *_ANOTHER_WAY),
    "amount-not-allowed": _same(
        "金额超出本终端限额", "the amount is not allowed here", "请分次付款或用其它方式", "split it or pay another way"
    ),
    "expired": _same("卡片已过期", "the card has expired", *_ANOTHER_WAY),
    "not-yet-effective": _same("卡片尚未生效", "the card is not valid yet", *_ANOTHER_WAY),
    "exception-list": _same(
        "卡片受限", "the card is blocked", "请换卡或联系发卡行", "use another card or call its bank"
    ),
    "device-verification-unproven": _same(
        "手机验证无法确认", "the phone's verification cannot be proven", *_ANOTHER_WAY
    ),
    "reader-is-offline-only": _same("本终端不能联机交易", "this terminal asks no bank", *_ANOTHER_WAY),
    "cash-not-allowed": _same("此卡不能取现", "this card gives no cash here", *_ANOTHER_WAY),
    "cashback-not-allowed": _same("此卡不能返现", "this card gives no cash back here", *_ANOTHER_WAY),
    "not-for-atm": _same("此卡不能在自助设备挥卡", "this card is not for machines that pay out", *_ANOTHER_WAY),
    "issuer-update": _same("卡片已更新", "the card has been updated", "可移开卡片", "the card may be taken away"),
    "issuer-answer-malformed": _same(
        "发卡行更新数据有误，卡片未更新",
        "the bank's update makes no sense, the card stays as it is",
        "可移开卡片",
        "the card may be taken away",
    ),
    "magstripe-only": _same("此卡仅有磁条模式，本终端不支持", "the card knows only mag-stripe mode", *_ANOTHER_WAY),
    "data-exchange-time-out": _same("终端未及时应答", "the terminal did not answer in time", *_TAP_AGAIN),
    "relay-resistance-implausible": _NOT_GENUINE,
    "oda-failed": _NOT_GENUINE,
    "oda-not-passed": _NOT_GENUINE,
    "no-ca-key": _NOT_GENUINE,
    "card-gives-no-signature": _NOT_GENUINE,
    "card-approved-what-must-go-online": _NOT_GENUINE,
    "no-tc": _same("卡片未给出脱机批准", "the card gave no offline approval", *_ANOTHER_WAY),
    "no-arqc": _same("卡片未给出联机请求", "the card gave no online request", *_ANOTHER_WAY),
    "over-outage-payment-limit": _same("超过断网单笔限额", "too high while the bank is away", *_ANOTHER_WAY),
    "over-outage-count-limit": _same("断网笔数已满", "too many payments wait for the bank", *_ANOTHER_WAY),
    "over-outage-total-limit": _same("断网总额已满", "too much money waits for the bank", *_ANOTHER_WAY),
    "over-outage-age-limit": _same("断网时间过长", "the bank has been away for too long", *_ANOTHER_WAY),
    "over-outage-card-limit": _same("此卡断网次数已满", "this card was used too often offline", *_ANOTHER_WAY),
    "outage-limits-missing": _same("断网收款未开通", "selling without the bank is not set up", *_ANOTHER_WAY),
    "time-not-trusted": _same("终端时间未校准", "the terminal's clock is not set", *_ANOTHER_WAY),
}
_UNNAMED = _same("交易未完成", "the payment was not completed", *_ANOTHER_WAY)


def explain_reason(code: str, profile: Profile) -> Reason:
    """`code` as journaled, e.g. "51" or "silent: timeout"; a few details have words of their own."""
    reason = REASONS.get(code) or REASONS.get(code.partition(":")[0])
    if reason is not None:
        return reason
    if len(code) == HOST_CODE_CHARACTERS:
        answer = profile.answer(code)
        return Reason(answer.cashier, answer.customer, answer.next_step)
    return _UNNAMED
