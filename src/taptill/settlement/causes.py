"""Why two records of one payment differ, in words, and who has to act.

Comes in: what the terminal holds and owes for one financial act, what the host holds. Goes out: a `Cause`, or None
where both agree. Strategy: the terminal's own open business explains first (a debt, a question, an operator's word);
only what nothing explains is somebody's to call the acquirer about.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from taptill.journal.port import DebtRow, TransactionRow
from taptill.journal.projection import ADVICE_ROWS, BY_OPERATOR
from taptill.settlement.host_records import HostRecord


class Acts(Enum):
    """Who has to act before the two books agree."""

    TERMINAL = "the terminal"  # by itself
    NOBODY = "nobody"  # an operator has signed for it
    OPERATOR = "an operator"
    ACQUIRER = "the acquirer"

    @property
    def is_somebody(self) -> bool:
        return self in {Acts.OPERATOR, Acts.ACQUIRER}


@dataclass(frozen=True, slots=True)
class Cause:
    """`name` is stable, for machines; `sentence` has no full stop."""

    name: str
    acts: Acts
    sentence: str


@dataclass(frozen=True, slots=True)
class Act:
    """One financial act of the terminal. `debt` is what it owes the host for it, an open one before a closed one."""

    row: TransactionRow
    state: str  # the payment's
    booked_minor: int
    debt: DebtRow | None = None

    @property
    def owed(self) -> DebtRow | None:
        return self.debt if self.debt is not None and self.debt.is_open else None

    @property
    def settled_by_operator(self) -> bool:
        closed = self.debt is not None and not self.debt.is_open and self.debt.last_result == BY_OPERATOR
        return closed and self.state != "deferred_declined"


def yuan(minor: int) -> str:
    """Any count of fen, sums and differences too."""
    sign = "-" if minor < 0 else ""
    return f"{sign}¥{abs(minor) // 100}.{abs(minor) % 100:02d}"


def cause_of_pair(act: Act, host: HostRecord) -> Cause | None:
    """Both sides have the record."""
    cause = _waiting(act, host)
    if cause is not None or act.booked_minor == host.captured_minor:
        return cause
    return _signed(act, host) or _contradiction(act, host)


def cause_of_terminals_own(act: Act, is_reversed_at_host: bool) -> Cause | None:
    """The host has no such record; it may hold a reversal of it. None where no money hangs on it."""
    cause = _waiting(act, None)
    if cause is not None or not act.booked_minor:
        return cause
    signed = _signed(act, None)
    if signed is not None:
        return signed
    booked = f"the terminal booked {yuan(act.booked_minor)} ({act.state})"
    if is_reversed_at_host:
        sentence = f"{booked}, the host holds a reversal of it and never took it: call the acquirer"
        return Cause("reversed-in-advance", Acts.ACQUIRER, sentence)
    return Cause("missing-at-host", Acts.ACQUIRER, f"{booked}, the host has no such record: call the acquirer")


def cause_of_other_numbers(act: Act, host: HostRecord) -> Cause:
    """The same payment under another batch or STAN."""
    ours = f"batch {act.row.batch}, STAN {act.row.stan:06d} ({act.state}, {yuan(act.booked_minor)})"
    theirs = f"batch {host.batch}, STAN {host.stan:06d} ({_said(host)})"
    sentence = f"the terminal has it as {ours}, the host as {theirs}: call the acquirer"
    return Cause("other-numbers", Acts.ACQUIRER, sentence)


def cause_of_hosts_own(host: HostRecord, state: str | None, captures: int) -> Cause | None:
    """The terminal has no such record. `state` is its payment's, None where it knows none; `captures` counts the host's
    of this payment. None where no money hangs on it."""
    if not host.captured_minor:
        return None
    captured = f"the host captured {yuan(host.captured_minor)}"
    if state is None:
        sentence = (
            f"{captured}, the terminal does not know this payment (a restored or another journal?): call the acquirer"
        )
        return Cause("unknown-payment", Acts.ACQUIRER, sentence)
    if captures > 1:
        sentence = f"the host has {captures} captures for this payment, {yuan(host.captured_minor)} of them here"
        return Cause("captured-twice", Acts.ACQUIRER, f"{sentence}: one must be given back, call the acquirer")
    sentence = f"{captured}, the terminal never sent this ({state}): call the acquirer"
    return Cause("never-sent", Acts.ACQUIRER, sentence)


def cause_of_lone_reversal(owed: DebtRow | None, record: HostRecord | None, state: str | None) -> Cause | None:
    """Only one side has this reversal. None where the other side need not have it: it is not delivered yet, an operator
    has settled it, or its payment is in another journal."""
    if record is not None and state is not None:
        sentence = f"the host holds a reversal that the terminal never owed, which says {state}: call the acquirer"
        return Cause("reversal-never-owed", Acts.ACQUIRER, sentence)
    if owed is None or owed.is_open or owed.last_result == BY_OPERATOR:
        return None
    sentence = f"the host answered a reversal with code {owed.last_result} and has no record of it: call the acquirer"
    return Cause("reversal-missing-at-host", Acts.ACQUIRER, sentence)


def _waiting(act: Act, host: HostRecord | None) -> Cause | None:
    """What the terminal still owes or asks."""
    if act.owed is not None and act.owed.state == "parked":
        what = f"its {_message(act.owed)} was refused with code {act.owed.last_result} and is parked"
        return Cause("parked-debt", Acts.OPERATOR, f"{_host_side(host)}, {what}: an operator has to decide")
    if act.owed is not None:
        return _owing_reversal(host) if act.owed.row == "reversal" else _owing_advice(act, host)
    if not act.row.is_open:
        return None
    if act.row.result == "parked":
        sentence = f"{_host_side(host)}, the terminal could not find out and has parked it: an operator has to decide"
        return Cause("parked", Acts.OPERATOR, sentence)
    if act.row.result == "confirming":
        sentence = (
            f"{_host_side(host)}, the customer has not confirmed the lower amount yet: it is booked or undone then"
        )
        return Cause("confirming", Acts.TERMINAL, sentence)
    sentence = f"{_host_side(host)}, the terminal does not know that yet: it is still asking"
    return Cause("still-asking", Acts.TERMINAL, sentence)


def _owing_reversal(host: HostRecord | None) -> Cause:
    if host is not None and host.captured_minor:
        what = "the terminal owes it a reversal that has not been delivered: it will be undone"
        return Cause("reversal-owed", Acts.TERMINAL, f"{_host_side(host)}, {what}")
    what = "the terminal owes a reversal that is not answered yet: it is repeated until it is"
    return Cause("reversal-owed", Acts.TERMINAL, f"{_host_side(host)}, {what}")


def _owing_advice(act: Act, host: HostRecord | None) -> Cause | None:
    offline = act.row.row == "offline_advice"
    how = "approved it offline" if offline else "took it at the merchant's risk"
    if host is None:
        ends = "it will be sent" if offline else "it will be sent, then the host decides"
        sentence = f"the terminal {how} over {yuan(act.row.amount_minor)}, its advice is not delivered yet: {ends}"
        return Cause("advice-owed", Acts.TERMINAL, sentence)
    if host.captured_minor == act.row.amount_minor:
        sentence = f"{_host_side(host)}, its answer to the advice has not arrived: the advice is repeated"
        return Cause("advice-owed", Acts.TERMINAL, sentence)
    if host.state != "declined":
        return None
    said = f"the host declined the advice with code {host.code}, the terminal {how} and has not heard it yet"
    if offline:
        return Cause("advice-declined", Acts.OPERATOR, f"{said}: an operator will have to decide")
    return Cause("advice-declined", Acts.TERMINAL, f"{said}: it ends as declined at the merchant's risk")


def _signed(act: Act, host: HostRecord | None) -> Cause | None:
    """An operator's word stands between the books."""
    if act.settled_by_operator:
        sentence = f"{_host_side(host)}, an operator has signed that it is settled with the acquirer"
        return Cause("settled-by-operator", Acts.NOBODY, sentence)
    if act.row.code != BY_OPERATOR:
        return None
    sentence = f"{_host_side(host)}, an operator has signed that it is {act.state}: the operator has to look again"
    return Cause("operator-contradicted", Acts.OPERATOR, sentence)


