"""A scripted shop day: cards are tapped, the network fails, the power goes, and at the end both books are compared.

Comes in: a running `World`. Goes out: `DayReport`. Strategy: every scene is what a person at the counter would do and
see; nothing is read from inside the terminal while it runs. What is claimed about loss and doubling is computed from
the journal file and the host's database, not from what the scenes expected.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from taplab.books import Books, read_books
from taplab.register import Register, RegisterError
from taplab.slips import slip_of
from taplab.world import World
from taptill.journal.port import DebtRow

STATE_WAIT_S = 20.0
DRAIN_WAIT_S = 30.0
PRINT_WAIT_S = 10.0
SLIP_LOOK_EVERY_S = 0.1
NEXT_CUSTOMER_S = 0.5  # nobody changes cards faster than this

OUTAGE_ROWS = frozenset({"offline_advice", "deferred_advice"})


@dataclass(frozen=True, slots=True)
class Sold:
    """One payment of the day, as the register saw it when the customer left."""

    scene: str
    payment_ref: str
    card: str
    reader: str
    amount_minor: int
    state_at_counter: str
    next_step: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A card that could not pay, what the cashier read of it, and how the payment ended."""

    scene: str
    payment_ref: str
    card: str
    reader: str
    amount_minor: int
    state_at_counter: str
    told: str
    next_step: str


@dataclass(slots=True)
class DayReport:
    """What happened, and what both books say about it."""

    sold: list[Sold] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    owed_before_cut: list[DebtRow] = field(default_factory=list)
    books: Books | None = None


class Day:
    """Plays the scenes in order; `progress` gets a line before each."""

    def __init__(self, world: World, progress: Callable[[str], None]) -> None:
        self.world = world
        self.register = Register(world.ecr_url)
        self.report = DayReport()
        self._progress = progress
        self._second_reader = "pn532" if world.pcsc_missing else "pcsc"

    def play(self) -> DayReport:
        """Raises RegisterError when a payment does not come to the state its scene is about."""
        self._wait_for_host()
        self._morning()
        self._other_schemes()
        self._lost_replies()
        self._outage()
        self._power_cut()
        self._evening()
        self.report.books = read_books(self.world)
        return self.report

    def _wait_for_host(self) -> None:
        self.register.wait_until("signed_on", True, STATE_WAIT_S)
        self.register.wait_until("ready", True, STATE_WAIT_S)

    def _morning(self) -> None:
        self._sell("approved online on the PN532", "good_credit", "pn532", 1250, "approved")
        scene = "approved online on the PN532 again" if self.world.pcsc_missing else "approved online over PC/SC"
        self._sell(scene, "good_credit", self._second_reader, 3690, "approved")
        self._sell("the account has too little credit left", "low_limit", "pn532", 88_00, "declined")
        self._sell("the card was blocked by its issuer", "blocked", self._second_reader, 500, "declined")

    def _other_schemes(self) -> None:
        self._sell("a Visa card, approved online", "visa_credit", "pn532", 21_60, "approved")
        scene = "a Mastercard, approved online on the other reader"
        self._sell(scene, "mastercard_credit", self._second_reader, 57_00, "approved")
        self._refuse("an American Express card: not taken, and named", "amex_like", "pn532", 64_00, "no-kernel")

    def _lost_replies(self) -> None:
        self.world.network.lose_next_reply()
        self._sell("the reply got lost, the status query finds it", "good_credit", "pn532", 6_00, "approved")
        self._wait_for_host()
        self.world.network.lose_next_reply(then_down=True)
        scene = "the reply got lost and the host is away: will be undone"
        self._sell(scene, "good_credit", self._second_reader, 45_00, "reversing")

    def _outage(self) -> None:
        self.world.network.down()
        self.register.wait_until("host", "unreachable", STATE_WAIT_S)
        self._sell(
            "outage: the card's own funds, signature checked", "offline_funds", "pn532", 18_80, "approved_offline"
        )
        scene = "outage: the card's own funds again"
        self._sell(scene, "offline_funds", self._second_reader, 7_20, "approved_offline")
        self._sell("outage: taken at the merchant's risk", "good_credit", "pn532", 26_00, "deferred")

    def _power_cut(self) -> None:
        self._progress("the power goes while the terminal owes the host")
        self.report.owed_before_cut = [debt for debt in read_books(self.world).debts if debt.is_open]
        self.world.kill_terminal()
        self.world.network.up()
        self.world.start_terminal()
        self.register.base_url = self.world.ecr_url
        self._progress("the network is back, what is owed is paid")
        self.register.wait_until("open_debts", 0, DRAIN_WAIT_S)

    def _evening(self) -> None:
        self._wait_for_host()
        self._sell("business as usual again", "good_credit", "pn532", 99_90, "approved")
        self._wait_for_slips()

    def _wait_for_slips(self) -> None:
        """Everybody gets a slip, the last customer too."""
        deadline = time.monotonic() + PRINT_WAIT_S
        for sold in self.report.sold:
            while slip_of(sold.payment_ref, self.world.printer.jobs) is None:
                if time.monotonic() > deadline:
                    raise RegisterError("no slip came out", where=f"payment {sold.payment_ref}")
                time.sleep(SLIP_LOOK_EVERY_S)

    def _refuse(self, scene: str, card: str, kind: str, amount_minor: int, code: str) -> None:
        """No sale with this card: the cashier reads why and cancels."""
        self._progress(scene)
        reader = self.world.reader(kind)
        payment_ref = self.register.arm(amount_minor)
        self.world.present(reader, card)
        try:
            message = self.register.wait_for_message(payment_ref, code, STATE_WAIT_S)
        finally:
            self.world.remove(reader)
        self.register.cancel(payment_ref)
        payment = self.register.wait_for(payment_ref, {"cancelled"}, STATE_WAIT_S)
        time.sleep(NEXT_CUSTOMER_S)
        told, next_step = (message[side]["zh-CN"] for side in ("cashier", "next_step"))
        self.report.refused.append(
            Refused(scene, payment_ref, card, reader, amount_minor, payment["state"], told, next_step)
        )

    def _sell(self, scene: str, card: str, kind: str, amount_minor: int, state: str) -> None:
        self._progress(scene)
        reader = self.world.reader(kind)
        payment_ref = self.register.arm(amount_minor)
        self.world.present(reader, card)
        try:
            payment = self.register.wait_for(payment_ref, {state}, STATE_WAIT_S)
        finally:
            self.world.remove(reader)
            time.sleep(NEXT_CUSTOMER_S)
        reason = payment["reason"]
        next_step = reason["next_step"]["zh-CN"] if reason else ""
        self.report.sold.append(Sold(scene, payment_ref, card, reader, amount_minor, payment["state"], next_step))
