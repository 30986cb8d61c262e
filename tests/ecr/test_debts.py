"""What is owed, why, and how it is ended, over the local API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.ecr.counter import CounterWithApi
from tests.terminal.parked import LI, WANG, parked_advice, parked_reversal, parked_sale, statement
from tests.terminal.shop import good_host, tapped

from taplab.register import Register
from taplab.world import World
from taptill.card.outcome import CryptogramType, OutcomeKind
from taptill.journal.disposition import statement_text
from taptill.terminal.view import DebtsView, PaymentView, RefusalView

WAIT_S = 10.0


@pytest.fixture
def counter(tmp_path: Path) -> Iterator[CounterWithApi]:
    with CounterWithApi(tmp_path) as counter:
        yield counter


def body(counter: CounterWithApi, target: str, decision: str, key: Any = LI, **changes: str) -> dict[str, str]:
    text = statement_text(msgspec.structs.replace(statement(counter.shop, target, decision), **changes))
    return {"statement": text, "signature": key.sign(text.encode()).hex()}


def offer(counter: CounterWithApi, body: dict[str, Any]) -> tuple[int, Any]:
    return counter.register.call("POST", "/v1/dispositions", body)


def test_a_signed_word_ends_a_parked_sale(counter: CounterWithApi) -> None:
    ref = parked_sale(counter.shop)
    status, payment = offer(counter, body(counter, f"{ref}/1", "paid"))
    assert (status, payment["state"], payment["operator"]) == (200, "approved", "li")
    assert payment["approved_minor"] == 1250
    assert payment["transactions"][0]["decided_by"] == "operator"
    assert payment["waits_for"] is None
    assert set(msgspec.convert(payment, PaymentView)) == set(payment)


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"operator": "zhao"}, 403, "operator-unknown"),
        ({"terminal_id": "10000002"}, 403, "statement-for-another-terminal"),
        ({"parked_by": "00" * 32}, 409, "statement-stale"),
        ({"reason": "card 6228000100001117"}, 422, "reason-holds-a-card-number"),
    ],
)
def test_a_refused_statement_says_why_and_what_to_do_and_shows_the_payment(
    counter: CounterWithApi, changes: dict[str, str], status: int, code: str
) -> None:
    ref = parked_sale(counter.shop)
    answered, refusal = offer(counter, body(counter, f"{ref}/1", "paid", **changes))
    assert (answered, refusal["error"]["code"]) == (status, code)
    assert refusal["error"]["next_step"]
    assert set(refusal["error"]["reason"]["cashier"]) == {"zh-CN", "en"}
    assert refusal["payment"]["state"] == "parked"
    assert set(msgspec.convert(refusal, RefusalView)) == set(refusal)


def test_a_wrong_signature_is_forbidden_and_a_replay_is_a_conflict(counter: CounterWithApi) -> None:
    ref = parked_sale(counter.shop)
    status, refusal = offer(counter, body(counter, f"{ref}/1", "paid", WANG))
    assert (status, refusal["error"]["code"]) == (403, "signature-wrong")
    said = body(counter, f"{ref}/1", "not paid")
    assert offer(counter, said)[0] == 200
    status, refusal = offer(counter, said)
    assert (status, refusal["error"]["code"], refusal["payment"]["state"]) == (409, "target-not-parked", "declined")


def test_a_word_about_a_payment_that_never_was_is_a_conflict_without_one(counter: CounterWithApi) -> None:
    status, refusal = offer(counter, body(counter, "261122-00009-0000/1", "paid"))
    assert (status, refusal["error"]["code"], refusal["payment"]) == (409, "target-not-parked", None)


def test_a_full_disk_is_told_and_nothing_is_decided(counter: CounterWithApi) -> None:
    ref = parked_sale(counter.shop)
    counter.shop.disk_full = True
    status, refusal = offer(counter, body(counter, f"{ref}/1", "paid"))
    assert (status, refusal["error"]["code"]) == (503, "disposition-not-stored")
    assert "disk full" in refusal["error"]["what"]
    assert counter.shop.state(ref) == "parked"


@pytest.mark.parametrize(
    ("sent", "named"),
    [
        ({}, "statement"),
        ({"statement": "{}"}, "signature"),
        ({"statement": "{}", "signature": ""}, "terminal_id"),
        ({"statement": "no json", "signature": ""}, "statement"),
        ({"statement": "{}", "signature": "", "force": True}, "force"),
    ],
)
def test_a_body_that_is_no_disposition_is_refused_by_the_field_at_fault(
    counter: CounterWithApi, sent: dict[str, Any], named: str
) -> None:
    status, refusal = offer(counter, sent)
    assert status == 400
    assert named in refusal["error"]["what"]


def test_debts_tell_their_age_their_tries_and_what_they_wait_for(counter: CounterWithApi) -> None:
    shop = counter.shop
    shop.lose_host()
    ref = shop.sell(tapped(OutcomeKind.APPROVED, CryptogramType.TC))
    shop.pass_time(30_000)
    status, document = counter.register.call("GET", "/v1/debts")
    (debt,) = document["debts"]
    assert (status, debt["age_ms"], debt["attempts"]) == (200, 30_000, 0)
    assert debt["why"]["en"].startswith("the bank has been unreachable for 30 s")
    assert "无法连接银行" in debt["why"]["zh-CN"]
    assert debt["next_try_in_ms"] > 0
    assert counter.register.payment(ref)["waits_for"] == debt["why"]
    assert set(msgspec.convert(document, DebtsView)) == set(document)


def test_send_now_delivers_without_a_key_and_shows_what_is_left(counter: CounterWithApi) -> None:
    shop = counter.shop
    shop.lose_host()
    shop.sell(tapped(OutcomeKind.APPROVED, CryptogramType.TC))
    status, document = counter.register.call("POST", "/v1/debts/send")
    assert (status, len(document["debts"])) == (200, 1)
    shop.host = good_host
    shop.pass_time(1_000)
    assert shop.journal.open_debts() == []
    assert counter.register.call("POST", "/v1/debts/send") == (200, {"debts": []})


def test_send_now_never_un_parks(counter: CounterWithApi) -> None:
    ref = parked_reversal(counter.shop)
    other = parked_advice(counter.shop, OutcomeKind.APPROVED, CryptogramType.TC)
    assert counter.shop.state(ref) == "parked"
    _, document = counter.register.call("POST", "/v1/debts/send")
    assert [(debt["payment_ref"], debt["state"]) for debt in document["debts"]] == [(ref, "parked"), (other, "parked")]


def test_a_running_terminal_tells_why_and_sends_when_asked(world: World, register: Register) -> None:
    """The loop answers with what it sees; over real processes, a real link and a real clock."""
    world.network.down()
    register.wait_until("host", "unreachable", WAIT_S)
    ref = register.arm(18_80)
    assert register.payment(ref)["waits_for"]["en"] == "a card has to be presented"
    world.present(world.reader("pn532"), "offline_funds")
    register.wait_for(ref, {"approved_offline"}, WAIT_S)
    world.remove(world.reader("pn532"))
    (debt,) = register.debts()
    assert debt["why"]["en"].startswith("the bank has been unreachable for")
    assert register.payment(ref)["waits_for"]["en"].startswith("the bank has been unreachable for")
    world.network.up()
    assert register.call("POST", "/v1/debts/send")[0] == 200
    register.wait_until("open_debts", 0, WAIT_S)
    assert register.payment(ref)["waits_for"] is None
