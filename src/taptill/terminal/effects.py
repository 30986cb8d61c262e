"""What the till wants done, as data. The loop performs them; the till never does."""

from __future__ import annotations

from dataclasses import dataclass

from taptill.card.parameters import TapRequest
from taptill.clock import Timestamp
from taptill.host.exchange import HostRequest
from taptill.journal.port import Pending
from taptill.receipt.facts import Language, ReceiptFacts
from taptill.terminal.situation import Situation


@dataclass(frozen=True, slots=True)
class Append:
    """One transaction for the journal; `Recorded` or `NotRecorded` comes back with the same `pending`. An empty one
    tries the disk."""

    pending: tuple[Pending, ...]


@dataclass(frozen=True, slots=True)
class Listen:
    """Readers wait for a card on behalf of this payment."""

    payment_ref: str


@dataclass(frozen=True, slots=True)
class StopListening:
    """Readers let go: field off, no card is looked for."""


@dataclass(frozen=True, slots=True)
class RunKernel:
    """The card that `reader` reported is to be read with these parameters."""

    reader: str
    payment_ref: str
    request: TapRequest


@dataclass(frozen=True, slots=True)
class Ask:
    """A synced question may leave."""

    request: HostRequest
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Tell:
    """Faces learn the payment's state. `message` is a stable word of the reason table."""

    payment_ref: str
    state: str
    message: str = ""
    seconds_left: int | None = None


@dataclass(frozen=True, slots=True)
class Print:
    """One receipt, in the customer's language. Its failure changes no money."""

    facts: ReceiptFacts
    language: Language


@dataclass(frozen=True, slots=True)
class Answer:
    """Ends the waiting of whoever sent the command `ticket`. `situation` answers `WhyRequested`."""

    ticket: int
    payment_ref: str | None
    refusal: str | None = None
    situation: Situation | None = None


@dataclass(frozen=True, slots=True)
class SetTimer:
    """`Tick(name)` comes back after `delay_ms`; a timer of the same name is replaced."""

    name: str
    delay_ms: int


@dataclass(frozen=True, slots=True)
class StopTimer:
    name: str


@dataclass(frozen=True, slots=True)
class FollowClock:
    """The host told the time."""

    at: Timestamp


Effect = Append | Listen | StopListening | RunKernel | Ask | Tell | Print | Answer | SetTimer | StopTimer | FollowClock
