"""The operator who decides what is parked, and signs for it.

Comes in: the journal, and what the acquirer's clerk says. Goes out: signed statements, as `taptill dispose` makes them.
Strategy: a debt that the host refused is sent again, except one whose key it refuses: that one will never be taken.
A transaction is decided by the host's books, and only when nothing of it can be under way any more.
"""

from __future__ import annotations

from collections.abc import Container

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from taplab.simulation.ground import OPERATOR_NAME, Ground
from taptill.journal.disposition import NOT_PAID, PAID, SEND_AGAIN, Offer, Statement, parking_of, statement_text
from taptill.journal.port import JournalReader
from taptill.terminal.owing import KEY_REFUSED


class ParkingOperator:
    """Knows the one key that the terminal's configuration names."""

    def __init__(self, ground: Ground) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(ground.operator_key)
        self._terminal_id = ground.terminal.identity.terminal_id

    def words(self, journal: JournalReader) -> list[Offer]:
        """About debts, while the day goes on."""
        parked = [debt for debt in journal.open_debts() if debt.state == "parked" and debt.last_result != KEY_REFUSED]
        return [self._offer(journal, debt.payment_ref, debt.debt, SEND_AGAIN) for debt in parked]

    def last_words(self, journal: JournalReader, captured: Container[str]) -> list[Offer]:
        """When the day is over: about transactions too. `captured` are payments in the host's books."""
        parked = [act for act in journal.open_transactions() if act.result == "parked"]
        return self.words(journal) + [
            self._offer(journal, act.payment_ref, act.transaction, PAID if act.payment_ref in captured else NOT_PAID)
            for act in parked
        ]

    def _offer(self, journal: JournalReader, payment_ref: str, target: str, decision: str) -> Offer:
        parking = parking_of(journal.records(payment_ref), target)
        assert parking is not None, "the journal calls it parked"
        statement = Statement(
            terminal_id=self._terminal_id,
            target=target,
            decision=decision,
            reason="asked the acquirer",
            operator=OPERATOR_NAME,
            parked_by=parking.digest.hex(),
        )
        text = statement_text(statement)
        return Offer(statement, text, self._key.sign(text.encode()).hex())
