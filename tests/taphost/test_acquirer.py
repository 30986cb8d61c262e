"""One message, one answer: written and read by the terminal's own code, on every store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from taphost.acquirer import Acquirer
from taphost.config import HostConfig
from taphost.ledger import EntryState
from taphost.store import Store
from taptill.host.codec import decode_message, unwrap
from taptill.host.exchange import HostRequest, Verdict

if TYPE_CHECKING:
    from tests.taphost.conftest import Host

GOOD, POOR, BLOCKED, EXPIRED, GENEROUS, STRANGER = (f"622800010000{number}" for number in range(1117, 1123))
TC = 0x10


def test_a_sale_is_approved_and_captured(host: Host) -> None:
    reply = host.ask(host.till.pay(amount_minor=1_250))
    assert reply.verdict is Verdict.APPROVED
    assert (reply.amount_minor, len(reply.auth_code), len(reply.rrn)) == (1_250, 6, 12)
    assert reply.settlement_texts == ("CUP", "实验银行", "TapHost")
    assert host.captured_minor() == 1_250


def test_the_answer_carries_the_local_time_of_the_host(host: Host) -> None:
    assert host.ask(host.till.pay()).local_time == "0101090000"


@pytest.mark.parametrize(
    ("pan", "code"),
    [(STRANGER, "14"), (BLOCKED, "62"), (EXPIRED, "54"), (POOR, "51")],
    ids=lambda value: str(value)[-4:],
)
def test_a_card_that_may_not_pay_is_declined_with_the_fitting_code(host: Host, pan: str, code: str) -> None:
    reply = host.ask(host.till.pay(pan=pan))
    assert (reply.code, reply.verdict, reply.auth_code) == (code, Verdict.DECLINED, "")
    assert host.captured_minor() == 0


def test_a_card_is_good_to_the_end_of_the_month_printed_on_it(config: HostConfig, store: Store, host: Host) -> None:
    last_second_ms, next_month_ms = 1_767_196_799_000, 1_767_196_800_000  # 2025-12-31 23:59:59 in Beijing, and after
    early = replace(host, acquirer=Acquirer(config, store, lambda: last_second_ms))
    late = replace(host, acquirer=Acquirer(config, store, lambda: next_month_ms))
    assert early.code_of(host.till.pay(pan=EXPIRED).wire) == "00"
    assert late.code_of(host.till.pay(pan=EXPIRED).wire) == "54"


def test_a_credit_line_is_used_up_by_what_was_captured(host: Host) -> None:
    assert [host.ask(host.till.pay(amount_minor=60_000)).code for _ in range(2)] == ["00", "51"]
    assert host.ask(host.till.pay(amount_minor=40_000)).code == "00"


def _takes_parts(host: Host, request: HostRequest) -> HostRequest:
    """The same sale from a terminal whose customer can confirm a lower amount (60.6 is 1)."""
    asked = decode_message(unwrap(request.wire).message).text(60)
    return replace(request, wire=host.till.resign(request.wire, DE60=asked[:-1] + "1"))


def test_an_account_that_allows_it_is_approved_in_part(host: Host) -> None:
    reply = host.ask(_takes_parts(host, host.till.pay(pan=GENEROUS, amount_minor=800)))
    assert (reply.verdict, reply.amount_minor) == (Verdict.PARTIAL, 500)
    assert host.captured_minor() == 500
    assert host.ask(_takes_parts(host, host.till.pay(pan=GENEROUS, amount_minor=800))).code == "51"


def test_a_terminal_that_does_not_ask_for_it_gets_no_part(host: Host) -> None:
    assert host.ask(host.till.pay(pan=GENEROUS, amount_minor=800)).code == "51"


def test_a_part_is_undone_by_a_reversal_of_the_whole(host: Host) -> None:
    sale = _takes_parts(host, host.till.pay(pan=GENEROUS, amount_minor=800))
    assert host.ask(sale).code == "10"
    assert host.ask(host.till.about("reversal", sale)).code == "00"
    assert host.captured_minor() == 0


def test_a_false_cryptogram_is_declined(host: Host) -> None:
    icc = host.till.card(GOOD).icc(1_000)
    reply = host.ask(host.till.pay(icc=icc | {0x9F37: bytes(4)}))
    assert (reply.code, host.captured_minor()) == ("59", 0)


def test_a_card_that_did_not_ask_for_us_is_not_authorised_online(host: Host) -> None:
    assert host.ask(host.till.pay(icc=host.till.card(GOOD).icc(1_000, TC))).code == "59"


def test_an_amount_the_card_never_saw_is_refused(host: Host) -> None:
    assert host.ask(host.till.pay(amount_minor=9_000, icc=host.till.card(GOOD).icc(1_000))).code == "13"


def test_a_card_counter_pays_once(host: Host) -> None:
    icc = host.till.card(GOOD).icc(1_000)
    assert [host.ask(host.till.pay(icc=icc)).code for _ in range(2)] == ["00", "05"]
    assert host.captured_minor() == 1_000


def test_a_byte_identical_repeat_gets_the_same_bytes(host: Host) -> None:
    sale = host.till.pay()
    first = host.acquirer.answer(sale.wire)
    assert host.acquirer.answer(sale.wire) == first
    assert host.captured_minor() == 1_000


def test_a_repeat_under_a_new_key_gets_the_stored_answer(host: Host) -> None:
    icc = host.till.card(GOOD).icc(1_000)
    first = host.ask(host.till.pay(icc=icc, payment_ref="once"))
    host.till.stan -= 1
    again = host.ask(host.till.pay(icc=icc, payment_ref="once"))
    assert (again.code, again.rrn, again.auth_code) == (first.code, first.rrn, first.auth_code)
    assert host.captured_minor() == 1_000


@pytest.mark.parametrize("difference", ["amount", "cryptogram", "payment_ref"])
def test_another_message_under_a_used_number_is_a_duplicate(host: Host, difference: str) -> None:
    icc = host.till.card(GOOD).icc(1_000)
    host.ask(host.till.pay(icc=icc, payment_ref="once"))
    host.till.stan -= 1
    amount_minor = 2_000 if difference == "amount" else 1_000
    icc = icc if difference == "payment_ref" else host.till.card(GOOD).icc(amount_minor)
    reference = "other" if difference == "payment_ref" else "once"
    reply = host.ask(host.till.pay(amount_minor=amount_minor, icc=icc, payment_ref=reference))
    assert (reply.code, reply.verdict) == ("94", Verdict.DUPLICATE)
    assert host.captured_minor() == 1_000


def test_a_reversal_undoes_and_says_so_again(host: Host) -> None:
    sale = host.till.pay()
    host.ask(sale)
    reversal = host.till.about("reversal", sale)
    assert [host.ask(reversal).code for _ in range(3)] == ["00"] * 3
    assert host.captured_minor() == 0
    assert host.ask(host.till.pay(amount_minor=100_000)).code == "00"


def test_a_sale_that_was_reversed_since_is_not_approved_to_whoever_repeats_it(host: Host) -> None:
    sale = host.till.pay()
    assert host.ask(sale).code == "00"
    assert host.ask(host.till.about("reversal", sale)).code == "00"
    assert host.ask(sale).code == "12"
    assert host.captured_minor() == 0


def test_a_reversal_of_an_unknown_sale_is_remembered_and_the_sale_refused(host: Host) -> None:
    sale = host.till.pay()
    reversal = host.till.about("reversal", sale)
    assert host.ask(reversal).code == "25"
    assert host.ask(sale).code == "12"
    assert host.ask(reversal).code == "25"
    assert host.captured_minor() == 0


def test_a_reversal_of_a_declined_sale_is_closed(host: Host) -> None:
    sale = host.till.pay(pan=POOR)
    host.ask(sale)
    assert host.ask(host.till.about("reversal", sale)).code == "00"
    assert host.captured_minor() == 0


def test_a_reversal_never_undoes_another_payment_under_the_same_number(host: Host) -> None:
    sale = host.till.pay(payment_ref="older")
    host.ask(sale)
    foreign = host.till.about("reversal", replace(sale, payment_ref="newer"))
    assert host.ask(foreign).code == "12"
    assert host.captured_minor() == 1_000
    assert host.ask(host.till.about("reversal", sale)).code == "00"


def test_a_reversal_of_another_amount_is_refused(host: Host) -> None:
    sale = host.till.pay()
    host.ask(sale)
    assert host.ask(host.till.about("reversal", sale, amount_minor=999)).code == "64"
    assert host.captured_minor() == 1_000


def test_a_query_tells_how_the_original_ended(host: Host) -> None:
    sale, poor, never = host.till.pay(amount_minor=1_250), host.till.pay(pan=POOR), host.till.pay()
    sold = host.ask(sale)
    host.ask(poor)
    approved = host.ask(host.till.about("status_query", sale))
    assert (approved.code, approved.original_state, approved.original_code) == ("00", "approved", "00")
    assert (approved.auth_code, approved.rrn, approved.amount_minor) == (sold.auth_code, sold.rrn, 1_250)
    declined = host.ask(host.till.about("status_query", poor))
    assert (declined.original_state, declined.original_code, declined.amount_minor) == ("declined", "51", None)
    assert host.ask(host.till.about("status_query", never)).original_state == "not found"
    for request in (sale, never):
        host.ask(host.till.about("reversal", request))
        assert host.ask(host.till.about("status_query", request)).original_state == "reversed"


def test_a_query_for_another_payment_under_the_same_number_finds_nothing(host: Host) -> None:
    sale = host.till.pay(payment_ref="older")
    host.ask(sale)
    query = host.till.about("status_query", replace(sale, payment_ref="newer"))
    assert host.ask(query).original_state == "not found"


def test_an_offline_approval_is_booked_whatever_the_credit_line_says(host: Host) -> None:
    for pan in (POOR, BLOCKED, EXPIRED):
        advice = host.till.pay("offline_advice", pan=pan)
        assert [host.ask(advice).code for _ in range(2)] == ["00", "00"]
    assert host.captured_minor() == 3_000


def test_an_offline_approval_the_card_never_gave_is_refused(host: Host) -> None:
    false = host.till.card(GOOD).icc(1_000, TC, b"Y1") | {0x9F37: bytes(4)}
    request = host.till.card(GOOD).icc(1_000, arc=b"Y1")
    assert [host.ask(host.till.pay("offline_advice", icc=icc)).code for icc in (false, request)] == ["59", "59"]
    assert host.captured_minor() == 0


def test_an_advice_says_on_whose_word_it_was_given(host: Host) -> None:
    icc = host.till.card(GOOD).icc(1_000, TC, b"Y3")
    assert host.ask(host.till.pay("offline_advice", icc=icc)).code == "30"


@pytest.mark.parametrize(("pan", "code"), [(GOOD, "00"), (POOR, "51"), (BLOCKED, "62"), (GENEROUS, "51")])
def test_a_deferred_sale_is_decided_now(host: Host, pan: str, code: str) -> None:
    advice = host.till.pay("deferred_advice", pan=pan)
    assert [host.ask(advice).code for _ in range(2)] == [code, code]
    assert host.captured_minor() == (1_000 if code == "00" else 0)


def test_goods_that_are_gone_are_not_paid_in_part(host: Host) -> None:
    advice = host.till.pay("deferred_advice", pan=GENEROUS, amount_minor=800)
    assert host.code_of(host.till.resign(advice.wire, DE60="30000001000601")) == "51"
    assert host.captured_minor() == 0


@pytest.mark.parametrize("row", ["offline_advice", "deferred_advice"])
def test_an_advice_can_be_reversed_before_and_after(host: Host, row: str) -> None:
    booked, late = host.till.pay(row), host.till.pay(row)
    host.ask(booked)
    assert host.ask(host.till.about("reversal", booked)).code == "00"
    assert host.ask(host.till.about("reversal", late)).code == "25"
    assert host.ask(late).code == "12"
    assert host.captured_minor() == 0


def test_an_echo_is_answered(host: Host) -> None:
    assert host.ask(host.till.link("echo")).code == "00"


def test_a_sign_on_gives_time_batch_and_the_highest_number_before_it(host: Host) -> None:
    first = host.ask(host.till.link("sign_on"))
    assert (first.clock_unix_ms, first.stan_high, first.batch) == (1_767_229_200_000, 0, 1)
    for _ in range(3):
        host.ask(host.till.pay())
    request = host.till.link("sign_on")
    assert [host.ask(request).stan_high for _ in range(2)] == [4, 4]


def test_a_restored_terminal_learns_that_the_host_is_ahead(host: Host) -> None:
    host.till.batch, host.till.stan = 7, 80
    host.ask(host.till.pay())
    host.till.batch, host.till.stan = 6, 12
    reply = host.ask(host.till.link("sign_on"))
    assert (reply.batch, reply.stan_high) == (7, 81)


def test_a_kind_of_message_nobody_offers_is_answered_as_such(host: Host) -> None:
    wire = host.till.resign(host.till.pay().wire, DE3="200000")
    assert host.code_of(wire) == "40"
    assert host.captured_minor() == 0


def test_the_ledger_keeps_what_reconciliation_needs(host: Host) -> None:
    sale = host.till.pay(amount_minor=1_250, payment_ref="order-9")
    host.ask(sale)
    with host.store.transaction() as books:
        (entry,) = books.entries(captured_only=True)
    assert (entry.key.batch, entry.key.stan, entry.payment_ref) == (1, sale.key.stan, "order-9")
    assert (entry.state, entry.captured_minor, entry.kind) == (EntryState.CAPTURED, 1_250, "sale")
    assert entry.token == host.till.keys.tokenize(GOOD.encode()).hex()
