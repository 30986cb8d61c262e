"""Stories of one counter: what people and the host do, and what journal, screen and slip then say."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from tests.terminal.shop import CONFIG, Shop, absent_host, good_host, reply, silent_host, tapped

import taptill.card
from taptill.card.outcome import CryptogramType, OutcomeKind
from taptill.card.sensitive import SensitiveBytes
from taptill.host.exchange import ExchangeResult, HostRequest, Silent, Verdict
from taptill.host.link import LateAnswer
from taptill.receipt.facts import Language
from taptill.terminal.events import CardDone
from taptill.terminal.reasons import REASONS


def _asked_rows(shop: Shop) -> list[str]:
    return [request.row for request in shop.asked]


def test_an_online_sale_is_approved_and_printed(shop: Shop) -> None:
    ref = shop.sell()
    assert shop.state(ref) == "approved"
    assert shop.told[-1].state == "approved"
    assert [p.facts.state for p in shop.printed] == ["approved"]
    assert shop.printed[0].facts.auth_code == "123456"
    assert shop.printed[0].facts.masked_pan == "622800******1117"


def test_the_intent_is_on_the_disk_before_the_request_leaves_and_the_outcome_before_anyone_is_told(shop: Shop) -> None:
    shop.sell()
    log = shop.log
    assert log.index("stored ExchangeIntended") < log.index("sent sale")
    assert log.index("stored TransactionDecided") < log.index("told approved") < log.index("printed approved")


def test_a_decline_names_reason_and_next_step_in_both_languages(shop: Shop) -> None:
    shop.host = lambda request: reply(request, "51", Verdict.DECLINED) if request.row == "sale" else good_host(request)
    assert shop.state(shop.sell()) == "declined"
    facts = shop.printed[-1].facts
    assert facts.reason == "51"
    assert len(facts.reason_text) == len(facts.next_step) == 2
    assert all(facts.next_step.values())


def test_a_lost_reply_is_unknown_and_rescued_by_the_status_query(shop: Shop) -> None:
    def host(request: HostRequest) -> ExchangeResult:
        if request.row == "sale":
            return Silent("timeout")
        return reply(request, original_state="approved", original_code="00")

    shop.host = host
    ref = shop.sell()
    assert shop.state(ref) == "unknown"
    shop.pass_time(1)
    assert shop.state(ref) == "approved"
    assert "reversal" not in _asked_rows(shop)
    assert [p.facts.state for p in shop.printed] == ["approved"]


def test_a_status_query_that_says_declined_ends_declined(shop: Shop) -> None:
    def host(request: HostRequest) -> ExchangeResult:
        if request.row == "sale":
            return Silent("bad MAC")
        return reply(request, original_state="declined", original_code="51")

    shop.host = host
    ref = shop.sell()
    shop.pass_time(1)
    assert shop.state(ref) == "declined"
    assert shop.printed[-1].facts.reason == "51"


def test_not_found_is_no_proof_and_leads_to_a_reversal(shop: Shop) -> None:
    shop.host = lambda request: Silent("timeout") if request.row == "sale" else good_host(request)
    ref = shop.sell()
    shop.pass_time(1)
    assert _asked_rows(shop)[-2:] == ["status_query", "reversal"]
    assert shop.state(ref) == "reversed"
    assert [p.facts.state for p in shop.printed] == ["reversing", "reversed"]


def test_a_silent_host_ends_in_a_reversal_that_is_owed_until_it_comes_back(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    shop.host = silent_host
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    shop.pass_time(60_000)
    assert shop.state(ref) == "reversing"
    assert [debt.row for debt in shop.journal.open_debts()] == ["reversal"]
    shop.host = good_host
    shop.pass_time(120_000)
    assert shop.state(ref) == "reversed"
    assert not shop.journal.open_debts()


def test_the_reversal_carries_the_key_of_its_original_and_repeats_the_same_bytes(shop: Shop) -> None:
    shop.arm()
    shop.host = silent_host
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    shop.pass_time(60_000)
    sale = next(request for request in shop.asked if request.row == "sale")
    shop.host = lambda request: Silent("timeout") if request.row == "reversal" else good_host(request)
    shop.pass_time(600_000)
    repeats = [request for request in shop.asked if request.row == "reversal"]
    assert len(repeats) > 1
    assert len({request.wire for request in repeats}) == 1
    assert (repeats[0].key.stan, repeats[0].key.batch) == (sale.key.stan, sale.key.batch)


def test_a_request_that_never_left_is_simply_not_sent(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    shop.host = absent_host
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    assert shop.state(ref) == "declined"
    assert not shop.journal.open_debts()
    assert shop.printed[-1].facts.reason.startswith("not-sent")


def test_a_duplicate_answer_is_asked_about_and_then_left_to_the_operator(shop: Shop) -> None:
    def host(request: HostRequest) -> ExchangeResult:
        if request.row == "sale":
            return reply(request, "94", Verdict.DUPLICATE)
        return good_host(request)

    shop.host = host
    ref = shop.sell()
    shop.pass_time(60_000)
    assert shop.state(ref) == "parked"
    assert "reversal" not in _asked_rows(shop)


def test_a_partial_approval_nobody_confirmed_is_undone(shop: Shop) -> None:
    def host(request: HostRequest) -> ExchangeResult:
        if request.row == "sale":
            return reply(request, "10", Verdict.PARTIAL, amount_minor=500)
        return good_host(request)

    shop.host = host
    assert shop.state(shop.sell()) == "reversed"


def test_a_decline_without_mac_is_undone_as_well(shop: Shop) -> None:
    def host(request: HostRequest) -> ExchangeResult:
        if request.row == "sale":
            return reply(request, "05", Verdict.DECLINED, authenticated=False)
        return good_host(request)

    shop.host = host
    assert shop.state(shop.sell()) == "reversed"
    assert "reversal" in _asked_rows(shop)


def test_in_an_outage_a_card_with_funds_is_approved_offline_and_its_advice_delivered_later(shop: Shop) -> None:
    shop.lose_host()
    ref = shop.sell(tapped(OutcomeKind.APPROVED, CryptogramType.TC))
    assert shop.state(ref) == "approved_offline"
    assert [debt.row for debt in shop.journal.open_debts()] == ["offline_advice"]
    assert not shop.ran[-1].request.online_possible
    assert shop.ran[-1].request.offline_allowed
    shop.host = good_host
    shop.pass_time(120_000)
    assert shop.state(ref) == "approved_offline"
    assert not shop.journal.open_debts()
    assert _asked_rows(shop).count("offline_advice") == 1


def test_in_an_outage_an_online_request_is_deferred_and_later_approved_or_declined(shop: Shop) -> None:
    shop.lose_host()
    taken = shop.sell(tapped(OutcomeKind.ONLINE_REQUEST))
    refused = shop.sell(tapped(OutcomeKind.ONLINE_REQUEST), amount_minor=300)
    assert {shop.state(taken), shop.state(refused)} == {"deferred"}

    def host(request: HostRequest) -> ExchangeResult:
        if request.payment_ref == refused:
            return reply(request, "51", Verdict.DECLINED)
        return good_host(request)

    shop.host = host
    shop.pass_time(120_000)
    assert shop.state(taken) == "approved"
    assert shop.state(refused) == "deferred_declined"
    assert not shop.journal.open_debts()


def test_the_budget_refuses_the_third_payment_of_one_card_in_an_outage(shop: Shop) -> None:
    shop.lose_host()
    states = [shop.state(shop.sell(tapped(OutcomeKind.ONLINE_REQUEST), amount_minor=100)) for _ in range(3)]
    assert states == ["deferred", "deferred", "declined"]


def test_an_outage_payment_above_its_limit_is_never_offered_to_the_card(shop: Shop) -> None:
    shop.lose_host()
    shop.arm(20_001)
    shop.hold_card()
    assert not shop.ran[-1].request.offline_allowed


def test_a_refused_advice_is_parked_and_blocks_nobody_elses(shop: Shop) -> None:
    shop.lose_host()
    stuck = shop.sell(tapped(OutcomeKind.APPROVED, CryptogramType.TC), amount_minor=100)
    free = shop.sell(tapped(OutcomeKind.APPROVED, CryptogramType.TC), amount_minor=200)

    def host(request: HostRequest) -> ExchangeResult:
        if request.payment_ref == stuck:
            return reply(request, "30", Verdict.DECLINED)
        return good_host(request)

    shop.host = host
    shop.pass_time(120_000)
    assert [(debt.payment_ref, debt.state) for debt in shop.journal.open_debts()] == [(stuck, "parked")]
    assert shop.state(free) == "approved_offline"


def test_a_card_that_left_too_early_costs_one_more_tap(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    shop.tap(tapped(OutcomeKind.TRY_AGAIN, None, "card-lost"))
    assert shop.told[-1].state == "armed"
    assert shop.told[-1].message == "card-lost"
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    assert shop.state(ref) == "approved"


def test_a_card_that_declines_ends_the_payment_with_its_reason(shop: Shop) -> None:
    ref = shop.sell(tapped(OutcomeKind.DECLINED, CryptogramType.AAC, "expired"))
    assert shop.state(ref) == "declined"
    assert shop.printed[-1].facts.reason == "expired"
    assert "sale" not in _asked_rows(shop)


def test_a_payment_can_be_cancelled_until_the_request_leaves(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    answer = shop.cancel(ref)
    assert answer is not None
    assert answer.refusal is None
    assert shop.state(ref) == "cancelled"
    shop.host = lambda request: None if request.row == "sale" else good_host(request)
    late = shop.sell()
    answer = shop.cancel(late)
    assert answer is not None
    assert answer.refusal == "too-late-to-cancel"


def test_a_cancel_while_the_card_is_read_sends_nothing(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    shop.hold_card()
    assert shop.cancel(ref) is None
    shop.post(CardDone("pcsc:story", ref, tapped(OutcomeKind.ONLINE_REQUEST)))
    assert shop.state(ref) == "cancelled"
    assert "sale" not in _asked_rows(shop)


def test_an_arming_expires_and_the_next_sale_does_not_inherit(shop: Shop) -> None:
    ref = shop.arm(100).payment_ref or ""
    shop.pass_time(60_001)
    assert shop.state(ref) == "cancelled"
    assert shop.sell(amount_minor=200) != ref
    assert shop.printed[-1].facts.amount.minor == 200


def test_a_second_payment_is_refused_while_one_is_at_the_counter(shop: Shop) -> None:
    first = shop.arm().payment_ref
    answer = shop.arm()
    assert (answer.refusal, answer.payment_ref) == ("counter-busy", first)


def test_the_same_request_again_gives_the_same_payment_and_another_one_a_conflict(shop: Shop) -> None:
    first = shop.arm(100, "order-7", "same", "key")
    again = shop.arm(100, "order-7", "same", "key")
    other = shop.arm(999, "order-8", "other", "key")
    assert again.payment_ref == first.payment_ref
    assert again.refusal is None
    assert (other.refusal, other.payment_ref) == ("idempotency-key-used", first.payment_ref)


def test_an_order_is_not_charged_twice_and_can_be_tried_again_once_it_is_proven_not_paid(shop: Shop) -> None:
    shop.host = lambda request: reply(request, "51", Verdict.DECLINED) if request.row == "sale" else good_host(request)
    shop.arm(1250, "order-7")
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    shop.host = good_host
    second = shop.arm(1250, "order-7")
    assert second.refusal is None
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    third = shop.arm(1250, "order-7")
    assert (third.refusal, third.payment_ref) == ("client-ref-used", second.payment_ref)


def test_a_restart_while_armed_cancels(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    shop.restart()
    assert shop.state(ref) == "cancelled"


def test_a_power_cut_after_the_intent_makes_the_payment_unknown_and_it_asks_by_itself(shop: Shop) -> None:
    shop.host = lambda request: None if request.row == "sale" else good_host(request)
    ref = shop.sell()
    shop.power_cut()

    def host(request: HostRequest) -> ExchangeResult:
        if request.row == "status_query":
            return reply(request, original_state="approved", original_code="00")
        return good_host(request)

    shop.host = host
    shop.open()
    shop.pass_time(1)
    assert shop.state(ref) == "approved"


def test_debts_survive_a_power_cut_and_are_paid_in_the_same_bytes(shop: Shop) -> None:
    shop.lose_host()
    shop.sell(tapped(OutcomeKind.APPROVED, CryptogramType.TC))
    owed = shop.journal.open_debts()[0].wire
    shop.power_cut()
    shop.host = good_host
    shop.open()
    shop.pass_time(1_000)
    assert [request.wire for request in shop.asked if request.row == "offline_advice"] == [owed]
    assert not shop.journal.open_debts()


def test_a_late_approval_before_the_commit_point_is_an_answer(shop: Shop) -> None:
    shop.host = lambda request: Silent("timeout")
    ref = shop.arm().payment_ref or ""
    shop.host = lambda request: Silent("timeout") if request.row == "sale" else None
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    sale = shop.asked[-1]
    shop.post(LateAnswer(sale, reply(sale).reply))
    assert shop.state(ref) == "approved"


def test_a_late_approval_after_the_commit_point_is_evidence_and_the_reversal_stays(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    shop.host = silent_host
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    shop.pass_time(60_000)
    sale = next(request for request in shop.asked if request.row == "sale")
    shop.post(LateAnswer(sale, reply(sale).reply))
    assert shop.state(ref) == "reversing"
    assert shop.log[-1] == "stored LateReply"
    assert len(shop.journal.open_debts()) == 1


def test_a_full_disk_refuses_the_sale_and_sends_nothing(shop: Shop) -> None:
    shop.disk_full = True
    answer = shop.arm()
    assert answer.refusal == "journal-not-writable"
    assert "sale" not in _asked_rows(shop)
    shop.disk_full = False


def test_a_disk_that_fills_up_after_the_arming_stops_the_sale_before_it_is_sent(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    shop.disk_full = True
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    assert "sale" not in _asked_rows(shop)
    assert shop.told[-1].message == "journal-not-writable"
    shop.disk_full = False
    shop.pass_time(2_000)
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    assert shop.state(ref) == "approved"


def test_an_outcome_the_disk_refused_is_told_only_once_it_is_stored(shop: Shop) -> None:
    shop.host = lambda request: None if request.row == "sale" else good_host(request)
    ref = shop.sell()
    shop.disk_full = True
    shop.answer_now(good_host)
    assert not shop.printed
    shop.disk_full = False
    shop.pass_time(2_000)
    assert shop.state(ref) == "approved"
    assert [p.facts.state for p in shop.printed] == ["approved"]


def test_a_host_that_has_seen_a_later_stan_opens_a_new_batch_before_any_sale(shop: Shop) -> None:
    shop.power_cut()

    def host(request: HostRequest) -> ExchangeResult:
        if request.row == "sign_on":
            return reply(request, batch=1, stan_high=500)
        return good_host(request)

    shop.host = host
    shop.open()
    shop.sell()
    sale = next(request for request in shop.asked if request.row == "sale")
    assert sale.key.batch == 2


def test_no_card_is_listened_for_before_the_host_has_signed_on_or_is_known_to_be_away(shop: Shop) -> None:
    shop.power_cut()
    shop.host = lambda request: None
    shop.open()
    shop.arm()
    assert shop.told[-1].message == "connecting"
    shop.answer_now(lambda request: reply(request, batch=1))
    assert shop.told[-1].message == ""
    assert shop.told[-1].state == "armed"


def test_no_card_number_is_in_the_journal_file(shop: Shop) -> None:
    shop.sell()
    shop.lose_host()
    shop.sell(tapped(OutcomeKind.APPROVED, CryptogramType.TC))
    shop.journal.close()
    stored = b"".join(path.read_bytes() for path in shop.directory.iterdir() if path.is_file())
    assert b"6228000100001117" not in stored
    assert bytes.fromhex("6228000100001117") not in stored
    shop.open()


def test_news_about_a_payment_waits_while_its_decision_is_on_its_way_to_the_disk(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    shop.host = lambda request: Silent("timeout") if request.row == "sale" else None
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    sale = shop.asked[-1]
    shop.pass_time(1)
    shop.disk_slow = True
    shop.answer_now(good_host)  # "not found": the reversal is on its way to the disk
    shop.post(LateAnswer(sale, reply(sale).reply))
    shop.disk_catches_up()
    assert shop.state(ref) == "reversing"
    assert "stored LateReply" in shop.log


def test_a_payment_that_was_unknown_before_a_power_cut_goes_on_asking(shop: Shop) -> None:
    shop.host = lambda request: Silent("timeout") if request.row == "sale" else None
    ref = shop.sell()
    assert shop.state(ref) == "unknown"
    shop.power_cut()
    shop.host = lambda request: (
        reply(request, original_state="approved") if request.row == "status_query" else good_host(request)
    )
    shop.open()
    shop.pass_time(1)
    assert shop.state(ref) == "approved"


def test_everything_the_disk_refused_is_stored_once_it_takes_entries_again(shop: Shop) -> None:
    shop.host = lambda request: None if request.row == "sale" else good_host(request)
    ref = shop.sell()
    shop.disk_full = True
    shop.answer_now(good_host)
    shop.pass_time(CONFIG.host.echo_idle_ms)  # an echo's intent is refused as well
    shop.disk_full = False
    shop.pass_time(2_000)
    assert shop.state(ref) == "approved"


def test_no_key_counter_is_used_twice_over_restarts_even_when_the_key_store_forgets(shop: Shop) -> None:
    mark = shop.directory / "keys.json.mark"
    for _ in range(3):
        shop.sell()
        shop.power_cut()
        mark.write_bytes(b"1\n")
        shop.open()
    counters = [request.key_counter for request in shop.asked]
    assert len(set(counters)) == len(counters)


def test_every_reason_the_card_stage_gives_has_words_for_people() -> None:
    ends = r'(?:declined|end_application|try_\w+|select_next|see_phone|reason)[(=]\s*"([a-z]+(?:-[a-z]+)*)"'
    sources = Path(taptill.card.__file__).parent.rglob("*.py")
    given = {word for path in sources for word in re.findall(ends, path.read_text("utf-8"))}
    assert "card-lost" in given
    assert not given - REASONS.keys() - {"observed-only", "judged-over-the-recorded-commands"}  # of replays


def test_a_slip_speaks_the_language_the_card_prefers_and_else_the_shops(shop: Shop) -> None:
    shop.sell()
    english = tapped(OutcomeKind.ONLINE_REQUEST)
    shop.sell(replace(english, data=dict(english.data) | {0x5F2D: b"deenzh"}))
    assert [printed.language for printed in shop.printed] == [Language.ZH, Language.EN]


def test_a_card_whose_data_make_no_message_costs_one_more_tap(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    good = tapped(OutcomeKind.ONLINE_REQUEST)
    shop.tap(replace(good, data={tag: value for tag, value in good.data.items() if tag != 0x9F10}))
    assert (shop.told[-1].state, shop.told[-1].message) == ("armed", "card-data-malformed")
    assert good.number is not None
    short = replace(good, number=replace(good.number, pan=SensitiveBytes(b"62")))
    shop.tap(short)
    assert shop.told[-1].message == "card-data-malformed"
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    assert shop.state(ref) == "approved"
