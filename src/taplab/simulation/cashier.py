"""Cashier and customer of a simulated shop: what people do, and what they have been shown.

Comes in: the day's visits, what the terminal answers and shows. Goes out: commands to the terminal, cards held to the
reader and taken away. Strategy: people know only what they were told; after a power cut the register asks again under
the same key, as a register does that never heard an answer (DESIGN 5.3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from taplab.simulation.agenda import Agenda
from taplab.simulation.day import Habit, Visit
from taplab.simulation.story import Story
from taptill.terminal.effects import Answer, Tell
from taptill.terminal.events import ArmRequested, CancelRequested, Event

SECOND_US = 1_000_000
TAP_AFTER_US = 1_200_000
TAKE_AWAY_AFTER_US = 800_000
ASK_AGAIN_AFTER_US = 10 * SECOND_US
ASKS_MAX = 12
PATIENCE_US = 180 * SECOND_US
TAPS_MAX = 4
OPEN_STATES = frozenset({"armed", "reading", "authorizing", "unknown"})
NOT_PAID_STATES = frozenset({"declined", "cancelled", "reversing", "reversed"})


class CardField(Protocol):
    """The field in front of the reader."""

    def hold(self, card_name: str) -> None: ...

    def take_away(self) -> None: ...


class Cashier:
    """Serves one visit after the other; `name` tells its orders from another's. `look` gives a payment's state as the
    terminal's page shows it, or None."""

    def __init__(
        self,
        name: str,
        visits: Sequence[Visit],
        agenda: Agenda,
        story: Story,
        field: CardField,
        post: Callable[[Event], None],
        look: Callable[[str], str | None],
    ) -> None:
        self._name = name
        self._visits = visits
        self._agenda = agenda
        self._story = story
        self._field = field
        self._post = post
        self._look = look
        self._number = -1
        self._attempt = 0
        self._turn = 0  # counts what this visit waits for: an older plan is void
        self._asks = 0
        self._taps = 0
        self._is_tapping = False  # a card is on its way to the reader
        self._ticket = 0
        self._payment_ref = ""
        self.is_serving = False
        self.has_closed = not visits
        self.last_shown = ""

    def open_shop(self) -> None:
        self._next_visit()

    def hear(self, answer: Answer) -> None:
        """The terminal's answer to the register."""
        if not self.is_serving or answer.ticket != self._ticket:
            return
        if answer.refusal is not None and answer.refusal != "client-ref-used":
            self._story.tell(f"the register is refused: {answer.refusal}")
            self._later(ASK_AGAIN_AFTER_US, self._ask)
            return
        self._payment_ref = answer.payment_ref or ""
        self._later(PATIENCE_US, self._lose_patience)
        self._look_at_page()

    def see(self, news: Tell) -> None:
        """The terminal's page shows something new."""
        if not self.is_serving or news.payment_ref != self._payment_ref:
            return
        if news.state == "armed" and news.message != "connecting":
            self._tap()
        elif news.state == "reading":
            self._is_tapping = False
        elif news.state not in OPEN_STATES:
            self._finish(news.state)

    def power_is_back(self) -> None:
        """The register asks under its old key what became of its request."""
        self._is_tapping = False
        if self.is_serving:
            self._ask()

    @property
    def _visit(self) -> Visit:
        return self._visits[self._number]

    def _later(self, delay_us: int, do: Callable[[], None]) -> None:
        """`do`, unless the visit has come further by then."""
        self._turn += 1
        turn = self._turn
        self._agenda.after(delay_us, lambda: do() if turn == self._turn else None, "shop")

    def _next_visit(self) -> None:
        self._turn += 1
        self._number += 1
        if self._number >= len(self._visits):
            self.has_closed = True
            return
        self._later(self._visit.pause_s * SECOND_US, self._welcome)

    def _welcome(self) -> None:
        self.is_serving = True
        self._attempt, self._asks, self._taps, self._is_tapping = 1, 0, 0, False
        self._story.tell(f"customer {self._number} comes: {self._visit}")
        self._ask()

    def _ask(self) -> None:
        self._asks += 1
        if self._asks > ASKS_MAX:
            self._leave("the cashier gives up")
            return
        self._ticket += 1
        self._payment_ref = ""
        again = self._ticket
        self._later(ASK_AGAIN_AFTER_US, self._ask)
        self._request()
        if self._visit.habit is Habit.ASKED_TWICE and self._asks == 1 and self._ticket == again:
            self._request()

    def _request(self) -> None:
        order = f"{self._name} {self._number}"
        self._post(
            ArmRequested(
                self._ticket, f"{order}, attempt {self._attempt}", order, self._visit.amount_minor, "CNY", order
            )
        )

    def _look_at_page(self) -> None:
        state = self._look(self._payment_ref)
        if state == "armed":
            self._tap()
        elif state is not None and state not in OPEN_STATES:
            self._finish(state)

    def _tap(self) -> None:
        if self._is_tapping or self._visit.habit is Habit.NEVER_TAPS or self._taps >= TAPS_MAX:
            return
        if self._visit.habit is Habit.CHANGES_MIND:
            self._later(TAP_AFTER_US, self._cancel)
            return
        self._taps += 1
        self._is_tapping = True
        self._field.take_away()
        self._agenda.after(TAP_AFTER_US, partial(self._hold, self._number), "shop")

    def _hold(self, visit: int) -> None:
        """Who has left by then takes the card along."""
        if visit == self._number:
            self._field.hold(self._visit.card)

    def _cancel(self) -> None:
        self._later(ASK_AGAIN_AFTER_US * 2, lambda: self._leave("nobody waits any longer"))
        self._ticket += 1
        self._post(CancelRequested(self._ticket, self._payment_ref))

    def _lose_patience(self) -> None:
        self._story.tell("the cashier cancels")
        self._field.take_away()
        self._cancel()

    def _finish(self, state: str) -> None:
        self.last_shown = state
        asks_for = self._visit.habit if self._attempt == 1 else Habit.PAYS
        pays_after_all = asks_for is Habit.PAYS_AFTER_ALL and state in NOT_PAID_STATES
        is_rung_up_again = asks_for is Habit.ASKED_TWICE and state not in NOT_PAID_STATES
        if pays_after_all or is_rung_up_again:
            self._attempt, self._asks, self._taps, self._is_tapping = 2, 0, 0, False
            self._payment_ref = ""
            self._later(ASK_AGAIN_AFTER_US, self._ask)
            return
        self._leave(f"customer {self._number} leaves, shown {state}")

    def _leave(self, how: str) -> None:
        self._story.tell(how)
        self.is_serving = False
        self._payment_ref = ""
        if self._visit.habit is not Habit.LEAVES_CARD:
            self._agenda.after(TAKE_AWAY_AFTER_US, self._field.take_away, "shop")
        self._next_visit()
