"""Devices that come and go while a running terminal sells: money and screen do not notice, or say so."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from time import monotonic, sleep
from typing import cast

import pytest

from taplab.card import Card, CardAnswer, Scheme, load_card
from taplab.pn532.serial_port import VirtualPn532
from taplab.register import Register
from taplab.slips import slip_of
from taplab.world import AWAY_S, World
from taptill.amount.money import Money
from taptill.card.adapters.pn532 import Pn532Reader
from taptill.card.outcome import OutcomeKind
from taptill.card.parameters import TapRequest
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.clock import SystemClock
from taptill.entropy import SystemEntropy
from taptill.terminal.config import CardLimits
from taptill.terminal.effects import RunKernel
from taptill.terminal.events import CardDone, CardSeen, Event, ReaderChanged
from taptill.terminal.reader_worker import DECISION_WAIT_S, ReaderWorker
from taptill.terminal.wiring import BUILD_UNIX_MS, combinations

WAIT_S = 10.0
CARD_TIMEOUT_MS = 3_000
GET_PROCESSING_OPTIONS = 0xA8


@pytest.fixture
def chip(world: World) -> VirtualPn532:
    return cast(VirtualPn532, world.holders[world.reader("pn532")])


def test_a_reader_lost_while_armed_comes_back_and_takes_the_card(
    world: World, register: Register, chip: VirtualPn532
) -> None:
    reader = world.reader("pn532")
    ref = register.arm(700)
    chip.unplug()
    register.wait_until("readers", {reader: False}, WAIT_S)
    assert not register.health()["ready"]
    assert register.payment(ref)["state"] == "armed"
    chip.replug()
    register.wait_until("readers", {reader: True}, WAIT_S)
    world.present(reader, "good_credit")
    assert register.wait_for(ref, {"approved"}, WAIT_S)["approved_minor"] == 700


def test_a_chip_that_hangs_is_noticed_and_its_payment_can_be_cancelled(
    world: World, register: Register, chip: VirtualPn532
) -> None:
    ref = register.arm(700)
    chip.hang()
    register.wait_until("readers", {world.reader("pn532"): False}, WAIT_S)
    status, payment = register.call("POST", f"/v1/payments/{ref}/cancel", key="k")
    assert (status, payment["state"]) == (200, "cancelled")
    chip.replug()
    register.wait_until("ready", True, WAIT_S)


def told_of(register: Register, ref: str) -> tuple[str, str]:
    """The payment's state and the word for its customer, once there is one."""
    deadline = monotonic() + WAIT_S
    while (payment := register.payment(ref))["message"] is None and monotonic() < deadline:
        sleep(0.02)
    return payment["state"], payment["message"]["code"]


class PulledCard:
    """A card that its owner takes away as soon as it is asked for its processing options."""

    def __init__(self, card: Card, chip: VirtualPn532) -> None:
        self._card = card
        self._chip = chip
        self.uid = card.uid
        self.ats = card.ats
        self.reset = card.reset

    def answer(self, command: bytes) -> CardAnswer:
        if command[1] == GET_PROCESSING_OPTIONS:
            self._chip.remove()
        return self._card.answer(command)


def test_a_card_pulled_away_while_it_is_read_costs_one_more_tap(
    world: World, register: Register, chip: VirtualPn532
) -> None:
    ref = register.arm(700)
    chip.present(PulledCard(world.card("good_credit"), chip))
    assert told_of(register, ref) == ("armed", "card-lost")
    sleep(AWAY_S)
    world.present(world.reader("pn532"), "good_credit")
    payment = register.wait_for(ref, {"approved"}, WAIT_S)
    assert [act["state"] for act in payment["transactions"]] == ["approved"]


def test_without_paper_a_sale_is_the_same_and_its_slip_comes_with_the_next_roll(
    world: World, register: Register
) -> None:
    world.printer.run_out_of_paper()
    ref = register.arm(700)
    world.present(world.reader("pn532"), "good_credit")
    assert register.wait_for(ref, {"approved"}, WAIT_S)["approved_minor"] == 700
    assert register.health()["ready"]
    assert slip_of(ref, world.printer.jobs) is None
    world.printer.refill()
    deadline = time.monotonic() + WAIT_S  # slips of earlier sales may come first
    while slip_of(ref, world.printer.jobs) is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [ref in qr for job in world.printer.jobs for qr in job.qr_contents].count(True) == 1, "one slip, once"


def test_a_printer_that_is_unplugged_holds_up_nobody(world: World, register: Register) -> None:
    slips = len(world.printer.jobs)
    world.printer.unplug()
    for _ in range(2):
        ref = register.arm(300)
        world.present(world.reader("pn532"), "good_credit")
        register.wait_for(ref, {"approved"}, WAIT_S)
        world.remove(world.reader("pn532"))
    world.printer.plug_in()
    assert world.printer.wait_for_jobs(slips + 2, WAIT_S)


@pytest.fixture
def worker() -> Iterator[tuple[ReaderWorker, VirtualPn532, queue.SimpleQueue[Event]]]:
    """A reader's thread whose loop is this test."""
    posted: queue.SimpleQueue[Event] = queue.SimpleQueue()
    with VirtualPn532() as chip:
        reader = Pn532Reader(f"pn532:{chip.path}", SystemClock(BUILD_UNIX_MS))
        worker = ReaderWorker(reader, combinations(CardLimits()), CaKeyStore(), CARD_TIMEOUT_MS, posted.put)
        worker.thread.start()
        assert isinstance(posted.get(timeout=WAIT_S), ReaderChanged)
        yield worker, chip, posted
        worker.stop()
        worker.thread.join(WAIT_S)
        assert not worker.thread.is_alive()


def test_a_kernel_asked_for_too_late_is_answered_and_the_payment_waits_for_nothing(
    worker: tuple[ReaderWorker, VirtualPn532, queue.SimpleQueue[Event]],
) -> None:
    reader, chip, posted = worker
    chip.present(load_card("good_credit", Scheme.generate(SystemEntropy()), SystemEntropy()))
    reader.listen("p1")
    assert isinstance(posted.get(timeout=WAIT_S), CardSeen)
    with pytest.raises(queue.Empty):
        posted.get(timeout=DECISION_WAIT_S + 0.3)
    reader.run_kernel(RunKernel(reader.url, "p1", REQUEST))
    done = posted.get(timeout=WAIT_S)
    assert isinstance(done, CardDone)
    assert done.payment_ref == "p1"
    assert done.card.outcome.kind is OutcomeKind.TRY_AGAIN


REQUEST = TapRequest(
    amount=Money(100),
    amount_other=Money(0),
    transaction_type=0x00,
    date_yymmdd="261122",
    time_hhmmss="120000",
    country="156",
    unpredictable_number=b"\x01\x02\x03\x04",
    online_possible=True,
    offline_allowed=False,
)
