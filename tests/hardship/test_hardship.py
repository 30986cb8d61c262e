"""Real processes are killed, cut off, starved of space and robbed of power; afterwards both books agree."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from taplab.hardship.report import Report, as_json

AT_LEAST = {
    "kill": {"kill in a sale": 40, "kill starting": 20, "host killed": 20, "network cut request": 5},
    "cut": {"cut sale, bytes of the terminal": 12, "cut sale, bytes of the host": 6},
    "full": {"disk filled while the host was asked": 4, "killed and started on the full disk": 2},
    "power": {"power cut, network away meanwhile": 6, "power cut, while the host is asked": 6},
}


def test_both_books_agree_and_nothing_shown_was_taken_back(report: Report) -> None:
    assert report.books is not None
    assert report.books.wrong == ()
    assert report.books.terminal_minor == report.books.host_minor > 0


def test_the_run_did_what_it_says(report: Report) -> None:
    assert report.rig == ()
    for what, times in AT_LEAST[report.name].items():
        assert report.done[what] >= times, what
    assert report.books is not None
    assert report.books.shown_as_paid > 0


def test_the_report_is_json(report: Report) -> None:
    told = json.loads(json.dumps(as_json(report)))
    assert told["sound"] is True
    assert told["sentences"][-1] == "both books agree, record by record"


def test_nothing_is_left_mounted_and_no_process_runs(report: Report, directory: Path) -> None:
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8")
    loops = subprocess.run(["losetup", "--list", "--noheadings"], capture_output=True, text=True, check=False).stdout
    processes = " ".join(arguments.read_text(encoding="utf-8") for arguments in Path("/proc").glob("[0-9]*/cmdline"))
    assert str(directory) not in mounts + loops + processes
