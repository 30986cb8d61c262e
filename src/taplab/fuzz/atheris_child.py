"""`python -m taplab.fuzz.atheris_child TARGET DIRECTORY CORPUS [LIBFUZZER OPTIONS]`: one target under atheris.

Strategy: the terminal is imported under instrumentation, so that atheris sees its branches; this process ends as
libFuzzer ends it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris


def main() -> None:
    target, directory, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["taptill"]):
        from taplab.fuzz.engines import world_in
        from taplab.fuzz.targets import TARGETS
    world, run = world_in(Path(directory)), TARGETS[target].run

    def once(octets: bytes) -> None:
        run(octets, world)

    atheris.Setup([sys.argv[0], *options], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
