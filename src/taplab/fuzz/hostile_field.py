"""A reader's field in which anything happens over one transaction.

Comes in: a hostile card, a sale, choices. Goes out: the transaction, driven to its end. Strategy: every act of the
entry point gets a result the contract allows, whatever a fuzzer chooses; what it must not ask for breaks a law.
"""

from __future__ import annotations

from taplab.fuzz.choices import Choices
from taplab.fuzz.good_cards import CARD_TIMEOUT_MS
from taplab.fuzz.hostile_card import HostileCard, LawBroken
from taplab.fuzz.laws import check_read, check_update
from taptill.card.entry_point import Configuration
from taptill.card.kernels.c3.issuer_update import REASON
from taptill.card.parameters import TapRequest
from taptill.card.read_card import ask
from taptill.card.reader import CardLost, Presentation
from taptill.card.transaction import (
    Act,
    AskSale,
    AwaitCard,
    AwaitRemoval,
    Field,
    FinalOutcome,
    Result,
    Transaction,
    Transmit,
    run_transaction,
)

ACTS_MAX = 20_000
LOOKS_MAX = 40  # into the field; then nobody comes any more
_ISSUER_DATA = (
    None,
    b"",
    bytes.fromhex("8A023030"),
    bytes.fromhex("910A11223344556677883030 8A023030"),
    bytes.fromhex("8A023035 720F9F180411223344 860684240000 0401"),
    bytes.fromhex("71099F1804000000018600"),
)


class HostileField:
    """Drives one transaction. Raises LawBroken, and whatever the entry point raises."""

    def __init__(self, card: HostileCard, sale: TapRequest, choices: Choices) -> None:
        self.card = card
        self._sale = sale
        self._choices = choices
        self._looks = 0

    def run(self, configuration: Configuration) -> None:
        """To the end, within a bound on its acts."""
        transaction = run_transaction(configuration, self._sale, autorun=self._choices.below(4) == 3)
        try:
            act = next(transaction)
            for _ in range(ACTS_MAX):
                act = self._go_on(transaction, act)
        except StopIteration as finished:
            if finished.value is not None:
                self.card.story.append(f"= {finished.value.outcome.kind.value} {finished.value.outcome.reason}")
            return
        finally:
            transaction.close()
        raise LawBroken(f"a transaction of more than {ACTS_MAX} acts")

    def _go_on(self, transaction: Transaction, act: Act) -> Act:
        if not isinstance(act, Transmit):
            return transaction.send(self._result(act))
        answer = ask(act.command, self.card, CARD_TIMEOUT_MS)
        return transaction.throw(answer) if isinstance(answer, CardLost) else transaction.send(answer)

    def _result(self, act: Act) -> Result:
        if isinstance(act, AwaitCard):
            return self._look()
        if isinstance(act, AskSale):
            self.card.exchanges = 0
            return self._sale
        if isinstance(act, FinalOutcome):
            if act.read.outcome.reason == REASON:
                check_update(act.read)
            else:
                check_read(act.read, self._sale)
            return self._issuer_data(act)
        return self._choices.below(2) == 0 if isinstance(act, AwaitRemoval) else None

    def _look(self) -> Presentation | Field:
        self._looks += 1
        if self._looks > LOOKS_MAX:
            return Field.GIVEN_UP
        found = self._choices.below(8)
        if found in (6, 7):
            return Field.COLLISION if found == 6 else Field.EMPTY
        return Presentation(b"\x08\x00\x00\x01", "A", cards_in_field=2 if found == 5 else 1)

    def _issuer_data(self, act: FinalOutcome) -> bytes | None:
        data = self._choices.one_of(_ISSUER_DATA) if act.read.outcome.start is not None else None
        self.card.story.append(f"= {act.read.outcome.kind.value}, answered {data.hex() if data else 'nothing'}")
        return data
