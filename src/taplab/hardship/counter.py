"""A counter that keeps selling, whatever happens to the terminal: a register that asks again, and customers who tap.

Comes in: a running lab, and how customers are drawn. Goes out: `Sale`s: what each customer owed and what the register
was shown, in order.
Strategy: the register behaves as an integrator's should: one key per order, kept over retries, so that a terminal that
died in the middle is asked for the same payment again. Being away is no failure here; forgetting a payment is.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from taplab.register import Register, RegisterError
from taplab.world import World

LOOK_EVERY_S = 0.02
AWAY_LOOK_EVERY_S = 0.02
SALE_WAIT_S = 60.0
BETWEEN_SALES = "no sale"
TERMINAL_AWAY = "terminal away"
BEFORE_THE_END = frozenset({"armed", "reading", "authorizing", "confirming", "unknown", "cancelling"})
TAKES_A_CARD = frozenset({"armed", "reading"})
CARDS = ("good_credit", "good_credit", "good_credit", "offline_funds")
AMOUNT_MINOR_MIN = 100
AMOUNT_MINOR_SPREAD = 400  # a day of a thousand sales must stay within a card's credit
TAP_AGAIN_AFTER_S = 1.5
CUSTOMER_LEAVES_S = 0.05  # after the result, before the next order is keyed


@dataclass(slots=True)
class Sale:
    """One order. `shown` are the states the register saw; `refused` the reasons it was given instead."""

    key: str
    amount_minor: int
    card: str
    payment_ref: str = ""
    shown: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    interrupted: bool = False  # the terminal was away in the middle
    forgotten: bool = False  # the terminal had given a reference and does not know it any more

    @property
    def state(self) -> str:
        return self.shown[-1] if self.shown else ""

    @property
    def ended(self) -> bool:
        return bool(self.shown) and self.state not in BEFORE_THE_END


class TerminalAway(Exception):
    """Nobody answers at the terminal's address, or it hung up in the middle."""


class Counter:
    """`sell` serves one customer and returns; `open` and `close` sell in a thread of their own meanwhile."""

    def __init__(self, world: World, chance: Random) -> None:
        self.world = world
        self.sales: list[Sale] = []
        self.fault = ""  # why selling stopped by itself
        self.doing = BETWEEN_SALES  # or the state shown last, or that the terminal is away
        self._reader = world.reader("pn532")
        self._held_since: float | None = None  # monotonic, in seconds
        self._orders = _orders(chance)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="counter", daemon=True)

    def open(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Serves the customer at the counter, then ends."""
        self._closed.set()
        self._thread.join(SALE_WAIT_S + LOOK_EVERY_S)

    def _run(self) -> None:
        try:
            while not self._closed.is_set():
                self.sell()
                time.sleep(CUSTOMER_LEAVES_S)
        except Exception as error:
            self.fault = f"the counter gave up: {type(error).__name__}: {error}"

    def order(self) -> Sale:
        """The next customer comes to the counter; nothing is keyed in yet."""
        sale = next(self._orders)
        self.sales.append(sale)
        return sale

    def sell(self) -> Sale:
        """One customer from order to result. Raises RegisterError when it takes longer than SALE_WAIT_S."""
        sale = self.order()
        try:
            self.serve(sale, lambda: sale.ended)
        finally:
            self.take_card_away()
            self.doing = BETWEEN_SALES
        return sale

    def serve(self, sale: Sale, until: Callable[[], bool]) -> None:
        """Keys the order in and holds the card wherever one is wanted. Raises RegisterError."""
        deadline = time.monotonic() + SALE_WAIT_S
        while not until() and not sale.forgotten:
            if time.monotonic() > deadline:
                raise RegisterError(f"stayed {sale.shown} {sale.refused[-1:]}", where=f"payment {sale.payment_ref}")
            try:
                if sale.payment_ref:
                    self._look(sale)
                else:
                    self.key_in(sale)
            except TerminalAway:
                self.doing = TERMINAL_AWAY
                sale.interrupted = bool(sale.payment_ref)
                self._held_since = None
                self.world.snatch(self._reader)
                time.sleep(AWAY_LOOK_EVERY_S)
            else:
                time.sleep(LOOK_EVERY_S)

    def key_in(self, sale: Sale) -> None:
        """Once; the same key names the same payment. Raises TerminalAway."""
        body = {"amount_minor": sale.amount_minor}
        status, reply = self._call("POST", "/v1/payments", body, sale.key)
        if status in {200, 201}:
            sale.payment_ref = str(reply["payment_ref"])
            self._note(sale, reply)
        else:
            sale.refused.append(str(reply["error"]["code"]))

    def _look(self, sale: Sale) -> None:
        status, reply = self._call("GET", f"/v1/payments/{sale.payment_ref}")
        if status == http.client.NOT_FOUND:
            sale.forgotten = True
        elif status == http.client.OK:
            self._note(sale, reply)

    def _note(self, sale: Sale, payment: dict[str, Any]) -> None:
        self.doing = str(payment["state"])
        if self.doing != sale.state:
            sale.shown.append(self.doing)
        if self.doing in TAKES_A_CARD:
            self._hold_card(sale.card)

    def _hold_card(self, card: str) -> None:
        """Held until the end; a reader that does not want it for long is offered it once more."""
        if self.doing == "armed" and self._held_since and time.monotonic() - self._held_since > TAP_AGAIN_AFTER_S:
            self.take_card_away()
        if self._held_since is None:
            self.world.present(self._reader, card)
            self._held_since = time.monotonic()

    def take_card_away(self) -> None:
        self.world.remove(self._reader)
        self._held_since = None

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None, key: str = "") -> tuple[int, Any]:
        try:
            return Register(self.world.ecr_url).call(method, path, body, key)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise TerminalAway from error


def _orders(chance: Random) -> Iterator[Sale]:
    """Amounts grow, so that no two orders look alike."""
    number = 0
    while True:
        number += 1
        amount_minor = AMOUNT_MINOR_MIN + number + chance.randrange(AMOUNT_MINOR_SPREAD)
        yield Sale(f"order-{number}-{chance.getrandbits(32):08x}", amount_minor, chance.choice(CARDS))
