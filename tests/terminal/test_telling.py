"""Words that fit what is going on: never "wait for the result" when there is none to come."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.terminal.shop import Shop, good_host, reply, silent_host, tapped

from taptill.card.outcome import OutcomeKind
from taptill.host.exchange import ExchangeResult, HostRequest, Verdict
from taptill.receipt.facts import Language
from taptill.terminal.payment import Payment, fold
from taptill.terminal.view import payment_view


def doubtful_host(request: HostRequest) -> ExchangeResult:
    return reply(request, "98", Verdict.IN_DOUBT)


def shown(shop: Shop, ref: str) -> str:
    """What the kiosk says of why and of what next, in English."""
    payment: Payment | None = None
    for record in shop.journal.records(ref):
        payment = fold(payment, record.entry).payment  # type: ignore[arg-type]
    assert payment is not None
    latest = next(told for told in reversed(shop.told) if told.payment_ref == ref)
    view = payment_view(payment, (), latest, shop.desk.profile)
    reason = view["message"] or view["reason"]
    assert reason is not None
    return reason["customer"]["en"] + ", " + reason["next_step"]["en"]


@pytest.mark.parametrize("host", [silent_host, doubtful_host])
def test_while_the_result_is_unknown_nobody_is_told_to_pay_again(
    shop: Shop, host: Callable[[HostRequest], ExchangeResult]
) -> None:
    shop.host = lambda request: host(request) if request.row == "sale" else None
    ref = shop.sell()
    assert shop.state(ref) == "unknown"
    assert "pay again" not in shown(shop, ref).replace("do not pay again", "")


@pytest.mark.parametrize("host", [silent_host, doubtful_host])
def test_once_it_is_undone_nobody_waits_for_a_result(shop: Shop, host: Callable[[HostRequest], ExchangeResult]) -> None:
    ref = shop.arm().payment_ref or ""
    shop.host = host
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    shop.pass_time(60_000)
    assert shop.state(ref) == "reversing"
    assert shown(shop, ref) == "not paid, it will be undone, it is safe to pay again"
    assert shop.printed[-1].facts.next_step[Language.EN] == "it is safe to pay again"
    shop.host = good_host
    shop.pass_time(900_000)
    assert shop.state(ref) == "reversed"
    assert shown(shop, ref) == "not paid, it was undone, it is safe to pay again"
