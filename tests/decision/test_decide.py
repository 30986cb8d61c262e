"""Judging a tap: tables of cases, and what no card, budget or host may ever bring about."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taptill.card.outcome import CardNumber, CardRead, CryptogramType, Oda, OdaMethod, OdaVerdict, Outcome, OutcomeKind
from taptill.card.sensitive import SensitiveBytes
from taptill.decision.decide import (
    ApproveOffline,
    Decision,
    Decline,
    Defer,
    GoOnline,
    HostHealth,
    TapAgain,
    Way,
    choose_way,
    judge,
)
from taptill.decision.risk_budget import RiskBudget, RiskLimits, refuses_amount, refuses_token

NOW_MS = 1_800_000_000_000
TOKEN = "5d1c"
TODAY = "270115"
NUMBER = CardNumber(SensitiveBytes(b"6228000100001117"), SensitiveBytes(b""), None, "3112")
LIMITS = RiskLimits(per_payment_minor=10_000, per_token_count=2, count=3, total_minor=25_000, age_ms=3_600_000)
ROOM = RiskBudget(LIMITS)
CLOSED = RiskBudget(RiskLimits())
CARD_FULL = replace(ROOM, per_token_count={TOKEN: 2})

ONLINE = Way(True, "host-reachable", "host-reachable")
OUTAGE = Way(False, None, None)
NO_OFFLINE = Way(False, "over-outage-payment-limit", None)
NO_DEFERRAL = Way(False, None, "outage-limits-missing")


def read(
    kind: OutcomeKind,
    cryptogram: CryptogramType | None,
    oda: OdaVerdict = OdaVerdict.NOT_PERFORMED,
    reason: str = "",
) -> CardRead:
    proof = Oda(OdaMethod.CDA, oda)
    return CardRead(Outcome(kind, reason=reason), cryptogram_type=cryptogram, oda=proof, number=NUMBER)


def expires(yymm: str) -> CardRead:
    return replace(ASKS, number=replace(NUMBER, expiry_yymm=yymm))


ASKS = read(OutcomeKind.ONLINE_REQUEST, CryptogramType.ARQC)
EXPIRED = replace(ASKS, tvr=bytes.fromhex("0040000000"))
PROVES = read(OutcomeKind.APPROVED, CryptogramType.TC, OdaVerdict.PASSED)


@pytest.mark.parametrize(
    ("card", "way", "offline", "deferred", "decision"),
    [
        (ASKS, ONLINE, CLOSED, CLOSED, GoOnline()),
        (ASKS, OUTAGE, ROOM, ROOM, Defer()),
        (EXPIRED, OUTAGE, ROOM, ROOM, Decline("expired")),
        (expires("2612"), OUTAGE, ROOM, ROOM, Decline("expired")),
        (expires("9912"), OUTAGE, ROOM, ROOM, Decline("expired")),
        (expires(""), OUTAGE, ROOM, ROOM, Decline("expired")),
        (expires("2701"), OUTAGE, ROOM, ROOM, Defer()),
        (EXPIRED, OUTAGE, ROOM, CLOSED, Decline("host-unreachable")),
        (EXPIRED, ONLINE, ROOM, ROOM, GoOnline()),
        (expires("2612"), ONLINE, ROOM, ROOM, GoOnline()),
        (ASKS, OUTAGE, ROOM, CARD_FULL, Decline("host-unreachable")),
        (ASKS, OUTAGE, ROOM, CLOSED, Decline("host-unreachable")),
        (ASKS, NO_DEFERRAL, ROOM, ROOM, Decline("host-unreachable")),
        (replace(ASKS, cryptogram_type=CryptogramType.TC), ONLINE, ROOM, ROOM, Decline("no-arqc")),
        (replace(ASKS, cryptogram_type=None), OUTAGE, ROOM, ROOM, Decline("no-arqc")),
        (PROVES, OUTAGE, ROOM, CLOSED, ApproveOffline()),
        (PROVES, OUTAGE, CARD_FULL, ROOM, Decline("over-outage-card-limit")),
        (PROVES, OUTAGE, CLOSED, ROOM, Decline("outage-limits-missing")),
        (PROVES, NO_OFFLINE, ROOM, ROOM, Decline("over-outage-payment-limit")),
        (PROVES, ONLINE, ROOM, ROOM, Decline("host-reachable")),
        (replace(PROVES, oda=Oda(verdict=OdaVerdict.FAILED)), OUTAGE, ROOM, ROOM, Decline("oda-not-passed")),
        (replace(PROVES, oda=Oda()), OUTAGE, ROOM, ROOM, Decline("oda-not-passed")),
        (replace(PROVES, oda=Oda(OdaMethod.SDA, OdaVerdict.PASSED)), OUTAGE, ROOM, ROOM, Decline("oda-not-passed")),
        (replace(PROVES, number=None), OUTAGE, ROOM, ROOM, TapAgain("card-data-malformed")),
        (replace(ASKS, number=None), ONLINE, ROOM, ROOM, TapAgain("card-data-malformed")),
        (replace(PROVES, cryptogram_type=CryptogramType.AAC), OUTAGE, ROOM, ROOM, Decline("no-tc")),
        (read(OutcomeKind.DECLINED, CryptogramType.AAC, reason="expired"), ONLINE, ROOM, ROOM, Decline("expired")),
        (read(OutcomeKind.DECLINED, CryptogramType.AAC), ONLINE, ROOM, ROOM, Decline("card-declined")),
        (read(OutcomeKind.TRY_AGAIN, None, reason="card-lost"), ONLINE, ROOM, ROOM, TapAgain("card-lost")),
        (read(OutcomeKind.SELECT_NEXT, None), ONLINE, ROOM, ROOM, TapAgain("select next")),
        (read(OutcomeKind.END_APPLICATION, None), OUTAGE, ROOM, ROOM, TapAgain("end application")),
    ],
)
def test_a_tap_is_judged(
    card: CardRead, way: Way, offline: RiskBudget, deferred: RiskBudget, decision: Decision
) -> None:
    assert judge(card, way, offline, deferred, TOKEN, TODAY) == decision


LIMIT = st.none() | st.integers(min_value=0, max_value=30_000)
BUDGETS = st.builds(
    RiskBudget,
    st.builds(RiskLimits, per_payment_minor=LIMIT, per_token_count=LIMIT, count=LIMIT, total_minor=LIMIT, age_ms=LIMIT),
    count=st.integers(min_value=0, max_value=5),
    total_minor=st.integers(min_value=0, max_value=30_000),
    oldest_at_ms=st.none() | st.integers(min_value=NOW_MS - 40_000, max_value=NOW_MS),
    per_token_count=st.dictionaries(st.just(TOKEN), st.integers(min_value=0, max_value=4)),
)
CARDS = st.builds(
    read,
    st.sampled_from(OutcomeKind),
    st.none() | st.sampled_from(CryptogramType),
    st.sampled_from(OdaVerdict),
    st.sampled_from(["", "a reason"]),
)


@given(
    card=CARDS,
    health=st.sampled_from(HostHealth),
    offline=BUDGETS,
    deferred=BUDGETS,
    amount_minor=st.integers(min_value=1, max_value=30_000),
    time_trusted=st.booleans(),
)
def test_a_decision_only_tightens_what_the_card_said(
    card: CardRead,
    health: HostHealth,
    offline: RiskBudget,
    deferred: RiskBudget,
    amount_minor: int,
    time_trusted: bool,
) -> None:
    way = choose_way(health, offline, deferred, amount_minor, NOW_MS, time_trusted)
    decision = judge(card, way, offline, deferred, TOKEN, TODAY)

    def has_room(budget: RiskBudget) -> bool:
        refusals = refuses_amount(budget, amount_minor, NOW_MS, time_trusted), refuses_token(budget, TOKEN)
        return None not in (budget.limits.per_payment_minor, budget.limits.age_ms) and not any(refusals)

    match decision:
        case ApproveOffline():
            assert card.outcome.kind is OutcomeKind.APPROVED
            assert card.cryptogram_type is CryptogramType.TC
            assert card.oda.verdict is OdaVerdict.PASSED
            assert health is HostHealth.UNREACHABLE
            assert has_room(offline)
        case Defer():
            assert card.outcome.kind is OutcomeKind.ONLINE_REQUEST
            assert card.cryptogram_type is CryptogramType.ARQC
            assert health is HostHealth.UNREACHABLE
            assert has_room(deferred)
        case GoOnline():
            assert card.outcome.kind is OutcomeKind.ONLINE_REQUEST
            assert card.cryptogram_type is CryptogramType.ARQC
            assert health is HostHealth.REACHABLE
        case Decline(reason) | TapAgain(reason):
            assert reason
    if card.outcome.kind is OutcomeKind.DECLINED:
        assert isinstance(decision, Decline)


def test_a_host_that_can_be_reached_is_always_asked() -> None:
    way = choose_way(HostHealth.REACHABLE, ROOM, ROOM, 1, NOW_MS, True)
    assert (way.online, way.offline_allowed) == (True, False)


def test_in_an_outage_each_way_has_a_budget_of_its_own() -> None:
    way = choose_way(HostHealth.UNREACHABLE, replace(ROOM, count=3), ROOM, 1, NOW_MS, True)
    assert way == Way(False, "over-outage-count-limit", None)
    way = choose_way(HostHealth.UNREACHABLE, ROOM, CLOSED, 1, NOW_MS, True)
    assert way == Way(False, None, "outage-limits-missing")


def test_a_listed_card_is_not_deferred_and_its_issuer_is_still_asked() -> None:
    assert judge(ASKS, ONLINE, ROOM, ROOM, TOKEN, TODAY, listed=True) == GoOnline()
    assert judge(ASKS, OUTAGE, ROOM, ROOM, TOKEN, TODAY) == Defer()
    assert judge(ASKS, OUTAGE, ROOM, ROOM, TOKEN, TODAY, listed=True) == Decline("exception-list")
