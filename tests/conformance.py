"""Foreign vectors as test cases, and the report of which of them were judged and how that ended.

Comes in: `@pytest.mark.vectors(folder="tlv", cases=function)` on tests with an argument `vector`, and every JSON file
of that folder of $TAPTILL_VECTORS. Goes out: one test per `(name, case)` that `function(document)` yields, and, after a
run of all of them, build/conformance.md and build/conformance.json with a row per vector file.
Strategy: files are found by folder and read by format, never by name. What a function yields as `NotApplicable` makes
no test, but a reason in the report. A file that nothing reads is "not read", and tests/test_conformance.py fails; so it
does, naming it, for a file that is no JSON object, which keeps no other from being judged.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_FOLDER = "../shared/vectors"
SHOWN_FOLDER = os.environ.get("TAPTILL_VECTORS", DEFAULT_FOLDER)
VECTORS = ROOT / SHOWN_FOLDER
REPORT = ROOT / "build" / "conformance.md"
ID_CHARACTERS_MAX = 120
WITHOUT_A_TRACE = "not_run_because_"  # a document's own list of the cases it gives no expectation for

_WEIGHT = ("", "skipped", "passed", "failed")  # what a test of a case says counts from the right

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """Yielded in a case's place: why nothing here can be judged by it."""

    reason: str


@dataclass(slots=True)
class FileJudged:
    """One vector file: the outcome of each case by name ("" until it has run), and what is not applicable, by name."""

    cases: dict[str, str] = field(default_factory=dict)
    inapplicable: dict[str, str] = field(default_factory=dict)

    def read(self) -> bool:
        """Whether any test looks at it."""
        return bool(self.cases or self.inapplicable)

    def count(self, outcome: str) -> int:
        return sum(1 for each in self.cases.values() if each == outcome)

    def left_out(self) -> dict[str, str]:
        """What is not applicable and was not judged from another side."""
        return {name: reason for name, reason in self.inapplicable.items() if name not in self.cases}


@dataclass(slots=True)
class Conformance:
    """What one run knows: every vector file, which tests judge it, and whether all of those were collected."""

    files: dict[str, FileJudged] = field(default_factory=dict)
    judged_by: dict[str, tuple[str, str]] = field(default_factory=dict)  # test id -> file, case
    reported: set[str] = field(default_factory=set)
    whole: bool = False

    def note(self, test_id: str, outcome: str) -> None:
        """A case has passed when none of its tests failed."""
        if test_id in self.judged_by:
            file, name = self.judged_by[test_id]
            self.reported.add(test_id)
            cases = self.files[file].cases
            cases[name] = max(cases[name], outcome, key=_WEIGHT.index)

    def complete(self) -> bool:
        """Whether everything that judges a vector has run."""
        return self.whole and self.reported == set(self.judged_by)


KNOWN = pytest.StashKey[Conformance]()
_inapplicable: dict[str, dict[str, str]] = {}


def vector_files() -> dict[str, Document]:
    """Every JSON document of the vectors, by `folder/name.json`; empty without the folder."""
    return {file: read for file, read in _everything().items() if isinstance(read, dict)}


def unreadable_files() -> dict[str, str]:
    """What is wrong with a file that holds no vectors at all, by `folder/name.json`."""
    return {file: read for file, read in _everything().items() if isinstance(read, str)}


@cache
def _everything() -> dict[str, Document | str]:
    found: dict[str, Document | str] = {}
    for path in sorted(VECTORS.glob("*/*.json")):
        try:
            document = json.loads(path.read_text(encoding="utf-8-sig"))
            wrong = "" if isinstance(document, dict) else "no JSON object"
        except (OSError, ValueError) as broken:
            document, wrong = {}, str(broken)
        found[path.relative_to(VECTORS).as_posix()] = f"{path}: {wrong}" if wrong else document
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marker = metafunc.definition.get_closest_marker("vectors")
    if marker is None or "vector" not in metafunc.fixturenames:
        return
    folder = marker.kwargs["folder"]
    found = list(_parameters(folder, marker.kwargs["cases"]))
    if not found:
        reason = f"no vectors in {VECTORS / folder}" + (" of this kind" if (VECTORS / folder).is_dir() else "")
        found = [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="absent")]
    metafunc.parametrize("vector", found)


def _parameters(folder: str, cases: Any) -> Iterator[Any]:
    for file, document in vector_files().items():
        if not file.startswith(f"{folder}/"):
            continue
        for name, case in _told_apart(cases(document)):
            if isinstance(case, NotApplicable):
                _inapplicable.setdefault(file, {})[name] = case.reason
            else:
                shown = f"{Path(file).stem}:{name}"[:ID_CHARACTERS_MAX]
                yield pytest.param(case, marks=pytest.mark.vector_case(file, name), id=shown)


