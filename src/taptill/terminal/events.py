"""What happens to the till, as data: commands from faces, news from readers, journal, host and timers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from taptill.card.outcome import CardRead
from taptill.card.reader import Presentation
from taptill.host.link import LinkEvent
from taptill.journal.disposition import Offer
from taptill.journal.port import Pending, Record


@dataclass(frozen=True, slots=True)
class Started:
    """The first event: recovery runs."""


@dataclass(frozen=True, slots=True)
class ArmRequested:
    """A face wants this amount paid. `idempotency_key` makes one payment, however often it comes; `digest` fingerprints
    the whole request; `client_ref` is the register's own name for what is sold."""

    ticket: int
    idempotency_key: str
    client_ref: str
    amount_minor: int
    currency: str
    digest: str


@dataclass(frozen=True, slots=True)
class CancelRequested:
    ticket: int
    payment_ref: str


@dataclass(frozen=True, slots=True)
class DispositionOffered:
    """An operator's signed word about something parked."""

    ticket: int
    offer: Offer


@dataclass(frozen=True, slots=True)
class SendNow:
    """Somebody does not want to wait for the next try: waits end, nothing that is parked moves."""

    ticket: int


@dataclass(frozen=True, slots=True)
class WhyRequested:
    """A face wants to say what everything waits for."""

    ticket: int


@dataclass(frozen=True, slots=True)
class CardSeen:
    reader: str
    presentation: Presentation


@dataclass(frozen=True, slots=True)
class CardDone:
    """A kernel came to its outcome (or the card left, which is an outcome too)."""

    reader: str
    payment_ref: str
    card: CardRead


@dataclass(frozen=True, slots=True)
class ReaderChanged:
    """A reader was lost (`reason`) or found again."""

    reader: str
    up: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Recorded:
    """These entries are on the disk. `took_ms`: the whole commit with its sync."""

    pending: tuple[Pending, ...]
    records: Sequence[Record]
    took_ms: int = 0


@dataclass(frozen=True, slots=True)
class NotRecorded:
    """Nothing of this was stored. `space_gone`: for want of space alone, the disk itself is sound."""

    pending: tuple[Pending, ...]
    reason: str
    space_gone: bool = False


@dataclass(frozen=True, slots=True)
class Tick:
    """A timer ran out."""

    name: str


@dataclass(frozen=True, slots=True)
class Printed:
    payment_ref: str
    verdict: str


@dataclass(frozen=True, slots=True)
class StartAgain:
    """What is in memory may not be what is on the disk: a new start reads what is true."""

    reason: str


@dataclass(frozen=True, slots=True)
class ProgramFault:
    """Something that cannot happen did: the terminal stops, and a restart begins from the journal."""

    reason: str


Event = (
    Started
    | ArmRequested
    | CancelRequested
    | DispositionOffered
    | SendNow
    | WhyRequested
    | CardSeen
    | CardDone
    | ReaderChanged
    | Recorded
    | NotRecorded
    | Tick
    | Printed
    | ProgramFault
    | StartAgain
    | LinkEvent
)
