"""How much may still be sold without the host.

Comes in: the merchant's limits and what stands out unanswered. Goes out: None, or the word for the limit that refuses.
Strategy: a limit that is not configured refuses; anything missing fails closed (DESIGN 5.10).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

TIME_NOT_TRUSTED = "time-not-trusted"


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """The merchant's five limits of one way through an outage. None: not configured, so nothing may pass."""

    per_payment_minor: int | None = None
    per_token_count: int | None = None
    count: int | None = None
    total_minor: int | None = None
    age_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RiskBudget:
    """The limits beside what already stands out."""

    limits: RiskLimits
    count: int = 0
    total_minor: int = 0
    oldest_at_ms: int | None = None
    per_token_count: Mapping[str, int] = field(default_factory=dict)


def refuses_amount(budget: RiskBudget, amount_minor: int, now_ms: int, time_trusted: bool) -> str | None:
    """Everything that can be known before a card is seen; None means there is room."""
    limits = budget.limits
    if limits.per_payment_minor is None or limits.count is None or limits.total_minor is None or limits.age_ms is None:
        return "outage-limits-missing"
    if not time_trusted:
        return TIME_NOT_TRUSTED
    if amount_minor > limits.per_payment_minor:
        return "over-outage-payment-limit"
    if budget.count + 1 > limits.count:
        return "over-outage-count-limit"
    if budget.total_minor + amount_minor > limits.total_minor:
        return "over-outage-total-limit"
    if budget.oldest_at_ms is not None and now_ms - budget.oldest_at_ms > limits.age_ms:
        return "over-outage-age-limit"
    return None


def refuses_token(budget: RiskBudget, token: str) -> str | None:
    """What can be known only once the card was read."""
    if budget.limits.per_token_count is None:
        return "outage-limits-missing"
    if budget.per_token_count.get(token, 0) + 1 > budget.limits.per_token_count:
        return "over-outage-card-limit"
    return None
