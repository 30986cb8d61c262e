"""Dynamic reader limits of kernel C-3: another set of limits for cards of another programme (9F5A).

Comes in: the selected application and the sale. Goes out: the application prepared again under the limits of its
programme (EMV Book B, 3.1.1, as EMV Book C-3 repeats it after the final selection).
Strategy: the longest configured programme identifier that begins the card's counts, the empty one for every card. 9F5A
stands outside all signatures, so it may lower the limits of the combination, which are the merchant's too, and never
raise them.
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
    if not fitting:
        return selection.prepared
    limits = max(fitting, key=lambda each: len(each.programme_id))
    return prepare(
        replace(
            combination,
            transaction_limit_minor=_lower(limits.transaction_limit_minor, combination.transaction_limit_minor),
            floor_limit_minor=_lower(limits.floor_limit_minor, combination.floor_limit_minor),
            cvm_limit_minor=_lower(limits.cvm_limit_minor, combination.cvm_limit_minor),
            zero_amount_allowed=limits.zero_amount_allowed and combination.zero_amount_allowed,
            zero_amount_offline_allowed=limits.zero_amount_offline_allowed and combination.zero_amount_offline_allowed,
            status_check=limits.status_check or combination.status_check,
        ),
        request,
    )


def _lower(one_minor: int | None, other_minor: int | None) -> int | None:
    return min((each for each in (one_minor, other_minor) if each is not None), default=None)
