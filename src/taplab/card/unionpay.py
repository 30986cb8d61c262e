"""UnionPay's application: qPBOC of PBOC 3.0 Part 12.

Comes in: a decision and the funds left. Goes out: 9F10 with CVR, balance and the issuer's own MAC over it.
"""

from __future__ import annotations

from taphost.issuer import application_cryptogram, derive_session_key
from taplab.card.personalisation import Decision
from taplab.card.quick_application import QuickApplication

_NO_SECOND_GENERATE_AC = 0x80  # CVR, bits 8 and 7: "second GENERATE AC not requested"
_BALANCE_OCTETS = 5


class UnionPayApplication(QuickApplication):
    """The answer is in the order a recorded card gives it."""

    answer_order = (0x82, 0x94, 0x9F36, 0x57, 0x9F10, 0x9F26, 0x9F27, 0x5F34, 0x9F4B, 0x9F6C, 0x9F5D)

    def _issuer_data(self, decision: Decision, balance_minor: int) -> bytes:
        """Which bytes the issuer's own MAC covers, ATC and balance, is our own reading."""
        template = self.issued.issuer_data
        session_key = derive_session_key(self.issued.keys.cryptogram, self.atc)
        cvr = bytes([template[3], _NO_SECOND_GENERATE_AC | decision.cvr_bits]) + template[5:7]
        balance = bytes.fromhex(f"{balance_minor:0{_BALANCE_OCTETS * 2}d}")
        mac = application_cryptogram(session_key, self.atc + balance)[:4]
        return template[:3] + cvr + template[7:10] + balance + mac
