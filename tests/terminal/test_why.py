"""What a debt or a payment waits for, in words, and the button that ends waiting."""

from __future__ import annotations

import re

import pytest
from tests.terminal.parked import always_94, format_error, parked_advice, parked_reversal, parked_sale
from tests.terminal.shop import Shop, absent_host, good_host, reply, silent_host, tapped

from taptill.card.outcome import CryptogramType, OutcomeKind
from taptill.host.exchange import Verdict
from taptill.journal.port import DebtRow
from taptill.terminal.events import SendNow, WhyRequested
from taptill.terminal.recovering import read_payment
from taptill.terminal.situation import Situation
from taptill.terminal.view import DebtsView, debts_view, payment_view
from taptill.terminal.why import Wait, why_debts, why_payment

CHINESE = re.compile("[\u4e00-\u9fff]")


def situation(shop: Shop) -> Situation:
    shop.post(WhyRequested(900))
    found = shop.answers[900].situation
    assert found is not None
    return found


def view(shop: Shop) -> DebtsView:
    return debts_view(shop.journal.open_debts(), situation(shop))


def why_debt(shop: Shop) -> str:
    """Of the oldest debt, in English; there is Chinese beside it."""
    why = view(shop)["debts"][0]["why"]
    assert CHINESE.search(why["zh-CN"])
    return why["en"]


def waits_for(shop: Shop, ref: str) -> str | None:
    payment = read_payment(shop.journal, ref)
    assert payment is not None
    told = payment_view(payment, shop.journal.open_debts(), None, shop.desk.profile, situation(shop))["waits_for"]
    assert told is None or CHINESE.search(told["zh-CN"])
    return told["en"] if told else None


def take_offline(shop: Shop) -> str:
    return shop.sell(tapped(OutcomeKind.APPROVED, CryptogramType.TC))


def press_send_now(shop: Shop) -> None:
    shop.post(SendNow(901))
    assert shop.answers[901].refusal is None


def test_an_absent_host_is_named_with_since_when_and_the_next_try(shop: Shop) -> None:
    shop.lose_host()
    ref = take_offline(shop)
    shop.pass_time(10_000)
    told = why_debt(shop)
    found = re.fullmatch(r"the bank has been unreachable for (\d+) s \(unreachable\); next try in (\d+) s", told)
    assert found, told
    assert int(found[1]) == 10
    owed = view(shop)["debts"][0]
    assert owed["age_ms"] == 10_000
    assert owed["next_try_in_ms"] == shop._timers["probe"] // 1000 - shop.clock.now_us // 1000
    assert waits_for(shop, ref) == told
    shop.pass_time(3_600_000)
    assert "unreachable for 60 min" in why_debt(shop)


def test_a_host_that_refuses_the_sign_on_is_named_with_its_code(shop: Shop) -> None:
    shop.lose_host()
    take_offline(shop)
    shop.host = lambda request: reply(request, "03", Verdict.DECLINED)
    shop.pass_time(120_000)
    assert re.fullmatch(r"the host refuses this terminal \(sign-on refused: 03\); next try in \d+ s", why_debt(shop))


def test_a_sign_on_under_way_is_named(shop: Shop) -> None:
    shop.lose_host()
    ref = take_offline(shop)
    shop.host = lambda request: None
    shop.restart()
    assert why_debt(shop) == "the terminal is signing on"
    assert waits_for(shop, ref) == "the terminal is signing on"


def test_a_terminal_that_cannot_store_says_so_first(shop: Shop) -> None:
    shop.lose_host()
    take_offline(shop)
    shop.disk_full = True
    shop.arm()
    assert why_debt(shop) == "the terminal cannot store anything: disk full"


def test_a_debt_on_its_way_and_one_that_waits_for_its_turn(shop: Shop) -> None:
    shop.lose_host()
    take_offline(shop)
    take_offline(shop)
    shop.host = lambda request: good_host(request) if request.row == "sign_on" else None
    shop.pass_time(61_000)
    first, second = (debt["why"]["en"] for debt in view(shop)["debts"])
    assert first == "it is on its way, the bank's answer is awaited"
    assert second == "it waits for its turn, 1 on the way"


