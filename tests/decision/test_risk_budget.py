"""What may still be sold without the host: at each limit, just below it, and without one."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taptill.decision.risk_budget import RiskBudget, RiskLimits, refuses_amount, refuses_token

NOW_MS = 1_800_000_000_000
LIMITS = RiskLimits(per_payment_minor=10_000, per_token_count=2, count=3, total_minor=25_000, age_ms=3_600_000)
FRESH = RiskBudget(LIMITS)


@pytest.mark.parametrize(
    ("budget", "amount_minor", "refusal"),
    [
        (FRESH, 10_000, None),
        (FRESH, 10_001, "over-outage-payment-limit"),
        (replace(FRESH, count=2), 1, None),
        (replace(FRESH, count=3), 1, "over-outage-count-limit"),
        (replace(FRESH, total_minor=24_999), 1, None),
        (replace(FRESH, total_minor=24_999), 2, "over-outage-total-limit"),
        (replace(FRESH, oldest_at_ms=NOW_MS - 3_600_000), 1, None),
        (replace(FRESH, oldest_at_ms=NOW_MS - 3_600_001), 1, "over-outage-age-limit"),
    ],
)
def test_a_limit_is_the_last_value_that_passes(budget: RiskBudget, amount_minor: int, refusal: str | None) -> None:
    assert refuses_amount(budget, amount_minor, NOW_MS, True) == refusal


@pytest.mark.parametrize(("used", "refusal"), [({}, None), ({"t": 1}, None), ({"t": 2}, "over-outage-card-limit")])
def test_one_card_is_taken_only_so_often(used: dict[str, int], refusal: str | None) -> None:
    assert refuses_token(replace(FRESH, per_token_count=used), "t") == refusal
    assert refuses_token(replace(FRESH, per_token_count=used), "another card") is None


@pytest.mark.parametrize("limit", [field.name for field in fields(RiskLimits)])
@given(amount_minor=st.integers(min_value=1, max_value=10_000))
def test_a_missing_limit_refuses_everything(limit: str, amount_minor: int) -> None:
    budget = RiskBudget(replace(LIMITS, **{limit: None}))
    refusals = {refuses_amount(budget, amount_minor, NOW_MS, True), refuses_token(budget, "t")}
    assert "outage-limits-missing" in refusals


def test_a_clock_that_is_only_a_guess_refuses() -> None:
    assert refuses_amount(FRESH, 1, NOW_MS, False) == "time-not-trusted"


@given(
    amounts_minor=st.lists(st.integers(min_value=1, max_value=12_000), max_size=12),
    limits=st.builds(
        RiskLimits,
        per_payment_minor=st.integers(min_value=0, max_value=12_000),
        per_token_count=st.just(99),
        count=st.integers(min_value=0, max_value=8),
        total_minor=st.integers(min_value=0, max_value=40_000),
        age_ms=st.just(1),
    ),
)
def test_what_passed_never_adds_up_to_more_than_the_limits(amounts_minor: list[int], limits: RiskLimits) -> None:
    budget = RiskBudget(limits)
    for amount_minor in amounts_minor:
        if refuses_amount(budget, amount_minor, NOW_MS, True) is None:
            budget = replace(budget, count=budget.count + 1, total_minor=budget.total_minor + amount_minor)
    assert budget.count <= (limits.count or 0)
    assert budget.total_minor <= (limits.total_minor or 0)
