"""What the terminal holds against a transaction that might stay offline (EMV Book 3, 10.6; EMV Book 4, 6.3.5).

Comes in: the terminal's limits, its log of sales, a random number, and the card's counters. Goes out: TVR and TSI.
Strategy: each check is a function from TVR to TVR; only velocity checking asks the card, by a dialogue. The log and the
exception list know cards by a digest, never by number. The contactless kernels use the exception list alone, the rest
their books leave out; `manage_risk` is for a kernel that does all of EMV Book 3, 10.6, as a contact kernel would.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

from taptill.card.apdu import CommandApdu, ResponseApdu
from taptill.card.bits import with_bit
from taptill.card.payment_data import get_data, pan_digits
from taptill.card.rules.tvr import (
    NO_TSI,
    NO_TVR,
    TSI_TERMINAL_RISK_MANAGEMENT,
    TVR_CHOSEN_AT_RANDOM,
    TVR_FLOOR_LIMIT_EXCEEDED,
    TVR_LOWER_OFFLINE_LIMIT_EXCEEDED,
    TVR_MERCHANT_FORCED_ONLINE,
    TVR_NEW_CARD,
    TVR_ON_EXCEPTION_FILE,
    TVR_UPPER_OFFLINE_LIMIT_EXCEEDED,
)

ATC, LAST_ONLINE_ATC = 0x9F36, 0x9F13
COUNTER_OCTETS = 2


@dataclass(frozen=True, slots=True)
class LoggedSale:
    """A sale this terminal remembers: `card` is `card_digest` of its number, `sequence_number` 5F34 as two digits."""

    card: bytes
    sequence_number: str | None
    amount_minor: int


@dataclass(frozen=True, slots=True)
class RandomSelection:
    """EMV Book 3, 10.6.2: how many of 100 small sales go online. `drawn` is a fair number from 1 to 99."""

    drawn: int
    target_percent: int
    target_percent_max: int
    threshold_minor: int


@dataclass(frozen=True, slots=True)
class RiskParameters:
    """The terminal's side. `floor_limit_minor` None: there is no floor limit. `log` is in the order of the sales."""

    floor_limit_minor: int | None = None
    random: RandomSelection | None = None
    log: Sequence[LoggedSale] = field(default=(), repr=False)
    exceptions: frozenset[bytes] = field(default=frozenset(), repr=False)  # `card_digest` of cards to refuse
    forced_online: bool = False


@dataclass(frozen=True, slots=True)
class Findings:
    """Terminal verification results (95) and transaction status information (9B)."""

    tvr: bytes = NO_TVR
    tsi: bytes = NO_TSI


def manage_risk(
    found: Findings, parameters: RiskParameters, amount_minor: int, card: Mapping[int, bytes]
) -> Generator[CommandApdu, ResponseApdu, Findings]:
    """Every check of EMV Book 3, 10.6. Of the card 5A, 5F34, 9F14 and 9F23 are looked at."""
    pan = pan_digits(card.get(0x5A, b""))
    tvr = check_exceptions(found.tvr, pan, parameters.exceptions)
    if parameters.forced_online:
        tvr = with_bit(tvr, TVR_MERCHANT_FORCED_ONLINE)
    if parameters.floor_limit_minor is not None:
        before_minor = spent_before(parameters.log, pan, card.get(0x5F34, b"").hex() or None)
        tvr = check_floor_limit(tvr, amount_minor + before_minor, parameters.floor_limit_minor)
        if parameters.random is not None:
            tvr = select_at_random(tvr, parameters.random, amount_minor, parameters.floor_limit_minor)
    tvr = yield from check_velocity(tvr, card)
    return Findings(tvr, with_bit(found.tsi, TSI_TERMINAL_RISK_MANAGEMENT))


def card_digest(pan: str) -> bytes:
    """What stands for a card number (digits, no padding) in logs and lists."""
    return hashlib.sha256(pan.encode()).digest()


def check_exceptions(tvr: bytes, pan: str, exceptions: frozenset[bytes]) -> bytes:
    """EMV Book 4, 6.3.5: the terminal's list of cards to refuse."""
    return with_bit(tvr, TVR_ON_EXCEPTION_FILE) if card_digest(pan) in exceptions else tvr


def spent_before(log: Sequence[LoggedSale], pan: str, sequence_number: str | None) -> int:
    """EMV Book 3, 10.6.1: the amount of this card's latest sale in the log, 0 without one; a split sale is thereby
    found. A card that gives no sequence number is known by its number alone."""
    card = card_digest(pan)
    mine = (each for each in reversed(log) if each.card == card and sequence_number in (None, each.sequence_number))
    return next((each.amount_minor for each in mine), 0)


def check_floor_limit(tvr: bytes, amount_minor: int, floor_limit_minor: int) -> bytes:
    """EMV Book 3, 10.6.1: at the limit is above it."""
    return with_bit(tvr, TVR_FLOOR_LIMIT_EXCEEDED) if amount_minor >= floor_limit_minor else tvr


def select_at_random(tvr: bytes, selection: RandomSelection, amount_minor: int, floor_limit_minor: int) -> bytes:
    """EMV Book 3, 10.6.2: below the threshold every sale alike, from there on the likelier the nearer to the floor
    limit. At the floor limit nothing is left to choose."""
    if amount_minor >= floor_limit_minor:
        return tvr
    percent, span_minor = selection.target_percent, floor_limit_minor - selection.threshold_minor
    above_minor = max(0, amount_minor - selection.threshold_minor)
    # Multiplied out, because integers do not round.
    biased = (selection.target_percent_max - percent) * above_minor
    chosen = (selection.drawn - percent) * span_minor <= biased if above_minor else selection.drawn <= percent
    return with_bit(tvr, TVR_CHOSEN_AT_RANDOM) if chosen else tvr


def check_velocity(tvr: bytes, card: Mapping[int, bytes]) -> Generator[CommandApdu, ResponseApdu, bytes]:
    """EMV Book 3, 10.6.3: asks for ATC and last online ATC where the card sets limits for going without the issuer."""
    lower, upper = card.get(0x9F14), card.get(0x9F23)
    if not lower or not upper:
        return tvr
    atc = yield from _counter(ATC)
    last_online = yield from _counter(LAST_ONLINE_ATC)
    return judge_velocity(tvr, atc, last_online, (lower[0], upper[0]))


def judge_velocity(tvr: bytes, atc: int | None, last_online: int | None, limits: tuple[int, int]) -> bytes:
    """The counters against lower and upper limit; None is a counter that the card does not tell, and counters that run
    backwards are as bad."""
    offline = None
    if atc is not None and last_online is not None and atc > last_online:
        offline = atc - last_online
    for limit, place in zip(limits, (TVR_LOWER_OFFLINE_LIMIT_EXCEEDED, TVR_UPPER_OFFLINE_LIMIT_EXCEEDED), strict=True):
        if offline is None or offline > limit:
            tvr = with_bit(tvr, place)
    return with_bit(tvr, TVR_NEW_CARD) if last_online == 0 else tvr


def _counter(tag: int) -> Generator[CommandApdu, ResponseApdu, int | None]:
    """None when the card has none to tell."""
    value = yield from get_data(tag)
    return int.from_bytes(value, "big") if value is not None and len(value) == COUNTER_OCTETS else None
