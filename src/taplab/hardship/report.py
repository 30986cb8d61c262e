"""The report of a hardship, for people and for machines.

Comes in: what was done, counted, and both books afterwards. Goes out: a table and sentences, or a JSON object.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from taplab.hardship.verdict import SettledBooks
from taptill.amount.money import Money


@dataclass(frozen=True, slots=True)
class Report:
    """`done` counts what was done to the lab, `seen` what it was found in. `rig` are the rig's own faults: without them
    gone the run proves nothing. With `skipped` set, nothing was done and why."""

    name: str
    count: int
    seed: int
    seconds: float = 0.0
    done: Mapping[str, int] = field(default_factory=dict)
    seen: Mapping[str, int] = field(default_factory=dict)
    books: SettledBooks | None = None
    rig: tuple[str, ...] = ()
    skipped: str = ""

    @property
    def sound(self) -> bool:
        """It was done, and nothing came out wrong."""
        return self.books is not None and not self.books.wrong and not self.rig

    def sentences(self) -> list[str]:
        """What came of it, the bad news last."""
        if self.books is None:
            return [f"not done: {self.skipped}"]
        books = self.books
        verdict = "both books agree, record by record" if not books.wrong else f"{len(books.wrong)} wrong:"
        return [
            f"{books.journal_entries} journal entries verify; {books.matched} records on both sides agree",
            f"the terminal booked {Money(books.terminal_minor)}, the host holds {Money(books.host_minor)}",
            *self.rig,
            verdict,
            *books.wrong,
        ]


def as_json(report: Report) -> dict[str, object]:
    return {**asdict(report), "sound": report.sound, "sentences": report.sentences()}


def show(report: Report, console: Console) -> None:
    table = Table(title=f"hardship {report.name}, seed {report.seed}, {report.seconds:.0f} s", title_justify="left")
    table.add_column("what")
    table.add_column("times", justify="right")
    for part in (report.done, report.seen):
        for what, times in part.items():
            table.add_row(what, str(times))
        table.add_section()
    if report.books is not None:
        for state, times in report.books.payments.items():
            table.add_row(f"payments {state}", str(times))
    console.print(table)
    for sentence in report.sentences():
        console.print(sentence, highlight=False)


def write_json(report: Report, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(as_json(report), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
