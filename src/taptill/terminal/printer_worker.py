"""The printer's thread.

Comes in: the facts of slips, in order. Goes out: `Printed`, whatever came of it. Strategy: a fault of the printer
changes no money (DESIGN 5.18); only what surely did not come out is tried again.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from taptill.receipt.compose import compose
from taptill.receipt.escpos import render_escpos
from taptill.receipt.facts import Language, ReceiptFacts
from taptill.receipt.printer import Printer, PrintVerdict
from taptill.terminal.events import (
    Event,
    Printed,
)

log = logging.getLogger("taptill")

PRINT_RETRY_S = 2.0
PRINT_TRIES_MAX = 900  # half an hour: somebody has to fetch a roll
SLIP_IMPOSSIBLE = "fault of this program"


class PrinterWorker:
    """Prints in order; a job that did not come out is tried again for a while, and its payment never notices."""

    def __init__(self, printer: Printer, post: Callable[[Event], None]) -> None:
        self._printer = printer
        self._post = post
        self._inbox: queue.SimpleQueue[tuple[ReceiptFacts, Language] | None] = queue.SimpleQueue()
        self._stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, name="printer", daemon=True)

    def print(self, facts: ReceiptFacts, language: Language) -> None:
        self._inbox.put((facts, language))

    def stop(self) -> None:
        self._stopped.set()
        self._inbox.put(None)

    def _run(self) -> None:
        while (job := self._inbox.get()) is not None:
            facts, language = job
            try:
                verdict = self._print(render_escpos(compose(facts, language)))
            except Exception:
                log.exception("printer: no slip for payment %s", facts.payment_ref)
                verdict = SLIP_IMPOSSIBLE
            self._post(Printed(facts.payment_ref, verdict))

    def _print(self, octets: bytes) -> str:
        """Only what surely did not come out is tried again: a slip must not come out twice."""
        result = self._printer.print(octets)
        for _ in range(PRINT_TRIES_MAX):
            if result.started or result.verdict is PrintVerdict.PRINTED or self._stopped.wait(PRINT_RETRY_S):
                break
            result = self._printer.print(octets)
        return result.verdict.value
