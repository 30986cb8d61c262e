"""Ways through an outage (DESIGN 5.10): chosen before the card is asked, within budgets, and never mixed."""

from __future__ import annotations

from dataclasses import replace as with_fields
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.terminal.shop import CONFIG, LIMITS, READER, Shop, good_host, reply, silent_host, tapped

from taplab.card import Scheme, load_card
from taplab.card.in_hand import CardInHand
from taptill.card.outcome import CardNumber, CardRead, CryptogramType, OutcomeKind
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.read_card import drive, read_card
from taptill.card.sensitive import SensitiveBytes
from taptill.clock import Trust
from taptill.decision.decide import HostHealth
from taptill.entropy import SystemEntropy
from taptill.host.exchange import Verdict
from taptill.terminal.config import CardLimits, OutageLimits, TerminalConfig
from taptill.terminal.events import CardDone
from taptill.terminal.wiring import combinations, health

HOUR_MS = 3_600_000
OFFLINE, ONLINE = OutcomeKind.APPROVED, OutcomeKind.ONLINE_REQUEST


def _card(number: int, kind: OutcomeKind = OFFLINE) -> CardRead:
    """Cards that differ, as test numbers do."""
    read = tapped(kind, CryptogramType.TC if kind is OFFLINE else CryptogramType.ARQC)
    pan = f"62280001{number:08d}".encode()
    return with_fields(read, number=CardNumber(SensitiveBytes(pan), SensitiveBytes(pan + b"D30122011"), "01", "3012"))


def _offered(shop: Shop, amount_minor: int = 100) -> tuple[bool, bool]:
    """What the next card would be told in its TTQ: online possible, offline allowed. The tap is then given up."""
    shop.arm(amount_minor)
    shop.hold_card()
    request = shop.ran[-1].request
    shop.cancel(shop.ran[-1].payment_ref)
    shop.post(CardDone(READER, shop.ran[-1].payment_ref, tapped(OutcomeKind.TRY_AGAIN, None, "card-lost")))
    return request.online_possible, request.offline_allowed


def _reason(shop: Shop) -> str:
    return shop.printed[-1].facts.reason


def _opened(directory: Path, config: TerminalConfig) -> Shop:
    shop = Shop(directory, config=config)
    shop.open()
    shop.lose_host()
    return shop


def test_the_card_is_told_what_the_health_of_the_host_allows(shop: Shop) -> None:
    assert _offered(shop) == (True, False)
    shop.lose_host()
    assert _offered(shop) == (False, True)
    shop.host = lambda request: reply(request, "97", Verdict.DECLINED)
    shop.pass_time(CONFIG.host.probe_pause_max_ms)
    assert shop.desk.health() is HostHealth.REFUSING
    assert _offered(shop) == (False, False)
    shop.host = good_host
    shop.pass_time(CONFIG.host.probe_pause_max_ms)
    assert _offered(shop) == (True, False)


@pytest.mark.parametrize("way", [OFFLINE, ONLINE])
def test_the_count_is_the_last_that_passes(shop: Shop, way: OutcomeKind) -> None:
    shop.lose_host()
    for number in range(LIMITS.count):
        assert shop.state(shop.sell(_card(number, way), 100)) in {"approved_offline", "deferred"}
    assert shop.state(shop.sell(_card(9, way), 100)) == "declined"


def test_the_total_counts_what_the_host_has_not_taken(shop: Shop) -> None:
    shop.lose_host()
    for number in range(2):
        shop.sell(_card(number), 20_000)
    assert _offered(shop, 10_001) == (False, False)
    assert _offered(shop, 10_000) == (False, True)


def test_the_oldest_debt_closes_the_way_when_it_is_too_old(shop: Shop) -> None:
    shop.lose_host()
    shop.sell(_card(1), 100)
    shop.pass_time(LIMITS.age_hours * HOUR_MS - 60_000)
    assert _offered(shop) == (False, True)
    shop.pass_time(120_000)
    assert _offered(shop) == (False, False)


def test_a_parked_advice_still_counts(shop: Shop) -> None:
    shop.lose_host()
    for _ in range(LIMITS.per_card_count):
        shop.sell(_card(1), 100)
    shop.host = lambda request: (
        reply(request, "30", Verdict.DECLINED) if request.row == "offline_advice" else good_host(request)
    )
    shop.pass_time(HOUR_MS)
    assert [debt.state for debt in shop.journal.open_debts()] == ["parked"] * LIMITS.per_card_count
    shop.lose_host()
    assert shop.state(shop.sell(_card(1), 100)) == "declined"
    assert _reason(shop) == "over-outage-card-limit"


def test_budgets_outlive_a_restart(shop: Shop) -> None:
    shop.lose_host()
    for _ in range(LIMITS.per_card_count):
        shop.sell(_card(1), 100)
    shop.restart()
    assert shop.state(shop.sell(_card(1), 100)) == "declined"
    assert shop.state(shop.sell(_card(2), 100)) == "approved_offline"


def test_what_is_not_set_up_is_closed_and_the_other_way_stays_open(tmp_path: Path) -> None:
    shop = _opened(tmp_path, replace(CONFIG, offline=None))
    assert _offered(shop) == (False, False)
    assert shop.state(shop.sell(_card(1, ONLINE), 100)) == "deferred"
    shop.power_cut()


