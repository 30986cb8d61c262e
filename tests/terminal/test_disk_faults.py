"""The journal's writer on a disk at which the kernel itself makes trouble: late syncs, failing syncs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

from taptill.journal.adapters.sqlite import SqliteJournalReader
from taptill.terminal.storing import SYNC_MS_MAX

WRITER = """
import os, sys
from taptill.clock import MachineTime
from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.entries import PaymentArmed
from taptill.journal.port import Pending
from taptill.terminal.events import Recorded
from taptill.terminal.journal_worker import JournalWriter
def tell(event):
    took = event.took_ms if isinstance(event, Recorded) else "refused"
    os.write(1, f"{len(event.pending)} {took}\\n".encode())
journal = SqliteJournal.open(sys.argv[1])
writer = JournalWriter(journal, tell, MachineTime())
def arm(number):
    writer.write([(Pending(PaymentArmed(at_ms=number, trust=1, payment_ref=f"P{number}", state="armed", client_ref="",
        amount_minor=number, currency="CNY", request_digest="", expires_at_ms=0)),)])
arm(1)
os.write(1, b"from here on\\n")
arm(2)
arm(3)
writer.write([()])
"""


def told_under(journal: Path, trace: Path, fault: str) -> list[str]:
    """What the writer tells after its first entry, with `fault` done to every sync that follows the mark."""
    strace = which("strace")
    if strace is None or subprocess.run([strace, "-o", str(trace), "true"], capture_output=True).returncode != 0:
        pytest.skip("strace may not trace here")
    plain = [strace, "-f", "-e", "trace=fdatasync,fsync,write", "-o", str(trace), sys.executable, "-c", WRITER]
    subprocess.run([*plain, str(journal.with_name("rehearsal.db"))], check=True, capture_output=True)
    before, _, _ = trace.read_text().partition("from here on")
    first = {call: before.count(f" {call}(") + 1 for call in ("fdatasync", "fsync")}
    faults = [word for call, when in first.items() for word in ("-e", f"inject={call}:{fault}:when={when}+")]
    command = [strace, "-f", *faults, "-o", str(trace), sys.executable, "-c", WRITER, str(journal)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.partition("from here on\n")[2].splitlines()


def entries_in(journal: Path) -> int:
    reader = SqliteJournalReader.open(journal)
    try:
        return reader.verify().count
    finally:
        reader.close()


def test_a_disk_whose_syncs_come_late_is_measured(tmp_path: Path) -> None:
    delay_ms = SYNC_MS_MAX + 100
    told = told_under(tmp_path / "journal.db", tmp_path / "trace", f"delay_exit={delay_ms * 1000}")
    assert [line.split()[0] for line in told] == ["1", "1", "0"]
    assert all(int(line.split()[1]) >= delay_ms for line in told)


def test_a_disk_whose_syncs_fail_is_never_said_to_have_stored(tmp_path: Path) -> None:
    """The last entry may be found all the same: it was written, and nobody relies on it."""
    told = told_under(tmp_path / "journal.db", tmp_path / "trace", "error=EIO")
    assert told == ["1 refused", "1 refused", "0 refused"]
    assert entries_in(tmp_path / "journal.db") in {1, 2}
