"""What is left after a sudden end, and what an append costs the disk."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

import pytest

from taptill.journal.adapters.sqlite import SqliteJournal, SqliteJournalReader

if TYPE_CHECKING:
    from tests.journal.conftest import Shop

WRITER = """
import os, sys
from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.entries import PaymentArmed
from taptill.journal.port import Pending
journal = SqliteJournal.open(sys.argv[1])
for number in range(int(sys.argv[2])):
    at = journal.counters().next_payment
    journal.append([Pending(PaymentArmed(at_ms=at, trust=1, payment_ref=f"P{at}", state="armed", client_ref="",
        amount_minor=at, currency="CNY", request_digest="", expires_at_ms=0))])
    os.write(1, b"%d\\n" % at)
    if number % 5 == 4 and len(sys.argv) > 3:
        journal.checkpoint()
        os.write(1, b"checkpoint\\n")
"""
ROUNDS = 5
FOREVER = "1000000"


def test_what_was_acknowledged_outlives_a_kill(path: Path) -> None:
    """Killed at some moment of writing, five times over the same file."""
    acknowledged = 0
    for round_ in range(ROUNDS):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), FOREVER], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(0.02 + 0.013 * round_)
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate()
        acknowledged = int((first + rest.rpartition(b"\n")[0]).split()[-1])
        journal = SqliteJournal.open(path)
        assert acknowledged <= journal.verify().count <= acknowledged + 1
        assert journal.payment(f"P{acknowledged}") is not None
        journal.close()
    assert acknowledged > ROUNDS


def test_an_append_is_exactly_one_sync(path: Path, tmp_path: Path) -> None:
    """Seen by the kernel, between the lines the writer prints after each append; also when the log has grown long."""
    syncs = [syncs for line, syncs in syncs_before_lines(path, tmp_path, "400") if line != "checkpoint"]
    assert syncs[1:] == [1] * 399  # the first append begins a new log, whose head is synced as well


def test_the_first_append_after_a_checkpoint_is_one_sync_too(path: Path, tmp_path: Path) -> None:
    """The head of the new log is synced in the idle moment that empties the old one."""
    syncs = syncs_before_lines(path, tmp_path, "20", "with checkpoints")
    assert [line for line, _ in syncs].count("checkpoint") == 4
    assert [count for line, count in syncs if line != "checkpoint"][1:] == [1] * 19


def test_an_append_leaves_the_file_alone_and_a_long_log_is_shortened_when_asked(
    journal: SqliteJournal, shop: Shop, path: Path
) -> None:
    """A thousand pages are where SQLite by itself would move them."""
    journal.checkpoint()
    before = path.read_bytes()
    for number in range(300):
        journal.append([shop.armed(f"P{number}")])
    assert journal.log_pages > 1_000
    assert path.read_bytes() == before
    journal.shorten_log()
    assert journal.log_pages < 10
    assert path.read_bytes() != before
    assert journal.verify().count == 300


def test_a_log_that_somebody_reads_is_not_waited_for(journal: SqliteJournal, shop: Shop, path: Path) -> None:
    journal.append([shop.armed("P1")])
    reader = SqliteJournalReader.open(path)
    with reader.snapshot():
        assert reader.last_seq() == 1
        journal.append([shop.sale("P1")])
        began_s = time.monotonic()
        journal.shorten_log()
        assert time.monotonic() - began_s < 1
        assert reader.last_seq() == 1
    journal.shorten_log()
    assert journal.log_pages < 10
    reader.close()


def syncs_before_lines(path: Path, tmp_path: Path, *arguments: str) -> list[tuple[str, int]]:
    strace = which("strace")
    trace = tmp_path / "trace"
    if strace is None or subprocess.run([strace, "-o", str(trace), "true"], capture_output=True).returncode != 0:
        pytest.skip("strace may not trace here")
    SqliteJournal.open(path).close()
    calls = "trace=fdatasync,fsync,sync_file_range,msync,write"
    command = [strace, "-f", "-e", calls, "-o", str(trace), sys.executable, "-c", WRITER, str(path), *arguments]
    subprocess.run(command, check=True, capture_output=True)
    found, seen = list[tuple[str, int]](), 0
    for line in trace.read_text().splitlines():
        if "sync(" in line:
            seen += 1
        elif printed := re.search(r' write\(1, "(\w+)\\n"', line):
            found.append((printed[1], seen))
            seen = 0
    return found


def test_a_reader_sees_what_the_writer_has_synced(journal: SqliteJournal, shop: Shop, path: Path) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1")])
    reader = SqliteJournalReader.open(path)
    assert reader.payment("P1") == journal.payment("P1")
    reading = reader.records()
    assert next(reading).seq == 1
    journal.append([shop.decided("P1", "approved")])
    assert [record.seq for record in reading] == [2]
    assert [record.seq for record in reader.records("P1")] == [1, 2, 3]
    assert reader.verify() == journal.verify()
    reader.close()


def test_a_reader_works_after_the_writer_has_gone(shop: Shop, path: Path) -> None:
    journal = SqliteJournal.open(path)
    journal.append([shop.armed("P1")])
    journal.close()
    before = path.read_bytes()
    reader = SqliteJournalReader.open(path)
    assert [record.seq for record in reader.records("P1")] == [1]
    assert list(reader.records("P2")) == []
    reader.close()
    assert path.read_bytes() == before
