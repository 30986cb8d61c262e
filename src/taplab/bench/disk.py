"""What this disk takes for one sync.

Comes in: a folder on it. Goes out: how long fdatasync takes after a page was overwritten.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import quantiles

PAGE_OCTETS = 4096
MEMORY_DISKS = frozenset({"tmpfs", "ramfs"})


def sync_us(folder: Path, count: int) -> dict[str, float]:
    """p50 and p99 in microseconds, over at least two syncs."""
    taken: list[float] = []
    file = os.open(folder / "sync", os.O_CREAT | os.O_WRONLY)
    try:
        for number in range(max(2, count)):
            os.pwrite(file, number.to_bytes(2, "big") * (PAGE_OCTETS // 2), 0)
            began = time.perf_counter()
            os.fdatasync(file)
            taken.append((time.perf_counter() - began) * 1e6)
    finally:
        os.close(file)
    cuts = quantiles(taken, n=100)
    return {"fdatasync p50 us": round(cuts[49], 1), "fdatasync p99 us": round(cuts[98], 1)}


def kind_of(folder: Path) -> str:
    """The type of the file system, as the kernel names it; "?" where it does not say."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    except OSError:
        return "?"
    place = folder.resolve()
    above = [(mount[1], mount[2]) for mount in mounts if place.is_relative_to(mount[1])]
    return max(above, key=lambda mount: len(mount[0]), default=("", "?"))[1]
