"""Dynamic reader limits of kernel C-3: another set of limits for cards of another programme (9F5A).

Comes in: the selected application and the sale. Goes out: the application prepared again under the limits of its
programme (EMV Book B, 3.1.1, as EMV Book C-3 repeats it after the final selection).
Strategy: the longest configured programme identifier that begins the card's counts; a card without a match stays under
the limits of its combination.
"""

from __future__ import annotations

from dataclasses import replace

from taptill.card.dialogue import Selection
from taptill.card.parameters import TapRequest
from taptill.card.preprocessing import Prepared, prepare


def under_card_limits(selection: Selection, request: TapRequest) -> Prepared:
    """The combination with its indicators and TTQ for this card."""
    combination = selection.prepared.combination
    programme = selection.fci.get(0x9F5A, b"")
    fitting = [each for each in combination.programme_limits if programme.startswith(each.programme_id)]
    if not programme or not fitting:
        return selection.prepared
    limits = max(fitting, key=lambda each: len(each.programme_id))
    return prepare(
        replace(
            combination,
            transaction_limit_minor=limits.transaction_limit_minor,
            floor_limit_minor=limits.floor_limit_minor,
            cvm_limit_minor=limits.cvm_limit_minor,
            zero_amount_allowed=limits.zero_amount_allowed,
            zero_amount_offline_allowed=limits.zero_amount_offline_allowed,
            status_check=limits.status_check,
        ),
        request,
    )
