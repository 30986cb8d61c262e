"""Stories of a disk that is full, slow or failing: no sale begins, what was begun ends, and it goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from tests.terminal.shop import Shop, good_host, reply, silent_host, tapped

from taptill.card.outcome import CardRead, CryptogramType, OutcomeKind
from taptill.host.exchange import ExchangeResult, HostRequest, Silent
from taptill.host.link import LinkChanged
from taptill.host.profile import AES_PROFILE, load_profile
from taptill.terminal.reasons import explain_reason
from taptill.terminal.storing import SYNC_MS_MAX, TRIAL_PAUSE_MS_MAX

if TYPE_CHECKING:
    from tests.conftest import SmallDisk

SLOW_MS = SYNC_MS_MAX + 400
LONG_ENOUGH_MS = 120_000  # to ask about a sale, give it up and have it reversed
TAP = OutcomeKind.ONLINE_REQUEST


@pytest.fixture
def crowded(small_disk: SmallDisk) -> Iterator[Shop]:
    """A shop whose disk is a real one of 3 MiB."""
    shop = Shop(small_disk.folder)
    shop.open()
    yield shop
    shop.power_cut()


def silent_on_sales(request: HostRequest) -> ExchangeResult:
    return Silent("timeout") if request.row in {"sale", "status_query"} else good_host(request)


def use_up(disk: SmallDisk) -> None:
    """Full to the last octet: what was kept for outcomes is given away as well."""
    disk.fill()
    (disk.folder / "journal.sqlite.reserve").write_bytes(b"")
    disk.fill()


def test_a_sale_under_way_when_the_disk_fills_is_undone_and_none_begins(crowded: Shop, small_disk: SmallDisk) -> None:
    crowded.host = lambda request: None if request.row == "sale" else silent_on_sales(request)
    ref = crowded.sell()
    crowded.journal.checkpoint()  # an empty log has to grow with the next entry
    small_disk.fill()
    crowded.answer_now(silent_host)
    crowded.pass_time(LONG_ENOUGH_MS)
    assert crowded.state(ref) == "reversed"
    assert crowded.journal.open_debts() == []
    assert crowded.arm().refusal == "disk-full"
    crowded.post(LinkChanged(False, "tls://host:1", "cable"))  # the entry of an echo still finds room
    crowded.pass_time(1)
    assert crowded.asked[-1].row == "echo"
    assert crowded.desk.storage_fault.startswith("full: ")
    small_disk.free()
    crowded.host = good_host
    crowded.pass_time(TRIAL_PAUSE_MS_MAX)
    assert crowded.desk.storage_fault == ""
    assert crowded.state(crowded.sell()) == "approved"
    crowded.journal.verify()


def test_an_armed_payment_ends_when_its_intent_finds_no_room(crowded: Shop, small_disk: SmallDisk) -> None:
    ref = crowded.arm().payment_ref or ""
    use_up(small_disk)
    crowded.tap(tapped(TAP))
    assert "sale" not in [request.row for request in crowded.asked]
    assert crowded.told[-1].message == "disk-full"
    small_disk.free()
    crowded.pass_time(TRIAL_PAUSE_MS_MAX)
    assert crowded.state(ref) == "cancelled"
    assert crowded.told[-1].state == "cancelled"
    assert crowded.state(crowded.sell()) == "approved"


@pytest.mark.parametrize(
    "card", [tapped(OutcomeKind.APPROVED, CryptogramType.TC), tapped(TAP)], ids=["offline", "deferred"]
)
def test_an_offline_sale_ends_when_its_advice_finds_no_room(
    crowded: Shop, small_disk: SmallDisk, card: CardRead
) -> None:
    crowded.lose_host()
    ref = crowded.arm().payment_ref or ""
    use_up(small_disk)
    crowded.tap(card)
    small_disk.free()
    crowded.pass_time(TRIAL_PAUSE_MS_MAX)
    assert crowded.state(ref) == "cancelled"
    assert crowded.journal.open_debts() == []
    assert [slip.facts.state for slip in crowded.printed if slip.facts.payment_ref == ref] == []


def test_a_terminal_that_starts_on_a_full_disk_ends_what_was_begun(crowded: Shop, small_disk: SmallDisk) -> None:
    crowded.host = lambda request: None if request.row == "sale" else silent_on_sales(request)
    ref = crowded.sell()
    crowded.power_cut()
    small_disk.fill()
    crowded.host = lambda request: reply(request, original_state="approved")
    crowded.open()
    crowded.pass_time(LONG_ENOUGH_MS)
    assert crowded.state(ref) == "approved"
    assert crowded.arm().refusal == "disk-full"


def test_a_slow_disk_stops_new_sales_and_not_the_one_under_way(shop: Shop) -> None:
    shop.host = lambda request: None if request.row == "sale" else good_host(request)
    ref = shop.sell()
    shop.disk_takes_ms = SLOW_MS
    shop.answer_now(good_host)
    assert shop.state(ref) == "approved"
    assert shop.desk.storage_fault == "slow: the disk took 1,400 ms"
    assert shop.arm().refusal == "disk-slow"


def test_debts_are_forwarded_on_a_slow_disk(shop: Shop) -> None:
    shop.host = lambda request: None if request.row == "sale" else silent_on_sales(request)
    ref = shop.sell()
    shop.disk_takes_ms = SLOW_MS
    shop.answer_now(silent_host)
    shop.pass_time(LONG_ENOUGH_MS)
    assert shop.state(ref) == "reversed"
    assert shop.arm().refusal == "disk-slow"


def test_a_disk_as_slow_as_the_limit_is_not_slow(shop: Shop) -> None:
    shop.disk_takes_ms = SYNC_MS_MAX
    assert shop.state(shop.sell()) == "approved"
    assert shop.arm().refusal is None


def test_a_slow_disk_is_tried_again_after_growing_pauses_until_it_is_fast(shop: Shop) -> None:
    shop.disk_takes_ms = SLOW_MS
    shop.arm()
    before = shop.trials
    shop.pass_time(60_000)
    assert 5 <= shop.trials - before <= 12
    shop.disk_takes_ms = 20
    shop.pass_time(TRIAL_PAUSE_MS_MAX)
    assert shop.desk.storage_fault == ""
    before = shop.trials
    shop.pass_time(60_000)
    assert shop.trials == before


def test_an_armed_payment_is_told_and_its_card_left_alone_until_the_disk_is_well(shop: Shop) -> None:
    ref = shop.arm().payment_ref or ""
    shop.disk_takes_ms = SLOW_MS
    shop.post(LinkChanged(False, "tls://host:1", "cable"))  # an echo is asked, and its entry is slow
    shop.pass_time(1)
    assert (shop.told[-1].payment_ref, shop.told[-1].message) == (ref, "disk-slow")
    shop.hold_card()
    assert not shop.ran
    shop.disk_takes_ms = 0
    shop.pass_time(TRIAL_PAUSE_MS_MAX)
    assert (shop.told[-1].state, shop.told[-1].message) == ("armed", "")
    shop.tap(tapped(TAP))
    assert shop.state(ref) == "approved"


@pytest.mark.parametrize("word", ["disk-full", "disk-slow", "journal-not-writable"])
def test_each_fault_of_the_disk_has_words_and_a_next_step(word: str) -> None:
    reason = explain_reason(word, load_profile(AES_PROFILE.read_text(encoding="utf-8")))
    unknown = explain_reason("nothing-of-the-kind", load_profile(AES_PROFILE.read_text(encoding="utf-8")))
    assert reason.cashier.zh.startswith("此终端暂停收款")
    assert reason.next_step not in (unknown.next_step, None)
    assert all((reason.customer.zh, reason.customer.en, reason.next_step.zh, reason.next_step.en))


def test_who_waits_for_a_result_that_cannot_be_stored_is_told_so(shop: Shop) -> None:
    shop.host = lambda request: None if request.row == "sale" else good_host(request)
    ref = shop.sell()
    shop.disk_full = True
    shop.answer_now(reply)
    assert (shop.told[-1].payment_ref, shop.told[-1].state) == (ref, "authorizing")
    assert shop.told[-1].message == "outcome-not-stored"
    shop.disk_full = False
    shop.pass_time(TRIAL_PAUSE_MS_MAX)
    assert shop.told[-1].state == "approved"