def _told_apart(cases: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """A name that comes again gets its number."""
    seen: dict[str, int] = {}
    for name, case in cases:
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name}#{seen[name]}", case


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Before anything is deselected, so that what is read does not depend on what this run picks."""
    known = Conformance({file: FileJudged() for file in _everything()})
    for item in items:
        marker = item.get_closest_marker("vector_case")
        if marker:
            file, name = marker.args
            known.judged_by[item.nodeid] = file, name
            known.files[file].cases.setdefault(name, "")
    for file, document in vector_files().items():
        judged = known.files[file]
        untraced = {name: why for name, why in _without_a_trace(document).items() if name not in judged.cases}
        judged.inapplicable = {**untraced, **_inapplicable.get(file, {})}
    known.whole = _modules_with_vectors() <= {item.path for item in items}
    config.stash[KNOWN] = known


def _without_a_trace(document: Document) -> dict[str, str]:
    return {
        str(name): f"no trace: {key.removeprefix(WITHOUT_A_TRACE).replace('_', ' ')}"
        for key, names in document.items()
        if key.startswith(WITHOUT_A_TRACE) and isinstance(names, list)
        for name in names
    }


@cache
def _modules_with_vectors() -> frozenset[Path]:
    return frozenset(
        path for path in (ROOT / "tests").rglob("test_*.py") if "mark.vectors" in path.read_text(encoding="utf-8")
    )


class Results:
    """Listens to the tests and writes the report when all that is judged has run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        known = self._config.stash.get(KNOWN, None)
        if known is not None and (report.when == "call" or not report.passed):
            known.note(report.nodeid, report.outcome)

    def pytest_sessionfinish(self) -> None:
        known = self._config.stash.get(KNOWN, None)
        if known is not None and known.complete() and not self._config.option.collectonly:
            REPORT.parent.mkdir(exist_ok=True)
            REPORT.write_text(as_markdown(known), encoding="utf-8")
            REPORT.with_suffix(".json").write_text(json.dumps(as_json(known), indent=2) + "\n", encoding="utf-8")


def pytest_configure(config: pytest.Config) -> None:
    if config.rootpath == ROOT:
        config.pluginmanager.register(Results(config), "conformance results")


def as_json(known: Conformance) -> dict[str, Any]:
    """One object per vector file."""
    rows = [{"file": file, **_counts(judged)} for file, judged in known.files.items()]
    return {"vectors": SHOWN_FOLDER, "files": rows}


def as_markdown(known: Conformance) -> str:
    """One row per vector file."""
    head = (
        f"# Conformance\n\nForeign vectors of `{SHOWN_FOLDER}`, as judged by the last run of all tests over them.\n\n"
    )
    if not known.files:
        return head + f"The folder is absent or empty ({VECTORS}): nothing was judged.\n"
    lines = ["| file | passed | failed | not applicable | why not |", "|---|---|---|---|---|"]
    for file, judged in known.files.items():
        counts = _counts(judged)
        why = "; ".join(f"{reason} ({count})" for reason, count in counts["reasons"].items())
        if not counts["read"]:
            why = "**not read** by any test"
        lines.append(f"| {file} | {counts['passed']} | {counts['failed']} | {counts['not_applicable']} | {why} |")
    return head + "\n".join(lines) + "\n"


def _counts(judged: FileJudged) -> dict[str, Any]:
    left_out = judged.left_out()
    reasons: dict[str, int] = {}
    for reason in judged.inapplicable.values():
        reasons[reason] = reasons.get(reason, 0) + 1
    return {
        "passed": judged.count("passed"),
        "failed": judged.count("failed") + judged.count("skipped"),
        "not_applicable": len(left_out),
        "read": judged.read(),
        "reasons": reasons,
    }


def folder_table(files: Mapping[str, tuple[int, int]]) -> str:
    """The table of the README: per folder its files, cases that pass and cases that do not apply."""
    folders: dict[str, list[int]] = {}
    for file, (judged, left_out) in files.items():
        row = folders.setdefault(file.partition("/")[0], [0, 0, 0])
        for at, more in enumerate((1, judged, left_out)):
            row[at] += more
    lines = ["| vectors | files | cases passed | not applicable |", "|---|---|---|---|"]
    lines += [f"| {folder} | {row[0]} | {row[1]:,} | {row[2] or '-'} |" for folder, row in sorted(folders.items())]
    return "\n".join(lines) + "\n"
