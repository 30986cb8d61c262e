"""An older copy of the terminal's files is put back: no sale that was told approved comes undone (DESIGN 5.4, 5.6).

Comes in: a seed per schedule; `TAPTILL_SCHEDULES=5000` runs more of them than usual. Goes out: for a seed that fails,
its story. Strategy: stories with a scripted host for each rule, then random shop days with a real acquirer in which a
copy of journal and key store is taken at any moment, selling goes on, and the copy is put back.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from tests.terminal.shop import CONFIG, CountingEntropy, Shop, absent_host, good_host, reply, silent_host, tapped
from tests.terminal.shop_with_host import RICH, Fate, ShopWithHost

from taptill.card.outcome import CryptogramType, OutcomeKind
from taptill.host.exchange import ExchangeResult, HostRequest, Verdict
from taptill.terminal.machine import PaymentState, is_open

SCHEDULES = int(os.environ.get("TAPTILL_SCHEDULES", "40"))
HOUR_MS = 3_600_000
LATER_STAN = 500
ENTROPY_SINCE = 10_000  # no reference is minted again


def _copy(shop: Shop, name: str) -> Path:
    """The files as a card pulled now would hold them."""
    copy = shop.directory.parent / f"{shop.directory.name} {name}"
    shutil.copytree(shop.directory, copy, dirs_exist_ok=True)
    return copy


def _put_back(shop: Shop, copy: Path) -> None:
    shop.power_cut()
    shutil.rmtree(shop.directory)
    shutil.copytree(copy, shop.directory)


def _ahead(request: HostRequest, found: str = "not found") -> ExchangeResult:
    """A host that is in batch 1 and has seen more of it than the journal."""
    if request.row == "sign_on":
        return reply(request, batch=1, stan_high=LATER_STAN)
    if request.row == "status_query":
        return reply(request, original_state=found)
    return good_host(request)


def _sold_in_flight(shop: Shop) -> str:
    """The intent stands in the journal, no outcome does."""
    shop.host = lambda request: None if request.row == "sale" else good_host(request)
    return shop.sell()


@pytest.mark.parametrize("found", ["not found", "reversed", "in progress", ""])
def test_what_a_host_that_is_ahead_does_not_confirm_is_the_operators(shop: Shop, found: str) -> None:
    ref = _sold_in_flight(shop)
    shop.power_cut()
    shop.host = lambda request: _ahead(request, found)
    shop.open()
    shop.pass_time(HOUR_MS)
    assert shop.state(ref) == "parked"
    assert "reversal" not in [request.row for request in shop.asked]
    assert shop.printed[-1].facts.reason.startswith("not-proven")


@pytest.mark.parametrize("found", ["approved", "declined"])
def test_what_a_host_that_is_ahead_confirms_ends_so(shop: Shop, found: str) -> None:
    ref = _sold_in_flight(shop)
    shop.power_cut()
    shop.host = lambda request: _ahead(request, found)
    shop.open()
    shop.pass_time(1)
    assert shop.state(ref) == found


def test_an_ordinary_power_cut_is_undone_on_the_hosts_word(shop: Shop) -> None:
    ref = _sold_in_flight(shop)
    shop.power_cut()
    shop.host = good_host
    shop.open()
    shop.pass_time(1)
    assert shop.state(ref) == "reversed"


def test_silence_undoes_nothing_of_an_earlier_start(shop: Shop) -> None:
    ref = _sold_in_flight(shop)
    shop.power_cut()
    shop.host = lambda request: good_host(request) if request.row == "sign_on" else silent_host(request)
    shop.open()
    shop.pass_time(HOUR_MS)
    assert shop.state(ref) == "unknown"
    assert not shop.journal.open_debts()


def test_before_this_starts_sign_on_nothing_is_asked_or_undone(shop: Shop) -> None:
    ref = _sold_in_flight(shop)
    shop.power_cut()
    shop.host = absent_host
    shop.open()
    shop.asked.clear()
    shop.pass_time(HOUR_MS)
    assert {request.row for request in shop.asked} == {"sign_on"}
    assert shop.state(ref) == "unknown"
    assert shop.state(shop.sell()) == "deferred"  # the counter is free meanwhile
    shop.host = good_host
    shop.pass_time(CONFIG.host.probe_pause_max_ms + 1)
    assert shop.state(ref) == "reversed"


def test_a_host_that_does_not_say_what_it_has_seen_proves_nothing(shop: Shop) -> None:
    ref = _sold_in_flight(shop)
    shop.power_cut()
    shop.host = lambda request: reply(request) if request.row == "sign_on" else good_host(request)
    shop.open()
    shop.pass_time(1)
    assert shop.state(ref) == "parked"


def test_that_the_journal_was_older_is_known_after_the_next_restart_too(shop: Shop) -> None:
    ref = _sold_in_flight(shop)
    shop.power_cut()
    shop.host = lambda request: silent_host(request) if request.row == "status_query" else _ahead(request)
    shop.open()
    shop.pass_time(1)
    shop.restart()
    assert shop.state(ref) == "unknown"
    shop.host = _ahead
    shop.pass_time(HOUR_MS)
    assert shop.desk.journal_is_newest
    assert shop.state(ref) == "parked"


def test_a_host_that_came_back_after_many_tries_still_shows_that_it_is_ahead(shop: Shop) -> None:
    """STANs of sign-ons that never left must not hide what the host has seen."""
    shop.power_cut()
    shop.host = absent_host
    shop.open()
    first = shop.desk.first_stan
    shop.pass_time(HOUR_MS)
    assert shop.desk.counters.next_stan > first + 20
    shop.host = lambda request: reply(request, stan_high=first + 3) if request.row == "sign_on" else good_host(request)
    shop.pass_time(CONFIG.host.probe_pause_max_ms + 1)
    assert (shop.desk.counters.batch, shop.desk.journal_is_newest) == (2, False)


def test_a_lost_answer_to_a_sign_on_makes_no_journal_old(shop: Shop) -> None:
    shop.power_cut()
    shop.host = silent_host
    shop.open()
    lost = shop.asked[-1].key.stan
    shop.host = lambda request: reply(request, stan_high=lost) if request.row == "sign_on" else good_host(request)
    shop.pass_time(CONFIG.host.probe_pause_max_ms + 1)
    assert (shop.desk.counters.batch, shop.desk.journal_is_newest) == (1, True)


def test_debts_of_a_restored_journal_leave_as_they_were_and_keep_their_stans(shop: Shop) -> None:
    shop.lose_host()
    refs = [shop.sell(tapped(OutcomeKind.APPROVED, CryptogramType.TC), 100 + n) for n in range(2)]
    owed = {debt.debt: debt for debt in shop.journal.open_debts()}
    copy = _copy(shop, "with debts")
    shop.host = good_host
    shop.pass_time(HOUR_MS)
    for _ in range(5):
        shop.sell()
    _put_back(shop, copy)
    shop.asked.clear()
    shop.host = lambda request: None if request.row == "offline_advice" else _ahead(request)
    shop.open()
    for _ in range(8):
        assert shop.state(shop.sell()) == "approved"
        assert len(shop.desk.debts) == len(refs)
    sales = [request for request in shop.asked if request.row == "sale"]
    assert {sale.key.batch for sale in sales} == {2}
    used = [request.key.stan for request in shop.asked if request.row != "offline_advice"]
    assert not {debt.stan for debt in owed.values()} & set(used[1:])
    assert len(set(used[1:])) == len(used) - 1
    while shop.unanswered:
        shop.answer_now(good_host)
    advices = [request for request in shop.asked if request.row == "offline_advice"]
    assert {request.wire for request in advices} == {debt.wire for debt in owed.values()}
    assert not shop.journal.open_debts()


class _RestoredShop(ShopWithHost):
    """A shop day in which the files are put back to an older state, and what was told before is remembered."""

    def live(self) -> None:
        self.open()
        self._sell_some()
        copy = _copy(self, "older")
        self.tell("the files are copied")
        self._sell_some()
        self.tell("the copy is put back")
        _put_back(self, copy)
        self._first_use.clear()  # what the copy does not know of it may well do again: the host has to tell
        self.fates = {row: tuple(Fate) for row in ("sign_on", "status_query", "reversal")} if self._unlucky() else {}
        self.open()
        self.desk.entropy = CountingEntropy(ENTROPY_SINCE)
        if self._unlucky():
            self.pass_time(self.random.choice((1, 5_000, 100_000)))
            self.restart()
        self._sell_some()
        self.fates.clear()
        for _ in range(3):
            self.network_delivers(share=1)
            self.pass_time(10 * 60_000)

    def _unlucky(self) -> bool:
        return self.random.random() < 0.5

    def _sell_some(self) -> None:
        """The copy may be taken while a sale has no answer yet, is being asked about, or is to be undone."""
        for _ in range(self.random.randint(0, 4)):
            self.fates["sale"] = self.random.choice(((Fate.ANSWERED,), tuple(Fate)))
            self.fates["status_query"] = self.random.choice(((Fate.ANSWERED,), tuple(Fate)))
            self.fates["reversal"] = self.random.choice(((Fate.ANSWERED,), (Fate.OPEN,), tuple(Fate)))
            if self.desk.at_counter is None:
                self.arm(self.random.choice((100, 700, 1_250)))
            runs = len(self.ran)
            self.hold_card()
            if len(self.ran) > runs:
                self.finish_reading(RICH, OutcomeKind.ONLINE_REQUEST)
            self.pass_time(self.random.choice((0, 1, 2_000, 2_000, 60_000)))
            self.network_delivers(share=self.random.choice((0, 0.5, 1)))

    def wrong(self) -> list[str]:
        net: dict[str, int] = {}
        with self.books.transaction() as books:
            for entry in books.entries(captured_only=True):
                net[entry.payment_ref] = net.get(entry.payment_ref, 0) + entry.captured_minor
        told = {news.payment_ref for news in self.told if news.state == "approved"}
        wrong = [f"{ref} was told approved and is net zero" for ref in told if not net.get(ref)]
        debts = self.journal.open_debts()
        wrong += [f"{debt.debt} is owed" for debt in debts if debt.state == "open"]
        parked = {debt.payment_ref for debt in debts if debt.state == "parked"}
        for row in self.journal.payments():
            if is_open(PaymentState(row.state)) and row.state != "parked" and row.payment_ref not in parked:
                wrong.append(f"{row.payment_ref} is {row.state}")
        return self.broken + wrong


@pytest.mark.parametrize("seed", range(SCHEDULES), ids="seed-{}".format)
def test_no_sale_that_was_told_approved_is_undone_by_an_older_copy(seed: int, tmp_path: Path) -> None:
    directory = tmp_path / "shop"
    directory.mkdir()
    shop = _RestoredShop(directory, seed)
    try:
        shop.live()
        assert shop.wrong() == []
        shop.journal.verify()
    except Exception as error:
        error.add_note("\n".join([f"the story of seed {seed}:", *shop.story]))
        raise
    finally:
        shop.power_cut()


def test_an_advice_whose_key_the_host_refuses_twice_is_the_operators(shop: Shop) -> None:
    shop.lose_host()
    ref = shop.sell(tapped(OutcomeKind.APPROVED, CryptogramType.TC))

    def knows_the_key(request: HostRequest) -> ExchangeResult:
        refused = request.row == "offline_advice"
        return reply(request, "A0", Verdict.SIGN_ON_FIRST) if refused else good_host(request)

    shop.host = knows_the_key
    shop.pass_time(HOUR_MS)
    (debt,) = shop.journal.open_debts()
    assert (debt.payment_ref, debt.state) == (ref, "parked")
    assert sum(request.row == "offline_advice" for request in shop.asked) == 2
    shop.sell()
    assert shop.told[-1].state == "approved"
