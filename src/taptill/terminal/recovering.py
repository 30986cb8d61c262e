"""The first thing after a start: what the journal says was going on is brought back, and ended or continued.

Strategy: what is to be done is the journal's to say (journal/recovery); here it becomes entries and questions. An armed
payment is cancelled, an intent without an outcome becomes UNKNOWN, debts wait for the host, and a sign-on is asked for
at once. What is UNKNOWN asks from that sign-on on, beside whatever is sold meanwhile: its customer may have left.
"""

from __future__ import annotations

from importlib.metadata import version

from taptill.journal import entries as e
from taptill.journal.port import JournalReader, Pending
from taptill.journal.recovery import RESTARTED, Recovery, what_is_open
from taptill.terminal import asking, linking
from taptill.terminal.desk import Desk
from taptill.terminal.effects import Append, Effect
from taptill.terminal.inquiry import Inquiry
from taptill.terminal.payment import Payment, fold, fold_all


def recover(desk: Desk) -> list[Effect]:
    """Fills the desk from the journal. Raises JournalError, ImpossibleStep."""
    desk.first_stan = desk.counters.next_stan
    for debt in desk.journal.open_debts():
        desk.debts.put(debt)
    rows = desk.journal.open_payments()
    for record in desk.journal.records_of(rows):
        if isinstance(record.entry, e.PaymentEntry):
            before = desk.payments.get(record.entry.payment_ref)
            desk.remember(fold(before, record.entry).payment)
    started = e.TerminalStarted(
        **desk.stamp(), version=version("taptill"), open_payments=len(rows), open_debts=len(desk.debts)
    )
    found = what_is_open(rows, desk.journal.open_transactions(), desk.debts.values())
    return [Append((Pending(started),)), *_resume(desk, found), *linking.question(desk)]


def read_payment(journal: JournalReader, payment_ref: str) -> Payment | None:
    """A payment as its entries make it, None where there are none. Raises JournalError, ImpossibleStep."""
    entries = (record.entry for record in journal.records(payment_ref))
    return fold_all(entry for entry in entries if isinstance(entry, e.PaymentEntry))


def _resume(desk: Desk, found: Recovery) -> list[Effect]:
    effects: list[Effect] = []
    for act in (*found.lose, *found.ask):
        desk.inquiries[act.payment_ref] = Inquiry(earlier=True)
    for row in found.cancel:
        entry = e.PaymentCancelled(**desk.stamp(), payment_ref=row.payment_ref, state="", reason=RESTARTED)
        effects.append(Append((Pending(desk.with_state(entry)),)))
    for act in found.lose:
        effects.append(asking.decide(desk, act.payment_ref, "unknown", "terminal", "silent: restarted"))
    return effects
