"""The first thing after a start: what the journal says was going on is brought back, and ended or continued.

Strategy: an armed payment is cancelled, because nobody stands at the counter for it any more; an intent without an
outcome is UNKNOWN and asks by itself; debts wait for the host. The host is asked for a sign-on at once.
"""

from __future__ import annotations

from importlib.metadata import version

from taptill.host.exchange import HostRequest, MatchKey
from taptill.journal import entries as e
from taptill.journal.port import DebtRow, Pending
from taptill.terminal import asking, linking
from taptill.terminal.desk import Debt, Desk
from taptill.terminal.effects import Append, Effect
from taptill.terminal.machine import PaymentState
from taptill.terminal.payment import Payment, fold_all


def recover(desk: Desk) -> list[Effect]:
    """Fills the desk from the journal. Raises JournalError, ImpossibleStep."""
    debts = desk.journal.open_debts()
    refs = {row.payment_ref for row in desk.journal.open_payments()} | {row.payment_ref for row in debts}
    for payment_ref in sorted(refs):
        desk.payments[payment_ref] = _payment(desk, payment_ref)
    for row in debts:
        desk.debts[row.debt] = _debt(desk, row)
    started = e.TerminalStarted(
        **desk.stamp(), version=version("taptill"), open_payments=len(refs), open_debts=len(debts)
    )
    effects: list[Effect] = [Append((Pending(started),))]
    for payment in list(desk.payments.values()):
        effects += _resume(desk, payment)
    return [*effects, *linking.question(desk)]


def _payment(desk: Desk, payment_ref: str) -> Payment:
    entries = (record.entry for record in desk.journal.records(payment_ref))
    payment = fold_all(entry for entry in entries if isinstance(entry, e.PaymentEntry))
    assert payment is not None, "a payment row has entries"
    return payment


def _debt(desk: Desk, row: DebtRow) -> Debt:
    owed = next(
        record.entry
        for record in desk.journal.records(row.payment_ref)
        if isinstance(record.entry, e.DebtOwed) and record.entry.debt == row.debt
    )
    return Debt(owed, request_of(desk, row), row.attempts, row.state == "parked")


def request_of(desk: Desk, row: DebtRow) -> HostRequest:
    """The stored bytes as a question again, to be sent as they are."""
    assert row.wire is not None, "an open debt keeps its bytes"
    key = MatchKey(desk.config.identity.terminal_id, row.batch, row.stan, desk.profile.row(row.row).reply_mti)
    return HostRequest(row.row, key, row.key_counter, row.amount_minor, row.payment_ref, row.wire)


def _resume(desk: Desk, payment: Payment) -> list[Effect]:
    match payment.state:
        case PaymentState.ARMED:
            entry = e.PaymentCancelled(**desk.stamp(), payment_ref=payment.payment_ref, state="", reason="restarted")
            return [Append((Pending(desk.with_state(entry)),))]
        case PaymentState.AUTHORIZING:
            return [asking.decide(desk, payment.payment_ref, "unknown", "terminal", "silent: restarted")]
        case PaymentState.UNKNOWN:
            return asking.begin_query(desk, payment.payment_ref)
    return []
