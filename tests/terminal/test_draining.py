"""A long queue drains while the counter sells, in virtual time: nothing is minted twice and no customer waits for it.

Strategy: the host answers one message every 50 ms, in the order they came, and the shop's clock says when.
"""

from __future__ import annotations

from collections import Counter, deque
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.terminal.shop import CONFIG, Shop, absent_host, good_host, reply, tapped

from taptill.card.outcome import CryptogramType, OutcomeKind
from taptill.host.exchange import HostRequest, NotSent, Verdict
from taptill.host.link import ExchangeEnded
from taptill.journal import entries as e
from taptill.terminal.config import OutageLimits
from taptill.terminal.journal_worker import EVENTS_GROUPED_MAX
from taptill.terminal.owing import DEBTS_IN_FLIGHT_MAX

SERVICE_MS = 50
WIDE = OutageLimits(per_payment_minor=20_000, per_card_count=10**6, count=10**6, total_minor=10**10, age_hours=24)


class SlowHost:
    """Answers what waits, one message at a time."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.waiting: deque[HostRequest] = deque()
        shop.host = self.hears

    def hears(self, request: HostRequest) -> None:
        self.waiting.append(request)

    def answer_one(self) -> HostRequest:
        request = self.waiting.popleft()
        self.shop.pass_time(SERVICE_MS)
        self.shop.post(ExchangeEnded(request, good_host(request)))
        return request

    def goes_away(self) -> None:
        self.shop.host = absent_host
        while self.waiting:
            self.shop.post(ExchangeEnded(self.waiting.popleft(), NotSent("unreachable")))
        assert self.shop.desk.breaker.open

    def answer_all(self) -> None:
        while self.waiting:
            self.answer_one()


def _shop_that_owes(directory: Path, debts: int, window: int) -> tuple[Shop, SlowHost]:
    """Open after an outage, signed on, with its first window of debts under way."""
    shop = Shop(directory, config=replace(CONFIG, offline=WIDE))
    shop.open()
    shop.desk.profile = replace(shop.desk.profile, window=window)
    shop.lose_host()
    for _ in range(debts):
        shop.sell(tapped(OutcomeKind.APPROVED, CryptogramType.TC), 100)
    host = SlowHost(shop)
    shop.pass_time(CONFIG.host.probe_pause_max_ms)
    assert host.answer_one().row == "sign_on"
    return shop, host


def _answer_of_a_sale_after_ms(shop: Shop, host: SlowHost) -> int:
    ref = shop.arm().payment_ref
    from_us = shop.clock.now_us
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    while host.answer_one().payment_ref != ref:
        pass
    return (shop.clock.now_us - from_us) // 1_000


@pytest.mark.parametrize(("window", "debts"), [(1, 50), (8, 150), (DEBTS_IN_FLIGHT_MAX, 1_000), (500, 300)])
def test_a_sale_waits_for_the_debts_in_flight_and_for_no_other(tmp_path: Path, window: int, debts: int) -> None:
    shop, host = _shop_that_owes(tmp_path, debts, window)
    for _ in range(20):
        host.answer_one()
    limit = min(window, DEBTS_IN_FLIGHT_MAX)
    assert len(host.waiting) == limit
    waits_ms = [_answer_of_a_sale_after_ms(shop, host) for _ in range(5)]
    assert max(waits_ms) <= limit * SERVICE_MS + SERVICE_MS
    assert len(host.waiting) == limit
    shop.power_cut()


def test_no_debt_leaves_while_the_customer_waits_and_all_do_afterwards(tmp_path: Path) -> None:
    shop, host = _shop_that_owes(tmp_path, 20, window=2)
    ref = shop.arm().payment_ref
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    while len(host.waiting) > 1:
        host.answer_one()
    (sale,) = host.waiting
    assert sale.payment_ref == ref
    shop.post(ExchangeEnded(host.waiting.popleft(), reply(sale, "94", Verdict.DUPLICATE)))
    shop.pass_time(1)
    assert [request.row for request in host.waiting] == ["status_query"]
    host.waiting.clear()
    shop.post(ExchangeEnded(shop.asked[-1], reply(shop.asked[-1], original_state="approved")))
    assert len(host.waiting) == 2
    host.answer_all()
    assert not shop.journal.open_debts()
    shop.power_cut()


def test_debts_leave_again_after_a_declined_sale_too(tmp_path: Path) -> None:
    shop, host = _shop_that_owes(tmp_path, 20, window=2)
    shop.arm()
    shop.tap(tapped(OutcomeKind.ONLINE_REQUEST))
    while len(host.waiting) > 1:
        host.answer_one()
    sale = host.waiting.popleft()
    shop.post(ExchangeEnded(sale, reply(sale, "51", Verdict.DECLINED)))
    assert [request.row for request in host.waiting] == ["offline_advice"] * 2
    shop.power_cut()


def test_new_debts_while_old_ones_drain_are_minted_once_and_delivered_once(tmp_path: Path) -> None:
    """A queue that grows while it drains (a host that comes and goes): each debt's bytes, STAN and key are its own."""
    shop, host = _shop_that_owes(tmp_path, 60, window=4)
    for _ in range(4):
        for _ in range(9):
            host.answer_one()
        host.goes_away()
        for _ in range(5):
            shop.sell(tapped(OutcomeKind.APPROVED, CryptogramType.TC), 200)
        shop.host = host.hears  # it is back
        shop.pass_time(CONFIG.host.probe_pause_max_ms)
        assert host.answer_one().row == "sign_on"
    host.answer_all()
    owed = [record.entry for record in shop.journal.records() if isinstance(record.entry, e.DebtOwed)]
    assert len(owed) == 80
    assert len({entry.stan for entry in owed}) == len({entry.key_counter for entry in owed}) == len(owed)
    advices = [request for request in shop.asked if request.row == "offline_advice"]
    assert {request.payment_ref for request in advices} == {entry.payment_ref for entry in owed}
    wires: dict[str | None, set[bytes]] = {}
    for request in advices:
        wires.setdefault(request.payment_ref, set()).add(request.wire)
    assert {len(each) for each in wires.values()} == {1}
    closed = Counter(record.entry.debt for record in shop.journal.records() if isinstance(record.entry, e.DebtClosed))
    assert set(closed.values()) == {1}
    assert not shop.journal.open_debts()
    shop.power_cut()


def test_an_answered_debt_makes_room_before_the_disk_is_done_and_the_commits_stay_few(tmp_path: Path) -> None:
    """A slow disk holds the drain up only once a whole group of answers waits for it."""
    shop, host = _shop_that_owes(tmp_path, 200, window=4)
    shop.disk_slow = True
    answered = 0
    while host.waiting:
        host.answer_one()
        answered += 1
    assert EVENTS_GROUPED_MAX <= answered < EVENTS_GROUPED_MAX + 4
    shop.disk_catches_up()
    host.answer_all()
    assert not shop.journal.open_debts()
    advices = [request.wire for request in shop.asked if request.row == "offline_advice"]
    assert len(set(advices)) == len(advices) == 200
    shop.power_cut()
