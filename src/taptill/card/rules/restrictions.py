"""Whether this application may do this transaction here and today (EMV Book 3, 10.4).

Comes in: the data objects of the terminal and of the card, by tag. Goes out: the TVR (95) with what speaks against it.
Strategy: nothing is decided here; bits are set, and the action codes or the kernel's own rules weigh them. A check
whose data the card leaves out is passed, but for the expiration date, which every card has to have.
"""

from __future__ import annotations

from collections.abc import Mapping

from taptill.card.bits import Place, has_bit, with_bit
from taptill.card.proof.certificates import century_year
from taptill.card.rules.tvr import TVR_EXPIRED, TVR_NOT_YET_EFFECTIVE, TVR_SERVICE_NOT_ALLOWED, TVR_VERSIONS_DIFFER

PURCHASE, CASH, PURCHASE_WITH_CASHBACK, CASH_DISBURSEMENT = 0x00, 0x01, 0x09, 0x17  # 9C, ISO 8583 processing codes

_ATM_TYPES = frozenset({b"\x14", b"\x15", b"\x16"})
_TERMINAL_PAYS_OUT_CASH = (0, 0x80)  # 9F40

# 9F07, EMV Book 3, Annex C2: (within the issuer's country, abroad)
_CASH_ALLOWED = ((0, 0x80), (0, 0x40))
_GOODS_ALLOWED = ((0, 0x20), (0, 0x10))
_SERVICES_ALLOWED = ((0, 0x08), (0, 0x04))
_CASHBACK_ALLOWED = ((1, 0x80), (1, 0x40))
_AT_ATMS, _ELSEWHERE = (0, 0x02), (0, 0x01)

_DATE_DIGITS = 6


def processing_restrictions(tvr: bytes, terminal: Mapping[int, bytes], card: Mapping[int, bytes]) -> bytes:
    """The TVR with the findings of all checks. Of the terminal 9F09, 9F35, 9F40, 9F1A, 9C, 9F03 and 9A are looked at,
    of the card 9F08, 9F07, 5F28, 5F24 and 5F25."""
    tvr = check_version(tvr, terminal, card)
    tvr = check_usage(tvr, terminal, card)
    return check_dates(tvr, terminal.get(0x9A, b"").hex(), card)


def check_version(tvr: bytes, terminal: Mapping[int, bytes], card: Mapping[int, bytes]) -> bytes:
    """EMV Book 3, 10.4.1: a card that names no version is taken to have ours."""
    versions = terminal.get(0x9F09), card.get(0x9F08)
    return with_bit(tvr, TVR_VERSIONS_DIFFER) if all(versions) and versions[0] != versions[1] else tvr


def check_usage(tvr: bytes, terminal: Mapping[int, bytes], card: Mapping[int, bytes]) -> bytes:
    """EMV Book 3, 10.4.2: application usage control (9F07) against place, country and kind of transaction."""
    usage = card.get(0x9F07)
    if usage is None:
        return tvr
    allowed = has_bit(usage, _AT_ATMS if is_atm(terminal) else _ELSEWHERE)
    if 0x5F28 in card:
        abroad = card[0x5F28] != terminal.get(0x9F1A)
        wanted = (tuple(places[abroad] for places in either) for either in _wanted(terminal))
        allowed = allowed and all(_any_bit(usage, places) for places in wanted)
    return tvr if allowed else with_bit(tvr, TVR_SERVICE_NOT_ALLOWED)


def check_dates(tvr: bytes, date_yymmdd: str, card: Mapping[int, bytes]) -> bytes:
    """EMV Book 3, 10.4.3. What is no date is as good as an expired one."""
    today = _comparable(date_yymmdd)
    expiry = _comparable(card.get(0x5F24, b"").hex())
    if today is None or expiry is None or expiry < today:
        tvr = with_bit(tvr, TVR_EXPIRED)
    if 0x5F25 in card:
        effective = _comparable(card[0x5F25].hex())
        if today is None or effective is None or effective > today:
            tvr = with_bit(tvr, TVR_NOT_YET_EFFECTIVE)
    return tvr


def is_atm(terminal: Mapping[int, bytes]) -> bool:
    """EMV Book 4, Annex A1: types 14, 15 and 16 that pay out cash; nothing else is an ATM."""
    return terminal.get(0x9F35) in _ATM_TYPES and has_bit(terminal.get(0x9F40, b""), _TERMINAL_PAYS_OUT_CASH)


def is_cash(terminal: Mapping[int, bytes]) -> bool:
    """Whether cash is all that is bought."""
    return terminal.get(0x9C) in (bytes([CASH]), bytes([CASH_DISBURSEMENT]))


def is_purchase(terminal: Mapping[int, bytes]) -> bool:
    """Goods or services, with cash back or without."""
    return terminal.get(0x9C) in (bytes([PURCHASE]), bytes([PURCHASE_WITH_CASHBACK]))


def has_cashback(terminal: Mapping[int, bytes]) -> bool:
    """By the transaction type, or by an amount in 9F03 of a purchase."""
    return terminal.get(0x9C) == bytes([PURCHASE_WITH_CASHBACK]) or (
        is_purchase(terminal) and any(terminal.get(0x9F03, b""))
    )


def _wanted(terminal: Mapping[int, bytes]) -> list[tuple[tuple[Place, Place], ...]]:
    """What usage control has to allow: every line, in a line any. 9C does not tell goods from services."""
    wanted: list[tuple[tuple[Place, Place], ...]] = []
    if is_cash(terminal):
        wanted.append((_CASH_ALLOWED,))
    if is_purchase(terminal):
        wanted.append((_GOODS_ALLOWED, _SERVICES_ALLOWED))
    if has_cashback(terminal):
        wanted.append((_CASHBACK_ALLOWED,))
    return wanted


def _any_bit(octets: bytes, places: tuple[Place, ...]) -> bool:
    return any(has_bit(octets, place) for place in places)


def _comparable(yymmdd: str) -> tuple[int, str] | None:
    """A date that sorts across the turn of the century (EMV Book 4, 6.7.3); None for what has no six digits."""
    if not (yymmdd.isdigit() and len(yymmdd) == _DATE_DIGITS):
        return None
    return century_year(yymmdd[:2]), yymmdd[2:]
