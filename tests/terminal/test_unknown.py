"""UNKNOWN while the customer waits: questions, one deadline, a countdown that is true, one way out."""

from __future__ import annotations

import pytest
from tests.terminal.shop import CONFIG, Shop, good_host, reply, silent_host, tapped

from taptill.card.outcome import OutcomeKind
from taptill.host.exchange import ExchangeResult, HostRequest, Silent, Verdict
from taptill.host.link import LateAnswer
from taptill.terminal.inquiry import Inquiry

WAIT_MS = CONFIG.host.unknown_wait_ms


def _lose_sale(shop: Shop, query: ExchangeResult | None) -> str:
    """A sale is never answered, and questions end as `query`, None for not yet."""
    shop.host = lambda request: (
        query if request.row == "status_query" else Silent("timeout") if request.row == "sale" else good_host(request)
    )
    return shop.sell()


def _queries(shop: Shop) -> list[HostRequest]:
    return [request for request in shop.asked if request.row == "status_query"]


def test_the_commit_point_is_at_the_deadline_whatever_questions_take(shop: Shop) -> None:
    ref = _lose_sale(shop, Silent("timeout"))
    shop.pass_time(WAIT_MS - 1)
    assert (shop.state(ref), shop.log.count("stored DebtOwed")) == ("unknown", 0)
    shop.pass_time(1)
    assert shop.state(ref) in {"reversing", "reversed"}
    shop.pass_time(WAIT_MS)
    assert shop.log.count("stored DebtOwed") == 1


def test_a_question_is_asked_at_once_and_then_at_every_pause(shop: Shop) -> None:
    _lose_sale(shop, Silent("timeout"))
    shop.pass_time(0)
    assert len(_queries(shop)) == 1
    shop.pass_time(CONFIG.host.query_pause_ms * 3)
    assert len(_queries(shop)) == 4


def test_no_question_lasts_longer_than_what_is_left(shop: Shop) -> None:
    """Each takes its whole time-out: the last one is cut short, and the deadline holds to the millisecond."""
    ref = _lose_sale(shop, None)
    while shop.state(ref) == "unknown":
        shop.pass_time(0)
        timeout_ms = shop.timeouts_ms[-1]
        left_ms = WAIT_MS - shop.clock.now_us // 1000
        assert timeout_ms == min(CONFIG.host.query_timeout_ms, left_ms)
        shop.pass_time(timeout_ms)
        shop.answer_now(silent_host)
        shop.pass_time(min(CONFIG.host.query_pause_ms, WAIT_MS - shop.clock.now_us // 1000))
    assert shop.clock.now_us == WAIT_MS * 1000
    assert shop.state(ref) == "reversed"


def test_the_countdown_is_told_with_every_word_and_is_true(shop: Shop) -> None:
    started_us = shop.clock.now_us
    _lose_sale(shop, Silent("timeout"))
    counted = []
    while shop.told[-1].state == "unknown":
        left_ms = WAIT_MS - (shop.clock.now_us - started_us) // 1000
        assert shop.told[-1].seconds_left == -(-left_ms // 1000)
        counted.append(shop.told[-1].seconds_left)
        shop.pass_time(CONFIG.host.query_pause_ms)
    assert counted[0] == WAIT_MS // 1000
    assert shop.told[-1].seconds_left is None


def test_a_94_that_no_question_clears_up_is_parked_at_the_deadline(shop: Shop) -> None:
    shop.host = lambda request: reply(request, "94", Verdict.DUPLICATE) if request.row == "sale" else good_host(request)
    ref = shop.sell()
    shop.pass_time(WAIT_MS - 1)
    assert shop.state(ref) == "unknown"
    shop.pass_time(1)
    assert shop.state(ref) == "parked"


def test_a_second_reason_to_doubt_does_not_prolong_the_wait(shop: Shop) -> None:
    ref = _lose_sale(shop, Silent("timeout"))
    shop.pass_time(WAIT_MS - 1_000)
    sale = next(request for request in shop.asked if request.row == "sale")
    shop.post(LateAnswer(sale, reply(sale, "94", Verdict.DUPLICATE).reply))
    shop.pass_time(1_000)
    assert shop.state(ref) == "parked"


def test_after_a_restart_it_goes_on_asking_beside_the_next_sale(shop: Shop) -> None:
    first = _lose_sale(shop, Silent("timeout"))
    shop.power_cut()
    shop.open()
    assert (shop.desk.at_counter, set(shop.desk.inquiries)) == (None, {first})
    shop.host = lambda request: None if request.row == "status_query" else good_host(request)
    shop.pass_time(CONFIG.host.query_pause_ms * 2)
    assert shop.state(shop.sell()) == "approved"
    assert [told.seconds_left for told in shop.told if told.payment_ref == first][-1] is None
    while shop.unanswered:
        shop.answer_now(lambda request: reply(request, original_state="approved"))
    assert shop.state(first) == "approved"
    assert not shop.desk.inquiries


def test_a_customer_can_be_served_while_an_older_payment_is_unknown_for_hours(shop: Shop) -> None:
    first = _lose_sale(shop, Silent("timeout"))
    shop.restart()
    asked = len(_queries(shop))
    shop.pass_time(3_600_000)
    assert shop.state(first) == "unknown"
    assert len(_queries(shop)) - asked < 70
    shop.host = good_host
    assert shop.state(shop.sell()) == "approved"
    shop.pass_time(CONFIG.host.probe_pause_max_ms)
    assert shop.state(first) == "reversed"


@pytest.mark.parametrize("now_us", [0, 1, 999, 1_000, 44_999_001, 45_000_000, 99_000_000])
def test_what_is_left_is_rounded_up_and_never_negative(now_us: int) -> None:
    inquiry = Inquiry(deadline_us=45_000_000)
    left_us = max(0, 45_000_000 - now_us)
    assert 0 <= inquiry.left_ms(now_us) * 1_000 - left_us < 1_000
    seconds = inquiry.seconds_left(now_us)
    assert seconds is not None
    assert 0 <= seconds * 1_000_000 - left_us < 1_000_000


def test_an_approval_found_by_the_last_question_counts(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    shop.host = lambda request: Silent("timeout") if request.row == "sale" else None
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    shop.pass_time(WAIT_MS - 1)
    shop.answer_now(lambda request: reply(request, original_state="approved"))
    assert shop.state(ref) == "approved"


def test_a_late_decline_that_nobody_authenticated_decides_nothing(shop: Shop) -> None:
    ref = _lose_sale(shop, Silent("timeout"))
    sale = next(request for request in shop.asked if request.row == "sale")
    shop.post(LateAnswer(sale, reply(sale, "05", Verdict.DECLINED, authenticated=False).reply))
    assert shop.state(ref) == "unknown"
    shop.pass_time(WAIT_MS)
    assert (shop.state(ref), shop.log.count("stored DebtOwed")) == ("reversed", 1)