def test_a_debt_that_backs_off_tells_how_often_it_was_tried_and_what_came_last(shop: Shop) -> None:
    shop.lose_host()
    take_offline(shop)
    busy = {"offline_advice": lambda request: reply(request, "91", Verdict.TRY_LATER)}
    shop.host = lambda request: busy.get(request.row, good_host)(request)
    shop.pass_time(90_000)
    owed = view(shop)["debts"][0]
    tries, seconds = owed["attempts"], -(-(owed["next_try_in_ms"] or 0) // 1000)
    assert tries > 1
    assert owed["why"]["en"] == f"next try in {seconds} s, after {tries} tries, the last: host: 91"


def test_a_parked_debt_tells_its_code_and_what_an_operator_does(shop: Shop) -> None:
    ref = parked_advice(shop, OutcomeKind.APPROVED, CryptogramType.TC)
    told = why_debt(shop)
    assert "refused it with code 30" in told
    assert f"taptill dispose {ref}/1/advice" in told
    assert view(shop)["debts"][0]["next_try_in_ms"] is None
    assert waits_for(shop, ref) == told


def test_a_parked_sale_tells_what_an_operator_does(shop: Shop) -> None:
    ref = parked_sale(shop)
    told = waits_for(shop, ref)
    assert told is not None
    assert "(94)" in told
    assert told.endswith(f"taptill dispose {ref}/1")


def test_a_payment_tells_what_it_waits_for_from_the_card_to_its_end(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    assert waits_for(shop, ref) == "a card has to be presented"
    shop.host = lambda request: None
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    assert waits_for(shop, ref) == "it was sent, the bank's answer is awaited"
    shop.answer_now(silent_host)
    shop.pass_time(1)
    assert "the bank's answer is not known; asked 1 times, a question is under way" in (waits_for(shop, ref) or "")
    shop.answer_now(silent_host)
    assert re.search(r"asked 1 times, again in \d+ s; it is ended in \d+ s", waits_for(shop, ref) or "")
    shop.host = good_host
    shop.pass_time(300_000)
    assert shop.state(ref) == "reversed"
    assert waits_for(shop, ref) is None


def debt(name: str, state: str = "open", seq: int = 1, **more: object) -> DebtRow:
    ref = name.partition("/")[0]
    fields: dict[str, object] = {"attempts": 0, "last_result": "", "created_at_ms": 0, "wire": b"w"} | more
    return DebtRow(
        name,
        ref,
        f"{ref}/1",
        "script_result",
        state,
        seq,
        1,
        1,
        100,
        created_seq=seq,
        **fields,  # type: ignore[arg-type]
    )


def test_an_earlier_debt_of_the_payment_goes_first_unless_it_is_parked(shop: Shop) -> None:
    now = situation(shop)
    waits = why_debts([debt("P1/1/a"), debt("P1/1/b", seq=2), debt("P2/1/a", "parked"), debt("P2/1/b", seq=4)], now)
    assert waits["P1/1/a"] == Wait(waits["P1/1/a"].texts, 0)
    assert waits["P1/1/a"].texts.en == "it goes out next"
    assert waits["P1/1/b"].texts.en == "P1/1/a of the same payment goes first"
    assert waits["P2/1/b"].texts.en == "it goes out next"


def test_what_has_ended_waits_for_nothing(shop: Shop) -> None:
    ref = shop.sell()
    payment = read_payment(shop.journal, ref)
    assert payment is not None
    assert why_payment(payment, [], situation(shop)) is None


def test_send_now_asks_an_absent_host_at_once_and_delivers(shop: Shop) -> None:
    shop.lose_host()
    ref = take_offline(shop)
    shop.pass_time(300_000)
    shop.host = good_host
    asked = len(shop.asked)
    press_send_now(shop)
    shop.pass_time(1)
    assert [request.row for request in shop.asked[asked:]] == ["sign_on", "offline_advice"]
    assert shop.journal.open_debts() == []
    assert waits_for(shop, ref) is None


def test_send_now_ends_back_offs_and_a_try_that_fails_backs_off_again(shop: Shop) -> None:
    shop.lose_host()
    take_offline(shop)
    busy = {"offline_advice": lambda request: reply(request, "91", Verdict.TRY_LATER)}
    shop.host = lambda request: busy.get(request.row, good_host)(request)
    shop.pass_time(90_000)
    before = view(shop)["debts"][0]["attempts"]
    press_send_now(shop)
    again = view(shop)["debts"][0]
    assert again["attempts"] == before + 1
    assert again["next_try_in_ms"]
    shop.host = good_host
    press_send_now(shop)
    assert shop.journal.open_debts() == []


def test_send_now_moves_nothing_that_is_parked_or_unclear(shop: Shop) -> None:
    parked = [parked_sale(shop), parked_reversal(shop)]
    asked = len(shop.asked)
    press_send_now(shop)
    shop.pass_time(1)
    assert [shop.state(ref) for ref in parked] == ["parked", "parked"]
    assert [owed.state for owed in shop.journal.open_debts()] == ["parked"]
    assert [request.row for request in shop.asked[asked:]] == []


def test_send_now_with_nothing_owed_does_nothing(shop: Shop) -> None:
    entries = shop.journal.verify().count
    press_send_now(shop)
    assert shop.journal.verify().count == entries


@pytest.mark.parametrize("host", [good_host, absent_host, silent_host, format_error, always_94])
def test_everything_open_has_its_word_in_both_languages(shop: Shop, host: object) -> None:
    shop.lose_host()
    take_offline(shop)
    shop.sell(tapped(OutcomeKind.ONLINE_REQUEST))
    shop.host = host  # type: ignore[assignment]
    for _ in range(30):
        shop.pass_time(7_000)
        for owed in view(shop)["debts"]:
            assert CHINESE.search(owed["why"]["zh-CN"])
            assert not CHINESE.search(owed["why"]["en"])


def test_a_situation_is_a_copy_that_later_events_do_not_touch(shop: Shop) -> None:
    shop.lose_host()
    take_offline(shop)
    before = situation(shop)
    due_us = dict(before.due_us)
    shop.host = good_host
    shop.pass_time(120_000)
    assert before.due_us == due_us
    assert before.host is not situation(shop).host
