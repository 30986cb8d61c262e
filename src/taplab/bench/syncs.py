"""`syncs`: exactly one sync of the disk between the tap and the request, counted among the system calls.

Strategy: strace writes down what a process of sales asks of the kernel. Counted are fsync and fdatasync, of any thread
and any file, from the moment the payment waits for its card to the first byte that leaves for the host; the sale after
a quiet spell is told apart, because the journal has emptied its log by then. Contenders: syncs per put.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import mean

from taplab.bench.counted_syncs import JOURNAL, MARK
from taplab.bench.inline_till import point_at
from taplab.bench.measurement import Better, Figure, Plan, Result, Skipped
from taplab.bench.queues import CONTENDERS
from taplab.bench.replay import copy_of, far_host, shop_that_owes
from taplab.provision import LabFiles
from taptill.errors import TapTillError

SALES, PUTS = 200, 400
TRACE_WAIT_S = 180
SYNC, SEND = "sync ", "send"
_SYNC = re.compile(r"\b(?:fsync|fdatasync)\(\d+<([^>]*)>")
_SEND = re.compile(r"\b(?:write|writev|sendto|sendmsg)\(\d+<TCP")
_MARK = re.compile(rf'\bwrite\(\d+<[^"]*"{MARK}([a-z ]+)\.')


class TraceFailed(TapTillError):
    """The traced process did not end well."""

    code = 6108


def measure(plan: Plan) -> Result | Skipped:
    if not _can_trace():
        return Skipped("strace is missing, or this machine forbids it to trace")
    folder = plan.folder("syncs")
    plan.progress("sales at a terminal")
    shop = shop_that_owes(folder / "shop", 0, plan)
    calls = _trace_sales(shop, folder, max(4, plan.count(SALES)))
    usual, after_idle = _before_send(calls, "armed"), _before_send(calls, "armed after idle")
    counts = [len(synced) for synced in usual + after_idle]
    surplus = Counter(name for synced in usual + after_idle if len(synced) != 1 for name in synced)
    puts = max(5, plan.count(PUTS))
    names = (JOURNAL, *(contender.name for contender in CONTENDERS))
    per_put: dict[str, dict[str, Figure]] = {}
    for number, name in enumerate(names):
        plan.progress(f"puts of {name}")
        calls = _trace(copy_of(shop, folder / f"puts-{number}"), ["--contender", name, "--count", str(puts)])
        synced = _syncs(calls[calls.index("puts begin") : calls.index("puts end")])
        per_put[name] = {"syncs per put": round(len(synced) / (puts - 1), 2)}
    spread = Counter(counts)
    first: dict[str, Figure] = {
        "before the request": round(mean(counts), 3),
        "fewest": min(counts),
        "most": max(counts),
        "after idle": len(after_idle[0]),
    }
    return Result(
        ratio=spread[1] / len(counts),
        bar=1.0,
        better=Better.HIGHER,
        contenders={"taptill sale": first} | per_put,
        details={f"sales with {syncs} syncs": spread[syncs] for syncs in sorted(spread)}
        | {f"synced in the others: {name}": syncs for name, syncs in sorted(surplus.items())},
        notes=(
            "the ratio is the share of sales with exactly one sync between the arming and the request's first byte",
            "a checkpoint, every 1,000 pages, syncs log and file once more, for everybody here; the terminal makes its "
            "own when a sale has ended",
        ),
    )


def _can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", "/dev/null", "true"], capture_output=True, check=False).returncode == 0


def _trace_sales(shop: LabFiles, folder: Path, count: int) -> list[str]:
    files = copy_of(shop, folder / "sales")
    host = far_host(files, folder / "host-report.json")
    try:
        point_at(files, f"tls://{host.start()['listening']}")
        return _trace(files, ["--count", str(count)])
    finally:
        host.stop()


def _trace(files: LabFiles, arguments: list[str]) -> list[str]:
    """What happened, in order: SYNC with a file's name, SEND, and the words of marks. Raises TraceFailed."""
    log = files.directory / "strace"
    traced = [sys.executable, "-m", "taplab.bench.counted_syncs", "--directory", str(files.directory), *arguments]
    calls = "trace=fsync,fdatasync,write,writev,sendto,sendmsg"
    command = ["strace", "-f", "-qq", "-yy", "-s", "64", "-e", calls, "-o", str(log), *traced]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=TRACE_WAIT_S, check=False)
    if ended.returncode:
        raise TraceFailed(ended.stderr[-500:], where="strace")
    return [call for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if (call := _call(line))]


def _call(line: str) -> str:
    """Of a call in two lines, the first counts."""
    if mark := _MARK.search(line):
        return mark[1]
    if sync := _SYNC.search(line):
        return SYNC + Path(sync[1]).name
    return SEND if _SEND.search(line) else ""


def _before_send(calls: list[str], mark: str) -> list[list[str]]:
    """The files synced between each mark of this kind and the first byte that left after it."""
    marked = (at for at, call in enumerate(calls) if call == mark)
    return [_syncs(calls[at : calls.index(SEND, at)]) for at in marked]


def _syncs(calls: list[str]) -> list[str]:
    return [call.removeprefix(SYNC) for call in calls if call.startswith(SYNC)]
