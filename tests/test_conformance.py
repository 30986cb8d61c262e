"""No vector file lies there unread, and the README's table of them is the one this suite gives."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conformance import (
    KNOWN,
    VECTORS,
    Conformance,
    FileJudged,
    as_markdown,
    folder_table,
    unreadable_files,
    vector_files,
)

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"


@pytest.fixture
def known(request: pytest.FixtureRequest) -> Conformance:
    """What this run collected; a run of some tests only cannot know which files all of them read."""
    if not VECTORS.is_dir():
        pytest.skip(f"vectors folder {VECTORS} is absent")
    collected = request.config.stash[KNOWN]
    if not collected.whole:
        pytest.skip("only a run that collects all tests knows which vectors they read")
    return collected


@pytest.mark.vectors
def test_every_vector_file_is_a_json_object() -> None:
    assert list(unreadable_files().values()) == []


@pytest.mark.vectors
def test_every_vector_file_is_read_by_a_test(known: Conformance) -> None:
    assert [file for file, judged in known.files.items() if not judged.read()] == []


@pytest.mark.vectors
def test_the_readme_shows_how_many_vectors_are_judged(known: Conformance) -> None:
    if "TAPTILL_VECTORS" in os.environ:
        return  # the README tells of the default folder
    table = folder_table({file: (len(judged.cases), len(judged.left_out())) for file, judged in known.files.items()})
    shown = re.search(r"<!-- conformance -->\n(.*?)<!-- /conformance -->", README.read_text("utf-8"), re.DOTALL)
    assert shown, "README.md shows no table between its markers"
    assert shown[1] == table, "run tools/readme"


def test_a_case_has_failed_when_one_of_its_tests_has() -> None:
    judged = FileJudged({"a": "", "b": "", "c": ""}, {"c": "not ours", "d": "not ours"})
    known = Conformance({"tlv/x.json": judged}, {f"t{at}": ("tlv/x.json", "aabc"[at]) for at in range(4)}, whole=True)
    for test_id, outcome in (("t0", "failed"), ("t1", "passed"), ("t2", "passed"), ("unknown", "failed")):
        known.note(test_id, outcome)
    assert judged.cases == {"a": "failed", "b": "passed", "c": ""}
    assert not known.complete()
    known.note("t3", "skipped")
    assert known.complete()
    assert judged.left_out() == {"d": "not ours"}
    assert "| tlv/x.json | 1 | 2 | 1 | not ours (2) |" in as_markdown(known)


def test_a_file_that_no_test_reads_is_reported_as_such() -> None:
    assert "**not read**" in as_markdown(Conformance({"new/file.json": FileJudged()}))
    assert "nothing was judged" in as_markdown(Conformance())


A_VECTOR_TEST = """
import pytest
from tests.conformance import NotApplicable

def cases(document):
    for name, value in document["cases"].items():
        yield name, NotApplicable("too old") if value is None else value

@pytest.mark.vectors(folder="tlv", cases=cases)
def test_it(vector):
    assert vector == 1
"""


def test_a_case_becomes_a_test_with_the_name_of_its_file_whatever_that_is(tmp_path: Path) -> None:
    folder = tmp_path / "vectors" / "tlv"
    folder.mkdir(parents=True)
    (folder / "any name.json").write_text(json.dumps({"cases": {"good": 1, "bad": 2, "old": None}}), encoding="utf-8")
    (tmp_path / "test_written.py").write_text(A_VECTOR_TEST, encoding="utf-8")
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["tests.conformance"]\n', encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-rA", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    environment = {**os.environ, "TAPTILL_VECTORS": str(tmp_path / "vectors")}
    done = subprocess.run(
        [*command, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT, env=environment
    )
    assert "test_written.py::test_it[any name:good]" in done.stdout.partition("PASSED")[2]
    assert "test_written.py::test_it[any name:bad]" in done.stdout.partition("FAILED")[2]
    assert "1 failed, 1 passed" in done.stdout


def test_a_file_that_is_no_json_is_named_and_keeps_no_other_from_being_judged(tmp_path: Path) -> None:
    folder = tmp_path / "vectors" / "tlv"
    folder.mkdir(parents=True)
    for name, text in (("good", '\ufeff{"cases": []}'), ("cut", '{"cases": ['), ("list", "[1]"), ("latin", "\xe9")):
        (folder / f"{name}.json").write_bytes(text.encode("latin-1" if name == "latin" else "utf-8"))
    script = (
        "from tests.conformance import *; print(list(vector_files())); print(*unreadable_files().values(), sep='\\n')"
    )
    environment = {**os.environ, "TAPTILL_VECTORS": str(tmp_path / "vectors")}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOT,
        env=environment,
    )
    found, *wrong = done.stdout.splitlines()
    assert found == "['tlv/good.json']"
    assert [Path(each.partition(":")[0]).name for each in wrong] == ["cut.json", "latin.json", "list.json"]
    assert wrong[0].endswith("line 1 column 12 (char 11)")


def test_vector_files_are_found_by_their_folder() -> None:
    assert all(file.count("/") == 1 and file.endswith(".json") for file in vector_files())
