"""Visa's application: qVSDC (EMV Book C-3).

Comes in: a decision. Goes out: 9F10 in Visa's format 0 with the cryptogram version the card was issued with, 10 or 18.
"""

from __future__ import annotations

from taplab.card.personalisation import Decision
from taplab.card.quick_application import QuickApplication

_NO_SECOND_GENERATE_AC = 0x80  # CVR, bits 8 and 7
_CVR_TYPE_AT = 4


class VisaApplication(QuickApplication):
    """The signature comes first where the answer is long, as recorded cards have it."""

    answer_order = (0x82, 0x94, 0x57, 0x5F34, 0x9F10, 0x9F26, 0x9F27, 0x9F36, 0x9F4B, 0x9F6C, 0x9F6E)

    def _issuer_data(self, decision: Decision, balance_minor: int) -> bytes:
        told = bytes([_NO_SECOND_GENERATE_AC | decision.cvr_bits])
        return self.issued.issuer_data[:_CVR_TYPE_AT] + told + self.issued.issuer_data[_CVR_TYPE_AT + 1 :]
