"""Judging a tap: before it, which ways are open; after it, what to do.

Comes in: host health, budgets, the card's outcome. Goes out: a `Way` before the tap and a `Decision` after it.
Strategy: the three ways through an outage are never mixed (DESIGN 5.10), the choice is made before GPO and travels to
the card in the TTQ. After the tap a decision may only tighten what the card said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from taptill.card.bits import has_bit
from taptill.card.outcome import CardRead, CryptogramType, OdaMethod, OdaVerdict, OutcomeKind
from taptill.card.proof.certificates import century_year
from taptill.card.rules.tvr import TVR_EXPIRED
from taptill.decision.risk_budget import TIME_NOT_TRUSTED, RiskBudget, refuses_amount, refuses_token


class HostHealth(Enum):
    """CONNECTING until the host has signed us on or is proven away. Only UNREACHABLE opens a way around the host: one
    that refuses this terminal is there, and has said no."""

    CONNECTING = "connecting"
    REACHABLE = "reachable"
    UNREACHABLE = "unreachable"
    REFUSING = "refusing"


@dataclass(frozen=True, slots=True)
class Way:
    """What the card may be offered. `offline_refusal` and `deferral_refusal` say why a way is closed."""

    online: bool
    offline_refusal: str | None
    deferral_refusal: str | None

    @property
    def offline_allowed(self) -> bool:
        return self.offline_refusal is None


@dataclass(frozen=True, slots=True)
class GoOnline:
    """Ask the host."""


@dataclass(frozen=True, slots=True)
class ApproveOffline:
    """The card gave a TC, its signature was verified, the budget has room (8A = Y1)."""


@dataclass(frozen=True, slots=True)
class Defer:
    """The card gave an ARQC and the host is proven unreachable: taken at the merchant's risk (8A = Y3)."""


@dataclass(frozen=True, slots=True)
class Decline:
    """The payment ends here; nothing was charged."""

    reason: str


@dataclass(frozen=True, slots=True)
class TapAgain:
    """Nothing happened; the payment stays armed for this or another card."""

    reason: str


Decision = GoOnline | ApproveOffline | Defer | Decline | TapAgain

HOST_REFUSES = "host-refuses"

_MONTH = re.compile(r"[0-9]{4}")  # YYMM

_PROVES_THE_CARD = {OdaMethod.FDDA, OdaMethod.DDA, OdaMethod.CDA}  # what SDA proves, a copy of the card has as well

_STAYS_ARMED = {
    OutcomeKind.TRY_AGAIN,
    OutcomeKind.SELECT_NEXT,
    OutcomeKind.TRY_ANOTHER_INTERFACE,
    OutcomeKind.END_APPLICATION,
}


def choose_way(
    health: HostHealth,
    offline: RiskBudget,
    deferred: RiskBudget,
    amount_minor: int,
    now_ms: int,
    time_trusted: bool,
) -> Way:
    """Before GPO. A reachable host is always asked; the budgets matter only when it is not."""
    if health is HostHealth.REACHABLE:
        return Way(True, "host-reachable", "host-reachable")
    if health is not HostHealth.UNREACHABLE:
        return Way(False, HOST_REFUSES, HOST_REFUSES)
    return Way(
        False,
        refuses_amount(offline, amount_minor, now_ms, time_trusted),
        refuses_amount(deferred, amount_minor, now_ms, time_trusted),
    )


def judge(
    card: CardRead,
    way: Way,
    offline: RiskBudget,
    deferred: RiskBudget,
    token: str,
    today_yymmdd: str,
    listed: bool = False,
) -> Decision:
    """After the tap. `token` is the card's, `today_yymmdd` the sale's date (9A), `listed` says that the card stands on
    the exception list; raises nothing."""
    kind = card.outcome.kind
    if kind in _STAYS_ARMED:
        return TapAgain(card.outcome.reason or kind.value)
    if card.number is None and kind is not OutcomeKind.DECLINED:
        return TapAgain("card-data-malformed")
    if kind is OutcomeKind.ONLINE_REQUEST:
        decision = _judge_online_request(card, way, deferred, token, today_yymmdd)
        return Decline("exception-list") if listed and isinstance(decision, Defer) else decision
    if kind is OutcomeKind.APPROVED:
        return _judge_offline_approval(card, way, offline, token)
    return Decline(card.outcome.reason or "card-declined")


def _judge_online_request(card: CardRead, way: Way, deferred: RiskBudget, token: str, today_yymmdd: str) -> Decision:
    if card.cryptogram_type is not CryptogramType.ARQC:
        return Decline("no-arqc")
    if way.online:
        return GoOnline()
    refusal = way.deferral_refusal or refuses_token(deferred, token)
    if refusal is None:
        return Decline("expired") if _is_expired(card, today_yymmdd) else Defer()
    if refusal == HOST_REFUSES:
        return Decline(HOST_REFUSES)
    # That the host is away explains a closed limit well enough; a clock that is not set is somebody's to set.
    unset = TIME_NOT_TRUSTED in {refusal, way.offline_refusal}
    return Decline(TIME_NOT_TRUSTED if unset else "host-unreachable")


def _is_expired(card: CardRead, today_yymmdd: str) -> bool:
    """By what the kernel found, or by the month that track 2 gives: a card that asks for its issuer may have been read
    without its expiration date (5F24), and here no issuer judges it. A card without any date counts as expired, as it
    does for kernels (EMV Book 3, 10.4.3)."""
    if has_bit(card.tvr, TVR_EXPIRED):
        return True
    expiry = card.number.expiry_yymm if card.number else ""
    if not _MONTH.fullmatch(expiry):
        return True
    return (century_year(expiry[:2]), expiry[2:]) < (century_year(today_yymmdd[:2]), today_yymmdd[2:4])


def _judge_offline_approval(card: CardRead, way: Way, offline: RiskBudget, token: str) -> Decision:
    if card.cryptogram_type is not CryptogramType.TC:
        return Decline("no-tc")
    if card.oda.verdict is not OdaVerdict.PASSED or card.oda.method not in _PROVES_THE_CARD:
        return Decline("oda-not-passed")
    refusal = way.offline_refusal or refuses_token(offline, token)
    return Decline(refusal) if refusal else ApproveOffline()
