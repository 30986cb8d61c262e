"""The process whose syncs are counted: sales at a running terminal, or puts of one contender.

Comes in: a shop with its host's address in the configuration, or a contender's name. Goes out: the work, and marks
between its parts that a tracer of system calls sees: writes to /dev/null. Nothing is counted here.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path

from taplab.bench.append import arm_all, put_into
from taplab.bench.inline_till import one_sale
from taplab.bench.intents import Intent, many_sales
from taplab.bench.live_sales import Counter
from taplab.bench.queues import CONTENDERS
from taplab.bench.threaded_till import LookOn, running_terminal
from taplab.provision import LabFiles
from taptill.terminal.journal_worker import CHECKPOINT_IDLE_S

MARK = "bench: "
IDLE_S = CHECKPOINT_IDLE_S + 1.0
JOURNAL = "taptill journal"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="counted_syncs", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--contender", help="its puts instead of sales")
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args(arguments)
    files = LabFiles.of(options.directory)
    marks = os.open(os.devnull, os.O_WRONLY)

    def mark(words: str) -> None:
        os.write(marks, (MARK + words + ".").encode("ascii"))

    if options.contender:
        _put(files, options.contender, options.count, mark)
    else:
        _sell(files, options.count, mark)
    os.close(marks)
    return 0


def _sell(files: LabFiles, count: int, mark: Callable[[str], None]) -> None:
    """Half of the sales, a pause in which the journal empties its log, the other half."""
    counter = Counter(files)
    with running_terminal(files, 1, LookOn(counter.event, counter.effect), [counter]) as loop:
        counter.open(loop)
        for number in range(count):
            armed = "armed"
            if number == count // 2:
                time.sleep(IDLE_S)
                armed = "armed after idle"
            counter.sell(loop, partial(mark, armed))
            mark("told")


def _put(files: LabFiles, contender: str, count: int, mark: Callable[[str], None]) -> None:
    folder = files.directory / "puts"
    folder.mkdir()
    sales = list(many_sales(one_sale(files, folder), count))
    if contender == JOURNAL:
        journal = arm_all(folder / "journal.sqlite", sales)
        _put_all(put_into(journal), [sale.intent for sale in sales], mark)
        journal.close()
        return
    chosen = next(each for each in CONTENDERS if each.name == contender)
    with chosen.open(folder) as put:
        _put_all(put, [sale.intent for sale in sales], mark)


def _put_all(put: Callable[[Intent], object], intents: list[Intent], mark: Callable[[str], None]) -> None:
    """The first one may set a file up."""
    for intent in islice(intents, 1):
        put(intent)
    mark("puts begin")
    for intent in intents[1:]:
        put(intent)
    mark("puts end")


if __name__ == "__main__":
    sys.exit(main())
