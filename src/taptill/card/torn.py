"""A transaction whose card left between GENERATE AC and its answer (EMV Book C-2, 3.7).

Comes in: nothing, this is a shape. Goes out: `TornRecord`, what a kernel needs to ask the same card for the cryptogram
it may already have made.
Strategy: the kernel makes records and is passed them, it keeps none; whoever runs it keeps them in memory only, as long
as `lifetime_s` says. The card is known by a digest of its number, and nothing of a record is ever shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TornRecord:
    """EMV Book C-2, A.1 (Torn Record), without data storage. `terminal` holds what the terminal said of the sale, by
    tag, 95, 9F34 and 9F37 among it; `records_max` and `lifetime_s` are DF811D and DF811C."""

    card: bytes = field(repr=False)  # `torn_card`
    drdol_values: bytes = field(repr=False)
    pdol_values: bytes = field(repr=False)
    cdol_values: bytes = field(repr=False)
    reference_control: int = field(repr=False)  # P1 of the GENERATE AC that was not answered
    terminal: Mapping[int, bytes] = field(repr=False)
    relay_resistance: bytes = field(repr=False)
    records_max: int = field(repr=False)
    lifetime_s: int = field(repr=False)


def torn_card(pan: bytes, sequence_number: bytes | None) -> bytes:
    """What stands for a card in torn records: a digest of 5A and 5F34."""
    return hashlib.sha256(pan + b"/" + (sequence_number or b"")).digest()
