"""What a receipt is made from, and what it is made into."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from taptill.amount.money import Money


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
    reprint: int = 0  # how many times printed before
    status_url: str = ""  # what the QR leads to
    copy: Copy = Copy.CUSTOMER


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
    content: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    items: tuple[Line | Rule | Qr, ...]
