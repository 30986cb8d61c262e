"""One question to the host and how it can end.

Comes in: a composed request. Goes out: exactly one of Replied, Silent, NotSent.
Strategy: silence is a value. Only `NotSent` proves that the host knows nothing; a reply that is not authenticated or
does not match is no reply (DESIGN 5.9).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class SilenceMeans(Enum):
    """What to do when no answer came (DESIGN 5.5); a column of the profile's row."""

    QUERY_THEN_REVERSE = "query_then_reverse"
    REPEAT_IDENTICAL = "repeat_identical"
    ASK_AGAIN = "ask_again"


class Verdict(Enum):
    """What an authenticated answer code means for the machine (facts: DE39 table of the profile)."""

    APPROVED = "approved"
    PARTIAL = "partial"  # approved for less: DE4 of the reply
    DECLINED = "declined"
    IN_DOUBT = "in doubt"  # 09, 68, 98: the host does not know either
    DUPLICATE = "duplicate"  # 94
    NOT_FOUND = "not found"  # 25
    SIGN_ON_FIRST = "sign on first"  # 77, A0, 99
    TRY_LATER = "try later"  # 90, 91, 92, 96


@dataclass(frozen=True, slots=True)
class MatchKey:
    """A reply belongs to a request when all of these are equal (reversals share the STAN of their original)."""

    terminal_id: str
    batch: int
    stan: int
    reply_mti: str


@dataclass(frozen=True, slots=True)
class HostRequest:
    """`wire` is everything after the two length bytes (TPDU, header, message) and is what a repeat sends again."""

    row: str  # the profile row: "sale", "status_query", "reversal", ...
    key: MatchKey
    key_counter: int
    amount_minor: int | None
    payment_ref: str | None
    wire: bytes


@dataclass(frozen=True, slots=True)
class HostReply:
    """A matched answer. Texts come from the host; verdict and next step from the profile."""

    row: str
    code: str  # DE39
    verdict: Verdict
    stan: int
    amount_minor: int | None = None
    auth_code: str = ""
    rrn: str = ""
    batch: int | None = None  # 60.2 of the reply
    local_time: str = ""  # MMDDhhmmss from DE13 and DE12
    settlement_texts: tuple[str, ...] = ()
    original_code: str = ""  # status query: DE39 the host gave to the original
    original_state: str = ""  # status query: "approved", "declined", "reversed", "not found", "in progress"
    stan_high: int | None = None  # sign-on: the highest STAN the host saw in this batch
    icc_data: bytes = b""  # DE55
    clock_unix_ms: int | None = None  # sign-on: the host's time
    authenticated: bool = True  # False: a decline without MAC, where the profile allows it; a reversal is still owed


@dataclass(frozen=True, slots=True)
class Replied:
    reply: HostReply
    evidence: bytes = field(default=b"", repr=False)  # the raw answer, for the journal's digest


@dataclass(frozen=True, slots=True)
class Silent:
    """At least one byte may have reached the host, and no acceptable answer came."""

    reason: str  # "timeout", "link lost", "bad MAC", "mismatch: DE4"


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte left this machine."""

    reason: str  # "unreachable", "tls: ...", "link down"


ExchangeResult = Replied | Silent | NotSent
