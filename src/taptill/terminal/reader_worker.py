"""The thread of one reader.

Comes in: when to listen, and with which parameters to read a card. Goes out: `CardSeen`, `CardDone`, `ReaderChanged`.
Strategy: a reader is opened again, with a growing pause, whenever it is lost; a presentation is reported once and its
card has to leave before the next one counts (DESIGN 5.13).
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from taptill.card.outcome import CardRead, Outcome, OutcomeKind
from taptill.card.parameters import Combination
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.read_card import drive, read_card
from taptill.card.reader import CardReader, ReaderLost
from taptill.terminal.effects import RunKernel
from taptill.terminal.events import (
    CardDone,
    CardSeen,
    Event,
    ReaderChanged,
)
from taptill.terminal.torn_log import TornLog, TornSale

log = logging.getLogger("taptill")

POLL_MS = 200
DECISION_WAIT_S = 2.0
REOPEN_MIN_S = 0.2
REOPEN_MAX_S = 5.0


class ReaderWorker:
    """`listen`, `stop_listening` and `run_kernel` may be called from the loop's thread and never block."""

    def __init__(
        self,
        reader: CardReader,
        combinations: Sequence[Combination],
        ca_keys: CaKeyStore,
        card_timeout_ms: int,
        post: Callable[[Event], None],
    ) -> None:
        self.url = reader.url
        self._reader = reader
        self._combinations = combinations
        self._ca_keys = ca_keys
        self._card_timeout_ms = card_timeout_ms
        self._post = post
        self._torn = TornLog()
        self._listening = threading.Event()
        self._stopped = threading.Event()
        self._kernels: queue.SimpleQueue[RunKernel | None] = queue.SimpleQueue()
        self.thread = threading.Thread(target=self._run, name=f"reader {self.url}", daemon=True)

    def listen(self, payment_ref: str) -> None:
        self._listening.set()

    def stop_listening(self) -> None:
        self._listening.clear()
        self._kernels.put(None)

    def run_kernel(self, run: RunKernel) -> None:
        self._listening.clear()
        self._kernels.put(run)

    def stop(self) -> None:
        self._stopped.set()
        self._listening.set()
        self._kernels.put(None)

    def _run(self) -> None:
        pause_s = REOPEN_MIN_S
        while not self._stopped.is_set():
            try:
                self._reader.open()
                self._post(ReaderChanged(self.url, True))
                pause_s = REOPEN_MIN_S
                self._serve()
            except ReaderLost as error:
                log.warning("reader %s: %s", self.url, error)
                self._post(ReaderChanged(self.url, False, str(error)))
            except Exception as error:
                log.exception("reader %s: a fault of this program", self.url)
                self._post(ReaderChanged(self.url, False, type(error).__name__))
            finally:
                self._reader.close()
            self._answer_late_decisions()
            if self._stopped.wait(pause_s):
                return
            pause_s = min(pause_s * 2, REOPEN_MAX_S)

    def _serve(self) -> None:
        card_rests = False
        while not self._stopped.is_set():
            self._answer_late_decisions()
            if not self._listening.wait(POLL_MS / 1000):
                # Between sales the card is watched until it is gone, so that the next one is known to be another.
                card_rests = card_rests and not self._reader.wait_for_removal(POLL_MS)
                continue
            presentation = self._reader.wait_for_card(POLL_MS)
            if presentation is None:
                continue
            card_rests = True
            if not self._listening.is_set():
                continue
            self._answer_late_decisions()
            self._post(CardSeen(self.url, presentation))
            if presentation.cards_in_field == 1 and presentation.takes_apdus:
                self._await_decision()

    def _answer_late_decisions(self) -> None:
        """A kernel that was asked for after its card had been given up: the payment must not wait for it."""
        while not self._kernels.empty():
            run = self._kernels.get()
            if run is not None:
                card = CardRead(Outcome(OutcomeKind.TRY_AGAIN, reason="card-lost"))
                self._post(CardDone(self.url, run.payment_ref, card))

    def _await_decision(self) -> None:
        """The loop either wants this card read or does not; both end with the card still to be taken away."""
        try:
            run = self._kernels.get(timeout=DECISION_WAIT_S)
        except queue.Empty:
            return
        if run is not None:
            self._run_kernel(run)

    def _run_kernel(self, run: RunKernel) -> None:
        card = CardRead(Outcome(OutcomeKind.TRY_AGAIN, reason="reader-lost"))
        try:
            sale = TornSale(run.payment_ref, run.request.offline_allowed)
            torn = self._torn.records(sale, _monotonic_ms())
            dialogue = read_card(replace(run.request, torn_records=torn), self._combinations, self._ca_keys)
            card = drive(dialogue, self._reader, self._card_timeout_ms)
            self._torn = self._torn.after(sale, card, _monotonic_ms())
        finally:
            # Whatever went wrong, the payment must not be left waiting for a card that will not answer.
            self._post(CardDone(self.url, run.payment_ref, card))


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000
