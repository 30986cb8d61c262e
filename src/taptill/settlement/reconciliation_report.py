"""A reconciliation for people and for machines.

Comes in: a `Reconciliation` and whose records were left out. Goes out: lines of text, or a JSON object.
Strategy: both sums and both counts stand first, then one line per finding; where nothing differs the text says how many
records were compared.
"""

from __future__ import annotations

from taptill.settlement.causes import yuan
from taptill.settlement.host_records import HostBook
from taptill.settlement.reconcile import Finding, Reconciliation

SUM_COLUMNS = 16


def as_text(result: Reconciliation, book: HostBook) -> list[str]:
    difference_minor = result.host_minor - result.terminal_minor
    left_out = f", {book.others} of other terminals left out" if book.others else ""
    return [
        f"terminal {book.terminal or '(none named)'}",
        f"booked here     {yuan(result.terminal_minor):>{SUM_COLUMNS}}  in {_records(result.terminal_records)}",
        f"the host holds  {yuan(result.host_minor):>{SUM_COLUMNS}}  in {_records(result.host_records)}{left_out}",
        f"difference      {yuan(difference_minor):>{SUM_COLUMNS}}",
        *_verdict(result),
        *(_line(found) for found in result.findings),
    ]


def as_json(result: Reconciliation, book: HostBook) -> dict[str, object]:
    return {
        "terminal": book.terminal,
        "terminal_records": result.terminal_records,
        "host_records": result.host_records,
        "other_terminals_records": book.others,
        "terminal_minor": result.terminal_minor,
        "host_minor": result.host_minor,
        "difference_minor": result.host_minor - result.terminal_minor,
        "matched": result.matched,
        "without_money": result.without_money,
        "needs_somebody": result.needs_somebody,
        "findings": [_finding_as_json(found) for found in result.findings],
    }


def _verdict(result: Reconciliation) -> list[str]:
    if not result.terminal_records and not result.host_records:
        return ["neither side has a record, there was nothing to compare"]
    agree = f"{_records(result.matched)} on both sides agree"
    if result.without_money:
        agree += f", {result.without_money} that only one side has hold no money"
    if not result.findings:
        return [f"{agree}; compared one by one, nothing differs"]
    return [agree, f"{len(result.findings)} to explain:"]


def _line(found: Finding) -> str:
    numbers = f"batch {found.batch}, STAN {found.stan:06d}"
    name = found.payment_ref or "(no reference)"
    return f"  {yuan(found.difference_minor):>12}  {name} ({numbers}): {found.cause.sentence}."


def _records(count: int) -> str:
    return f"{count} record" if count == 1 else f"{count} records"


def _finding_as_json(found: Finding) -> dict[str, object]:
    return {
        "payment_ref": found.payment_ref,
        "batch": found.batch,
        "stan": found.stan,
        "terminal_state": found.terminal_state,
        "terminal_minor": found.terminal_minor,
        "host_state": found.host_state,
        "host_minor": found.host_minor,
        "difference_minor": found.difference_minor,
        "cause": found.cause.name,
        "who_acts": found.cause.acts.value,
        "sentence": found.cause.sentence,
    }
