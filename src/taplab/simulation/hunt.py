"""One mutant's process: days from the patched sources, until one breaks a rule.

Comes in: the folder the sources have to come from, and how many days at most. Goes out: one JSON line. A program that
does not even get through a day counts as found: a shop would notice too.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import taptill
from taplab.simulation.campaign import judge
from taplab.simulation.day import draw_day


def main(sources: str, seeds_max: str) -> int:
    if not Path(taptill.__file__).is_relative_to(sources):
        raise SystemExit(f"taptill comes from {taptill.__file__}, not from {sources}")
    logging.disable()
    for seed in range(int(seeds_max)):
        broken = judge(draw_day(seed), renders=True).broken
        if broken:
            print(json.dumps({"found": True, "seeds": seed + 1, "rule": broken[0]}))
            return 0
    print(json.dumps({"found": False, "seeds": int(seeds_max), "rule": ""}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
