"""The ECR API of a running terminal, as an integrator meets it."""

from __future__ import annotations

import http.client
import json
import threading
import uuid
from typing import Any

import pytest

from taplab.register import Register
from taplab.world import World

WAIT_S = 10.0
MONEY_VERBS = ["/v1/payments", "/v1/payments/261122-00001-0000/cancel"]


def post(register: Register, body: dict[str, Any], key: str) -> tuple[int, Any]:
    return register.call("POST", "/v1/payments", body, key)


def key() -> str:
    return uuid.uuid4().hex


def sell(world: World, register: Register, amount_minor: int, card: str = "good_credit") -> dict[str, Any]:
    """Arm, tap, and the payment once it has ended."""
    ref = register.arm(amount_minor)
    world.present(world.reader("pn532"), card)
    ended = {"approved", "approved_offline", "declined", "deferred", "reversing", "reversed"}
    payment = register.wait_for(ref, ended, WAIT_S)
    world.remove(world.reader("pn532"))
    return payment


@pytest.mark.parametrize("path", MONEY_VERBS)
def test_money_verbs_need_an_idempotency_key_and_say_so(register: Register, path: str) -> None:
    status, reply = register.call("POST", path, {"amount_minor": 100})
    assert status == 400
    assert "Idempotency-Key" in reply["error"]["what"]
    assert reply["error"]["next_step"]
    assert register.health()["at_counter"] is None


def test_the_same_request_again_gives_the_same_payment(register: Register) -> None:
    name = key()
    created, first = post(register, {"amount_minor": 100}, name)
    repeated, again = post(register, {"amount_minor": 100}, name)
    assert (created, repeated) == (201, 200)
    assert again["payment_ref"] == first["payment_ref"]


def test_another_body_under_the_same_key_is_a_conflict_that_shows_the_payment(register: Register) -> None:
    name = key()
    _, first = post(register, {"amount_minor": 100}, name)
    status, reply = post(register, {"amount_minor": 101}, name)
    assert status == 409
    assert reply["error"]["code"] == "idempotency-key-used"
    assert reply["payment"]["payment_ref"] == first["payment_ref"]
    assert reply["payment"]["amount_minor"] == 100


def test_a_used_client_ref_is_a_conflict_whatever_the_key(register: Register) -> None:
    name = key()
    _, first = post(register, {"amount_minor": 100, "client_ref": name}, key())
    status, reply = post(register, {"amount_minor": 100, "client_ref": name}, key())
    assert (status, reply["payment"]["payment_ref"]) == (409, first["payment_ref"])


def test_the_same_request_many_times_at_once_makes_one_payment(register: Register) -> None:
    name, answers = key(), []

    def ask() -> None:
        answers.append(post(register, {"amount_minor": 100}, name))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    made = {reply["payment_ref"] for status, reply in answers if status in {200, 201}}
    assert len(made) == 1
    # Who asks while the first is still on its way to the disk may be told that the counter is busy, and asks again.
    assert {status for status, _ in answers} <= {200, 201, 409}
    assert post(register, {"amount_minor": 100}, name)[1]["payment_ref"] in made


def test_a_second_sale_is_told_which_payment_is_at_the_counter(register: Register) -> None:
    ref = register.arm(100)
    status, reply = post(register, {"amount_minor": 200}, key())
    assert (status, reply["error"]["code"], reply["payment"]["payment_ref"]) == (409, "counter-busy", ref)
    assert set(reply["error"]["reason"]["cashier"]) == {"zh-CN", "en"}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"amount_minor": 100, "tip_minor": 5}, "tip_minor"),
        ({"amount_minor": 0}, "amount_minor"),
        ({"amount_minor": -1}, "amount_minor"),
        ({"amount_minor": 1_000_000_000_000}, "amount_minor"),
        ({"amount_minor": 2**70}, "amount_minor"),
        ({"amount_minor": 12.5}, "amount_minor"),
        ({"amount_minor": "100"}, "amount_minor"),
        ({"amount_minor": True}, "amount_minor"),
        ({"amount_minor": None}, "amount_minor"),
        ({}, "amount_minor"),
        ({"amount_minor": 100, "client_ref": "x" * 256}, "client_ref"),
    ],
)
def test_a_body_that_is_no_payment_is_refused_by_the_field_at_fault(
    register: Register, body: dict[str, Any], named: str
) -> None:
    status, reply = post(register, body, key())
    assert status == 400
    assert named in reply["error"]["what"]
    assert register.health()["at_counter"] is None


def test_a_currency_that_is_not_taken_here_is_refused(register: Register) -> None:
    status, reply = post(register, {"amount_minor": 100, "currency": "USD"}, key())
    assert (status, reply["error"]["code"]) == (422, "currency-not-accepted")


