"""What a face may ask of the terminal, from any thread.

Comes in: commands, with how long the caller will wait. Goes out: an answer, a payment as it stands, a stream of news.
Strategy: commands become events with a ticket; questions are read from the journal beside the running loop; the two
states that are not journaled (reading, and a word for the customer) are laid over what the journal says.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from typing import TypedDict

from taptill.errors import TapTillError
from taptill.journal.disposition import Offer
from taptill.journal.port import DebtRow, JournalReader
from taptill.terminal.effects import Answer, Tell
from taptill.terminal.events import (
    ArmRequested,
    CancelRequested,
    DispositionOffered,
    Event,
    SendNow,
    WhyRequested,
)
from taptill.terminal.notice_desk import NoticeDesk, NoticesHealth, NoticeView
from taptill.terminal.payment import Payment
from taptill.terminal.recovering import read_payment
from taptill.terminal.situation import Situation
from taptill.terminal.view import ReasonView

ANSWER_WAIT_S = 5.0
REMEMBERED_NEWS_MAX = 1_000


class HealthView(TypedDict):
    """What `GET /v1/health` shows."""

    ready: bool
    host: str
    host_reason: str
    signed_on: bool
    storage_fault: str  # why no sale begins, for technicians: "slow: the disk took 1,400 ms"
    storage_reason: ReasonView | None  # and for people
    copy_fault: str  # why the second copy of the journal stands still
    copy_behind: int  # entries it lacks
    at_counter: str | None
    readers: dict[str, bool]
    unknown_payments: int
    open_debts: int
    money_at_risk_minor: int
    notices: NoticesHealth | None  # None where nobody is to be told


class TerminalBusy(TapTillError):
    """The loop did not answer in time; nothing is known about the command. Ask again with the same key."""

    code = 7001


class Front:
    """`tell` and `answer` are called by the loop, everything else by faces."""

    def __init__(self, post: Callable[[Event], None], journal: JournalReader, health: Callable[[], HealthView]) -> None:
        self._post = post
        self._journal = journal
        self._reading = threading.Lock()  # a journal reader is used by one thread at a time
        self.health = health
        self.notice_desk: NoticeDesk | None = None  # set before the loop runs
        self._tickets = itertools.count(1)
        self._waiting: dict[int, Future[Answer]] = {}
        self._latest: dict[str, Tell] = {}
        self._listeners: list[Callable[[Tell], None]] = []

    def arm(self, key: str, client_ref: str, amount_minor: int, currency: str, digest: str) -> Answer:
        """Raises TerminalBusy."""
        return self._command(lambda ticket: ArmRequested(ticket, key, client_ref, amount_minor, currency, digest))

    def cancel(self, payment_ref: str) -> Answer:
        """Raises TerminalBusy."""
        return self._command(lambda ticket: CancelRequested(ticket, payment_ref))

    def dispose(self, offer: Offer) -> Answer:
        """Raises TerminalBusy."""
        return self._command(lambda ticket: DispositionOffered(ticket, offer))

    def send_now(self) -> Answer:
        """Ends every wait of what is owed. Raises TerminalBusy."""
        return self._command(SendNow)

    def situation(self) -> Situation:
        """What the till sees, taken by the till itself. Raises TerminalBusy."""
        situation = self._command(WhyRequested).situation
        assert situation is not None, "the till answers with what it sees"
        return situation

    def _command(self, make: Callable[[int], Event]) -> Answer:
        ticket = next(self._tickets)
        future: Future[Answer] = Future()
        self._waiting[ticket] = future
        self._post(make(ticket))
        try:
            return future.result(ANSWER_WAIT_S)
        except FutureTimeout as error:
            raise TerminalBusy(f"no answer within {ANSWER_WAIT_S:g} s", where="terminal loop") from error
        finally:
            self._waiting.pop(ticket, None)

    def answer(self, answer: Answer) -> None:
        future = self._waiting.get(answer.ticket)
        if future is not None:
            future.set_result(answer)

    def tell(self, news: Tell) -> None:
        self._latest[news.payment_ref] = news
        while len(self._latest) > REMEMBERED_NEWS_MAX:
            self._latest.pop(next(iter(self._latest)))
        for hear in list(self._listeners):
            hear(news)

    @contextmanager
    def listening(self, hear: Callable[[Tell], None]) -> Iterator[None]:
        """`hear` gets every `Tell` while the context is open, on the loop's thread: it neither blocks nor raises."""
        self._listeners.append(hear)
        try:
            yield
        finally:
            self._listeners.remove(hear)

    def latest(self, payment_ref: str) -> Tell | None:
        return self._latest.get(payment_ref)

    def payment(self, payment_ref: str) -> Payment | None:
        """As journaled. Raises JournalError."""
        with self._reading:
            return read_payment(self._journal, payment_ref)

    def payment_ref_of_key(self, idempotency_key: str) -> str | None:
        """Raises JournalError."""
        with self._reading:
            row = self._journal.payment_of_key(idempotency_key)
        return row.payment_ref if row else None

    def payment_ref_of(self, client_ref: str) -> str | None:
        """Raises JournalError."""
        with self._reading:
            row = self._journal.payment_of_client(client_ref)
        return row.payment_ref if row else None

    def latest_payment_refs(self, count_max: int) -> list[str]:
        """The newest last. Raises JournalError."""
        with self._reading:
            rows = self._journal.payments()
        return [row.payment_ref for row in rows[-count_max:]]

    def payments_by_state(self) -> Mapping[str, int]:
        """Raises JournalError."""
        with self._reading:
            rows = self._journal.payments()
        return Counter(row.state for row in rows)

    def notices_health(self) -> NoticesHealth | None:
        return self.notice_desk.health() if self.notice_desk else None

    def newest_notices(self, count_max: int) -> list[NoticeView]:
        """The newest last. Raises TapTillError."""
        return self.notice_desk.newest(count_max) if self.notice_desk else []

    def open_debts(self, payment_ref: str | None = None) -> list[DebtRow]:
        """Open and parked ones, of one payment or of all. Raises JournalError."""
        with self._reading:
            return list(self._journal.open_debts(payment_ref))
