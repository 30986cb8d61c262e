"""What the loop sees of the devices that block on its behalf.

Strategy: a worker owns its device alone and decides nothing about money. What the loop asks of it never blocks; what
happened is posted. Each kind has a file of its own, and a simulated world brings its own kinds.
"""

from __future__ import annotations

import threading
from typing import Protocol

from taptill.journal.port import Pending
from taptill.receipt.facts import Language, ReceiptFacts
from taptill.terminal.effects import RunKernel


class Worker(Protocol):
    """Started once, stopped once."""

    thread: threading.Thread

    def stop(self) -> None:
        """Ends soon; never blocks."""


class JournalDesk(Protocol):
    """Where the loop leaves entries; `Recorded` or `NotRecorded` is posted for them later."""

    def append(self, pending: tuple[Pending, ...]) -> None:
        """Never blocks."""


class ReaderDesk(Protocol):
    """A reader as the loop uses it: nothing blocks, what happened is posted."""

    url: str

    def listen(self, payment_ref: str) -> None: ...

    def stop_listening(self) -> None: ...

    def run_kernel(self, run: RunKernel) -> None: ...


class PrinterDesk(Protocol):
    def print(self, facts: ReceiptFacts, language: Language) -> None:
        """Never blocks; `Printed` is posted later."""
