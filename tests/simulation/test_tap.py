"""Cards held to a reader in virtual time, with the product's kernel between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from taphost.acquirer import Acquirer
from taphost.memory_store import MemoryStore
from taplab.provision import MERCHANT_ID, TERMINAL_ID
from taplab.simulation.agenda import MORNING_MS, Agenda
from taplab.simulation.ground import READER_URL, common_ground
from taplab.simulation.power import PowerCut
from taplab.simulation.schedule import Fault, Faults, Kind, Point
from taplab.simulation.story import Story
from taplab.simulation.tap import COMPUTED, DECISION_WAIT_US, TERMINAL, CounterField, SimReader
from taptill.amount.money import CNY, Money
from taptill.card.outcome import CardRead, CryptogramType, OdaVerdict, OutcomeKind
from taptill.card.parameters import TapRequest
from taptill.credential.adapters.file_keystore import FileKeyStore
from taptill.credential.seal_card import seal_card
from taptill.host.compose import RequestFacts, compose
from taptill.host.exchange import HostReply, Replied
from taptill.host.read_reply import read_reply
from taptill.terminal.effects import RunKernel
from taptill.terminal.events import CardDone, CardSeen, Event, ReaderChanged

ONLINE_APDUS, OFFLINE_APDUS = 3, 8  # PPSE, SELECT, GPO; with the five records of an offline approval
GPO_APDU = 2
MINUTE_US = 60_000_000


class CountedEntropy:
    def __init__(self, seed: int = 0) -> None:
        self._next = seed

    def octets(self, count: int) -> bytes:
        self._next += 1
        return self._next.to_bytes(count, "big")


class Counter:
    """A reader whose terminal always wants to read, and starts again whenever its power fails. `boots` counts."""

    def __init__(self, faults: Iterable[Fault] = (), *, offline: bool = False, seed: int = 0) -> None:
        self.agenda = Agenda()
        self.story = Story(self.agenda)
        self.faults = Faults(faults)
        self.field = CounterField(common_ground(), CountedEntropy(seed), self.story)
        self.events: list[Event] = []
        self.at_us: dict[type[Event], int] = {}
        self.reads_at_once = True
        self.boots = 0
        self.run = RunKernel(READER_URL, "ref-1", _request(offline))
        self._boot()

    def tap(self, card: str) -> CardRead:
        """The last outcome of this card being held there until nothing more happens."""
        self.reader.listen("ref-1")
        self.field.hold(card)
        self.go_on()
        return self.outcomes()[-1]

    def go_on(self) -> None:
        try:
            while self.agenda.run_next():
                pass
        except PowerCut:
            self._boot()
            self.reader.listen("ref-1")
            self.go_on()

    def outcomes(self) -> list[CardRead]:
        return [event.card for event in self.events if isinstance(event, CardDone)]

    def seen(self) -> list[CardSeen]:
        return [event for event in self.events if isinstance(event, CardSeen)]

    def _boot(self) -> None:
        self.boots += 1
        self.reader = SimReader(
            READER_URL, self.field, common_ground(), self.agenda, self.faults, self.story, self._post, self._power
        )

    def _post(self, event: Event) -> None:
        self.events.append(event)
        self.at_us[type(event)] = self.agenda.now_us
        if isinstance(event, CardSeen) and self.reads_at_once:
            self.reader.run_kernel(self.run)

    def _power(self) -> NoReturn:
        self.agenda.forget(TERMINAL)
        self.field.power_off()
        raise PowerCut


def _request(offline: bool) -> TapRequest:
    return TapRequest(
        amount=Money(2500, CNY),
        amount_other=Money(0, CNY),
        transaction_type=0,
        date_yymmdd="270115",
        time_hhmmss="160000",
        country="156",
        unpredictable_number=bytes.fromhex("2B29EBE4"),
        online_possible=not offline,
        offline_allowed=offline,
    )


def _ask_acquirer(card: CardRead, place: Path) -> HostReply:
    """The tap as a sale at the host of the same ground."""
    ground = common_ground()
    for name, octets in ground.keystore.items():
        (place / name).write_bytes(octets)
        (place / name).chmod(0o600)
    keys = FileKeyStore(place / ground.terminal.keystore.removeprefix("file:"))
    keys.reserve(1)
    assert card.number is not None
    sealed = seal_card(card.number, keys, 1, bytes(12), "ref-1")
    facts = RequestFacts(
        terminal_id=TERMINAL_ID,
        merchant_id=MERCHANT_ID,
        stan=1,
        batch=1,
        key_counter=1,
        amount_minor=2500,
        local_time="20270115160000",
        card_sequence=sealed.sequence_number,
        icc=card.data,
        token=sealed.token,
        envelope=sealed.envelope,
        payment_ref="ref-1",
    )
    request = compose(ground.profile, "sale", facts, keys)
    answer = Acquirer(ground.host, MemoryStore(), lambda: MORNING_MS).answer(request.wire)
    replied = read_reply(ground.profile, request, answer, keys)
    assert isinstance(replied, Replied)
    return replied.reply


def test_the_issuer_accepts_the_cryptogram_of_a_tap(tmp_path: Path) -> None:
    card = Counter().tap("good_credit")
    assert (card.outcome.kind, card.cryptogram_type) == (OutcomeKind.ONLINE_REQUEST, CryptogramType.ARQC)
    assert _ask_acquirer(card, tmp_path).code == "00"


def test_the_issuer_refuses_a_cryptogram_that_another_card_could_have_made(tmp_path: Path) -> None:
    card = Counter().tap("good_credit")
    forged = replace(card, data={**card.data, 0x9F26: bytes(8)})
    assert _ask_acquirer(forged, tmp_path).code != "00"


@pytest.mark.parametrize(("name", "code"), [("low_limit", "51"), ("good_credit", "00")])
def test_the_host_knows_the_accounts_of_the_cards(name: str, code: str, tmp_path: Path) -> None:
    assert _ask_acquirer(Counter().tap(name), tmp_path).code == code


def test_offline_funds_pay_without_a_host_and_prove_it() -> None:
    counter = Counter(offline=True)
    card = counter.tap("offline_funds")
    assert (card.outcome.kind, card.cryptogram_type) == (OutcomeKind.APPROVED, CryptogramType.TC)
    assert card.oda.verdict is OdaVerdict.PASSED
    assert counter.field.card_of("offline_funds").state().balance_minor == 17_500
    assert counter.faults.counts[Point.APDU] == OFFLINE_APDUS


def test_the_outcome_comes_when_the_dialogue_would_have_ended() -> None:
    counter = Counter(offline=True)
    counter.tap("offline_funds")
    seen_at_us, done_at_us = (counter.at_us[event] for event in (CardSeen, CardDone))
    # 15 ms deciding, 60 ms signing, two selections of 3 ms, five records of 2 ms; facts give 82 ms of airtime for 888
    # bytes of a similar tap without activation.
    assert 91_000 + 60_000 < done_at_us - seen_at_us < 91_000 + 110_000


def test_a_reader_that_still_reads_sees_the_next_card_afterwards() -> None:
    counter = Counter(offline=True)
    counter.tap("offline_funds")
    counter.field.take_away()
    counter.events.clear()

    def next_customer() -> None:
        counter.reader.listen("ref-2")
        counter.field.hold("good_credit")

    counter.agenda.after(50_000, next_customer)
    counter.tap("offline_funds")
    assert [type(event) for event in counter.events] == [CardSeen, CardDone, CardSeen, CardDone]
    assert [seen_in for seen_in, _ in counter.field.taps] == [1, 2, 3]


def test_a_card_at_rest_is_read_once() -> None:
    counter = Counter()
    counter.tap("good_credit")
    for _ in range(20):
        counter.reader.stop_listening()
        counter.agenda.after(3_000_000, lambda: counter.reader.listen("ref-2"))
        counter.go_on()
    assert counter.agenda.now_us > MINUTE_US
    assert len(counter.seen()) == len(counter.outcomes()) == 1
    counter.field.take_away()
    counter.field.hold("good_credit")
    counter.go_on()
    assert len(counter.seen()) == 2


def test_a_card_that_lies_there_before_anybody_asks_counts_when_somebody_does() -> None:
    counter = Counter()
    counter.field.hold("good_credit")
    counter.go_on()
    assert counter.events == [ReaderChanged(READER_URL, True)]
    counter.reader.listen("ref-1")
    counter.go_on()
    assert counter.outcomes()[-1].outcome.kind is OutcomeKind.ONLINE_REQUEST


def test_a_kernel_that_is_wanted_too_late_says_that_the_card_is_lost() -> None:
    counter = Counter()
    counter.reads_at_once = False
    counter.reader.listen("ref-1")
    counter.field.hold("good_credit")
    counter.agenda.after(DECISION_WAIT_US + MINUTE_US, lambda: counter.reader.run_kernel(counter.run))
    counter.go_on()
    assert [card.outcome.reason for card in counter.outcomes()] == ["card-lost"]
    assert counter.field.card_of("good_credit").state().atc == 0


def test_two_customers_use_one_card_each_and_each_card_counts_for_itself() -> None:
    counter = Counter()
    for name in ("good_credit", "low_limit", "good_credit"):
        counter.tap(name)
    assert [counter.field.card_of(name).state().atc for name in ("good_credit", "low_limit")] == [2, 1]
    assert counter.field.taps == [(1, "ref-1"), (2, "ref-1"), (3, "ref-1")]


@pytest.mark.parametrize("computed", [0, COMPUTED])
@pytest.mark.parametrize("apdu", range(OFFLINE_APDUS))
def test_a_card_pulled_at_any_command_is_asked_for_again(apdu: int, computed: int) -> None:
    counter = Counter([Fault(Point.APDU, apdu, Kind.PULLED, computed)], offline=True)
    lost = counter.tap("offline_funds")
    assert counter.outcomes() == [lost]
    assert (lost.outcome.kind, lost.outcome.reason) == (OutcomeKind.TRY_AGAIN, "card-lost")
    assert counter.field.card is None
    assert counter.field.card_of("offline_funds").state().atc == (apdu + computed > GPO_APDU)
    assert counter.tap("offline_funds").outcome.kind is OutcomeKind.APPROVED
    assert len(counter.outcomes()) == len(counter.seen()) == 2


@pytest.mark.parametrize("computed", [0, COMPUTED])
@pytest.mark.parametrize("apdu", range(ONLINE_APDUS))
def test_after_a_power_cut_at_any_command_the_next_boot_reads_the_card_that_lies_there(
    apdu: int, computed: int
) -> None:
    counter = Counter([Fault(Point.APDU, apdu, Kind.POWER_CUT, computed)])
    card = counter.tap("good_credit")
    assert (counter.boots, len(counter.seen()), len(counter.outcomes())) == (2, 2, 1)
    assert len({seen.presentation.uid for seen in counter.seen()}) == 2
    assert counter.field.taps == [(1, "ref-1"), (2, "ref-1")]
    assert card.outcome.kind is OutcomeKind.ONLINE_REQUEST
    assert card.data[0x9F36] == (1 + (apdu + computed > GPO_APDU)).to_bytes(2, "big")


def test_without_power_nobody_sees_a_card() -> None:
    counter = Counter()
    counter.go_on()
    counter.field.power_off()
    counter.agenda.forget(TERMINAL)
    counter.field.hold("good_credit")
    assert counter.agenda.next_us() is None


def test_the_same_day_gives_the_same_bytes_and_another_one_others() -> None:
    first, second, other = (Counter(offline=True, seed=seed).tap("offline_funds").data for seed in (0, 0, 7))
    assert first == second
    assert first[0x9F69] != other[0x9F69]
