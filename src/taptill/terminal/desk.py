"""What the till keeps in its head: the payment at the counter, what is open, what is owed, the next numbers.

Strategy: all of it can be rebuilt from the journal; it changes only when an entry was synced, except for the numbers
already promised to an entry on its way and for the two states that touch no money (armed and reading).
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import TypedDict, TypeVar

import msgspec

from taptill.card.parameters import Combination
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.clock import Clock, Trust
from taptill.credential.dukpt import DukptError, next_counter
from taptill.credential.keystore import KeyStore, KeyStoreError
from taptill.decision.decide import HostHealth, Way
from taptill.decision.risk_budget import RiskBudget, RiskLimits
from taptill.entropy import Entropy
from taptill.host.breaker import Breaker
from taptill.host.exchange import HostRequest
from taptill.host.profile import Profile
from taptill.journal import entries as e
from taptill.journal.counters import free_stan, stan_after
from taptill.journal.port import Counters, JournalReader, Pending
from taptill.terminal.config import OutageLimits, TerminalConfig
from taptill.terminal.debt_book import DebtBook
from taptill.terminal.effects import Effect, SetTimer
from taptill.terminal.events import Event
from taptill.terminal.inquiry import Inquiry
from taptill.terminal.machine import PaymentState, Trigger, replay, step
from taptill.terminal.payment import ADVICE_ROWS, Payment, trigger_of

STORE_TIMER = "store"
STORE_RETRY_MS = 1_000
FULL = "full"  # the kind of a storage fault stands before its first colon: full, slow, error
_STORAGE_REASONS = {FULL: "disk-full", "slow": "disk-slow", "error": "journal-not-writable"}
KEYS_AHEAD = 64
KEYS_AHEAD_AT_ARMING = 2 * KEYS_AHEAD  # so that what is asked until the tap moves the key store's mark no further
KEYS_SKIPPED = 4_096

PaymentEntryT = TypeVar("PaymentEntryT", bound=e.PaymentEntry)


class Stamp(TypedDict):
    """What every entry begins with."""

    at_ms: int
    trust: int


@dataclass(slots=True)
class Desk:
    """Mutable, used by one thread."""

    config: TerminalConfig
    profile: Profile
    keys: KeyStore
    ca_keys: CaKeyStore
    combinations: tuple[Combination, ...]
    clock: Clock
    entropy: Entropy
    journal: JournalReader
    counters: Counters
    breaker: Breaker
    exceptions: frozenset[bytes] = field(default=frozenset(), repr=False)  # `card_digest` of cards to refuse offline
    payments: dict[str, Payment] = field(default_factory=dict)  # changed by `remember` and `forget` only
    stans: Counter[int] = field(default_factory=Counter)  # of their transactions: not to be used again yet
    debts: DebtBook = field(default_factory=DebtBook)
    outbox: dict[str, HostRequest] = field(default_factory=dict)
    at_counter: str | None = None
    way: Way | None = None
    cancel_wanted: str | None = None
    tickets: dict[str, list[int]] = field(default_factory=dict)
    inquiries: dict[str, Inquiry] = field(default_factory=dict)  # UNKNOWN payments that are asked about
    journal_is_newest: bool | None = None  # this start's first sign-on: the host has seen nothing beyond the journal
    due_us: dict[str, int] = field(default_factory=dict)  # the timers that run, by name
    away_since_us: int | None = None  # since when the breaker is open
    never_left: set[str] = field(default_factory=set)  # debts whose last try could not be sent
    writing: dict[str, int] = field(default_factory=dict)
    held: list[Event] = field(default_factory=list)
    waits_for_link: str | None = None
    printed: dict[str, int] = field(default_factory=dict)
    signed_on: bool = False
    link_question: str = ""  # "sign_on" or "echo" while one is under way
    link_stans: set[int] = field(default_factory=set)  # of questions that may have reached the host before a sign-on
    first_stan: int = 0  # of this start
    readers: dict[str, bool] = field(default_factory=dict)
    storage_fault: str = ""  # why no sale begins, as "slow: the disk took 1,400 ms"
    storage_pause_ms: int = 0  # until the disk is tried again
    unsaved: tuple[Pending, ...] = ()

    def health(self) -> HostHealth:
        if self.breaker.open:
            return HostHealth.REFUSING if self.breaker.refused else HostHealth.UNREACHABLE
        return HostHealth.REACHABLE if self.signed_on else HostHealth.CONNECTING

    def sale_is_under_way(self) -> bool:
        """The payment at the counter is being authorised or asked about, or is about to be."""
        payment = self.payments.get(self.at_counter or "")
        if payment is None:
            return False
        leaves = payment.state is PaymentState.READING and payment.payment_ref in self.writing
        return leaves or payment.state in {PaymentState.AUTHORIZING, PaymentState.UNKNOWN}

    def take_stan(self) -> int:
        """The next STAN that nothing open uses; it counts as used once its entry is synced (DESIGN 5.4)."""
        stan = free_stan(self.counters, self.stans.keys())
        self.counters = replace(self.counters, next_stan=stan_after(stan))
        return stan

    def remember(self, payment: Payment) -> None:
        """The payment as it is now. A debt shares the STAN of its payment's transaction, so that these are all."""
        self.forget(payment.payment_ref)
        self.payments[payment.payment_ref] = payment
        if payment.transaction:
            self.stans[payment.transaction.stan] += 1

    def forget(self, payment_ref: str) -> None:
        """Nothing of it is open any more, or it is about to change."""
        before = self.payments.pop(payment_ref, None)
        if before is None or before.transaction is None:
            return
        self.stans[before.transaction.stan] -= 1
        if not self.stans[before.transaction.stan]:
            del self.stans[before.transaction.stan]

    def take_key_counter(self) -> int:
        """The next DUKPT counter, never below the key store's own mark. Raises KeyStoreError."""
        counter = next_counter(max(self.counters.next_key_counter, self.keys.counter_floor()) - 1)
        self.keys.reserve(counter)
        self.counters = replace(self.counters, next_key_counter=counter + 1)
        return counter

    def reserve_keys(self, ahead: int) -> None:
        """At moments when nobody waits for a message: moving the mark takes syncs, and none may fall between a tap and
        its request. A reversal must not have to wait for a free block: that a disk refuses now is no matter yet."""
        with suppress(KeyStoreError, DukptError):
            self.keys.reserve(next_counter(max(self.counters.next_key_counter, self.keys.counter_floor()) + ahead))

    def skip_key_counters(self) -> None:
        """The host says that it has seen our keys: leave a block unused, as after a restored disk."""
        self.counters = replace(self.counters, next_key_counter=self.counters.next_key_counter + KEYS_SKIPPED)

    def take_payment_ref(self) -> str:
        number = self.counters.next_payment
        self.counters = replace(self.counters, next_payment=number + 1)
        return f"{self.local_time():%y%m%d}-{number:05d}-{self.entropy.octets(2).hex()}"

    def local_time(self, unix_ms: int | None = None) -> datetime:
        """The shop's wall time, now or at `unix_ms`."""
        zone = timezone(timedelta(minutes=self.config.identity.utc_offset_minutes))
        at_ms = self.clock.now().unix_ms if unix_ms is None else unix_ms
        return datetime.fromtimestamp(at_ms / 1000, zone)

    def storage_failed(self, error: KeyStoreError, again_timer: str) -> list[Effect]:
        """The key store could not be written: no sale starts, and what wanted a key asks again."""
        return [*self.storage_stops(f"error: {error}"), SetTimer(again_timer, STORE_RETRY_MS)]

    def storage_stops(self, fault: str) -> list[Effect]:
        """No sale starts; the disk is tried again after a while, and again after longer ones."""
        self.storage_fault = fault
        if self.storage_pause_ms:
            return []
        self.storage_pause_ms = STORE_RETRY_MS
        return [self.store_timer()]

    def store_timer(self) -> SetTimer:
        """Half of the pause and a random part of the other half."""
        half_ms = self.storage_pause_ms // 2
        return SetTimer(STORE_TIMER, half_ms + half_ms * self.entropy.octets(1)[0] // 255)

    @property
    def storage_kind(self) -> str:
        """full, slow or error; empty where storing works."""
        return self.storage_fault.partition(":")[0]

    @property
    def storage_reason(self) -> str:
        """The word for people, empty where storing works."""
        return _STORAGE_REASONS.get(self.storage_kind, "")

    @property
    def can_store(self) -> bool:
        """Entries that end something get to the disk, even where no sale may begin."""
        return not self.unsaved and self.storage_kind != "error"

    def written(self, pending: tuple[Pending, ...]) -> None:
        """These entries are no longer on their way: events about their payments need not wait."""
        for item in pending:
            if isinstance(item.entry, e.PaymentEntry):
                left = self.writing.pop(item.entry.payment_ref) - 1
                if left:
                    self.writing[item.entry.payment_ref] = left

    def stamp(self) -> Stamp:
        """The time for an entry."""
        now = self.clock.now()
        return Stamp(at_ms=now.unix_ms, trust=int(now.trust))

    def with_state(self, entry: PaymentEntryT) -> PaymentEntryT:
        """The entry with the state it leads to. Raises ImpossibleStep before anything is written."""
        payment = self.payments[entry.payment_ref]
        return msgspec.structs.replace(entry, state=replay(payment.state, trigger_of(entry)).dest.value)

    def move(self, payment_ref: str, trigger: Trigger) -> Payment:
        """A step that touches no money and is not journaled: a card was seen, tap again."""
        payment = self.payments[payment_ref]
        moved = replace(payment, state=step(payment.state, trigger).dest)
        self.remember(moved)
        return moved

    def offline_budget(self) -> RiskBudget:
        return self._budget(self.config.offline, "offline_advice")

    def deferred_budget(self) -> RiskBudget:
        return self._budget(self.config.deferred, "deferred_advice")

    def _budget(self, limits: OutageLimits | None, row: str) -> RiskBudget:
        use = self.debts.standing_out(row)
        return RiskBudget(
            _risk_limits(limits),
            count=use.count,
            total_minor=use.total_minor,
            oldest_at_ms=use.oldest_at_ms,
            per_token_count=use.per_token_count,
        )

    def time_trusted(self) -> bool:
        return self.clock.now().trust > Trust.GUESS

    def is_finished(self, payment_ref: str) -> bool:
        """Nothing of it is open or owed: it can be forgotten here, the journal keeps it."""
        return payment_ref not in self.debts.payments()

    def money_at_risk_minor(self) -> int:
        return sum(self.debts.total_minor(row) for row in ADVICE_ROWS)


def _risk_limits(limits: OutageLimits | None) -> RiskLimits:
    if limits is None:
        return RiskLimits()
    return RiskLimits(
        per_payment_minor=limits.per_payment_minor,
        per_token_count=limits.per_card_count,
        count=limits.count,
        total_minor=limits.total_minor,
        age_ms=limits.age_hours * 3_600_000,
    )
