"""Sales at the counter of a running terminal, one after the other, each timed from the end of the tap.

Comes in: a running loop. Goes out: how long the customer waits for the result after the card has said its last word:
intent on the disk, question, answer, outcome on the disk. Strategy: the reader's place in the product is taken here;
the product's kernel reads one of the lab's cards anew for each sale, outside the time that is measured.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from taplab.bench.taps import ONLINE_CARD, READER_URL, ReadCard
from taplab.bench.threaded_till import TerminalHangs
from taplab.provision import LabFiles
from taptill.card.reader import Presentation
from taptill.host.exchange import Replied
from taptill.host.link import ExchangeEnded
from taptill.terminal.effects import Effect, RunKernel, Tell
from taptill.terminal.events import ArmRequested, CardDone, CardSeen, Event, ReaderChanged
from taptill.terminal.loop import Loop

STEP_WAIT_S = 15.0
AMOUNT_MINOR = 100

Item = TypeVar("Item")


class Counter:
    """A `ReaderDesk`, and the customer before it. `effect` and `event` are to be told of everything."""

    def __init__(self, files: LabFiles) -> None:
        self.url = READER_URL
        self._hand = ReadCard(ONLINE_CARD, files.scheme, files.ca_keys)
        self._listening: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._kernels: queue.SimpleQueue[RunKernel] = queue.SimpleQueue()
        self._approved: queue.SimpleQueue[tuple[str, float]] = queue.SimpleQueue()
        self._signed_on = threading.Event()
        self._sales = 0

    def listen(self, payment_ref: str) -> None:
        self._listening.put(payment_ref)

    def stop_listening(self) -> None:
        """Nothing to stop."""

    def run_kernel(self, run: RunKernel) -> None:
        self._kernels.put(run)

    def effect(self, effect: Effect) -> None:
        if isinstance(effect, Tell) and effect.state in {"approved", "declined", "unknown", "cancelled"}:
            self._approved.put((effect.state, time.perf_counter()))

    def event(self, event: Event) -> None:
        if isinstance(event, ExchangeEnded) and event.request.row == "sign_on" and isinstance(event.result, Replied):
            self._signed_on.set()

    def open(self, loop: Loop) -> None:
        """The terminal has its reader and its host. Raises TerminalHangs."""
        loop.post(ReaderChanged(self.url, True))
        if not self._signed_on.wait(STEP_WAIT_S):
            raise TerminalHangs("no sign-on", where="bench counter")

    def sell(self, loop: Loop, before_tap: Callable[[], None] = lambda: None) -> float:
        """Seconds from the tap's end to the result. Raises TerminalHangs when it is not approved."""
        self._sales += 1
        name = f"live-{self._sales}-{time.time_ns()}"
        loop.post(ArmRequested(self._sales, name, name, AMOUNT_MINOR, "CNY", name))
        _next(self._listening, "nobody waits for a card")
        before_tap()
        loop.post(CardSeen(self.url, Presentation(self._hand.card.uid, "A", self._hand.card.ats)))
        run = _next(self._kernels, "the card is not read")
        read = self._hand.read(run.request)
        began = time.perf_counter()
        loop.post(CardDone(self.url, run.payment_ref, read))
        state, ended = _next(self._approved, "no result")
        if state != "approved":
            raise TerminalHangs(f"the sale is {state}", where="bench counter")
        return ended - began


def _next(source: queue.SimpleQueue[Item], otherwise: str) -> Item:
    try:
        return source.get(timeout=STEP_WAIT_S)
    except queue.Empty:
        raise TerminalHangs(otherwise, where="bench counter") from None
