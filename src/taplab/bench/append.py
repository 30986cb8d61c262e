"""`append`: a sale's intent put on the disk, beside a bare insert of the same bytes.

Strategy: the journal appends what the terminal appends before a sale leaves: the entry with its message, in one
transaction that also moves the projections, the counters and the chain. All contenders write to one disk, in turns, and
each put is synced on its own, but for those that are marked as not durable. The bar is judged on this disk; journal and
bare insert are shown beside it on one whose sync takes 8 ms, because that is what a terminal's SD card is like.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

from taplab.bench.disk import kind_of, sync_us
from taplab.bench.inline_till import ENTRIES_PER_SYNC, one_sale, open_shop
from taplab.bench.intents import Intent, Sale, many_sales
from taplab.bench.measurement import Better, Figure, Plan, Result
from taplab.bench.queues import BARE, CONTENDERS
from taplab.bench.rounds import Ready, Seconds, in_turns
from taplab.bench.slow_sync import SYNC_MS, slow_syncs
from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.port import Pending
from taptill.terminal.journal_worker import LOG_PAGES

JOURNAL = "taptill journal"
BAR = 0.9
ROUNDS, PUTS_PER_ROUND = 21, 300
SLOW_ROUNDS, SLOW_PUTS_PER_ROUND = 9, 40
SYNCS = 2_000


def measure(plan: Plan) -> Result:
    folder = plan.folder("append")
    rounds, puts = plan.count(ROUNDS, quick=7), plan.count(PUTS_PER_ROUND, quick=150)
    plan.progress(f"{rounds} rounds of {puts} puts")
    sales = list(many_sales(one_sale(open_shop(folder), folder), (rounds + 1) * puts))
    sync = sync_us(folder, plan.count(SYNCS))
    with ExitStack() as stack:
        journal = arm_all(folder / "journal.sqlite", sales)
        stack.callback(journal.close)
        puts_of: dict[str, Callable[[Intent], object]] = {JOURNAL: put_into(journal)}
        for contender in CONTENDERS:
            puts_of[contender.name] = stack.enter_context(contender.open(folder))
        taken = in_turns({name: _ready(put, sales, puts) for name, put in puts_of.items()}, rounds)
        journal.verify()
    slow = _on_slow_disk(plan, folder, sales)
    durable = {contender.name: contender.durable for contender in CONTENDERS}
    bare = taken[BARE]
    contenders: dict[str, dict[str, Figure]] = {
        name: {
            "best per s": round(puts / seconds.best),
            "median per s": round(puts / seconds.median),
            "ratio to bare insert, best": round(bare.best / seconds.best, 3),
            "ratio to bare insert, median": round(bare.median / seconds.median, 3),
            "durable": durable.get(name, True),
        }
        for name, seconds in taken.items()
    }
    for name, seconds in slow.items():
        contenders[name][f"ratio, syncs of {SYNC_MS} ms"] = round(slow[BARE].best / seconds.best, 3)
    octets = len(sales[0].intent.octets)
    return Result(
        ratio=bare.best / taken[JOURNAL].best,
        bar=BAR,
        better=Better.HIGHER,
        contenders=contenders,
        details=sync | {"octets per intent": octets, "file system": kind_of(folder), "rounds": rounds, "puts": puts},
        notes=(
            "the journal keeps chain, projections and counters in the same transaction; nobody else here does",
            f"an SD card takes about {SYNC_MS} ms for a sync: that ratio is measured with as long a sync for both, and "
            "the bar is judged without it",
        ),
    )


def _on_slow_disk(plan: Plan, folder: Path, sales: list[Sale]) -> dict[str, Seconds]:
    """Journal and bare insert where the sync decides."""
    rounds, puts = plan.count(SLOW_ROUNDS, quick=4), plan.count(SLOW_PUTS_PER_ROUND, quick=25)
    plan.progress(f"{rounds} rounds of {puts} puts with syncs of {SYNC_MS} ms")
    sales = sales[: (rounds + 1) * puts]
    place = folder / "slow"
    place.mkdir()
    arm_all(place / "journal.sqlite", sales).close()
    bare = next(contender for contender in CONTENDERS if contender.name == BARE)
    with slow_syncs(), ExitStack() as stack:
        journal = SqliteJournal.open(place / "journal.sqlite")
        stack.callback(journal.close)
        put_bare = stack.enter_context(bare.open(place))
        contenders = {JOURNAL: put_into(journal), BARE: put_bare}
        return in_turns({name: _ready(put, sales, puts) for name, put in contenders.items()}, rounds)


def put_into(journal: SqliteJournal) -> Callable[[Intent], object]:
    """As the terminal's writer does it, which shortens the log between sales."""

    def put(intent: Intent) -> None:
        journal.append([intent.pending])
        if journal.log_pages >= LOG_PAGES:
            journal.shorten_log()

    return put


def arm_all(path: Path, sales: list[Sale]) -> SqliteJournal:
    """A journal in which each of these payments waits for its card."""
    journal = SqliteJournal.open(path)
    waiting: Iterator[Pending] = (sale.armed for sale in sales)
    while batch := list(islice(waiting, ENTRIES_PER_SYNC)):
        journal.append(batch)
    journal.checkpoint()
    return journal


def _ready(put: Callable[[Intent], object], sales: list[Sale], puts: int) -> Ready:
    """Each round goes on with the sales that follow those of the last one."""
    starts = iter(range(0, len(sales), puts))

    def ready() -> Callable[[], None]:
        at = next(starts)
        intents = [sale.intent for sale in sales[at : at + puts]]
        return lambda: _put_all(put, intents)

    return ready


def _put_all(put: Callable[[Intent], object], intents: list[Intent]) -> None:
    for intent in intents:
        put(intent)