def test_an_unknown_payment_is_not_found(register: Register) -> None:
    assert register.call("GET", "/v1/payments/no-such")[0] == 404
    assert register.call("POST", "/v1/payments/no-such/cancel", key="k")[0] == 404
    assert register.call("GET", "/v1/payments?client_ref=no-such") == (200, {"payments": []})


def test_a_payment_is_found_by_the_registers_own_name(register: Register) -> None:
    name = key()
    ref = post(register, {"amount_minor": 100, "client_ref": name}, key())[1]["payment_ref"]
    found = register.call("GET", f"/v1/payments?client_ref={name}")[1]["payments"]
    assert [payment["payment_ref"] for payment in found] == [ref]
    latest = register.call("GET", "/v1/payments")[1]["payments"]
    assert latest[-1]["payment_ref"] == ref


def test_an_armed_payment_can_be_cancelled_and_a_finished_one_not(world: World, register: Register) -> None:
    ref = register.arm(100)
    status, payment = register.call("POST", f"/v1/payments/{ref}/cancel", key=key())
    assert (status, payment["state"]) == (200, "cancelled")
    done = sell(world, register, 200)
    status, reply = register.call("POST", f"/v1/payments/{done['payment_ref']}/cancel", key=key())
    assert (status, reply["error"]["code"], reply["payment"]["state"]) == (409, "too-late-to-cancel", "approved")


def test_a_tap_is_told_state_by_state(world: World, register: Register, connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/v1/events")
    stream = connection.getresponse()
    assert stream.getheader("content-type", "").startswith("text/event-stream")
    assert stream.readline().startswith(b": ")  # it listens from here on
    payment = sell(world, register, 1250)
    told: list[dict[str, Any]] = []
    while not told or told[-1]["state"] != "approved":
        line = stream.readline()
        if line.startswith(b"data: "):
            told.append(json.loads(line.removeprefix(b"data: ")))
    assert {event["payment_ref"] for event in told} == {payment["payment_ref"]}
    states = [event["state"] for event in told]
    assert list(dict.fromkeys(states)) == ["armed", "reading", "authorizing", "approved"]
    assert sorted(states, key=states.index) == states, "no state comes back"


def test_an_approved_payment_says_what_a_register_has_to_keep(world: World, register: Register) -> None:
    payment = sell(world, register, 1250)
    assert payment["state"] == "approved"
    assert (payment["amount_minor"], payment["approved_minor"], payment["currency"]) == (1250, 1250, "CNY")
    assert payment["masked_pan"] == "622800******1109"
    assert payment["reason"] is None
    (act,) = payment["transactions"]
    assert (act["row"], act["state"], act["decided_by"]) == ("sale", "approved", "host")
    assert act["auth_code"]
    assert act["rrn"]
    assert payment["debts"] == []


def test_a_decline_comes_with_words_for_both_sides_of_the_counter(world: World, register: Register) -> None:
    payment = sell(world, register, 80_00, "low_limit")
    assert payment["state"] == "declined"
    assert payment["approved_minor"] == 0
    for side in ("cashier", "customer", "next_step"):
        assert set(payment["reason"][side]) == {"zh-CN", "en"}
        assert all(payment["reason"][side].values())


def test_while_the_host_is_away_the_api_answers_and_shows_what_is_owed(world: World, register: Register) -> None:
    world.network.down()
    register.wait_until("host", "unreachable", WAIT_S)  # noticed without a sale
    payment = sell(world, register, 18_80, "offline_funds")
    assert payment["state"] == "approved_offline"
    assert [debt["row"] for debt in payment["debts"]] == ["offline_advice"]
    assert [debt["payment_ref"] for debt in register.debts()] == [payment["payment_ref"]]
    health = register.health()
    assert (health["ready"], health["open_debts"], health["money_at_risk_minor"]) == (True, 1, 18_80)
    assert health["host_reason"]
    world.network.up()
    register.wait_until("open_debts", 0, 20)
    assert register.debts() == []
    assert register.payment(payment["payment_ref"])["state"] == "approved_offline"


def test_the_figures_agree_with_the_books(world: World, register: Register) -> None:
    sell(world, register, 300)
    states = [payment["state"] for payment in register.call("GET", "/v1/payments")[1]["payments"]]
    figures = metrics(world)
    for state in set(states):
        assert figures[f'taptill_payments{{state="{state}"}}'] == states.count(state)
    assert figures["taptill_host_reachable"] == 1
    assert figures["taptill_money_at_risk_minor"] == 0
    assert figures['taptill_open_debts{state="open"}'] == 0
    assert figures[f'taptill_reader_up{{reader="{world.reader("pn532")}"}}'] == 1


def metrics(world: World) -> dict[str, float]:
    place = world.ecr_url.removeprefix("http://")
    connection = http.client.HTTPConnection(place, timeout=WAIT_S)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
