"""The terminal's journal beside the host's book, record by record.

Comes in: payments, transactions and debts as the journal projects them; the host's records of this terminal. Goes out:
`Reconciliation`: how many records agree, and a `Finding` for every one that does not.
Strategy: records belong together by payment, batch and STAN; what is left over is paired by payment alone. Every
record of either side ends as matched, as found, or as one that only one side has and that holds no money there, so the
findings add up to the difference of the sums. Nothing here can say "balanced" (DESIGN 5.17).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from taptill.journal.port import DebtRow, PaymentRow, TransactionRow
from taptill.settlement.causes import (
    Act,
    Cause,
    cause_of_hosts_own,
    cause_of_lone_reversal,
    cause_of_other_numbers,
    cause_of_pair,
    cause_of_terminals_own,
)
from taptill.settlement.host_records import HostRecord
from taptill.settlement.totals import TAKES_MONEY, booked_minor, totals

_Key = tuple[str, int, int]  # payment, batch, STAN


@dataclass(frozen=True, slots=True)
class Finding:
    """Where the two books do not say the same. A side that has no such record holds 0 and an empty state."""

    payment_ref: str
    batch: int
    stan: int
    terminal_minor: int
    terminal_state: str
    host_minor: int
    host_state: str
    cause: Cause

    @property
    def difference_minor(self) -> int:
        """What the host holds above what the terminal booked."""
        return self.host_minor - self.terminal_minor


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """`matched` counts records that both sides have, pairs as one; `without_money` those that only one side has and
    that hold no money there (a decline, a sale that was never sent)."""

    terminal_records: int
    host_records: int
    terminal_minor: int
    host_minor: int
    matched: int
    without_money: int
    findings: tuple[Finding, ...]

    @property
    def needs_somebody(self) -> bool:
        """A difference of money that does not end by itself."""
        return any(found.difference_minor and found.cause.acts.is_somebody for found in self.findings)


@dataclass(frozen=True, slots=True)
class _Pair:
    """What belongs together. `same_numbers`: also by batch and STAN."""

    act: Act | None
    host: HostRecord | None
    same_numbers: bool = True


def reconcile(
    payments: Sequence[PaymentRow],
    transactions: Iterable[TransactionRow],
    debts: Sequence[DebtRow],
    host: Iterable[HostRecord],
) -> Reconciliation:
    """The order of rows is of no importance. Raises TotalsError for a payment in an unknown state or currency."""
    totals(payments, debts)
    states = {row.payment_ref: row.state for row in payments}
    acts = _acts(states, transactions, debts)
    owed = {_debt_key(debt): debt for debt in debts if debt.row == "reversal"}
    refs = {(batch, stan): payment_ref for payment_ref, batch, stan in (*map(_act_key, acts), *owed)}
    theirs = sorted((_named(record, refs) for record in host), key=_host_key)
    pairs = _paired(acts, [record for record in theirs if record.message_class == "financial"])
    reversals = {_host_key(record): record for record in theirs if record.message_class == "reversal"}
    judged = [(_finding(pair, cause), pair) for pair, cause in _judged(pairs, states, reversals.keys())]
    alone = [_lone_reversal(key, owed.get(key), reversals.get(key), states) for key in owed.keys() ^ reversals.keys()]
    findings = [finding for finding, _ in judged if finding] + [finding for finding in alone if finding]
    return Reconciliation(
        terminal_records=len(acts) + len(owed),
        host_records=len(theirs),
        terminal_minor=sum(act.booked_minor for act in acts),
        host_minor=sum(record.captured_minor for record in theirs),
        matched=sum(not finding and _is_whole(pair) for finding, pair in judged) + len(owed.keys() & reversals.keys()),
        without_money=sum(not finding and not _is_whole(pair) for finding, pair in judged) + alone.count(None),
        findings=tuple(sorted(findings, key=lambda found: (found.batch, found.stan, found.payment_ref))),
    )


def _acts(states: Mapping[str, str], transactions: Iterable[TransactionRow], debts: Iterable[DebtRow]) -> list[Act]:
    debt_of = {debt.transaction: debt for debt in sorted(debts, key=lambda debt: (debt.is_open, debt.created_seq))}
    acts = [
        Act(row, states[row.payment_ref], booked_minor(row, states[row.payment_ref]), debt_of.get(row.transaction))
        for row in transactions
        if row.row in TAKES_MONEY
    ]
    return sorted(acts, key=_act_key)


def _paired(acts: Sequence[Act], host: Sequence[HostRecord]) -> list[_Pair]:
    """By payment, batch and STAN, then by payment alone where money hangs on it."""
    free = {_host_key(record): record for record in host}
    pairs: list[_Pair] = []
    lonely: list[Act] = []
    for act in acts:
        record = free.pop(_act_key(act), None)
        if record is not None:
            pairs.append(_Pair(act, record))
        else:
            lonely.append(act)
    for act in lonely:
        other = next((key for key in sorted(free) if key[0] == act.row.payment_ref), None)
        if other is not None and (act.booked_minor or free[other].captured_minor):
            pairs.append(_Pair(act, free.pop(other), same_numbers=False))
        else:
            pairs.append(_Pair(act, None))
    return pairs + [_Pair(None, record) for record in free.values()]


def _judged(
    pairs: Sequence[_Pair], states: Mapping[str, str], reversed_at_host: Collection[_Key]
) -> Iterator[tuple[_Pair, Cause | None]]:
    captures = Counter(pair.host.payment_ref for pair in pairs if pair.host and pair.host.captured_minor)
    for pair in pairs:
        act, host = pair.act, pair.host
        if act and host:
            yield pair, cause_of_pair(act, host) if pair.same_numbers else cause_of_other_numbers(act, host)
        elif act:
            yield pair, cause_of_terminals_own(act, _act_key(act) in reversed_at_host)
        elif host:
            yield pair, cause_of_hosts_own(host, states.get(host.payment_ref), captures[host.payment_ref])


def _is_whole(pair: _Pair) -> bool:
    return pair.act is not None and pair.host is not None


def _finding(pair: _Pair, cause: Cause | None) -> Finding | None:
    if cause is None:
        return None
    act, host = pair.act, pair.host
    key = _act_key(act) if act else _host_key(host) if host else ("", 0, 0)
    booked_here, state_here = (act.booked_minor, act.state) if act else (0, "")
    captured, state_there = (host.captured_minor, host.state) if host else (0, "")
    return Finding(*key, booked_here, state_here, captured, state_there, cause)


def _lone_reversal(
    key: _Key, owed: DebtRow | None, record: HostRecord | None, states: Mapping[str, str]
) -> Finding | None:
    """A reversal that only one side has: no money stands in it, and it says that they did not talk about the same."""
    cause = cause_of_lone_reversal(owed, record, states.get(key[0]))
    if cause is None:
        return None
    return Finding(*key, 0, states[key[0]] if owed else "", 0, record.state if record else "", cause)


def _named(record: HostRecord, refs: Mapping[tuple[int, int], str]) -> HostRecord:
    """A host's record that names no payment belongs to the one that has its numbers here."""
    if record.payment_ref:
        return record
    return msgspec.structs.replace(record, payment_ref=refs.get((record.batch, record.stan), ""))


def _act_key(act: Act) -> _Key:
    return (act.row.payment_ref, act.row.batch, act.row.stan)


def _debt_key(debt: DebtRow) -> _Key:
    return (debt.payment_ref, debt.batch, debt.stan)


def _host_key(record: HostRecord) -> _Key:
    return (record.payment_ref, record.batch, record.stan)
