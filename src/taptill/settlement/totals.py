"""The day's totals as the terminal believes them, and where the host believes otherwise.

Comes in: payments, transactions and debts as the journal projects them; the host's lines. Goes out: `DayTotals`, and
differences, each in one sentence.
Strategy: totals are counted, never set, and nothing here can say "balanced": there is a list of differences, which is
empty or not (DESIGN 5.17). What is still open is no part of the net sum and is listed line by line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from taptill.amount.money import CNY, Currency, Money
from taptill.errors import TapTillError, Who
from taptill.journal.port import DebtRow, PaymentRow, TransactionRow

CAPTURED_STATES = frozenset({"approved", "approved_offline", "partially_refunded", "refunded"})
OPEN_STATES: Mapping[str, str] = {
    "armed": "no card was presented yet",
    "reading": "a card is being read",
    "authorizing": "the host is being asked",
    "confirming": "the customer has not confirmed the lower amount",
    "unknown": "it is not known whether the host took it",
    "cancelling": "it is being cancelled",
    "reversing": "its reversal is not taken by the host yet",
    "deferred": "taken at the merchant's risk, the host has not decided",
    "parked": "only the operator can decide it",
}
KNOWN_STATES = (
    CAPTURED_STATES
    | OPEN_STATES.keys()
    | {
        "declined",
        "cancelled",
        "reversed",
        "voided",
        "deferred_declined",
    }
)
TAKES_MONEY = frozenset({"sale", "offline_advice", "deferred_advice"})


class TotalsError(TapTillError):
    """Payments that cannot be summed: another currency, or a state this release does not know."""

    code = 4101
    who = Who.TECHNICIAN


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """Something that may still change the sum. `debt` is empty when the payment itself is open."""

    payment_ref: str
    state: str
    amount: Money
    debt: str
    why: str


@dataclass(frozen=True, slots=True)
class DayTotals:
    """`net` = approved (`sales`) less what was given back of it (`refunds`). `at_risk` is deferred and undecided."""

    net: Money
    sales: Money
    refunds: Money
    at_risk: Money
    count_by_state: Mapping[str, int]
    open_questions: tuple[OpenQuestion, ...]


@dataclass(frozen=True, slots=True)
class TotalsLine:
    """One financial act as one side books it: its net amount, 0 when it was undone."""

    payment_ref: str
    stan: int
    batch: int
    amount_minor: int
    state: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the two sides disagree. A side that has no such line is None."""

    terminal: TotalsLine | None
    host: TotalsLine | None
    sentence: str


def totals(payments: Sequence[PaymentRow], debts: Iterable[DebtRow], currency: Currency = CNY) -> DayTotals:
    """Sums of one currency. Raises TotalsError for a payment in another one or in a state nobody declared."""
    for row in payments:
        _refuse_strange(row, currency)
    captured = [row for row in payments if row.state in CAPTURED_STATES]
    sales = Money(sum(row.approved_minor for row in captured), currency)
    refunds = Money(sum(row.refunded_minor for row in captured), currency)
    return DayTotals(
        net=sales - refunds,
        sales=sales,
        refunds=refunds,
        at_risk=Money(sum(row.approved_minor for row in payments if row.state == "deferred"), currency),
        count_by_state=dict(sorted(Counter(row.state for row in payments).items())),
        open_questions=(*_open_payments(payments, currency), *_open_debts(payments, debts, currency)),
    )


def terminal_lines(payments: Iterable[PaymentRow], transactions: Iterable[TransactionRow]) -> list[TotalsLine]:
    """The terminal's side of a comparison: every act that took money or may have, in journal order. Their amounts add
    up to `DayTotals.sales`."""
    state_of = {row.payment_ref: row.state for row in payments}
    return [
        TotalsLine(act.payment_ref, act.stan, act.batch, booked_minor(act, state), state)
        for act in transactions
        if act.row in TAKES_MONEY and act.result not in {"declined", "not_sent"}
        if (state := state_of.get(act.payment_ref))
    ]


def compare(terminal: Iterable[TotalsLine], host: Iterable[TotalsLine]) -> tuple[Difference, ...]:
    """Line by line, by payment, batch and STAN. Lines on which both sides hold the same net amount are left out, and so
    is a line that only one side has when it holds no money there."""
    ours = {_key(line): line for line in terminal}
    theirs = {_key(line): line for line in host}
    found = (_difference(key, ours.get(key), theirs.get(key)) for key in sorted(ours.keys() | theirs.keys()))
    return tuple(difference for difference in found if difference is not None)


def booked_minor(act: TransactionRow, state: str) -> int:
    """What the terminal holds of an act whose payment is in `state`."""
    return act.approved_minor if state in CAPTURED_STATES else 0


def _refuse_strange(row: PaymentRow, currency: Currency) -> None:
    if row.currency != currency.letters:
        raise TotalsError(f"it is in {row.currency}, not {currency.letters}", where=f"payment {row.payment_ref}")
    if row.state not in KNOWN_STATES:
        raise TotalsError(f"the state {row.state!r} is not known here", where=f"payment {row.payment_ref}")


def _open_payments(payments: Iterable[PaymentRow], currency: Currency) -> list[OpenQuestion]:
    return [
        OpenQuestion(row.payment_ref, row.state, Money(row.amount_minor, currency), "", OPEN_STATES[row.state])
        for row in payments
        if row.state in OPEN_STATES
    ]


def _open_debts(payments: Iterable[PaymentRow], debts: Iterable[DebtRow], currency: Currency) -> list[OpenQuestion]:
    """Debts of payments that are decided: those of open ones are told with their payment."""
    decided = {row.payment_ref: row.state for row in payments if row.state not in OPEN_STATES}
    return [
        OpenQuestion(
            debt.payment_ref, decided[debt.payment_ref], Money(debt.amount_minor, currency), debt.debt, _why(debt)
        )
        for debt in debts
        if debt.is_open and debt.payment_ref in decided
    ]


def _why(debt: DebtRow) -> str:
    if debt.state == "parked":
        return f"the host refused it with code {debt.last_result}; it waits for the operator"
    return f"the host has not taken it yet, after {debt.attempts} tries"


def _key(line: TotalsLine) -> tuple[str, int, int]:
    return (line.payment_ref, line.batch, line.stan)


def _difference(key: tuple[str, int, int], ours: TotalsLine | None, theirs: TotalsLine | None) -> Difference | None:
    ours_minor, theirs_minor = ours.amount_minor if ours else 0, theirs.amount_minor if theirs else 0
    if ours_minor == theirs_minor:
        return None
    payment_ref, batch, stan = key
    said = f"the terminal {_said(ours)}, the host {_said(theirs)}"
    apart = f"a difference of {abs(ours_minor - theirs_minor)} minor units"
    return Difference(ours, theirs, f"{payment_ref} (batch {batch}, STAN {stan:06d}): {said}; {apart}.")


def _said(line: TotalsLine | None) -> str:
    return f"booked {line.amount_minor} ({line.state})" if line else "has no such line"
