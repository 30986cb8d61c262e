"""What a receipt is made from, and what it is made into.

Comes in: nothing, these are shapes. Goes out: `ReceiptFacts` (one payment, ready to be told) and `Receipt` (lines,
rules and a QR code, without any printer's commands).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from taptill.amount.money import Money
from taptill.errors import TapTillError

QR_OCTETS_MAX = 512  # a version 20 symbol; more cannot be read off a 58 mm slip


class ReceiptError(TapTillError):
    """Facts no receipt can be made from: a state without a text, a QR content that fits no slip."""

    code = 5001


class Language(Enum):
    ZH = "zh-CN"
    EN = "en"


class Copy(Enum):
    CUSTOMER = "customer"
    MERCHANT = "merchant"


@dataclass(frozen=True, slots=True)
class Merchant:
    name: str
    merchant_id: str
    terminal_id: str
    operator: str = "01"
    acquirer: str = ""
    test_mode: bool = True  # prints that this slip is not valid


@dataclass(frozen=True, slots=True)
class Original:
    """The transaction that a void or a refund belongs to, as its own slip named it."""

    stan: int | None = None
    rrn: str = ""
    date: str = ""  # MMDD, as DE13 has it


@dataclass(frozen=True, slots=True)
class InstalmentTerms:
    """The plan the customer agreed to before the tap."""

    terms: int
    per_term: Money
    fee: Money | None = None
    first: Money | None = None  # where the first payment differs


@dataclass(frozen=True, slots=True)
class ReceiptFacts:
    """One payment, ready to be told. `state` is an ECR state name; `card` holds tags (hex keys such as "9F26") that are
    safe to print."""

    merchant: Merchant
    payment_ref: str
    state: str
    amount: Money
    approved: Money | None
    masked_pan: str
    entry_mode: str  # "C" contactless
    scheme: str
    batch: int | None
    stan: int | None
    auth_code: str
    rrn: str
    at_ms: int
    time_trusted: bool
    reason: str = ""  # DE39 or stable word when not approved
    reason_text: Mapping[Language, str] = field(default_factory=dict)
    next_step: Mapping[Language, str] = field(default_factory=dict)
    host_texts: tuple[str, ...] = ()
    card: Mapping[str, str] = field(default_factory=dict)
    cvm: str = "none"
    test_keys: bool = False
    unverified_by: str = ""  # the operator whose word it is, where no host or card decided
    reprint: int = 0  # how many times printed before
    status_url: str = ""  # what the QR leads to
    copy: Copy = Copy.CUSTOMER
    transaction: str = "sale"  # sale, void, refund
    original: Original | None = None
    refunded: Money | None = None
    instalments: InstalmentTerms | None = None
    utc_offset_minutes: int = 480  # the shop's wall clock: China has one, without summer time


class Style(Enum):
    NORMAL = "normal"
    TITLE = "title"
    EMPHASIS = "emphasis"
    SMALL = "small"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text; with `value` it is a label at the left and a value at the right."""

    text: str
    value: str | None = None
    style: Style = Style.NORMAL
    centred: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A dividing line."""


@dataclass(frozen=True, slots=True)
class Qr:
    """A QR code; raises ReceiptError when `content` is empty or longer than QR_OCTETS_MAX bytes of UTF-8."""

    content: str
    caption: str = ""

    def __post_init__(self) -> None:
        if not 0 < len(self.content.encode()) <= QR_OCTETS_MAX:
            raise ReceiptError(f"a QR content must have 1..{QR_OCTETS_MAX} bytes", where="receipt QR")


Item = Line | Rule | Qr


@dataclass(frozen=True, slots=True)
class Receipt:
    items: tuple[Item, ...]
