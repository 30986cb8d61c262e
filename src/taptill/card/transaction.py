"""One transaction at the reader, over as many presentations as it takes (EMV Book A, 8.1.1; EMV Book B, 3).

Comes in: the reader's configuration and a sale. Goes out: acts for a driver (show, field, wait, transmit), each sent
its result, and at the end the last `CardRead`. Strategy: no I/O and no clock; the driver owns every wait. The entry
point's own steps do the work; here is what lies around them: polling, collisions, outcomes, restarts.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from enum import Enum

from taptill.card.apdu import CommandApdu, ResponseApdu
from taptill.card.entry_point import (
    AMOUNT_NOT_ALLOWED,
    Activation,
    Configuration,
    Retained,
    Step,
    StepDialogue,
    next_candidate,
    nothing_allowed,
    preprocessed,
    run_step,
)
from taptill.card.outcome import (
    CardRead,
    MessageId,
    OnlineResponse,
    OutcomeKind,
    Start,
    UiRequest,
    UiStatus,
)
from taptill.card.outcomes import end_application
from taptill.card.parameters import TapRequest
from taptill.card.read_card import bounded
from taptill.card.reader import CardLost, Presentation

STEPS_MAX = 64  # of one transaction: restarts, presentations and applications together

WELCOME = UiRequest(MessageId.WELCOME, UiStatus.IDLE)
PRESENT_CARD = UiRequest(MessageId.PRESENT_CARD, UiStatus.READY_TO_READ)
ONE_CARD_ONLY = UiRequest(MessageId.PRESENT_ONE_CARD_ONLY, UiStatus.PROCESSING_ERROR)
ONE_CARD_NOW = UiRequest(MessageId.PRESENT_ONE_CARD_ONLY, UiStatus.READY_TO_READ)
NO_PAYMENT_CARD = UiRequest(MessageId.INSERT_SWIPE_OR_TRY_ANOTHER_CARD, UiStatus.READY_TO_READ)
PRESENT_CARD_AGAIN = UiRequest(MessageId.PRESENT_CARD_AGAIN, UiStatus.READY_TO_READ)
CARD_READ_OK = UiRequest(MessageId.CARD_READ_OK, UiStatus.CARD_READ_SUCCESSFULLY)


class Field(Enum):
    """What a look into the field finds where it is not one card."""

    EMPTY = "empty"
    COLLISION = "collision"
    GIVEN_UP = "given up"  # the driver waits no longer: nobody came


@dataclass(frozen=True, slots=True)
class Show:
    """Lights, tone and text. `ui.hold_ms` is the driver's to keep. Sent None."""

    ui: UiRequest


@dataclass(frozen=True, slots=True)
class FieldOn:
    """Power the field. Sent None."""


@dataclass(frozen=True, slots=True)
class FieldOff:
    """Field off, for at least so long. Sent None."""

    hold_ms: int


@dataclass(frozen=True, slots=True)
class AwaitCard:
    """Look for a card. Sent a `Presentation` or a `Field`; asked again until it is one card or given up."""


@dataclass(frozen=True, slots=True)
class AskSale:
    """The sale as it is for this presentation: a fresh unpredictable number and time, and the way through an outage as
    it is open now. `before` is the outcome of the presentation before it, if there was one: its torn record may be of
    use now. Sent a `TapRequest`; its limits are judged again."""

    presentation: Presentation
    before: CardRead | None = None


@dataclass(frozen=True, slots=True)
class Transmit:
    """One command. Sent a `ResponseApdu`; `CardLost` is thrown in, also for an answer that is none."""

    command: CommandApdu


@dataclass(frozen=True, slots=True)
class FinalOutcome:
    """The reader is given a final outcome (EMV Book B, 3.5.1.5). Where it has a start, sent the issuer's data objects
    (91, 71, 72), or None when nothing came within the removal time-out; else sent None."""

    read: CardRead


@dataclass(frozen=True, slots=True)
class AwaitRemoval:
    """The card is to be taken away. Sent whether it was."""

    timeout_ms: int


Act = Show | FieldOn | FieldOff | AwaitCard | AskSale | Transmit | FinalOutcome | AwaitRemoval
Result = Presentation | Field | TapRequest | ResponseApdu | bytes | bool | None
Acts = Generator[Act, Result, None]
Transaction = Generator[Act, Result, CardRead | None]


def run_transaction(configuration: Configuration, sale: TapRequest, autorun: bool = False) -> Transaction:
    """The acts of one transaction. Returns the last outcome, also one that had asked for another presentation that
    never came; None when no card came at all. Raises nothing for anything a card can do."""
    return (yield from _Course(configuration, Activation(sale, Start.B if autorun else Start.A)).run())


