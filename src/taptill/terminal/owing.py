"""Debts: what is owed to the host is repeated byte for byte until an authenticated final answer closes it.

Comes in: the desk, and how a delivery ended. Goes out: questions that may leave, and entries that close, try or park.
Strategy: order within a payment, none across; a network failure never counts against a debt; a semantic refusal parks
it for an operator and blocks nobody else's (DESIGN 5.7, 5.8). Debts wait while the breaker is open.
"""

from __future__ import annotations

import hashlib

from taptill.host.exchange import ExchangeResult, HostReply, HostRequest, NotSent, Replied, Verdict
from taptill.journal import entries as e
from taptill.journal.port import Pending
from taptill.terminal.desk import Debt, Desk
from taptill.terminal.effects import Append, Ask, Effect, SetTimer

FORWARD_TIMER = "forward"
DEBT_TIMER = "debt:"
DEBT_PAUSE_MIN_MS = 1_000
DEBT_PAUSE_MAX_MS = 300_000

_RETRIES = {Verdict.TRY_LATER, Verdict.IN_DOUBT, Verdict.SIGN_ON_FIRST}


def forward(desk: Desk) -> list[Effect]:
    """Every debt that may leave now, the oldest first, up to the profile's window."""
    if desk.breaker.open or not desk.signed_on or desk.storage_fault:
        return []
    effects: list[Effect] = []
    for debt in _waiting(desk):
        if len(desk.in_flight) >= desk.profile.window:
            break
        desk.in_flight.add(debt.owed.debt)
        effects.append(Ask(debt.request, desk.config.host.reply_timeout_ms))
    return effects


def _waiting(desk: Desk) -> list[Debt]:
    """Not parked, not under way, not pausing, and nothing older of the same payment before them."""
    seen: set[str] = set()
    waiting = []
    for name, debt in desk.debts.items():
        first = debt.owed.payment_ref not in seen
        seen.add(debt.owed.payment_ref)
        if first and not debt.parked and name not in desk.in_flight and name not in desk.pausing:
            waiting.append(debt)
    return waiting


def delivery_ended(desk: Desk, request: HostRequest, result: ExchangeResult) -> list[Effect]:
    debt = _debt_of(desk, request)
    if debt is None:
        return []
    desk.in_flight.discard(debt.owed.debt)
    if isinstance(result, Replied):
        return [*_answered(desk, debt, result), *forward(desk)]
    effects = _pause(desk, debt)
    if not isinstance(result, NotSent):
        effects.append(_tried(desk, debt, result.reason))
    return [*effects, *forward(desk)]


def _debt_of(desk: Desk, request: HostRequest) -> Debt | None:
    return next((debt for debt in desk.debts.values() if debt.request is request), None)


def _answered(desk: Desk, debt: Debt, replied: Replied) -> list[Effect]:
    reply = replied.reply
    if reply.verdict in _RETRIES:
        return [*_pause(desk, debt), _tried(desk, debt, f"host: {reply.code}")]
    digest = hashlib.sha256(replied.evidence).hexdigest()
    entry: e.DebtClosed | e.DebtParked
    if _is_final(desk, debt, reply):
        entry = e.DebtClosed(
            **desk.stamp(),
            payment_ref=debt.owed.payment_ref,
            state="",
            debt=debt.owed.debt,
            code=reply.code,
            rrn=reply.rrn,
            evidence_digest=digest,
        )
    else:
        entry = e.DebtParked(
            **desk.stamp(),
            payment_ref=debt.owed.payment_ref,
            state="",
            debt=debt.owed.debt,
            code=reply.code,
            evidence_digest=digest,
        )
    desk.in_flight.add(debt.owed.debt)  # until the entry is synced it must not leave again
    return [Append((Pending(desk.with_state(entry)),))]


def _is_final(desk: Desk, debt: Debt, reply: HostReply) -> bool:
    """By the profile's row; a declined deferred advice is final too, because the merchant took that risk."""
    if reply.code in desk.profile.row(debt.owed.row).closing_codes:
        return True
    return debt.owed.row == "deferred_advice" and reply.verdict is Verdict.DECLINED


def _pause(desk: Desk, debt: Debt) -> list[Effect]:
    """A jittered, growing wait with a ceiling, kept in memory: a restart may try at once."""
    name = debt.owed.debt
    ceiling = min(DEBT_PAUSE_MAX_MS, max(DEBT_PAUSE_MIN_MS, desk.pauses.get(name, 0) * 2))
    pause_ms = ceiling - ceiling * desk.entropy.octets(1)[0] // 512
    desk.pauses[name] = ceiling
    desk.pausing.add(name)
    return [SetTimer(DEBT_TIMER + name, pause_ms)]


def pause_over(desk: Desk, name: str) -> list[Effect]:
    desk.pausing.discard(name)
    return forward(desk)


def _tried(desk: Desk, debt: Debt, result: str) -> Effect:
    entry = e.DebtTried(**desk.stamp(), payment_ref=debt.owed.payment_ref, state="", debt=debt.owed.debt, result=result)
    return Append((Pending(desk.with_state(entry)),))


def host_is_back(desk: Desk) -> list[Effect]:
    """The breaker closed: pauses were for an absent host."""
    desk.pausing.clear()
    desk.pauses.clear()
    return forward(desk)
