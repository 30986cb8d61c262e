"""What is used once: system trace audit numbers (STAN), key counters, payment numbers, batches.

Comes in: the counters, an entry, and which STANs of the batch still have something open. Goes out: the counters after.
Strategy: what an entry names is used up by storing it, in the same sync; nothing is handed out (DESIGN 5.4, 5.15).
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

from taptill.journal.entries import AnyEntry, BatchOpened, DebtOwed, ExchangeIntended, LinkIntended, PaymentArmed
from taptill.journal.port import Counters, ImpossibleEntry

STAN_MAX = 999_999  # DE11 holds six digits; 000000 is not used
FIRST_COUNTERS = Counters(batch=1, next_stan=1, next_key_counter=1, next_payment=1)


def stan_after(stan: int) -> int:
    """999999 is followed by 1."""
    return stan % STAN_MAX + 1


def free_stan(counters: Counters, open_stans: Container[int]) -> int:
    """The next STAN with which nothing of the current batch is open. Raises ImpossibleEntry if there is none."""
    stan = counters.next_stan
    for _ in range(STAN_MAX):
        if stan not in open_stans:
            return stan
        stan = stan_after(stan)
    raise ImpossibleEntry("every STAN has something open", where=f"batch {counters.batch}")


def takes_stan(entry: AnyEntry) -> int | None:
    """The STAN this entry uses for the first time; a reversal shares the one of its original."""
    match entry:
        case ExchangeIntended(stan=stan) | LinkIntended(stan=stan):
            return stan
        case DebtOwed(row=row, stan=stan) if row != "reversal":
            return stan
    return None


def counters_after(counters: Counters, entry: AnyEntry, open_stans: Container[int]) -> Counters:
    """`open_stans` are those of the batch that is current after the entry."""
    match entry:
        case PaymentArmed():
            return Counters(counters.batch, counters.next_stan, counters.next_key_counter, counters.next_payment + 1)
        case BatchOpened(batch=batch, next_stan=next_stan):
            return _moved(counters, batch, next_stan, counters.next_key_counter, open_stans)
        case ExchangeIntended() | LinkIntended() | DebtOwed():
            used = max(counters.next_key_counter, entry.key_counter + 1)
            stan = takes_stan(entry)
            if stan is None or entry.batch != counters.batch:
                return Counters(counters.batch, counters.next_stan, used, counters.next_payment)
            return _moved(counters, counters.batch, _later(counters.next_stan, stan_after(stan)), used, open_stans)
    return counters


def _moved(counters: Counters, batch: int, stan: int, key_counter: int, open_stans: Container[int]) -> Counters:
    moved = Counters(batch, stan, key_counter, counters.next_payment)
    return moved if stan not in open_stans else replace(moved, next_stan=free_stan(moved, open_stans))


def _later(one: int, other: int) -> int:
    """The one further on in the circle of STANs, where less than half a turn counts as further on."""
    return other if 0 < (other - one) % STAN_MAX < STAN_MAX // 2 else one
