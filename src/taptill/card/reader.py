"""The CardReader port: what a contactless reader must do for a terminal.

Comes in: command bytes. Goes out: response bytes with the time the card took.
Strategy: every call has a deadline. A card that leaves is `CardLost`, a reader that fails is `ReaderLost`; after either
the same object can be opened again. `wait_for_card` reports a presentation once: the next one needs a removal first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from taptill.errors import TapTillError, Who


class CardLost(TapTillError):
    """The card left the field, or stopped answering, in the middle of an exchange."""

    code = 1101
    who = Who.CUSTOMER


class ReaderLost(TapTillError):
    """The reader is unplugged, silent or confused. `open` may be tried again."""

    code = 1102


@dataclass(frozen=True, slots=True)
class Presentation:
    """One card (or phone) held to the reader. `uid` may be random. `cards_in_field` above 1 is a collision."""

    uid: bytes
    technology: str  # "A" or "B", "?" where the reader does not say
    answer: bytes = b""  # ATS or ATR, as far as the reader tells
    cards_in_field: int = 1


@dataclass(frozen=True, slots=True)
class RawResponse:
    """Response bytes with SW1 SW2 at the end, and how long the exchange took at the transport."""

    octets: bytes
    elapsed_us: int


class CardReader(Protocol):
    """One reader, used by one thread. No call blocks longer than its timeout plus 500 ms."""

    url: str

    def open(self) -> None:
        """Find and initialise the reader. Raises ReaderLost."""

    def wait_for_card(self, timeout_ms: int) -> Presentation | None:
        """A new presentation, activated and ready for APDUs; None after the timeout. A card that has already been
        reported is not reported again before it has left the field. Raises ReaderLost."""

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        """One APDU. Raises CardLost, ReaderLost."""

    def wait_for_removal(self, timeout_ms: int) -> bool:
        """True once the field is empty. Raises ReaderLost."""

    def close(self) -> None:
        """Field off, device given back. Never raises."""
