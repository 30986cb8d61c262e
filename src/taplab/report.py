"""A shop day told to people and to machines.

Comes in: the `DayReport` and the slips that were printed. Goes out: the JSON of `tools/demo`, a table, the slips.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from taplab.books import Books
from taplab.day import OUTAGE_ROWS, DayReport
from taplab.printer.server import Job
from taplab.slips import slip_of
from taplab.world import World
from taptill.amount.money import Money

_GOOD = {"approved", "approved_offline", "deferred"}


def as_json(report: DayReport, world: World) -> dict[str, Any]:
    """Every figure is computed from the two books."""
    books = _books(report)
    states = {row.payment_ref: row.state for row in books.payments}
    advices = [debt for debt in books.debts if debt.row in OUTAGE_ROWS]
    lost = [debt for debt in advices if not books.delivered(debt)]
    return {
        "payments": [
            {
                "ref": sold.payment_ref,
                "scene": sold.scene,
                "state": states[sold.payment_ref],
                "state_at_counter": sold.state_at_counter,
                "amount": sold.amount_minor,
                "card": sold.card,
                "reader": sold.reader,
                "next_step": sold.next_step,
                "receipt_png": _png(slip_of(sold.payment_ref, world.printer.jobs)),
            }
            for sold in report.sold
        ],
        "refused": [
            {
                "ref": refused.payment_ref,
                "scene": refused.scene,
                "state": states[refused.payment_ref],
                "amount": refused.amount_minor,
                "card": refused.card,
                "reader": refused.reader,
                "told": refused.told,
                "next_step": refused.next_step,
            }
            for refused in report.refused
        ],
        "outage": {
            "offline_approved": sum(debt.row == "offline_advice" for debt in advices),
            "deferred": sum(debt.row == "deferred_advice" for debt in advices),
            "replayed": sum(debt.state == "closed" for debt in books.debts),
            "lost": len(lost),
            "doubled": books.doubled,
        },
        "power_cut": {
            "owed_before": [debt.debt for debt in report.owed_before_cut],
            "delivered_after": [debt.debt for debt in report.owed_before_cut if books.delivered(debt)],
            "recovered": bool(report.owed_before_cut) and all(books.delivered(d) for d in report.owed_before_cut),
        },
        "reconciliation": {
            "terminal_total": books.terminal_total_minor,
            "host_total": books.host_total_minor,
            "balanced": books.balanced,
            "differences": [difference.sentence for difference in books.differences],
        },
        "pcsc_missing": world.pcsc_missing,
    }


def went_well(told: dict[str, Any]) -> bool:
    """Nothing lost, nothing doubled, the cut survived, both books alike; no refused card has paid."""
    outage = told["outage"]
    sound = outage["lost"] == 0 and outage["doubled"] == 0
    sound = sound and all(refused["state"] == "cancelled" for refused in told["refused"])
    return sound and bool(told["power_cut"]["recovered"]) and bool(told["reconciliation"]["balanced"])


def _books(report: DayReport) -> Books:
    assert report.books is not None, "the day was played to its end"
    return report.books


def _png(job: Job | None) -> str | None:
    return str(job.png) if job is not None and job.png is not None else None


def show(told: dict[str, Any], jobs: list[Job], console: Console) -> None:
    """The slips, the day as a table, and the two books."""
    for job in jobs[-2:]:
        console.print(job.text, highlight=False)
    table = Table(title="One shop day", title_justify="left")
    for column in ("payment", "card", "reader", "amount", "state", "what happened"):
        table.add_column(column, justify="right" if column == "amount" else "left")
    for payment in sorted((*told["payments"], *told["refused"]), key=lambda each: str(each["ref"])):
        style = "green" if payment["state"] in _GOOD else "yellow"
        table.add_row(
            payment["ref"],
            payment["card"],
            payment["reader"].partition(":")[0],
            str(Money(payment["amount"])),
            f"[{style}]{payment['state']}[/]",
            payment["scene"],
        )
    console.print(table)
    outage, books = told["outage"], told["reconciliation"]
    console.print(
        f"outage: {outage['offline_approved']} approved offline, {outage['deferred']} deferred, {outage['replayed']} "
        f"messages delivered later, {outage['lost']} lost, {outage['doubled']} doubled"
    )
    cut = told["power_cut"]
    console.print(f"power cut: {len(cut['delivered_after'])} of {len(cut['owed_before'])} debts delivered afterwards")
    console.print(f"journal {Money(books['terminal_total'])}, host {Money(books['host_total'])}")
    for sentence in books["differences"]:
        console.print(f"  {sentence}")


def write_json(told: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
