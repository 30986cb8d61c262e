"""One tap told to a technician: the outcome as JSON, without anything that may not be seen.

Comes in: the `CardRead` of a tap. Goes out: plain data in the form `taptill read` and `taptill replay` share.
"""

from __future__ import annotations

from taptill.card.outcome import CardRead
from taptill.card.replay.report import OUTCOME_WORDS, shown_tags
from taptill.card.sensitive import mask_pan


def tap_report(card: CardRead, reader_url: str) -> dict[str, object]:
    """Raises nothing. The card number is shown masked and wiped afterwards."""
    masked_pan = ""
    if card.number is not None:
        masked_pan = mask_pan(card.number.pan.reveal().decode("ascii"))
        card.number.pan.wipe()
        card.number.track2.wipe()
    return {
        "outcome": OUTCOME_WORDS.get(card.outcome.kind, card.outcome.kind.value),
        "reason": card.outcome.reason,
        "reader": reader_url,
        "aid": card.aid.hex().upper(),
        "kernel": card.kernel,
        "label": card.label,
        "masked_pan": masked_pan,
        "oda": {"method": card.oda.method.value, "result": card.oda.verdict.value, "reason": card.oda.reason},
        "tvr": card.tvr.hex().upper(),
        "cvm": card.outcome.cvm.value,
        "cryptogram_type": card.cryptogram_type.value if card.cryptogram_type else None,
        "tags": shown_tags(card.data),
    }
