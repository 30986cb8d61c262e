"""What a reader is told before a tap: per combination of AID and kernel, and per sale.

Comes in: configuration and the sale's amount. Goes out: shapes the entry point and the kernels read.
Source: EMV Book A, 5.2 (configuration data); EMV Book B, 3.1 (pre-processing).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from taptill.amount.money import Money
from taptill.card.torn import TornRecord


@dataclass(frozen=True, slots=True)
class ProgrammeLimits:
    """The limits of a combination for cards whose application program identifier (9F5A) begins so; None: no check."""

    programme_id: bytes
    transaction_limit_minor: int | None = None
    floor_limit_minor: int | None = None
    cvm_limit_minor: int | None = None
    zero_amount_allowed: bool = False
    zero_amount_offline_allowed: bool = False
    status_check: bool = False


@dataclass(frozen=True, slots=True)
class Combination:
    """One AID on one kernel with its reader limits. Limits are minor units; None means absent (no such check)."""

    aid: bytes
    kernel_id: int  # 2, 3, 7 ...
    ttq: bytes  # 9F66 as configured, four bytes
    partial_match: bool = True
    transaction_limit_minor: int | None = None
    floor_limit_minor: int | None = None
    terminal_floor_limit_minor: int | None = None  # 9F1B
    cvm_limit_minor: int | None = None
    zero_amount_allowed: bool = False
    zero_amount_offline_allowed: bool = False
    status_check: bool = False
    extended_selection: bool = False
    application_version: bytes = b""  # 9F09
    transaction_types: frozenset[int] | None = None  # values of 9C it serves; None: all
    small_amount_limit_minor: int | None = None  # up to here a domestic tap needs no CVM (小额免密免签)
    kernel_data: Mapping[int, bytes] = field(default_factory=dict)  # configured data objects, over the kernel's own
    programme_limits: tuple[ProgrammeLimits, ...] = ()  # dynamic reader limits (kernel C-3)


def own_capabilities(pin_pad: bool) -> bytes:
    """9F33 of this terminal (EMV Book 4, Annex A2): no stripe, no contact chip, nothing keyed in; signature and no CVM,
    online PIN where there is a pad (DESIGN 5.11), offline PIN never; SDA, DDA and CDA, and no card is kept."""
    return bytes([0x00, 0x28 | (0x40 if pin_pad else 0x00), 0xC8])


@dataclass(frozen=True, slots=True)
class TapRequest:
    """One sale as a kernel needs it. `online_possible` False lets the TTQ drop "online cryptogram required"
    (DESIGN 5.10: the way through an outage is chosen before GPO); `offline_allowed` False makes it required."""

    amount: Money
    amount_other: Money
    transaction_type: int  # 9C: 00 purchase, 20 refund
    date_yymmdd: str
    time_hhmmss: str
    country: str  # 9F1A, ISO 3166 number, "156"
    unpredictable_number: bytes  # 9F37, four bytes
    online_possible: bool
    offline_allowed: bool
    terminal_type: int = 0x22  # 9F35: attended, offline with online capability
    terminal_capabilities: bytes = b""  # 9F33; empty: `own_capabilities`
    serial_number: str = "00000000"  # 9F1E, eight characters; the terminal's own, where there is one
    merchant_name: str = "TapTill"  # 9F4E
    pin_pad: bool = (
        False  # a certified pad for online PIN is attached; without it the TTQ never claims one (DESIGN 5.11)
    )
    sequence_counter: int = 0  # 9F41, eight digits
    exceptions: frozenset[bytes] = field(default=frozenset(), repr=False)  # `card_digest` of cards to refuse offline
    # Unpredictable numbers for relay resistance, four bytes each: one per attempt, drawn for this tap, told to nobody
    # before (EMV Book C-2, S3.61 and SR1.23). Without any the protocol is not run.
    fresh_numbers: tuple[bytes, ...] = ()
    torn_records: tuple[TornRecord, ...] = ()  # of earlier presentations of this sale, none past its lifetime
