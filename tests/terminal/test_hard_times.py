"""Stories of hosts, disks and readers at their worst: each of these once cost money, or left the counter waiting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.terminal.shop import READER, Shop, absent_host, good_host, reply, silent_host, tapped

from taptill.card.outcome import CryptogramType, OutcomeKind
from taptill.clock import Timestamp, Trust
from taptill.credential.keystore import KeyStoreError
from taptill.host.exchange import ExchangeResult, HostRequest, Silent, Verdict
from taptill.host.link import LateAnswer, LinkChanged
from taptill.terminal.events import CancelRequested, CardDone, Recorded

DAY_MS = 86_400_000


def _rows(shop: Shop) -> list[str]:
    return [request.row for request in shop.asked]


def _reopen_with(shop: Shop, **sign_on: Any) -> None:
    """Start again at a host that answers the sign-on in this way."""
    shop.power_cut()
    shop.host = lambda request: reply(request, **sign_on) if request.row == "sign_on" else good_host(request)
    shop.open()


@pytest.mark.parametrize(("code", "verdict"), [("96", Verdict.TRY_LATER), ("97", Verdict.DECLINED)])
def test_a_refused_sign_on_is_asked_again_with_growing_pauses(shop: Shop, code: str, verdict: Verdict) -> None:
    shop.asked.clear()
    _reopen_with(shop, code=code, verdict=verdict)
    shop.pass_time(120_000)
    assert 3 < _rows(shop).count("sign_on") < 20


def test_a_busy_host_leaves_the_outage_path_open_and_a_refusing_one_does_not(shop: Shop) -> None:
    _reopen_with(shop, code="96", verdict=Verdict.TRY_LATER)
    assert shop.state(shop.sell()) == "deferred"
    _reopen_with(shop, code="97", verdict=Verdict.DECLINED)
    ref = shop.sell()
    assert shop.state(ref) == "declined"
    assert shop.printed[-1].facts.reason == "host-refuses"


def test_a_host_in_a_later_batch_that_it_has_used_gets_a_fresh_one(shop: Shop) -> None:
    _reopen_with(shop, batch=7, stan_high=500)
    shop.sell()
    assert [request.key.batch for request in shop.asked if request.row == "sale"] == [8]
    _reopen_with(shop, batch=9, stan_high=0)
    shop.sell()
    assert [request.key.batch for request in shop.asked if request.row == "sale"] == [8, 9]


@pytest.mark.parametrize("code", ["77", "A0"])
def test_a_host_that_wants_a_sign_on_first_gets_one(shop: Shop, code: str) -> None:
    def host(request: HostRequest) -> ExchangeResult:
        if request.row == "sale" and "sign_on" not in _rows(shop)[1:]:
            return reply(request, code, Verdict.SIGN_ON_FIRST)
        return good_host(request)

    shop.host = host
    assert shop.state(shop.sell()) == "declined"
    shop.pass_time(1)
    assert shop.state(shop.sell()) == "approved"


def test_keys_the_host_has_seen_before_are_left_behind(shop: Shop) -> None:
    shop.host = lambda request: (
        reply(request, "A0", Verdict.SIGN_ON_FIRST) if request.row == "sale" else good_host(request)
    )
    shop.sell()
    before = next(request.key_counter for request in shop.asked if request.row == "sale")
    shop.pass_time(1)
    assert shop.asked[-1].row == "sign_on"
    assert shop.asked[-1].key_counter > before + 200


def test_a_short_full_disk_does_not_strand_debts_or_the_probe(shop: Shop) -> None:
    shop.lose_host()
    ref = shop.sell()
    shop.host = good_host
    shop.disk_full = True
    shop.pass_time(5_000)
    shop.disk_full = False
    shop.pass_time(10_000)
    assert not shop.desk.breaker.open
    assert shop.state(ref) == "approved"
    assert not shop.journal.open_debts()


def test_a_disk_that_refuses_one_entry_and_takes_the_next_does_not_strand_the_sign_on(shop: Shop) -> None:
    shop.host = lambda request: None if request.row == "sale" else good_host(request)
    ref = shop.sell()
    shop.disk_full = True
    shop.answer_now(lambda request: reply(request, "77", Verdict.SIGN_ON_FIRST))
    shop.disk_full = False
    shop.post(Recorded((), (), 0))  # a trial that was under way
    shop.pass_time(10_000)
    assert shop.state(ref) == "declined"
    assert shop.desk.signed_on


def test_one_debt_the_host_never_answers_does_not_look_like_an_outage(shop: Shop) -> None:
    def chokes(request: HostRequest) -> ExchangeResult:
        return Silent("timeout") if request.row in {"sale", "reversal"} else good_host(request)

    shop.host = chokes
    shop.sell()
    shop.asked.clear()
    shop.pass_time(3_600_000)
    assert _rows(shop).count("reversal") < 40
    assert not shop.desk.breaker.open
    shop.host = lambda request: Silent("timeout") if request.row == "reversal" else good_host(request)
    assert shop.state(shop.sell()) == "approved"


@pytest.mark.parametrize(
    "found", [{"original_code": "10", "amount_minor": 500}, {"original_code": "00", "amount_minor": 500}]
)
def test_a_part_that_the_status_query_finds_is_undone(shop: Shop, found: dict[str, object]) -> None:
    def host(request: HostRequest) -> ExchangeResult:
        if request.row == "sale":
            return Silent("timeout")
        if request.row == "status_query":
            answer = reply(request, original_state="approved")
            return replace(answer, reply=replace(answer.reply, **found))  # type: ignore[arg-type]
        return good_host(request)

    shop.host = host
    ref = shop.sell()
    shop.pass_time(1)
    assert shop.state(ref) == "reversed"


class _FullKeyStore:
    """The real store, on a disk that takes no new mark."""

    def __init__(self, shop: Shop) -> None:
        self._keys = shop.desk.keys
        self.full = True

    def __getattr__(self, name: str) -> object:
        return getattr(self._keys, name)

    def reserve(self, counter: int) -> None:
        if self.full:
            raise KeyStoreError("no space left", where="key store")
        self._keys.reserve(counter)


def test_a_key_store_that_cannot_write_stops_the_sale_and_not_the_terminal(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    store = _FullKeyStore(shop)
    shop.desk.keys = store  # type: ignore[assignment]
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    assert (shop.told[-1].state, shop.told[-1].message) == ("armed", "journal-not-writable")
    store.full = False
    shop.pass_time(2_000)
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    assert shop.state(ref) == "approved"


def test_an_unknown_payment_waits_for_the_key_store_and_is_then_undone(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    shop.host = lambda request: Silent("timeout") if request.row == "sale" else good_host(request)
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    store = _FullKeyStore(shop)
    shop.desk.keys = store  # type: ignore[assignment]
    shop.pass_time(10_000)
    assert shop.state(ref) == "unknown"
    store.full = False
    shop.pass_time(10_000)
    assert shop.state(ref) == "reversed"


def test_no_sale_leaves_before_this_start_has_signed_on(shop: Shop) -> None:
    shop.power_cut()
    shop.host = absent_host
    shop.open()
    shop.arm()
    shop.host = lambda request: None
    shop.pass_time(5_000)
    shop.answer_now(silent_host)
    shop.desk.breaker = shop.desk.breaker.answered()  # the host spoke, and has not signed us on
    shop.hold_card()
    assert not shop.ran
    assert shop.told[-1].message == "connecting"


@pytest.mark.parametrize(
    ("code", "verdict", "state", "open_debts"),
    [
        ("51", Verdict.DECLINED, "deferred_declined", 0),
        ("30", Verdict.DECLINED, "deferred", 1),
        ("97", Verdict.DECLINED, "deferred", 1),
        ("A2", Verdict.APPROVED, "approved", 0),
    ],
)
def test_a_deferred_sale_is_given_up_only_when_the_issuer_judged_it(
    shop: Shop, code: str, verdict: Verdict, state: str, open_debts: int
) -> None:
    shop.lose_host()
    ref = shop.sell()
    shop.host = lambda request: (
        reply(request, code, verdict) if request.row == "deferred_advice" else good_host(request)
    )
    shop.pass_time(120_000)
    assert shop.state(ref) == state
    assert len(shop.journal.open_debts()) == open_debts


def test_a_late_94_forbids_the_reversal(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    shop.host = silent_host
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    sale = next(request for request in shop.asked if request.row == "sale")
    shop.post(LateAnswer(sale, reply(sale, "94", Verdict.DUPLICATE).reply))
    shop.pass_time(60_000)
    assert shop.state(ref) == "parked"
    assert "reversal" not in _rows(shop)


def test_a_wild_host_time_is_not_followed(shop: Shop) -> None:
    now_ms = shop.clock.now().unix_ms
    _reopen_with(shop, clock_unix_ms=now_ms + 60 * 365 * DAY_MS)
    assert not shop.followed
    _reopen_with(shop, clock_unix_ms=now_ms + 3 * DAY_MS)
    assert [at.unix_ms for at in shop.followed] == [now_ms + 3 * DAY_MS]


def test_a_payment_number_that_was_never_stored_is_used_once_and_only_once(shop: Shop) -> None:
    shop.disk_full = True
    shop.arm()
    shop.disk_full = False
    shop.pass_time(2_000)
    first = shop.sell()
    shop.restart()
    second = shop.sell()
    assert first.split("-")[1] != second.split("-")[1]


def test_a_reader_that_never_comes_back_frees_the_counter(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    shop.hold_card()
    shop.pass_time(130_000)
    assert shop.state(ref) == "cancelled"
    shop.post(CardDone(READER, ref, tapped(OutcomeKind.ONLINE_REQUEST)))
    assert "sale" not in _rows(shop)
    assert shop.state(shop.sell()) == "approved"


def test_a_late_approval_of_a_payment_long_reversed_is_kept_as_evidence(shop: Shop) -> None:
    shop.host = lambda request: Silent("timeout") if request.row == "sale" else good_host(request)
    ref = shop.sell()
    shop.pass_time(10_000)
    assert shop.state(ref) == "reversed"
    sale = next(request for request in shop.asked if request.row == "sale")
    shop.post(LateAnswer(sale, reply(sale).reply))
    assert shop.log[-1] == "stored LateReply"
    assert shop.state(ref) == "reversed"
    assert ref not in shop.desk.payments


def test_everybody_who_cancels_gets_an_answer(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    shop.hold_card()
    shop.post(CancelRequested(101, ref))
    shop.post(CancelRequested(102, ref))
    shop.post(CardDone(READER, ref, tapped(OutcomeKind.ONLINE_REQUEST)))
    assert shop.answers[101].refusal is shop.answers[102].refusal is None


def test_an_amount_no_message_can_hold_is_refused(shop: Shop) -> None:
    assert shop.arm(10**12).refusal == "amount-not-accepted"


def test_an_offline_approval_the_host_knows_under_another_payment_is_parked(shop: Shop) -> None:
    shop.lose_host()
    ref = shop.sell(tapped(OutcomeKind.APPROVED, CryptogramType.TC))
    shop.host = lambda request: (
        reply(request, "94", Verdict.DUPLICATE) if request.row == "offline_advice" else good_host(request)
    )
    shop.pass_time(120_000)
    assert shop.state(ref) == "approved_offline"
    assert [debt.state for debt in shop.journal.open_debts()] == ["parked"]


def test_a_hanging_reader_and_an_expiring_arming_cancel_once(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    shop.hold_card()
    shop.disk_slow = True
    shop.cancel(ref)
    shop.post(CardDone(READER, ref, tapped(OutcomeKind.ONLINE_REQUEST)))
    shop.pass_time(200_000)
    shop.disk_catches_up()
    assert shop.log.count("stored PaymentCancelled") == 1
    assert shop.state(shop.sell()) == "approved"


def test_an_idle_terminal_whose_link_drops_finds_out_before_the_next_customer(shop: Shop) -> None:
    shop.host = absent_host
    shop.post(LinkChanged(False, "tls://host:1", "cable"))
    shop.pass_time(1)
    assert shop.desk.breaker.open
    assert shop.state(shop.sell()) == "deferred"


def test_the_hosts_time_is_followed_where_ours_has_gone_wild(shop: Shop) -> None:
    shop.clock.trust = Trust.HOST
    shop.sell()
    right_ms = shop.clock.now().unix_ms
    shop.power_cut()
    shop.clock.trust = Trust.RTC
    shop.clock.now_us += 60 * 365 * 86_400 * 1_000_000
    shop.host = lambda request: (
        reply(request, clock_unix_ms=right_ms) if request.row == "sign_on" else good_host(request)
    )
    shop.open()
    assert shop.followed[-1] == Timestamp(right_ms, Trust.HOST)
