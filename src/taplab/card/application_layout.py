"""What a scheme's issuer lays down for one application before keys and switches are added.

Comes in: nothing, this is a shape. Goes out: what issuing puts together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from taplab.card.personalisation import MChip, Qvsdc

LOG_ENTRY = bytes.fromhex("9F4D020B0A")


@dataclass(frozen=True, slots=True)
class ApplicationLayout:
    """Files and data objects of one application. `discretionary` is the content of BF0C in its FCI."""

    aid: bytes
    label: bytes
    pdol: bytes
    aip: bytes
    afl: bytes
    records: Mapping[tuple[int, int], bytes] = field(repr=False)
    issuer_data: bytes
    languages: bytes = b"zhen"
    discretionary: bytes = LOG_ENTRY
    qvsdc: Qvsdc = field(default_factory=Qvsdc)
    mchip: MChip | None = None
