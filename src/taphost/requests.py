"""What terminals ask, and what they are answered, without the octets.

Comes in: the fields of a message that was authenticated. Goes out: one of six kinds of request; an `Answer`.
Strategy: what a message is was decided once, when it was read, and is a type from then on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from taphost.accounts import OpenedCard


class MessageClass(Enum):
    """Reversals reuse the STAN of their original, so the class is part of every key."""

    FINANCIAL = "financial"
    REVERSAL = "reversal"


class FinancialKind(Enum):
    SALE = "sale"
    OFFLINE_ADVICE = "offline_advice"  # the card approved (TC, 8A=Y1); money has changed hands
    DEFERRED_ADVICE = "deferred_advice"  # the card asked for us (ARQC, 8A=Y3); decided now, at the merchant's risk


@dataclass(frozen=True, slots=True)
class MessageKey:
    """What makes a message the same message: terminal, batch, STAN, class."""

    terminal: str
    batch: int
    stan: int
    message_class: MessageClass


@dataclass(frozen=True, slots=True)
class Financial:
    """A sale or an advice. `card` is None where no envelope came or it did not open; then `flaw` says why."""

    kind: FinancialKind
    key: MessageKey
    amount_minor: int
    currency: str
    payment_ref: str
    token: bytes
    card: OpenedCard | None
    icc: Mapping[int, bytes] = field(repr=False)
    partial_allowed: bool = True
    flaw: str = ""

    @property
    def fingerprint(self) -> str:
        """Equal for a repeat, different for another message under the same key."""
        cryptogram = self.icc.get(0x9F26, b"").hex()
        return f"{self.kind.value}:{self.amount_minor}:{cryptogram}:{self.payment_ref}"


@dataclass(frozen=True, slots=True)
class Reversal:
    """0400: undo the financial message of the same terminal, batch and STAN. `reason` is its DE39."""

    key: MessageKey
    amount_minor: int
    payment_ref: str
    reason: str

    @property
    def fingerprint(self) -> str:
        return f"reversal:{self.amount_minor}:{self.payment_ref}"

    @property
    def original(self) -> MessageKey:
        return MessageKey(self.key.terminal, self.key.batch, self.key.stan, MessageClass.FINANCIAL)


@dataclass(frozen=True, slots=True)
class StatusQuery:
    """How did the financial message under `original` end? Asks on behalf of `payment_ref` alone, where it is given."""

    original: MessageKey
    payment_ref: str


@dataclass(frozen=True, slots=True)
class SignOn:
    """Gives the terminal time, current batch and the highest STAN known of it."""


@dataclass(frozen=True, slots=True)
class Echo:
    """Is anybody there?"""


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A well-formed message of a kind this host does not do."""


Request = Financial | Reversal | StatusQuery | SignOn | Echo | Unsupported


@dataclass(frozen=True, slots=True)
class Answer:
    """What the reply says. `amount_minor` differs from the request's only with code 10; `private_text` is DE62,
    `issuer` goes into DE63."""

    code: str
    amount_minor: int | None = None
    auth_code: str = ""
    rrn: str = ""
    private_text: str = ""
    issuer: str = ""
    remark: str = ""
