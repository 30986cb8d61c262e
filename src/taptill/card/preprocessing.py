"""Before the field is on: which combinations may serve this amount, and what the card is told of the reader.

Comes in: a combination with its limits, and the sale. Goes out: `Prepared` with indicators and the copy of the TTQ.
Strategy: EMV Book B, 3.1.1, clause by clause; on top of it the way chosen through an outage (DESIGN 5.10) may only add
"online cryptogram required".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from taptill.card.bits import has_bit, with_bit, without_bit
from taptill.card.parameters import Combination, TapRequest
from taptill.card.ttq import (
    TTQ_CVM_REQUIRED,
    TTQ_OFFLINE_ONLY,
    TTQ_ONLINE_CRYPTOGRAM_REQUIRED,
    TTQ_ONLINE_PIN,
)


@dataclass(frozen=True, slots=True)
class Indicators:
    """EMV Book B, Table 3-2: the pre-processing indicators of one combination."""

    status_check_requested: bool = False
    application_not_allowed: bool = False
    zero_amount: bool = False
    floor_limit_exceeded: bool = False
    cvm_limit_exceeded: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """A combination with its indicators and its TTQ (9F66) for this sale."""

    combination: Combination
    indicators: Indicators
    ttq: bytes


def prepare_all(combinations: Iterable[Combination], request: TapRequest) -> tuple[Prepared, ...]:
    """Every combination that serves this type of transaction, in the reader's order (EMV Book A, 8.1.1.5)."""
    return tuple(prepare(each, request) for each in _serving(combinations, request))


def copy_all(combinations: Iterable[Combination], request: TapRequest) -> tuple[Prepared, ...]:
    """Activation at Start B, without pre-processing: no indicators, the TTQ as it is configured (EMV Book B, 3.2.1.1;
    EMV Book A, 8.1.1.6). What this sale must not offer is left out of it all the same."""
    return tuple(
        Prepared(each, Indicators(), _tightened(_claimable(each.ttq, request), request))
        for each in _serving(combinations, request)
    )


def _serving(combinations: Iterable[Combination], request: TapRequest) -> Iterable[Combination]:
    kind = request.transaction_type
    return (each for each in combinations if each.transaction_types is None or kind in each.transaction_types)


def prepare(combination: Combination, request: TapRequest) -> Prepared:
    """EMV Book B, 3.1.1.1 to 3.1.1.12."""
    ttq = _fresh(_claimable(combination.ttq, request))
    indicators = _indicators(combination, request, has_bit(ttq, TTQ_OFFLINE_ONLY))
    online = indicators.floor_limit_exceeded or indicators.status_check_requested
    online = online or (indicators.zero_amount and not combination.zero_amount_offline_allowed)
    ttq = with_bit(ttq, TTQ_ONLINE_CRYPTOGRAM_REQUIRED) if online else _tightened(ttq, request)
    if indicators.cvm_limit_exceeded:
        ttq = with_bit(ttq, TTQ_CVM_REQUIRED)
    return Prepared(combination, indicators, ttq)


def _fresh(ttq: bytes) -> bytes:
    """EMV Book B, 3.1.1.2: the transient bits start at zero."""
    return without_bit(without_bit(ttq, TTQ_ONLINE_CRYPTOGRAM_REQUIRED), TTQ_CVM_REQUIRED)


def _claimable(ttq: bytes, request: TapRequest) -> bytes:
    """Online PIN is claimed only where a pad is (DESIGN 5.11)."""
    return ttq if request.pin_pad else without_bit(ttq, TTQ_ONLINE_PIN)


def _tightened(ttq: bytes, request: TapRequest) -> bytes:
    return ttq if request.offline_allowed else with_bit(ttq, TTQ_ONLINE_CRYPTOGRAM_REQUIRED)


def _indicators(combination: Combination, request: TapRequest, offline_only: bool) -> Indicators:
    amount = request.amount.minor
    one_unit: int = 10**request.amount.currency.minor_digits
    zero = amount == 0
    refused = zero and (not combination.zero_amount_allowed or _only_offline(combination, offline_only))
    limit = combination.transaction_limit_minor
    return Indicators(
        status_check_requested=combination.status_check and amount == one_unit,
        application_not_allowed=refused or (limit is not None and amount >= limit),
        zero_amount=zero and combination.zero_amount_allowed,
        floor_limit_exceeded=_above_floor(combination, amount),
        cvm_limit_exceeded=combination.cvm_limit_minor is not None and amount >= combination.cvm_limit_minor,
    )


def _only_offline(combination: Combination, offline_only: bool) -> bool:
    """EMV Book B, 3.1.1.11: a zero amount goes online, so a reader that cannot is out."""
    return offline_only and not combination.zero_amount_offline_allowed


def _above_floor(combination: Combination, amount_minor: int) -> bool:
    """EMV Book B, 3.1.1.6 and 3.1.1.7: the reader's floor limit, or the terminal's where the reader has none."""
    floor = combination.floor_limit_minor
    if floor is None:
        floor = combination.terminal_floor_limit_minor
    return floor is not None and amount_minor > floor
