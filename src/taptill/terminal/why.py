"""What a debt or a payment waits for, in one sentence per language.

Comes in: rows of the journal and the till's situation. Goes out: `Wait`s.
Strategy: the first thing that is in the way is told, from the worst to the smallest: an operator, the disk, the host,
an earlier debt, a back-off, the window. It looks at copies, so a long queue costs the counter no time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from taptill.decision.decide import HostHealth
from taptill.host.profile import Texts
from taptill.journal.port import DebtRow
from taptill.terminal.asking import QUERY_TIMER
from taptill.terminal.desk import Desk
from taptill.terminal.linking import PROBE_TIMER
from taptill.terminal.machine import PaymentState
from taptill.terminal.owing import DEBTS_IN_FLIGHT_MAX
from taptill.terminal.payment import Payment
from taptill.terminal.situation import Situation

DISPOSE = "taptill dispose"


@dataclass(frozen=True, slots=True)
class Wait:
    """`next_try_in_ms` is None where no moment is known: an answer, an operator or something else comes first."""

    texts: Texts
    next_try_in_ms: int | None = None


def situation_of(desk: Desk) -> Situation:
    """To be called on the thread that uses the desk."""
    queue = desk.debts.queue
    offs = ((name, queue.back_off_of(name)) for name in desk.debts)
    return Situation(
        at_ms=desk.clock.now().unix_ms,
        now_us=desk.clock.monotonic_us(),
        host=desk.health(),
        host_reason=desk.breaker.reason,
        away_since_us=desk.away_since_us,
        storage_fault="" if desk.can_store else desk.storage_fault.partition(": ")[2],
        window=min(desk.profile.window, DEBTS_IN_FLIGHT_MAX),
        sale_under_way=desk.sale_is_under_way(),
        in_flight=frozenset(queue.in_flight),
        answered=frozenset(queue.answered),
        back_offs={name: off for name, off in offs if off is not None},
        inquiries=dict(desk.inquiries),
        due_us=dict(desk.due_us),
    )


def why_debts(debts: Iterable[DebtRow], now: Situation) -> dict[str, Wait]:
    """By name; `debts` are open or parked, in the order they were owed."""
    first: dict[str, str] = {}  # the earliest open debt of each payment
    waits: dict[str, Wait] = {}
    for debt in debts:
        if debt.state == "parked":
            waits[debt.debt] = _operator(debt)
            continue
        ahead = first.setdefault(debt.payment_ref, debt.debt)
        waits[debt.debt] = _why_open(debt, ahead, now)
    return waits


def why_payment(payment: Payment, debts: Sequence[DebtRow], now: Situation) -> Wait | None:
    """None when nothing of it is open. `debts` are its own, open or parked, in their order."""
    if debts:
        return why_debts(debts, now)[debts[0].debt]
    match payment.state:
        case PaymentState.ARMED | PaymentState.READING:
            return _card(now)
        case PaymentState.AUTHORIZING:
            return Wait(Texts("已发往银行，等待答复", "it was sent, the bank's answer is awaited"))
        case PaymentState.UNKNOWN:
            return _unknown(payment, now)
        case PaymentState.PARKED:
            return _undecided(payment)
    return None


def _operator(debt: DebtRow) -> Wait:
    code, how = debt.last_result, f"{DISPOSE} {debt.debt}"
    return Wait(
        Texts(
            f"银行以代码{code}拒收，须由操作员决定：{how}",
            f"the host refused it with code {code}; an operator has to decide, with: {how}",
        )
    )


def _why_open(debt: DebtRow, ahead: str, now: Situation) -> Wait:
    if debt.debt in now.in_flight:
        return Wait(Texts("正在发送，等待银行答复", "it is on its way, the bank's answer is awaited"))
    if debt.debt in now.answered:
        return Wait(Texts("银行已答复，正在存储", "the bank has answered, the answer is being stored"))
    general = _storage(now) or _host(now)
    if general is not None:
        return general
    if ahead != debt.debt:
        return Wait(Texts(f"须先送达同一笔付款的{ahead}", f"{ahead} of the same payment goes first"))
    return _back_off(debt, now) or _turn(now)


def _storage(now: Situation) -> Wait | None:
    if not now.storage_fault:
        return None
    fault = now.storage_fault
    return Wait(Texts(f"终端无法存储：{fault}", f"the terminal cannot store anything: {fault}"))


def _host(now: Situation) -> Wait | None:
    if now.host is HostHealth.REACHABLE:
        return None
    if now.host is HostHealth.CONNECTING:
        return Wait(Texts("正在向银行签到", "the terminal is signing on"))
    again_ms = now.in_ms(now.due_us.get(PROBE_TIMER))
    zh, en = _again(again_ms)
    reason = now.host_reason
    if now.host is HostHealth.REFUSING:
        return Wait(
            Texts(f"收单机构拒绝本终端（{reason}），{zh}", f"the host refuses this terminal ({reason}); {en}"), again_ms
        )
    since_s = 0 if now.away_since_us is None else (now.now_us - now.away_since_us) // 1_000_000
    return Wait(
        Texts(
            f"{_long(since_s, '秒', '分钟', '小时')}以来无法连接银行（{reason}），{zh}",
            f"the bank has been unreachable for {_long(since_s, ' s', ' min', ' h')} ({reason}); {en}",
        ),
        again_ms,
    )


def _again(again_ms: int | None) -> tuple[str, str]:
    if again_ms is None:
        return "正在重试", "trying now"
    seconds = _seconds(again_ms)
    return f"{seconds}秒后再试", f"next try in {seconds} s"


def _back_off(debt: DebtRow, now: Situation) -> Wait | None:
    waiting = now.back_offs.get(debt.debt)
    again_ms = now.in_ms(waiting.not_before_us) if waiting else 0
    if not again_ms:
        return None
    tries, last, seconds = debt.attempts, debt.last_result, _seconds(again_ms)
    if not tries:
        return Wait(Texts(f"未能发出，{seconds}秒后再试", f"it could not be sent; next try in {seconds} s"), again_ms)
    zh = f"已试{tries}次（最近：{last}），{seconds}秒后再试"
    en = f"next try in {seconds} s, after {tries} {'try' if tries == 1 else 'tries'}, the last: {last}"
    return Wait(Texts(zh, en), again_ms)


def _turn(now: Situation) -> Wait:
    if now.sale_under_way:
        return Wait(Texts("柜台正在收款，之后发送", "a sale is under way, it goes out after that"))
    if len(now.in_flight) >= now.window:
        under_way = len(now.in_flight)
        return Wait(Texts(f"排队中，{under_way}条正在发送", f"it waits for its turn, {under_way} on the way"))
    return Wait(Texts("即将发送", "it goes out next"), 0)


def _card(now: Situation) -> Wait:
    if now.host is HostHealth.CONNECTING:
        return Wait(Texts("正在连接银行，随后请出示卡片", "the terminal is signing on, then it takes a card"))
    return Wait(Texts("等待出示卡片", "a card has to be presented"))


def _unknown(payment: Payment, now: Situation) -> Wait:
    """While its customer waits there is a deadline; a payment of an earlier start is asked about for as long as it
    takes."""
    inquiry = now.inquiries.get(payment.payment_ref)
    general = _storage(now) or (_host(now) if inquiry is None or inquiry.earlier else None)
    if inquiry is None or general is not None:
        return general or Wait(Texts("银行未明确答复", "the bank's answer is not known"))
    again_ms, left_s = now.in_ms(now.due_us.get(QUERY_TIMER + payment.payment_ref)), inquiry.seconds_left(now.now_us)
    asked = inquiry.asked
    zh, en = f"银行未明确答复，已查询{asked}次", f"the bank's answer is not known; asked {asked} times"
    if again_ms is None:
        zh, en = f"{zh}，正在查询", f"{en}, a question is under way"
    else:
        zh, en = f"{zh}，{_seconds(again_ms)}秒后再查", f"{en}, again in {_seconds(again_ms)} s"
    if left_s is not None:
        zh, en = f"{zh}，{left_s}秒后了结", f"{en}; it is ended in {left_s} s at the latest"
    return Wait(Texts(zh, en), again_ms)


def _undecided(payment: Payment) -> Wait:
    act = payment.transaction
    how = f"{DISPOSE} {act.name if act else payment.payment_ref}"
    return Wait(
        Texts(
            f"银行答复不明确（{payment.reason}），须由操作员决定是否已付：{how}",
            f"the bank's answers do not settle it ({payment.reason}); an operator has to decide, with: {how}",
        )
    )


def _seconds(milliseconds: int) -> int:
    return -(-milliseconds // 1000)


def _long(seconds: int, s: str, minutes: str, hours: str) -> str:
    """The largest unit that still tells something."""
    if seconds < 120:
        return f"{seconds}{s}"
    return f"{seconds // 60}{minutes}" if seconds < 7_200 else f"{seconds // 3600}{hours}"
