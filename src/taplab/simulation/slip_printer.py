"""A slip printer in virtual time, and the paper that has left it.

Comes in: facts and a language. Goes out: slips on the `Paper`, and `Printed` as a `PrinterWorker` posts it.
Strategy: the product composes and renders, so what a customer holds is what a real printer would have got. A job begins
when the one before it has ended. `Paper` outlives the terminal's power, a printer does not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from taplab.simulation.agenda import Agenda
from taplab.simulation.schedule import Faults, Kind, Point
from taplab.simulation.story import Story
from taptill.receipt.compose import compose
from taptill.receipt.escpos import render_escpos
from taptill.receipt.facts import Language, ReceiptFacts
from taptill.receipt.printer import PrintVerdict
from taptill.terminal.events import Event, Printed
from taptill.terminal.printer_worker import PRINT_RETRY_S

TERMINAL = "terminal"  # who plans all this: forgotten at a power cut
SLIP_US = 1_500_000  # 15 cm at 100 mm/s
CONFIRMATION_WAIT_US = 9_500_000  # as long as the product's adapter waits for the answer to GS r 1
RETRY_US = round(PRINT_RETRY_S * 1_000_000)


@dataclass(slots=True)
class Paper:
    """What customers hold: bytes of each slip, cut short where it was, and what it tells. Without rendering only
    `told` grows."""

    slips: list[bytes] = field(default_factory=list)
    told: list[ReceiptFacts] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Job:
    facts: ReceiptFacts
    octets: bytes


class SimPrinter:
    """A `PrinterDesk` for one start of the terminal. A receipt that cannot be composed raises ReceiptError: in a world
    that is a finding. `power` ends everything that runs on the terminal, by raising."""

    def __init__(
        self,
        paper: Paper,
        agenda: Agenda,
        faults: Faults,
        story: Story,
        post: Callable[[Event], None],
        power: Callable[[], NoReturn],
        render: bool = True,
    ) -> None:
        self._paper = paper
        self._agenda = agenda
        self._faults = faults
        self._story = story
        self._post = post
        self._power = power
        self._render = render
        self._jobs: deque[_Job] = deque()

    def print(self, facts: ReceiptFacts, language: Language) -> None:
        self._jobs.append(_Job(facts, render_escpos(compose(facts, language)) if self._render else b""))
        if len(self._jobs) == 1:
            self._later(0, self._begin)

    def _later(self, delay_us: int, do: Callable[[], None]) -> None:
        self._agenda.after(delay_us, do, TERMINAL)

    def _begin(self) -> None:
        """The next job, or the same one again. A fault's `value` is how many bytes came out before paper or power
        ended. Raises PowerCut."""
        job, fault = self._jobs[0], self._faults.strike(Point.SLIP)
        if fault is None:
            self._come_out(job, len(job.octets))
            self._later(SLIP_US, lambda: self._end(PrintVerdict.PRINTED))
            return
        self._story.tell(f"slip of payment {job.facts.payment_ref}: {fault}")
        if fault.kind is Kind.NO_CONFIRMATION:
            self._come_out(job, len(job.octets))
            self._later(CONFIRMATION_WAIT_US, lambda: self._end(PrintVerdict.NO_CONFIRMATION))
            return
        if fault.value:
            self._come_out(job, fault.value)
        if fault.kind is Kind.POWER_CUT:
            self._power()
        if fault.value:
            self._later(SLIP_US, lambda: self._end(PrintVerdict.PAPER_OUT))
        else:  # nothing came out: tried again, as a PrinterWorker does
            self._later(RETRY_US, self._begin)

    def _come_out(self, job: _Job, octets: int) -> None:
        self._paper.told.append(job.facts)
        if self._render:
            self._paper.slips.append(job.octets[:octets])

    def _end(self, verdict: PrintVerdict) -> None:
        job = self._jobs.popleft()
        if self._jobs:
            self._later(0, self._begin)
        self._post(Printed(job.facts.payment_ref, verdict.value))
