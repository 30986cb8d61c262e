"""What a replay is told as.

Comes in: nothing, this is a shape. Goes out: `ReplayReport`, and its plain data for `taptill replay --json` (DESIGN 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from taptill.card.outcome import CryptogramType, Oda, OutcomeKind
from taptill.card.tlv_names import shown_value

OUTCOME_WORDS = {
    OutcomeKind.ONLINE_REQUEST: "online",
    OutcomeKind.SELECT_NEXT: "end application",
}


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay found; card numbers are masked. `proofs` says "passed" or a reason per offline proof. `differing`
    are commands that were recorded otherwise or not at all, `missed` what the document expects and does not get;
    `cases` is what else the document holds."""

    case_id: str
    outcome: str
    reason: str
    interface: str
    aid: str
    kernel: str
    label: str
    masked_pan: str
    oda: Oda
    tvr: str
    cvm: str
    cryptogram_type: CryptogramType | None
    tags: Mapping[str, str]
    proofs: Mapping[str, str] = field(default_factory=dict)
    differing: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()

    def as_json(self) -> dict[str, object]:
        """Plain data for JSON."""
        oda = self.oda
        plain: dict[str, object] = {
            "case": self.case_id,
            "outcome": self.outcome,
            "reason": self.reason,
            "interface": self.interface,
            "aid": self.aid,
            "kernel": self.kernel,
            "label": self.label,
            "masked_pan": self.masked_pan,
            "oda": {"method": oda.method.value, "result": oda.verdict.value, "reason": oda.reason},
            "tvr": self.tvr,
            "cvm": self.cvm,
            "cryptogram_type": self.cryptogram_type.value if self.cryptogram_type else None,
            "tags": dict(self.tags),
            "proofs": dict(self.proofs),
            "differences": [*self.differing, *self.missed],
        }
        return {**plain, "cases": list(self.cases)} if self.cases else plain


def shown_tags(tags: Mapping[int, bytes]) -> dict[str, str]:
    """By tag in hex, masked where a value names a card or a person."""
    return {f"{tag:X}": shown_value(tag, value) for tag, value in sorted(tags.items())}
