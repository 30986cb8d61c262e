"""The domestic small-amount rule of UnionPay (小额免密免签): up to its limit a domestic card needs no verification.

Comes in: the selected application and the sale. Goes out: the TTQ (9F66) this card is to be told.
Strategy: the card is asked for its currency (9F51) after the final selection, as acquirer terminals do, but only where
the answer changes what it is told: between the rule's limit and the reader's CVM limit. So GPO already says the truth,
and the card's qualifiers answer to it. A card that does not tell its currency falls under the stricter limit.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping

from taptill.card.apdu import CommandApdu, ResponseApdu
from taptill.card.bits import has_bit, with_bit, without_bit
from taptill.card.dialogue import Selection
from taptill.card.parameters import TapRequest
from taptill.card.payment_data import get_data
from taptill.card.rules.restrictions import PURCHASE
from taptill.card.ttq import TTQ_CVM_REQUIRED

_APPLICATION_CURRENCY = 0x9F51


def qualifiers_for_card(
    selection: Selection, request: TapRequest, sent: Mapping[int, bytes]
) -> Generator[CommandApdu, ResponseApdu, bytes]:
    """The TTQ with "CVM required" as the rule has it for a domestic card, else as pre-processing left it."""
    ttq = sent.get(0x9F66, b"")
    limit = selection.prepared.combination.small_amount_limit_minor
    if limit is None or request.transaction_type != PURCHASE:
        return ttq
    required = request.amount.minor > limit
    if has_bit(ttq, TTQ_CVM_REQUIRED) is required:
        return ttq
    currency = yield from get_data(_APPLICATION_CURRENCY)
    if currency == sent[0x5F2A] and not required:
        return without_bit(ttq, TTQ_CVM_REQUIRED)
    return with_bit(ttq, TTQ_CVM_REQUIRED) if currency in (None, sent[0x5F2A]) else ttq


def verification_qualifiers(prepared_ttq: bytes, told_ttq: bytes, data: Mapping[int, bytes]) -> bytes:
    """The TTQ cardholder verification goes by. A card of a foreign issuer (5F28, where it was read) that gave our
    currency is no domestic card: what was waived for it is required again."""
    foreign = 0x5F28 in data and data[0x5F28] != data.get(0x9F1A)
    waived = has_bit(prepared_ttq, TTQ_CVM_REQUIRED) and not has_bit(told_ttq, TTQ_CVM_REQUIRED)
    return with_bit(told_ttq, TTQ_CVM_REQUIRED) if foreign and waived else told_ttq
