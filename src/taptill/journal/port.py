"""The Journal port, and what can be read back from one.

Comes in: entries with the message bytes they promise. Goes out: records, once they are on the disk.
Strategy: one writer. `append` is one transaction and one sync; entries, projections, counters and envelopes move
together or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from taptill.errors import TapTillError
from taptill.journal.entries import AnyEntry


class JournalError(TapTillError):
    """The journal cannot be written or read: no sale may start."""

    code = 4001


class JournalDamaged(JournalError):
    """The chain or the file does not verify: names the place and the last good entry. Never recreated."""

    code = 4002

    def __init__(
        self,
        what: str,
        *,
        where: str,
        next_step: str = "",
        bad_seq: int | None = None,
        last_good_seq: int | None = None,
    ) -> None:
        super().__init__(what, where=where, next_step=next_step)
        self.bad_seq = bad_seq
        self.last_good_seq = last_good_seq


class JournalForeign(JournalError):
    """Not a journal of this program, or of a release this one does not read."""

    code = 4003


class ImpossibleEntry(JournalError):
    """An entry that contradicts what the journal holds (a STAN still open, a debt without bytes): the program that
    made it is wrong, nothing was stored and the journal is sound."""

    code = 4004


class JournalStuck(JournalError):
    """After a disk error the file holds something else than was acknowledged, or cannot be read: this process cannot
    know what is true any more, and a new one finds out from the file."""

    code = 4007


class SpaceGone(JournalError):
    """The disk is full. Nothing of this call was stored; what ends or undoes a payment may still find room."""

    code = 4006


@dataclass(frozen=True, slots=True)
class Pending:
    """An entry to append, and the wire bytes to keep beside it until its debt or transaction closes."""

    entry: AnyEntry
    wire: bytes | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """An entry on the disk."""

    seq: int
    entry: AnyEntry
    digest: bytes  # SHA-256 over the previous digest and the stored bytes


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """A payment as the journal projects it."""

    payment_ref: str
    client_ref: str
    state: str
    amount_minor: int
    currency: str
    approved_minor: int
    masked_pan: str
    reader: str
    opened_at_ms: int
    changed_at_ms: int
    first_seq: int
    last_seq: int
    refunded_minor: int = 0
    idempotency_key: str = ""


OPEN_RESULTS = frozenset({"", "unknown", "parked", "confirming"})


@dataclass(frozen=True, slots=True)
class TransactionRow:
    """One financial act with the host. `result` is empty while only the intent stands; approved, declined, not_sent,
    unknown, parked as decided; confirming while the customer has not accepted a lower amount; reversing and reversed
    once its reversal is owed and closed; for an advice the payment's state. `wire` is None unless it is open."""

    transaction: str
    payment_ref: str
    row: str
    result: str
    stan: int
    batch: int
    key_counter: int
    amount_minor: int
    approved_minor: int
    token: str
    masked_pan: str
    reader: str
    card_facts: Mapping[str, str]
    code: str
    auth_code: str
    rrn: str
    intended_at_ms: int
    intended_seq: int
    wire: bytes | None = field(default=None, repr=False)

    @property
    def is_open(self) -> bool:
        return self.result in OPEN_RESULTS


@dataclass(frozen=True, slots=True)
class DebtRow:
    """A debt as the journal projects it. `wire` is None once it is closed."""

    debt: str
    payment_ref: str
    transaction: str
    row: str
    state: str  # open, parked, closed
    stan: int
    batch: int
    key_counter: int
    amount_minor: int
    attempts: int
    last_result: str
    created_at_ms: int
    created_seq: int
    wire: bytes | None = field(repr=False)
    token: str = ""

    @property
    def is_open(self) -> bool:
        """Open or parked: not closed."""
        return self.state != "closed"


@dataclass(frozen=True, slots=True)
class Counters:
    """Owned by the journal (DESIGN 5.4, 5.15): the next values to use."""

    batch: int
    next_stan: int
    next_key_counter: int
    next_payment: int


@dataclass(frozen=True, slots=True)
class OfflineUse:
    """What stands out unanswered, for the risk budget."""

    count: int
    total_minor: int
    oldest_at_ms: int | None
    per_token_count: dict[str, int]


@dataclass(frozen=True, slots=True)
class Verified:
    """A journal that verifies: how many entries, the last one, and the head of the chain."""

    count: int
    last_seq: int
    head: bytes


class JournalReader(Protocol):
    """Reading beside a running writer. Raises JournalError."""

    @property
    def format(self) -> int:
        """The format the journal is read and written in (journal/formats)."""

    def records(self, payment_ref: str | None = None) -> Iterator[Record]: ...

    def records_after(self, seq: int) -> Iterator[Record]:
        """Every entry behind this one, up to the last one there was when the reading began."""

    def last_seq(self) -> int:
        """0 in an empty journal."""

    def records_of(self, payments: Iterable[PaymentRow]) -> Iterator[Record]:
        """The entries of these payments in the journal's order, each stored entry looked at once at most."""

    def payment(self, payment_ref: str) -> PaymentRow | None: ...

    def payment_of_client(self, client_ref: str) -> PaymentRow | None:
        """The latest with this reference of the cash register."""

    def payment_of_key(self, idempotency_key: str) -> PaymentRow | None:
        """The one payment a key ever made."""

    def payments(self) -> Sequence[PaymentRow]: ...

    def open_payments(self) -> Sequence[PaymentRow]:
        """Those that a restart has to look at, whatever is still owed for them included, oldest first."""

    def transactions(self, payment_ref: str | None = None) -> Sequence[TransactionRow]:
        """In the order they were meant; `wire` is left out."""

    def open_transactions(self) -> Sequence[TransactionRow]:
        """Intents without a final outcome, with the bytes kept for them, in the order they were meant."""

    def open_debts(self, payment_ref: str | None = None) -> Sequence[DebtRow]:
        """Open and parked debts in the order they were owed; those of one payment cost no look at the others."""

    def debts(self) -> Sequence[DebtRow]: ...

    def counters(self) -> Counters: ...

    def offline_use(self) -> OfflineUse: ...

    def vouched_time_ms(self) -> int:
        """`at_ms` of the newest of the last entries whose time the host or a time server vouched for, 0 without one:
        the floor of wall time. A guess, or a battery clock gone wild, must not make every later time an earlier one."""

    def verify(self) -> Verified:
        """Every entry, projection and kept message. Raises JournalDamaged with the place."""


class Journal(JournalReader, Protocol):
    """The one writer."""

    def append(self, pending: Sequence[Pending]) -> Sequence[Record]:
        """All or nothing, synced on return: one record for each of `pending`. Seals that the journal puts between them
        are not among those, so numbers may have gaps. Raises JournalError; then nothing is stored as far as this run
        can see (a commit whose sync failed may still be found after a power cut: nobody was told of it). Raises
        SpaceGone for what begins something while the space for its outcome cannot be held. No entries at all are a
        trial: that space is taken and synced, so that a disk which refuses or dawdles is known before the next sale."""

    def wire_of(self, transaction: str) -> bytes | None:
        """Bytes kept for an open transaction or debt."""

    @property
    def log_pages(self) -> int:
        """How long the log is: `append` lets it grow, because emptying it takes more syncs."""

    def shorten_log(self) -> None:
        """Move what was appended into the main file, as far as no reader needs it where it is, and begin the log anew.
        Waits for nobody, for a busy hour. Raises JournalError."""

    def checkpoint(self) -> None:
        """Move what was appended into the main file and empty the log, so that erased envelopes leave the disk's files.
        For idle moments: it syncs several times. Raises JournalError."""

    def close(self) -> None: ...
