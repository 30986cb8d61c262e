"""Torn records live as long as the payment that may use them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from tests.card.c2.conftest import KERNEL_DATA, REQUEST
from tests.card.c2.mchip_card import GENERATE, MASTERCARD, RECOVER, MchipCard, mastercard_keys

from taptill.card.outcome import CardRead, Cvm, Outcome, OutcomeKind
from taptill.card.outcomes import approved, end_application, see_phone, try_again
from taptill.card.parameters import Combination
from taptill.card.reader import Presentation, RawResponse
from taptill.card.torn import TornRecord
from taptill.terminal.effects import RunKernel
from taptill.terminal.events import CardDone, CardSeen, Event
from taptill.terminal.reader_worker import ReaderWorker
from taptill.terminal.torn_log import TornLog, TornSale

WAIT_S = 10.0
P1, P2 = TornSale("p1", False), TornSale("p2", False)


def record(card: bytes, records_max: int = 2, lifetime_s: int = 300) -> TornRecord:
    return TornRecord(card, b"", b"", b"", 0, {}, b"", records_max, lifetime_s)


def torn(record: TornRecord) -> CardRead:
    return CardRead(try_again("card-lost"), torn_record=record)


def test_a_record_is_there_for_the_same_payment_until_its_lifetime_is_over() -> None:
    log = TornLog().after(P1, torn(record(b"a")), 1_000)
    assert log.records(P1, 300_999) == (record(b"a"),)
    assert log.records(P1, 301_000) == ()
    assert log.records(P2, 2_000) == ()


def test_a_newer_record_of_a_card_replaces_the_old_one_and_the_oldest_makes_room() -> None:
    log = TornLog()
    for card in (b"a", b"b", b"a", b"c"):
        log = log.after(P1, torn(record(card)), 0)
    assert log.records(P1, 0) == (record(b"a"), record(b"c"))


def test_a_tap_that_tears_nothing_keeps_what_there_is_and_the_end_of_the_sale_drops_it() -> None:
    log = TornLog().after(P1, torn(record(b"a")), 0).after(P1, CardRead(try_again("card-lost")), 1)
    assert log.records(P1, 2) == (record(b"a"),)
    assert log.after(P1, CardRead(approved(Cvm.NONE)), 3).records(P1, 4) == ()


@pytest.mark.parametrize("outcome", [end_application("oda-failed"), see_phone("card-wants-its-owner")])
def test_a_recovery_uses_the_record_up_also_one_that_ends_badly(outcome: Outcome) -> None:
    log = TornLog().after(P1, torn(record(b"a")), 0).after(P1, CardRead(outcome, recovered=True), 1)
    assert log.records(P1, 2) == ()


def test_another_payment_s_tap_drops_them() -> None:
    log = TornLog().after(P1, torn(record(b"a")), 0).after(P2, CardRead(try_again("card-lost")), 1)
    assert log.records(P1, 2) == log.records(P2, 2) == ()


def test_a_way_that_has_changed_since_drops_them() -> None:
    """An offline approval answers no reader that must go online now; it would look like a forgery."""
    offline = replace(P1, offline_allowed=True)
    log = TornLog().after(offline, torn(record(b"a")), 0)
    assert log.records(offline, 1) == (record(b"a"),)
    assert log.records(P1, 1) == ()
    assert log.after(P1, CardRead(try_again("card-lost")), 1).records(offline, 2) == ()


class HeldCard:
    """A `CardReader`: the card is presented whenever the test says so."""

    url = "test:"

    def __init__(self, card: MchipCard) -> None:
        self.card = card
        self.presented = threading.Semaphore(0)

    def open(self) -> None: ...

    def close(self) -> None: ...

    def wait_for_card(self, timeout_ms: int) -> Presentation | None:
        return Presentation(b"", "A") if self.presented.acquire(timeout=timeout_ms / 1000) else None

    def wait_for_removal(self, timeout_ms: int) -> bool:
        return True

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        return RawResponse(*self.card(command))


def presented(
    reader: HeldCard, worker: ReaderWorker, posted: queue.SimpleQueue[Event], payment: str, offline: bool = False
) -> CardRead:
    worker.listen(payment)
    reader.presented.release()
    while not isinstance(posted.get(timeout=WAIT_S), CardSeen):
        pass
    worker.run_kernel(RunKernel(reader.url, payment, replace(REQUEST, offline_allowed=offline)))
    done = posted.get(timeout=WAIT_S)
    assert isinstance(done, CardDone)
    return done.card


@contextmanager
def served(card: MchipCard) -> Iterator[tuple[HeldCard, ReaderWorker, queue.SimpleQueue[Event]]]:
    """A reader's thread with one torn record to keep."""
    settings = KERNEL_DATA | {0xDF811D: "01"}
    combination = Combination(MASTERCARD, 2, b"", kernel_data={tag: bytes.fromhex(to) for tag, to in settings.items()})
    reader, posted = HeldCard(card), queue.SimpleQueue[Event]()
    worker = ReaderWorker(reader, [combination], mastercard_keys(), 1000, posted.put)
    worker.thread.start()
    try:
        yield reader, worker, posted
    finally:
        worker.stop()
        worker.thread.join(WAIT_S)


@pytest.mark.parametrize("host_was_away", [False, True])
def test_the_reader_s_thread_keeps_a_torn_record_for_the_next_presentation_of_the_sale(host_was_away: bool) -> None:
    """Not for one that is offered another way: the host is back."""
    card = MchipCard(changes={0x9F51: "9F3704"}, leaves_at=[GENERATE])
    with served(card) as counter:
        assert presented(*counter, "p1", host_was_away).outcome.kind is OutcomeKind.TRY_AGAIN
        read = presented(*counter, "p1")
        assert (read.outcome.kind, read.recovered) == (OutcomeKind.ONLINE_REQUEST, not host_was_away)
        assert not presented(*counter, "p1").recovered
        assert len(card.asked(RECOVER)) == (0 if host_was_away else 1)


def test_a_card_whose_recovery_failed_is_asked_anew() -> None:
    card = MchipCard(changes={0x9F51: "9F3704"}, leaves_at=[GENERATE], spoilt=True)
    with served(card) as counter:
        reads = [presented(*counter, "p1") for _ in range(3)]
    assert [read.outcome.reason for read in reads] == ["card-lost", "oda-failed", "oda-failed"]
    assert [read.recovered for read in reads] == [False, True, False]
    assert (len(card.asked(GENERATE)), len(card.asked(RECOVER))) == (2, 1)
