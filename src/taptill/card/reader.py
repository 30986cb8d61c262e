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
    """One card (or phone) held to the reader. `uid` may be random, and another one each time. `cards_in_field` above 1
    is a collision: nothing is to be read before only one is left. Without `takes_apdus` it is no payment card."""

    uid: bytes
    technology: str  # "A" or "B", "?" where the reader does not say
    answer: bytes = b""  # ATS, ATQB or ATR, as far as the reader tells
    cards_in_field: int = 1
    takes_apdus: bool = True  # ISO/IEC 14443-4; a ticket or a key has only a number


@dataclass(frozen=True, slots=True)
class RawResponse:
    """Response bytes with SW1 SW2 at the end, and how long the exchange took at the transport: from the command's first
    byte out to the answer's last byte in, on a monotonic clock. What is asked for again on the way between terminal
    and reader is not in it, so that it says something about the card (EMV Kernel 2, relay resistance)."""

    octets: bytes
    elapsed_us: int


class CardReader(Protocol):
    """One reader, used by one thread. No call blocks longer than its timeout plus 500 ms."""

    url: str

    def open(self) -> None:
        """Find and initialise the reader. Raises ReaderLost."""

    def wait_for_card(self, timeout_ms: int) -> Presentation | None:
        """A new presentation, activated and ready for APDUs; None after the timeout. A card that has already been
        reported is not reported again before it has left the field; of several cards the one that is left is reported
        when the others have gone. Raises ReaderLost."""

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        """One APDU. Raises CardLost, also where there is no card, or none that takes APDUs; ReaderLost."""

    def wait_for_removal(self, timeout_ms: int) -> bool:
        """True once the field is empty. Raises ReaderLost."""

    def close(self) -> None:
        """Field off, device given back. Never raises."""
