"""One transaction on one reader without a terminal around it: the driver behind `taptill read`.

Comes in: a transaction's acts. Goes out: what they led to, and the last `CardRead`. Strategy: the card reader does the
work, everything is shown as it comes; a card that left or came twice is waited out, and who waits in vain is told so
after a bounded time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone

from taptill.amount.money import Money
from taptill.card.kernels.c2.relay_resistance import ATTEMPTS_MAX
from taptill.card.outcome import CardRead, UiRequest
from taptill.card.parameters import TapRequest
from taptill.card.read_card import ask
from taptill.card.reader import CardLost, CardReader, Presentation
from taptill.card.transaction import (
    PRESENT_CARD_AGAIN,
    Act,
    AskSale,
    AwaitCard,
    AwaitRemoval,
    Field,
    FieldOff,
    FieldOn,
    FinalOutcome,
    Result,
    Show,
    Transaction,
    Transmit,
)
from taptill.clock import Clock
from taptill.entropy import Entropy
from taptill.terminal.config import Identity
from taptill.terminal.torn_log import TornLog, TornSale

POLL_MS = 200
UNPREDICTABLE_NUMBER_OCTETS = 4
REMOVAL_MS_MAX = 10_000  # nobody is waited for longer, whatever the card's outcome says


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each presentation is waited for, and each answer of the card."""

    card_ms: int
    answer_ms: int


@dataclass(frozen=True, slots=True)
class TapWanted:
    """What `taptill read` was asked for. `timeout_ms` is for each presentation."""

    amount: Money
    offline: bool
    timeout_ms: int


def fresh_sale(wanted: TapWanted, clock: Clock, entropy: Entropy, terminal: Identity | None = None) -> TapRequest:
    """The purchase as it is now, with numbers nobody has seen; in the name of a terminal, if it is one's."""
    here = timezone(timedelta(minutes=terminal.utc_offset_minutes)) if terminal else UTC
    at = datetime.fromtimestamp(clock.now().unix_ms / 1000, here)
    sale = TapRequest(
        amount=wanted.amount,
        amount_other=Money(0, wanted.amount.currency),
        transaction_type=0x00,
        date_yymmdd=f"{at:%y%m%d}",
        time_hhmmss=f"{at:%H%M%S}",
        country=wanted.amount.currency.number,
        unpredictable_number=entropy.octets(UNPREDICTABLE_NUMBER_OCTETS),
        online_possible=not wanted.offline,
        offline_allowed=wanted.offline,
        fresh_numbers=tuple(entropy.octets(UNPREDICTABLE_NUMBER_OCTETS) for _ in range(ATTEMPTS_MAX)),
    )
    if terminal is None:
        return sale
    return replace(
        sale, country=terminal.country, serial_number=terminal.terminal_id, merchant_name=terminal.merchant_name
    )


class OneTap:
    """`sale` makes a fresh request for each presentation; `show` shows; `pause` waits so many seconds."""

    def __init__(
        self,
        reader: CardReader,
        clock: Clock,
        patience: Patience,
        sale: Callable[[], TapRequest],
        show: Callable[[UiRequest], None],
        pause: Callable[[float], None],
    ) -> None:
        self._reader = reader
        self._clock = clock
        self._patience = patience
        self._sale = sale
        self._show = show
        self._pause = pause
        self._open = False
        self._waits_since_us: int | None = None
        self._crowded = False
        self._left_early = False
        self._torn = TornLog()

    def run(self, transaction: Transaction) -> CardRead | None:
        """To the end of the transaction; None when no card came. Raises ReaderLost."""
        try:
            act = next(transaction)
            while True:
                result = self._perform(act)
                act = transaction.throw(result) if isinstance(result, CardLost) else transaction.send(result)
        except StopIteration as finished:
            read: CardRead | None = finished.value
            return read
        finally:
            transaction.close()
            self._field_off()

    def _perform(self, act: Act) -> Result | CardLost:
        match act:
            case Show(ui):
                self._left_early = False
                self._show(ui)
            case FieldOn():
                self._field_on()
            case FieldOff(hold_ms):
                self._field_off()
                self._pause(hold_ms / 1000)
            case AwaitCard():
                return self._look()
            case AskSale(_, before):
                return self._fresh_sale(before)
            case Transmit():
                return self._transmit(act)
            case AwaitRemoval(timeout_ms):
                return self._open and self._reader.wait_for_removal(min(timeout_ms, REMOVAL_MS_MAX))
            case FinalOutcome():
                return None  # there is no issuer here
        return None

    def _field_on(self) -> None:
        if not self._open:
            self._reader.open()
            self._open = True

    def _field_off(self) -> None:
        self._reader.close()
        self._open = self._crowded = False

    def _look(self) -> Presentation | Field:
        now_us = self._clock.monotonic_us()
        if self._waits_since_us is None:
            self._waits_since_us = now_us
        left_ms = self._patience.card_ms - (now_us - self._waits_since_us) // 1000
        if left_ms <= 0:
            return Field.GIVEN_UP
        if self._left_early:  # the entry point asks silently; a person has to be told
            self._left_early = False
            self._show(PRESENT_CARD_AGAIN)
        found = self._reader.wait_for_card(min(POLL_MS, left_ms))
        if found is None:
            self._crowded = self._crowded and not self._reader.wait_for_removal(0)
            return Field.COLLISION if self._crowded else Field.EMPTY
        self._crowded = found.cards_in_field > 1
        return found

    def _fresh_sale(self, before: CardRead | None) -> TapRequest:
        """With the torn records of the presentations before this one, as long as they live (EMV Book C-2, 3.7)."""
        self._waits_since_us = None
        now_ms, request = self._clock.monotonic_us() // 1000, self._sale()
        this_sale = TornSale("", request.offline_allowed)
        if before is not None:
            self._torn = self._torn.after(this_sale, before, now_ms)
        return replace(request, torn_records=self._torn.records(this_sale, now_ms))

    def _transmit(self, act: Transmit) -> Result | CardLost:
        answer = ask(act.command, self._reader, self._patience.answer_ms)
        self._left_early = self._left_early or isinstance(answer, CardLost)
        return answer
