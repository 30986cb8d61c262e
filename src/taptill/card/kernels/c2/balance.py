"""Reading what the card may still spend offline (EMV Book C-2, 7.1 to 7.4; states 16 and 17).

Comes in: the transaction. Goes out: the balance among the terminal's data objects, if the card tells it.
Strategy: the balance is a service; that it cannot be read stops nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from taptill.card.apdu import CommandApdu, ResponseApdu
from taptill.card.bits import has_bit
from taptill.card.kernels.c2 import tags
from taptill.card.kernels.c2.tap_database import TapDatabase
from taptill.card.outcome import Outcome
from taptill.card.payment_data import get_data
from taptill.card.reader import CardLost

BALANCE_OCTETS = 6
_BALANCE_READABLE = (1, 0x02)  # 9F5D


def read_balance(here: TapDatabase, into: int) -> Generator[CommandApdu, ResponseApdu, None]:
    """Procedures Pre-Gen AC Balance Reading (`into` DF8104) and Post-Gen AC Balance Reading (`into` DF8105)."""
    wanted = into in here.configuration.values or into in here.exchange.known
    if not wanted or not has_bit(here.card.get(tags.APPLICATION_CAPABILITIES, b""), _BALANCE_READABLE):
        return
    balance = yield from get_data(tags.OFFLINE_BALANCE)
    if balance is not None and len(balance) == BALANCE_OCTETS and balance.hex().isdigit():
        here.terminal[into] = balance


def read_balance_after(here: TapDatabase) -> Generator[CommandApdu, ResponseApdu, None]:
    """S17: the card has answered by now, so it may as well be gone."""
    try:
        yield from read_balance(here, tags.BALANCE_AFTER)
    except CardLost:
        return


def with_balance(here: TapDatabase, outcome: Outcome) -> Outcome:
    """S9_10.75: shown beside the approval."""
    balance = here.terminal.get(tags.BALANCE_AFTER)
    if balance is None or outcome.ui_on_outcome is None:
        return outcome
    shown = replace(
        outcome.ui_on_outcome,
        value_qualifier="balance",
        value_minor=int(balance.hex()),
        currency=here.card.get(0x9F42, b"").hex()[-3:],
    )
    return replace(outcome, ui_on_outcome=shown)
