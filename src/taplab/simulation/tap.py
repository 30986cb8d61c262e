"""The place before the reader, and a reader in virtual time.

Comes in: cards held there by customers, and what the terminal's loop asks of a reader. Goes out: the same events a
`ReaderWorker` posts. Strategy: the product's kernel and the lab's cards talk to each other at once; the time they would
take is added up, and the outcome is posted that much later. `CounterField` outlives the terminal's power, a reader does
not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NoReturn

from taplab.card import Card
from taplab.simulation.agenda import Agenda
from taplab.simulation.ground import Ground
from taplab.simulation.schedule import Fault, Faults, Kind, Point
from taplab.simulation.story import Story
from taptill.card.outcome import CardRead, Outcome, OutcomeKind
from taptill.card.read_card import drive, read_card
from taptill.card.reader import CardLost, Presentation, RawResponse
from taptill.entropy import Entropy
from taptill.terminal.effects import RunKernel
from taptill.terminal.events import CardDone, CardSeen, Event, ReaderChanged
from taptill.terminal.reader_worker import DECISION_WAIT_S
from taptill.terminal.torn_log import TornLog, TornSale
from taptill.terminal.wiring import combinations

TERMINAL = "terminal"  # who plans all this: forgotten at a power cut
OPEN_US = 50_000
ACTIVATION_US = 11_200  # guard time, WUPA, anticollision, SELECT and RATS at 106 kbit/s
OCTET_US = 85  # nine bits at 106 kbit/s
FRAME_WAITING_US = 77_300  # ISO/IEC 14443-4, 7.2 with FWI 8: after that a silent card has gone
DECISION_WAIT_US = round(DECISION_WAIT_S * 1_000_000)
COMPUTED = 1  # value of a fault at a card command: the card has done it, and nobody heard; 0: it never got there

Power = Callable[[], NoReturn]


class CounterField:
    """What lies before the reader. A world's cards keep their counters and balances in here. `presentation` counts: a
    card held there, or found there when the field comes back, is a new one. `taps` says which presentation was read
    for which payment."""

    def __init__(self, ground: Ground, entropy: Entropy, story: Story) -> None:
        self._ground = ground
        self._entropy = entropy
        self._story = story
        self._cards: dict[str, Card] = {}
        self._watcher: Callable[[], None] | None = None
        self.card: Card | None = None
        self.presentation = 0
        self.taps: list[tuple[int, str]] = []

    def card_of(self, name: str) -> Card:
        """The one card of this name in this world."""
        if name not in self._cards:
            self._cards[name] = self._ground.fresh_card(name, self._entropy)
        return self._cards[name]

    def hold(self, name: str) -> None:
        """A customer holds a card there, instead of what lies there; the same card again is taken up first."""
        self._story.tell(f"the card {name} is held to the reader")
        self.card = self.card_of(name)
        self.presentation += 1
        if self._watcher is not None:
            self._watcher()

    def take_away(self) -> None:
        self.card = None

    def watch(self, watcher: Callable[[], None] | None) -> None:
        """`watcher` is told when a card comes: it is the reader that has power."""
        self._watcher = watcher

    def power_off(self) -> None:
        """No reader sees what is here until the next one is made. A card that stays is new to that one."""
        self._watcher = None
        self.presentation += 1


class SimReader:
    """A `ReaderDesk` for one start of the terminal. `post` may handle the event at once; `power` ends everything that
    runs on the terminal, by raising."""

    def __init__(
        self,
        url: str,
        field: CounterField,
        ground: Ground,
        agenda: Agenda,
        faults: Faults,
        story: Story,
        post: Callable[[Event], None],
        power: Power,
    ) -> None:
        self.url = url
        self._field = field
        self._combinations = combinations(ground.terminal.cards)
        self._ca_keys = ground.ca_keys
        self._card_timeout_ms = ground.terminal.cards.card_timeout_ms
        self._agenda = agenda
        self._faults = faults
        self._story = story
        self._post = post
        self._power = power
        self._torn = TornLog()
        self._listening = False
        self._awaits_decision = False
        self._reported = 0
        self._busy_until_us = agenda.now_us + OPEN_US
        field.watch(self._look_soon)
        agenda.after(OPEN_US, self._opened, TERMINAL)

    def listen(self, payment_ref: str) -> None:
        self._listening = True
        self._look_soon()

    def stop_listening(self) -> None:
        self._listening = False
        self._decide()

    def run_kernel(self, run: RunKernel) -> None:
        """Raises PowerCut where the schedule says so."""
        self._listening = False
        if self._decide():
            air = _Air(self.url, self._field, self._faults, self._story, self._power)
            self._field.taps.append((self._field.presentation, run.payment_ref))
            card = self._read(run, air)
            took_us = air.took_us
        else:  # the card had been given up; the payment must not wait for it
            card, took_us = CardRead(Outcome(OutcomeKind.TRY_AGAIN, reason="card-lost")), 0
        self._busy_until_us = max(self._busy_until_us, self._agenda.now_us + took_us)
        self._agenda.after(took_us, partial(self._done, run.payment_ref, card), TERMINAL)

    def _read(self, run: RunKernel, air: _Air) -> CardRead:
        """With the torn records of the presentations before this one, as a `ReaderWorker` keeps them."""
        now_ms, sale = self._agenda.now_us // 1000, TornSale(run.payment_ref, run.request.offline_allowed)
        request = replace(run.request, torn_records=self._torn.records(sale, now_ms))
        card = drive(read_card(request, self._combinations, self._ca_keys), air, self._card_timeout_ms)
        self._torn = self._torn.after(sale, card, now_ms)
        return card

    def _decide(self) -> bool:
        """The loop said what is to become of the card that it was told of. False: nobody waits for that."""
        in_time = self._awaits_decision and self._agenda.now_us < self._busy_until_us
        self._awaits_decision = False
        if in_time:
            self._busy_until_us = self._agenda.now_us
        return in_time

    def _opened(self) -> None:
        self._post(ReaderChanged(self.url, True))
        self._look_soon()

    def _done(self, payment_ref: str, card: CardRead) -> None:
        self._post(CardDone(self.url, payment_ref, card))
        self._look_soon()

    def _look_soon(self) -> None:
        self._agenda.after(ACTIVATION_US, self._look, TERMINAL)

    def _look(self) -> None:
        """A presentation is reported once, and only to somebody who listens (DESIGN 5.13)."""
        card, presentation = self._field.card, self._field.presentation
        if card is None or presentation == self._reported:
            return
        if not self._listening or self._agenda.now_us < self._busy_until_us:
            return
        card.reset()
        self._reported = presentation
        self._awaits_decision = True
        self._busy_until_us = self._agenda.now_us + DECISION_WAIT_US
        self._agenda.after(DECISION_WAIT_US, self._look_soon, TERMINAL)
        self._post(CardSeen(self.url, Presentation(card.uid, "A", card.ats)))


class _Air:
    """The `CardReader` of one presentation, its card activated. `took_us` adds up."""

    def __init__(self, url: str, field: CounterField, faults: Faults, story: Story, power: Power) -> None:
        self.url = url
        self.took_us = 0
        self._field = field
        self._faults = faults
        self._story = story
        self._power = power

    def open(self) -> None:
        """It is."""

    def wait_for_card(self, timeout_ms: int) -> Presentation | None:
        return None

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        card = self._field.card
        if card is None:
            raise self._gone()
        fault = self._faults.strike(Point.APDU)
        if fault is not None:
            self._interrupt(fault, card, command)
        answer = card.answer(command)
        elapsed_us = (len(command) + len(answer.octets)) * OCTET_US + answer.compute_ms * 1000
        self.took_us += elapsed_us
        return RawResponse(answer.octets, elapsed_us)

    def wait_for_removal(self, timeout_ms: int) -> bool:
        return self._field.card is None

    def close(self) -> None:
        """The field stays as it is: the reader goes on."""

    def _interrupt(self, fault: Fault, card: Card, command: bytes) -> None:
        """Raises CardLost or PowerCut."""
        self._story.tell(f"command {command[:2].hex().upper()}: {fault}")
        if fault.value == COMPUTED:
            card.answer(command)
        if fault.kind is Kind.POWER_CUT:
            self._power()
        self._field.take_away()
        raise self._gone()

    def _gone(self) -> CardLost:
        self.took_us += FRAME_WAITING_US
        return CardLost("the card is gone", where=self.url)
