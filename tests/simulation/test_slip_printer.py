"""Slips in virtual time: what comes out, what is told, and when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

import pytest

from taplab.printer.decoder import Decoder
from taplab.printer.events import Text
from taplab.simulation.agenda import MORNING_MS, Agenda
from taplab.simulation.power import PowerCut
from taplab.simulation.schedule import Fault, Faults, Kind, Point
from taplab.simulation.slip_printer import SLIP_US, TERMINAL, Paper, SimPrinter
from taplab.simulation.story import Story
from taptill.amount.money import CNY, Money
from taptill.receipt.facts import Language, Merchant, ReceiptError, ReceiptFacts
from taptill.terminal.events import Event, Printed


class Counter:
    """A printer at a terminal whose power can fail."""

    def __init__(self, faults: Iterable[Fault] = (), *, render: bool = True) -> None:
        self.agenda = Agenda()
        self.paper = Paper()
        self.verdicts: list[tuple[str, str]] = []
        self.at_us: list[int] = []
        self.faults = Faults(faults)
        story = Story(self.agenda)
        self.printer = SimPrinter(self.paper, self.agenda, self.faults, story, self._post, self._power, render)

    def go_on(self) -> None:
        while self.agenda.run_next():
            pass

    def _post(self, event: Event) -> None:
        assert isinstance(event, Printed)
        self.verdicts.append((event.payment_ref, event.verdict))
        self.at_us.append(self.agenda.now_us)

    def _power(self) -> NoReturn:
        self.agenda.forget(TERMINAL)
        raise PowerCut


def facts(payment_ref: str = "P-270115-0001", state: str = "approved") -> ReceiptFacts:
    return ReceiptFacts(
        merchant=Merchant("东方便利店", "898310048160001", "10000001"),
        payment_ref=payment_ref,
        state=state,
        amount=Money(12850, CNY),
        approved=Money(12850, CNY),
        masked_pan="622800******1117",
        entry_mode="C",
        scheme="UnionPay",
        batch=1,
        stan=7,
        auth_code="A12345",
        rrn="254313000007",
        at_ms=MORNING_MS,
        time_trusted=True,
        status_url=f"https://status.example/{payment_ref}",
    )


def text_of(slip: bytes) -> str:
    """As a printer that knows nothing of this program reads it."""
    return "".join(event.text for event in Decoder().feed(slip) if isinstance(event, Text))


def test_a_slip_comes_out_as_a_printer_would_read_it() -> None:
    counter = Counter()
    counter.printer.print(facts(), Language.ZH)
    assert counter.verdicts == []  # nobody is kept waiting
    counter.go_on()
    assert counter.verdicts == [("P-270115-0001", "printed")]
    assert counter.paper.told == [facts()]
    assert "东方便利店" in text_of(counter.paper.slips[0])
    assert "128.50" in text_of(counter.paper.slips[0])
    assert "2027/01/15 16:00:00" in text_of(counter.paper.slips[0])


def test_slips_come_one_after_the_other() -> None:
    counter = Counter()
    for number in range(3):
        counter.printer.print(facts(f"P-{number}"), Language.EN)
    counter.go_on()
    assert [payment_ref for payment_ref, _ in counter.verdicts] == ["P-0", "P-1", "P-2"]
    assert counter.at_us == [SLIP_US, 2 * SLIP_US, 3 * SLIP_US]


def test_without_paper_the_slip_is_tried_again_and_comes_once() -> None:
    counter = Counter([Fault(Point.SLIP, nth, Kind.PAPER_OUT) for nth in range(3)])
    counter.printer.print(facts(), Language.ZH)
    counter.go_on()
    assert [verdict for _, verdict in counter.verdicts] == ["printed"]
    assert len(counter.paper.slips) == 1
    assert counter.faults.counts[Point.SLIP] == 4


def test_paper_that_ends_within_a_slip_ends_the_slip() -> None:
    counter = Counter([Fault(Point.SLIP, 0, Kind.PAPER_OUT, 200)])
    counter.printer.print(facts("P-0"), Language.ZH)
    counter.printer.print(facts("P-1"), Language.ZH)
    counter.go_on()
    assert counter.verdicts == [("P-0", "paper out"), ("P-1", "printed")]
    assert len(counter.paper.slips[0]) == 200 < len(counter.paper.slips[1])


def test_a_printer_that_does_not_confirm_has_printed_all_the_same() -> None:
    counter = Counter([Fault(Point.SLIP, 0, Kind.NO_CONFIRMATION)])
    counter.printer.print(facts(), Language.ZH)
    counter.go_on()
    assert [verdict for _, verdict in counter.verdicts] == ["no confirmation"]
    assert text_of(counter.paper.slips[0]).count("P-270115-0001") == 1


@pytest.mark.parametrize("octets", [0, 1, 300])
def test_a_power_cut_leaves_what_has_come_out(octets: int) -> None:
    counter = Counter([Fault(Point.SLIP, 0, Kind.POWER_CUT, octets)])
    for _ in range(2):
        counter.printer.print(facts(), Language.ZH)
    with pytest.raises(PowerCut):
        counter.go_on()
    counter.go_on()
    assert [len(slip) for slip in counter.paper.slips] == [octets] * bool(octets)
    assert len(counter.paper.told) == len(counter.paper.slips)
    assert counter.verdicts == []


def test_a_receipt_that_cannot_be_composed_is_a_finding() -> None:
    with pytest.raises(ReceiptError):
        Counter().printer.print(facts(state="no such state"), Language.ZH)


def test_without_rendering_everything_is_told_and_nothing_kept() -> None:
    counter = Counter([Fault(Point.SLIP, 1, Kind.POWER_CUT, 5)], render=False)
    for number in range(2):
        counter.printer.print(facts(f"P-{number}"), Language.ZH)
    with pytest.raises(PowerCut):
        counter.go_on()
    assert counter.paper == Paper(slips=[], told=[facts("P-0"), facts("P-1")])
    assert counter.verdicts == [("P-0", "printed")]
