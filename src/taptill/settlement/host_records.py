"""The host's records, as `taphost ledger --json --all` prints them.

Comes in: the text of that list. Goes out: `HostRecord`s of one terminal, and how many belong to others.
Strategy: a list that is cut, contradicts itself or says something nobody declared is refused with its row and field;
nothing is skipped in silence.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from taptill.amount.money import AMOUNT_MINOR_MAX
from taptill.errors import TapTillError

PRINT_IT_AGAIN = "print it again with: taphost ledger --json --all"
SIX_DIGITS_MAX = 999_999

_Minor = Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MINOR_MAX)]
_SixDigits = Annotated[int, msgspec.Meta(ge=0, le=SIX_DIGITS_MAX)]
_Name = Annotated[str, msgspec.Meta(pattern=r"\A[ -~]{0,255}\Z")]  # ASCII that is printed as it is, on one line
_ROW = re.compile(r"\$\.transactions\[(\d+)\](?:\.(\w+))?")


class HostFileError(TapTillError):
    """The host's list cannot be used as it is: names the line, or the row and the field."""

    code = 4102


class HostRecord(msgspec.Struct, frozen=True):
    """One row of the host's ledger; what else a row says is not needed here. A reversal has the STAN of its original.
    `captured_minor` is what the host holds of it now."""

    terminal: _Name
    batch: _SixDigits
    stan: _SixDigits
    message_class: Literal["financial", "reversal"]
    state: Literal["captured", "declined", "reversed", "closed", "remembered"]
    payment_ref: _Name
    amount_minor: _Minor
    captured_minor: _Minor
    code: _Name


class _Ledger(msgspec.Struct, frozen=True):
    transactions: list[HostRecord]
    count: int
    net_captured_minor: int


@dataclass(frozen=True, slots=True)
class HostBook:
    """The records of one terminal. `terminal` is empty where the list holds none at all."""

    terminal: str
    records: tuple[HostRecord, ...]
    others: int


def read_host_records(octets: bytes, where: str) -> tuple[HostRecord, ...]:
    """Every row of the list. Raises HostFileError."""
    try:
        ledger = msgspec.convert(json.loads(octets), _Ledger)
    except msgspec.ValidationError as error:
        raise HostFileError(_named(str(error)), where=where, next_step=PRINT_IT_AGAIN) from error
    except (ValueError, RecursionError) as error:
        raise HostFileError(f"no JSON, or cut: {error}", where=where, next_step=PRINT_IT_AGAIN) from error
    _refuse_contradictions(ledger, where)
    return tuple(ledger.transactions)


def book_of(records: Sequence[HostRecord], terminal: str, known_refs: Collection[str], where: str) -> HostBook:
    """What belongs to `terminal`; without a name, to the one that shares a payment with the journal, or to the only
    one there is. Raises HostFileError when it cannot be told."""
    named = terminal or _terminal_of(records, known_refs, where)
    own = tuple(record for record in records if record.terminal == named)
    return HostBook(named, own, len(records) - len(own))


def _terminal_of(records: Sequence[HostRecord], known_refs: Collection[str], where: str) -> str:
    every = sorted({record.terminal for record in records})
    if len(every) <= 1:
        return "".join(every)
    shares = sorted({record.terminal for record in records if record.payment_ref and record.payment_ref in known_refs})
    if len(shares) != 1:
        what = f"it holds records of {len(every)} terminals: {', '.join(every)}"
        raise HostFileError(what, where=where, next_step="say which one with --terminal")
    return shares[0]


def _named(complaint: str) -> str:
    """msgspec counts rows from 0 and calls them by path; people count from 1."""
    found = _ROW.search(complaint)
    if found is None:
        return complaint
    said, _, _ = complaint.partition(" - at ")
    field = f", field {found[2]}" if found[2] else ""
    return f"row {int(found[1]) + 1}{field}: {said}"


def _refuse_contradictions(ledger: _Ledger, where: str) -> None:
    rows_of: dict[tuple[str, int, int, str], int] = {}
    for row, record in enumerate(ledger.transactions, 1):
        key = (record.terminal, record.batch, record.stan, record.message_class)
        first = rows_of.setdefault(key, row)
        if first != row:
            raise HostFileError(f"row {row} has the key of row {first}: {key}", where=where, next_step=PRINT_IT_AGAIN)
        if (record.captured_minor > 0) != (record.state == "captured"):
            what = f"row {row}, field captured_minor: {record.captured_minor} in state {record.state}"
            raise HostFileError(what, where=where, next_step=PRINT_IT_AGAIN)
    total_minor = sum(record.captured_minor for record in ledger.transactions)
    for field, said, counted in (
        ("count", ledger.count, len(ledger.transactions)),
        ("net_captured_minor", ledger.net_captured_minor, total_minor),
    ):
        if said != counted:
            what = f"field {field} says {said}, the rows make {counted}"
            raise HostFileError(what, where=where, next_step=PRINT_IT_AGAIN)