def _contradiction(act: Act, host: HostRecord) -> Cause:
    """Both are done with it and do not hold the same."""
    booked = f"the terminal booked {yuan(act.booked_minor)} ({act.state})"
    if act.booked_minor and host.captured_minor:
        return Cause("amounts-differ", Acts.ACQUIRER, f"{booked}, {_host_side(host)}: call the acquirer")
    if host.state == "reversed":
        return Cause("reversed-at-host", Acts.ACQUIRER, f"the host reversed it, {booked}: call the acquirer")
    if host.state == "declined":
        sentence = f"the host declined it with code {host.code}, {booked}: call the acquirer"
        return Cause("declined-at-host", Acts.ACQUIRER, sentence)
    if act.row.result == "reversed":
        sentence = f"{_host_side(host)} although it has answered the reversal: call the acquirer"
        return Cause("held-after-reversal", Acts.ACQUIRER, sentence)
    sentence = f"{_host_side(host)}, the terminal says {act.state} and the customer was told so: call the acquirer"
    return Cause("captured-unasked", Acts.ACQUIRER, sentence)


def _host_side(host: HostRecord | None) -> str:
    if host is None:
        return "the host has no such record"
    if host.captured_minor:
        return f"the host captured {yuan(host.captured_minor)}"
    return f"the host holds nothing of it ({host.state})"


def _said(host: HostRecord) -> str:
    return f"{host.state}, {yuan(host.captured_minor)}"


def _message(debt: DebtRow) -> str:
    return "advice" if debt.row in ADVICE_ROWS else debt.row