def test_a_clock_that_nobody_set_closes_both_ways(shop: Shop) -> None:
    shop.lose_host()
    shop.clock.trust = Trust.GUESS
    assert _offered(shop) == (False, False)
    assert shop.state(shop.sell(_card(1, ONLINE), 100)) == "declined"


@pytest.mark.parametrize(
    ("way", "limits", "state", "code"),
    [(OFFLINE, LIMITS, "approved_offline", "Y1"), (ONLINE, LIMITS, "deferred", "Y3"), (ONLINE, None, "declined", "Z3")],
)
def test_the_authorisation_response_code_says_which_way_it_went(
    tmp_path: Path, way: OutcomeKind, limits: OutageLimits | None, state: str, code: str
) -> None:
    """EMV Book 4, A6. The host gets it with the advice, the customer on the slip."""
    shop = _opened(tmp_path, replace(CONFIG, deferred=limits))
    ref = shop.sell(_card(1, way), 100)
    assert shop.state(ref) == state
    assert bytes.fromhex(shop.printed[-1].facts.card["8A"]).decode() == code
    in_message = b"\x8a\x02" + code.encode()
    assert [in_message in (debt.wire or b"") for debt in shop.journal.open_debts()] == [True] * (state != "declined")
    shop.power_cut()


def test_a_card_that_declines_by_itself_is_z1_and_one_that_was_not_asked_has_no_code(shop: Shop) -> None:
    shop.sell(tapped(OutcomeKind.DECLINED, CryptogramType.AAC, "card-declined"))
    assert bytes.fromhex(shop.printed[-1].facts.card["8A"]) == b"Z1"
    shop.sell(tapped(OutcomeKind.DECLINED, None, "expired"))
    assert "8A" not in shop.printed[-1].facts.card


def test_an_absent_host_is_probed_by_one_message_with_jittered_pauses_up_to_a_ceiling(shop: Shop) -> None:
    shop.lose_host()
    shop.sell(_card(1), 100)
    shop.host = silent_host
    shop.asked.clear()
    at_ms: list[int] = []
    for _ in range(1_200):
        asked = len(shop.asked)
        shop.pass_time(1_000)
        at_ms += [shop.clock.now_us // 1_000] * (len(shop.asked) - asked)
    assert {request.row for request in shop.asked} == {"sign_on"}
    pauses_ms = [later - sooner for sooner, later in pairwise(at_ms)][-10:]
    ceiling_ms = CONFIG.host.probe_pause_max_ms
    assert all(ceiling_ms // 2 - 1_000 <= pause <= ceiling_ms + 1_000 for pause in pauses_ms)
    assert len(set(pauses_ms)) > 1


def test_the_cashier_sees_how_much_waits_for_the_bank(shop: Shop) -> None:
    assert health(shop.desk)["money_at_risk_minor"] == 0
    shop.lose_host()
    shop.sell(_card(1), 100)
    shop.sell(_card(2, ONLINE), 250)
    seen = health(shop.desk)
    assert (seen["host"], seen["open_debts"], seen["money_at_risk_minor"]) == ("unreachable", 2, 350)
    shop.host = good_host
    shop.pass_time(HOUR_MS)
    seen = health(shop.desk)
    assert (seen["host"], seen["open_debts"], seen["money_at_risk_minor"]) == ("reachable", 0, 0)


@pytest.mark.parametrize(("expiry_yymm", "state"), [("2612", "declined"), ("2701", "deferred")])
def test_an_expired_card_is_not_deferred_at_the_merchants_risk(shop: Shop, expiry_yymm: str, state: str) -> None:
    """It is January 2027. Track 2 is all that says so: no kernel looks at dates of a card that asks for its issuer."""
    assert shop.state(shop.sell(_expiring(expiry_yymm), 100)) == "approved"  # the issuer is asked, and knows
    shop.lose_host()
    assert shop.state(shop.sell(_expiring(expiry_yymm), 100)) == state
    assert shop.told[-1].message == ("expired" if state == "declined" else "")


def _expiring(yymm: str) -> CardRead:
    card = _card(1, ONLINE)
    assert card.number is not None
    return with_fields(card, number=with_fields(card.number, expiry_yymm=yymm))


def test_a_lab_card_that_has_expired_is_not_deferred_either(shop: Shop) -> None:
    """From its records to the decision."""
    scheme = Scheme.generate(SystemEntropy())
    card = CardInHand(load_card("expired", scheme, SystemEntropy()))
    shop.lose_host()
    shop.arm(100)
    shop.hold_card()
    card.wait_for_card(0)
    online_only = with_fields(shop.ran[-1].request, offline_allowed=False)
    read = drive(read_card(online_only, combinations(CardLimits()), CaKeyStore.of(scheme.ca_keys())), card, 1_000)
    assert read.outcome.kind is OutcomeKind.ONLINE_REQUEST
    shop.post(CardDone(READER, shop.ran[-1].payment_ref, read))
    assert (shop.told[-1].state, shop.told[-1].message) == ("declined", "expired")
