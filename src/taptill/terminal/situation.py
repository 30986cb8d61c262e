"""What the till sees from its desk at one moment, as a value that other threads may keep.

Comes in: nothing, this is a shape; `why.situation_of` fills it on the loop's thread. Goes out: `Situation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from taptill.decision.decide import HostHealth
from taptill.journal.forwarding import BackOff
from taptill.terminal.inquiry import Inquiry


@dataclass(frozen=True, slots=True)
class Situation:
    """`due_us` holds the timers by name. All `_us` are monotonic, `at_ms` is wall time."""

    at_ms: int
    now_us: int
    host: HostHealth
    host_reason: str
    away_since_us: int | None
    storage_fault: str
    window: int
    sale_under_way: bool
    in_flight: AbstractSet[str]  # debts on their way
    answered: AbstractSet[str]  # debts whose answer is being stored
    back_offs: Mapping[str, BackOff]
    inquiries: Mapping[str, Inquiry]  # by UNKNOWN payment
    due_us: Mapping[str, int]

    def in_ms(self, moment_us: int | None) -> int | None:
        """From now on; 0 for what is due, None for what has no moment."""
        return None if moment_us is None else max(0, moment_us - self.now_us) // 1000
