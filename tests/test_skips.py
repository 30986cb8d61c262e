"""The rule about skips, tried on real pytest runs of files written for the purpose."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
SKIPS_ALLOWED = Path(__file__).with_name("skips_allowed.txt")


def run_pytest(folder: Path, test_file: str, *, strict: bool) -> tuple[int, str]:
    for source in (CONFTEST, SKIPS_ALLOWED):
        (folder / source.name).write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "test_written.py").write_text(test_file, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "TAPTILL_STRICT_SKIPS": "1" if strict else "0"},
    )
    return done.returncode, done.stdout


IN_A_TEST = "import pytest\ndef test_it():\n    pytest.skip({reason!r})\n"
IN_A_MARK = "import pytest\n@pytest.mark.skip(reason={reason!r})\ndef test_it():\n    pass\n"
OF_A_FILE = "import pytest\npytest.skip({reason!r}, allow_module_level=True)\n"


@pytest.mark.parametrize("place", [IN_A_TEST, IN_A_MARK, OF_A_FILE], ids=["test", "mark", "file"])
def test_an_unlisted_skip_fails_and_says_why(place: str, tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, place.format(reason="no reader on this machine"), strict=True)
    assert code != 0
    assert "no reader on this machine" in output
    assert "no line of skips_allowed.txt allows this skip" in output


@pytest.mark.parametrize("place", [IN_A_TEST, IN_A_MARK, OF_A_FILE], ids=["test", "mark", "file"])
def test_a_listed_skip_stays_a_skip(place: str, tmp_path: Path) -> None:
    reason = "the vectors folder ../shared/vectors is absent"
    code, output = run_pytest(tmp_path, place.format(reason=reason) + "\ndef test_other():\n    pass\n", strict=True)
    assert "1 skipped" in output
    assert "failed" not in output
    assert code in (0, 5)  # 5: pytest ran nothing else


def test_a_missing_import_counts_as_a_skip(tmp_path: Path) -> None:
    code, _ = run_pytest(tmp_path, "import pytest\npytest.importorskip('nowhere_to_be_found')\n", strict=True)
    assert code != 0


def test_a_table_of_no_cases_counts_as_a_skip(tmp_path: Path) -> None:
    empty = "import pytest\n@pytest.mark.parametrize('case', [])\ndef test_it(case):\n    pass\n"
    assert run_pytest(tmp_path, empty, strict=True)[0] != 0


def test_outside_the_strict_run_skips_are_skips(tmp_path: Path) -> None:
    code, output = run_pytest(tmp_path, IN_A_TEST.format(reason="no reader on this machine"), strict=False)
    assert code == 0
    assert "1 skipped" in output
