"""Whatever fails between a counter and its acquirer, in whatever order: once it stops, both books say the same.

Comes in: one seed per schedule; `TAPTILL_SCHEDULES=5000` runs more of them than usual. Goes out: for a seed that fails,
what is wrong and its story. Strategy: random steps of customers, network, host, disk and power, then fair weather and
time, then the terminal's journal is compared with the host's ledger.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.terminal.shop_with_host import BLOCKED, DEBT_ROWS, PARTLY, RICH, STRANGER, Fate, ShopWithHost

from taptill.card.outcome import OutcomeKind
from taptill.terminal.machine import PaymentState, is_open

SCHEDULES = int(os.environ.get("TAPTILL_SCHEDULES", "60"))
STEPS = 80
PAID = {"approved", "approved_offline"}
FATES = {
    "answered": (Fate.ANSWERED,),
    "unlucky": tuple(Fate),
    "unheard": (Fate.REQUEST_LOST, Fate.REQUEST_LOST, Fate.REQUEST_LATE),
    "heard only": (Fate.REPLY_LOST, Fate.REPLY_LATE),
}
QUESTIONS = {"sales": ("sale",), "queries": ("status_query",), "debts": DEBT_ROWS, "link": ("sign_on", "echo")}


def _sell(shop: ShopWithHost) -> None:
    if shop.desk.at_counter is None:
        amount_minor = shop.random.choice((100, 300, 700, 1_250, 9_000))
        shop.tell(f"the cashier keys {amount_minor}")
        shop.arm(amount_minor)
    _hold_card(shop)


def _hold_card(shop: ShopWithHost) -> None:
    runs = len(shop.ran)
    shop.hold_card()
    if len(shop.ran) > runs and shop.random.random() < 0.9:
        _finish_reading(shop)


def _finish_reading(shop: ShopWithHost) -> None:
    if shop.ran:
        outage = (OutcomeKind.APPROVED,) * 4 * (not shop.ran[-1].request.online_possible)
        usual = (*outage, *[OutcomeKind.ONLINE_REQUEST] * 4)
        pan = shop.random.choice((*[RICH] * 5, *[PARTLY] * 3, BLOCKED, STRANGER))
        shop.finish_reading(pan, shop.random.choice((*usual, OutcomeKind.DECLINED, OutcomeKind.TRY_AGAIN)))


def _cancel(shop: ShopWithHost) -> None:
    shop.tell("the cashier cancels")
    shop.cancel(shop.desk.at_counter or "")


def _network_changes(shop: ShopWithHost) -> None:
    """Each kind of question gets a luck of its own, the link mostly a good one."""
    cut_off = shop.random.random() < 0.1
    for kind, rows in QUESTIONS.items():
        lucky = kind == "link" and shop.random.random() < 0.8
        name = "answered" if lucky else shop.random.choice(tuple(FATES))
        shop.fates |= dict.fromkeys(rows, (Fate.NOT_SENT,) if cut_off else FATES[name])
        shop.tell(f"from now on {kind} are {'cut off' if cut_off else name}")


def _time_passes(shop: ShopWithHost) -> None:
    if shop.random.random() < 0.5:
        shop.disk_catches_up()
    shop.pass_time(shop.random.choice((1, 1_500, 5_000, 5_000, 20_000, 61_000, 400_000)))


def _network_delivers(shop: ShopWithHost) -> None:
    shop.network_delivers(share=0.5)


def _power_fails_in_a_sale(shop: ShopWithHost) -> None:
    shop.power_fails_at_sync = shop.random.randint(1, 5)
    _sell(shop)


def _disk_changes(shop: ShopWithHost) -> None:
    disk = shop.random.choice(("well", "slow", "slow", "full"))
    shop.tell(f"the disk is {disk}")
    shop.disk_full = disk == "full"
    shop.disk_catches_up()
    shop.disk_slow = disk == "slow"


OFTEN: dict[Callable[[ShopWithHost], None], int] = {
    _sell: 7,
    _finish_reading: 1,
    _cancel: 1,
    _network_changes: 3,
    _time_passes: 6,
    _network_delivers: 3,
    _power_fails_in_a_sale: 1,
    _disk_changes: 2,
}


def _play(shop: ShopWithHost) -> None:
    shop.survive(shop.open)
    for step in shop.random.choices(tuple(OFTEN), tuple(OFTEN.values()), k=STEPS):
        shop.survive(lambda step=step: step(shop))  # type: ignore[misc]
    shop.power_fails_at_sync = 0
    _faults_stop(shop)


def _faults_stop(shop: ShopWithHost) -> None:
    shop.tell("faults stop")
    shop.fates.clear()
    shop.disk_full = False
    shop.disk_catches_up()
    for _ in range(3):
        shop.network_delivers(share=1)
        shop.pass_time(10 * 60_000)


def _wrong(shop: ShopWithHost) -> list[str]:
    """Rules broken on the way, and all that one book says and the other does not."""
    captured = defaultdict(list)
    with shop.books.transaction() as books:
        for entry in books.entries(captured_only=True):
            captured[entry.payment_ref].append(entry.captured_minor)
    parked = {debt.payment_ref for debt in shop.journal.open_debts() if debt.state == "parked"}
    wrong = [f"{debt.debt} is still owed" for debt in shop.journal.open_debts() if debt.state == "open"]
    for row in shop.journal.payments():
        ref, state, taken = row.payment_ref, row.state, captured.pop(row.payment_ref, [])
        if ref in parked or state == "parked":
            shop.tell(f"{ref} is left to the operator")
            wrong += [f"{ref} is parked, but its card is none of a stranger"] * (row.masked_pan[-4:] != STRANGER[-4:])
        elif is_open(PaymentState(state)) or taken != [row.amount_minor] * (state in PAID):
            wrong.append(f"{ref} over {row.amount_minor} is {state}, the host captured {taken}")
    return shop.broken + wrong + [f"{ref} is captured, the terminal knows nothing of it" for ref in captured]


@pytest.mark.parametrize("seed", range(SCHEDULES), ids="seed-{}".format)
def test_both_books_agree_once_faults_stop_and_the_counter_sells_again(seed: int, tmp_path: Path) -> None:
    shop = ShopWithHost(tmp_path, seed)
    try:
        _play(shop)
        assert _wrong(shop) == []
        shop.restart()
        shop.arm()
        shop.hold_card()
        shop.finish_reading(RICH, OutcomeKind.ONLINE_REQUEST)
        assert shop.told[-1].state == "approved"
        assert _wrong(shop) == []
        shop.journal.verify()
    except Exception as error:
        error.add_note("\n".join([f"the story of seed {seed}:", *shop.story]))
        raise
    finally:
        shop.power_cut()