@dataclass(slots=True)
class _Course:
    """Where a transaction stands."""

    configuration: Configuration
    activation: Activation
    retained: Retained = field(default_factory=Retained)
    last: CardRead | None = None
    ready: UiRequest = PRESENT_CARD
    steps: int = 0

    def run(self) -> Transaction:
        yield from self._idle()
        again = True
        while again:
            yield Show(self.ready)  # EMV Book B, 3.2.1.2
            read = yield from self._activate()
            again = read is not None and (yield from self._deliver(read))
        yield FieldOff(0)
        return self.last

    def _idle(self) -> Acts:
        """EMV Book A, 8.1.1.5 (autorun: no) and 8.1.1.6 (autorun: yes)."""
        if self.activation.start is Start.B:
            yield FieldOn()
            yield Show(PRESENT_CARD)
        else:
            yield FieldOff(0)
            yield Show(WELCOME)

    def _activate(self) -> Generator[Act, Result, CardRead | None]:
        """From one activation to its final outcome; None when nobody came."""
        self.retained = preprocessed(self.configuration, self.activation, self.retained)
        at: Start | None = self.activation.start
        read = AMOUNT_NOT_ALLOWED
        while at is not None:
            if at in (Start.A, Start.B) and not nothing_allowed(self.retained):
                if not (yield from self._one_card()):
                    return None
                at = Start.B
            step = yield from self._step(at)
            if step is None:  # EMV Book B, 3.3.3.7: silently, the card is asked for already
                at = Start.B
                continue
            self.last = read = step.read
            yield from _processed(read)
            at = self._goes_on_at(step)
            if at is Start.B and read.outcome.ui_on_restart is not None:
                yield Show(read.outcome.ui_on_restart)
        return read

    def _one_card(self) -> Generator[Act, Result, bool]:
        """EMV Book B, 3.2.1.3 to 3.2.1.5: polling until it is one card; then the sale as it is for that card. What does
        not speak ISO/IEC 14443-4 is no payment card: nothing is asked of it."""
        yield FieldOn()
        wrong = None  # what lies in the field, as it was told
        while True:
            found = yield AwaitCard()
            if found is Field.GIVEN_UP:
                return False
            before, wrong = wrong, _told_of(found)
            if isinstance(found, Presentation) and wrong is None:
                break
            if wrong is not None and wrong != before:
                yield Show(wrong)
            elif wrong is None and before == ONE_CARD_ONLY:
                yield Show(ONE_CARD_NOW)
        request = yield AskSale(found, self.last)
        assert isinstance(request, TapRequest)
        self.activation = replace(self.activation, request=request)
        self.retained = preprocessed(self.configuration, self.activation, self.retained)
        return True

    def _step(self, at: Start) -> Generator[Act, Result, Step | None]:
        """One step of the entry point; None for a link error before the kernel."""
        if self.steps >= STEPS_MAX:
            return Step(CardRead(end_application("too-many-presentations")), self.retained)
        self.steps += 1
        if at is not Start.D and nothing_allowed(self.retained):
            return Step(AMOUNT_NOT_ALLOWED, self.retained)
        dialogue = run_step(self.configuration, self.activation, self.retained, at)
        try:
            ended = yield from _transmitted(dialogue)
        except CardLost:
            return None
        return ended if isinstance(ended, Step) else Step(ended, self.retained)

    def _goes_on_at(self, step: Step) -> Start | None:
        """EMV Book B, 3.5.1.3 to 3.5.1.5."""
        self.retained = step.retained
        if step.read.outcome.kind is OutcomeKind.TRY_AGAIN:
            return Start.B
        if step.read.outcome.kind is OutcomeKind.SELECT_NEXT:
            self.retained = next_candidate(step)
            return Start.C
        return None

    def _deliver(self, read: CardRead) -> Generator[Act, Result, bool]:
        """The final outcome to the reader (EMV Book A, 8.1.1.9): whether the entry point is activated again."""
        outcome = read.outcome
        issuer_data = yield FinalOutcome(read)
        assert issuer_data is None or isinstance(issuer_data, bytes)
        waits = outcome.start is not None and outcome.online_response is not None
        if waits and not issuer_data:
            yield Show(CARD_READ_OK)
        if outcome.removal_timeout_ms and not issuer_data:
            yield AwaitRemoval(outcome.removal_timeout_ms)
        if outcome.start is None or (outcome.online_response == OnlineResponse.EMV_DATA and not issuer_data):
            return False
        self.activation = Activation(self.activation.request, outcome.start, True, issuer_data or b"")
        self.ready = outcome.ui_on_restart or PRESENT_CARD
        return True


def _told_of(found: Result) -> UiRequest | None:
    """What the customer is told of the field; None where nothing is in the way of a card."""
    if found is Field.COLLISION or (isinstance(found, Presentation) and found.cards_in_field != 1):
        return ONE_CARD_ONLY
    return NO_PAYMENT_CARD if isinstance(found, Presentation) and not found.takes_apdus else None


def _processed(read: CardRead) -> Acts:
    """EMV Book B, 3.5.1.1 and 3.5.1.2."""
    if read.outcome.ui_on_outcome is not None:
        yield Show(read.outcome.ui_on_outcome)
    if read.outcome.field_off_hold_ms is not None:
        yield FieldOff(read.outcome.field_off_hold_ms)


def _transmitted(dialogue: StepDialogue) -> Generator[Act, Result, Step | CardRead]:
    """The dialogue's commands as acts. Raises CardLost for a link error outside a kernel."""
    course = bounded(dialogue)
    try:
        command = next(course)
        while True:
            try:
                response = yield Transmit(command)
            except CardLost as lost:
                command = course.throw(lost)
                continue
            assert isinstance(response, ResponseApdu)
            command = course.send(response)
    except StopIteration as finished:
        ended: Step | CardRead = finished.value
        return ended
    finally:
        course.close()
