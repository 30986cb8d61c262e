"""Torn records between two presentations of one sale: kept in memory, and not for long (EMV Book C-2, 3.7).

Comes in: what a tap came to, and the monotonic time. Goes out: the records the next tap of the same sale is given.
Strategy: a record is of use only while the same payment waits for the same card and would offer it the same way: a
cryptogram for one way through an outage answers no question of another. Another payment or way, any end of the sale or
the record's lifetime drops it; nothing of it is ever written.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from taptill.card.outcome import CardRead, OutcomeKind
from taptill.card.torn import TornRecord

MS_PER_S = 1000
_ENDS_THE_SALE = frozenset({OutcomeKind.APPROVED, OutcomeKind.DECLINED, OutcomeKind.ONLINE_REQUEST})


@dataclass(frozen=True, slots=True)
class TornSale:
    """What a record belongs to: a payment, and whether its card may approve by itself (DESIGN 5.10)."""

    payment_ref: str
    offline_allowed: bool


@dataclass(frozen=True, slots=True)
class _Kept:
    until_ms: int
    record: TornRecord = field(repr=False)


@dataclass(frozen=True, slots=True)
class TornLog:
    """The records of one sale, oldest first. Every method returns a new value or a new log."""

    sale: TornSale | None = None
    _kept: tuple[_Kept, ...] = field(default=(), repr=False)

    def records(self, sale: TornSale, now_ms: int) -> tuple[TornRecord, ...]:
        """What the kernel may use for this sale now."""
        if sale != self.sale:
            return ()
        return tuple(each.record for each in self._kept if now_ms < each.until_ms)

    def after(self, sale: TornSale, card: CardRead, now_ms: int) -> TornLog:
        """The log once this tap is over. A newer record of the same card replaces the old one; where there is no room,
        the oldest goes. A record that was recovered is used up (EMV Book C-2, S10.10), whatever came of it: its card
        would give the same answer, and fail the same way, until the record dies. Others of the sale go with it."""
        if card.outcome.kind in _ENDS_THE_SALE or card.recovered:
            return TornLog()
        kept = self._kept if sale == self.sale else ()
        kept = tuple(each for each in kept if now_ms < each.until_ms)
        torn = card.torn_record
        if torn is not None:
            kept = tuple(each for each in kept if each.record.card != torn.card)
            kept = (*kept, _Kept(now_ms + torn.lifetime_s * MS_PER_S, torn))[-torn.records_max :]
        return TornLog(sale, kept)
