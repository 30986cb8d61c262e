"""What the card tests share: every foreign vector of a folder becomes one test case."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VECTORS = ROOT / os.environ.get("TAPTILL_VECTORS", "../shared/vectors")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`@pytest.mark.vectors(folder="tlv", cases=function)` fills the argument `vector` with every `(id, case)` that
    `cases(document)` yields for every JSON file of the folder; without the folder the test skips and names it."""
    marker = metafunc.definition.get_closest_marker("vectors")
    if marker is None or "vector" not in metafunc.fixturenames:
        return
    folder = VECTORS / marker.kwargs["folder"]
    if not folder.is_dir():
        skip = pytest.mark.skip(reason=f"no vectors in {folder}")
        metafunc.parametrize("vector", [pytest.param(None, marks=skip, id="absent")])
        return
    found = []
    for path in sorted(folder.glob("*.json")):
        document = json.loads(path.read_text(encoding="utf-8"))
        for name, case in marker.kwargs["cases"](document):
            found.append(pytest.param(case, id=f"{path.stem}:{name}"[:120]))
    metafunc.parametrize("vector", found)
