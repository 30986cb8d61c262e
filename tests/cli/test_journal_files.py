"""`taptill journal` on files: an export instead of a journal, an older format, nothing at all."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from tests.cli.conftest import Taptill

from taptill.journal.adapters.schema import provision
from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.entries import LinkIntended
from taptill.journal.port import Pending


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A journal of format 1 with four entries."""
    path = tmp_path / "journal.sqlite"
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode = wal").fetchall()
    provision(connection, 1)
    connection.close()
    journal = SqliteJournal.open(path)
    for stan in range(1, 5):
        journal.append([Pending(LinkIntended(at_ms=stan, trust=1, row="echo", stan=stan, batch=1, key_counter=stan))])
    journal.close()
    return path


@pytest.fixture
def export(taptill: Taptill, old: Path, tmp_path: Path) -> Path:
    (tmp_path / "export.jsonl").write_text(taptill("journal", "export", str(old)).out)
    return tmp_path / "export.jsonl"


def test_an_export_is_verified_like_a_journal(taptill: Taptill, old: Path, export: Path) -> None:
    of_journal, of_export = taptill("journal", "verify", str(old)), taptill("journal", "verify", str(export))
    assert of_export.status == 0, of_export.err
    assert of_export.out == of_journal.out
    assert of_export.out.startswith("4 entries verify")


def test_an_export_cut_in_half_is_found_with_its_last_good_line(taptill: Taptill, export: Path) -> None:
    octets = export.read_bytes()
    export.write_bytes(octets[: len(octets) // 2])
    done = taptill("journal", "verify", str(export))
    assert done.status == 2
    assert "export line 3" in done.err
    assert done.out == ""


def test_bytes_that_are_no_text_are_found_in_an_export(taptill: Taptill, export: Path) -> None:
    octets = bytearray(export.read_bytes())
    octets[octets.index(b"echo")] = 0xFF
    export.write_bytes(octets)
    done = taptill("journal", "verify", str(export))
    assert (done.status, "export line 2" in done.err) == (2, True), done.err


def test_a_journal_is_moved_on_and_then_left_alone(taptill: Taptill, old: Path) -> None:
    done = taptill("journal", "migrate", str(old))
    assert done.status == 0, done.err
    assert "is of format 2 now, it was of format 1: the same 4 entries" in done.out
    again = taptill("journal", "migrate", str(old))
    assert (again.status, "nothing was changed" in again.out) == (0, True)
    assert taptill("journal", "verify", str(old)).status == 0


@pytest.mark.parametrize(
    "words", [["journal", "verify", "FILE"], ["journal", "export", "FILE"], ["journal", "migrate", "FILE"],
              ["explain", "x", "--journal", "FILE"]],
)  # fmt: skip
def test_where_no_journal_is_that_is_what_it_says(taptill: Taptill, tmp_path: Path, words: list[str]) -> None:
    path = tmp_path / "none.sqlite"
    done = taptill(*[str(path) if word == "FILE" else word for word in words])
    assert (done.status, done.out) == (2, "")
    assert done.err == f"taptill: error 4001: journal: there is no journal at {path} (check the path)\n"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_no_journal(taptill: Taptill, tmp_path: Path) -> None:
    done = taptill("journal", "verify", str(tmp_path))
    assert (done.status, "it is a folder" in done.err) == (2, True)


def test_a_verb_without_its_file_says_so(taptill: Taptill) -> None:
    done = taptill("journal", "verify")
    assert (done.status, "no journal is named" in done.err) == (2, True)
