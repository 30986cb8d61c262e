"""The second copy: the same bytes on another medium, never at the cost of a sale, never over better knowledge."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taptill.journal.adapters.copier import GROUPS_WAITING_MAX, JournalCopier
from taptill.journal.adapters.copy_file import open_level
from taptill.journal.adapters.sqlite import SqliteJournal, SqliteJournalReader
from taptill.journal.copying import CopyRefused, entries_behind
from taptill.journal.entries import BatchOpened
from taptill.journal.port import JournalDamaged, JournalForeign, Pending

if TYPE_CHECKING:
    from tests.conftest import SmallDisk
    from tests.journal.conftest import Shop

WAIT_S = 10.0


def medium_of(folder: Path) -> int:
    """Every folder is a medium of its own."""
    return folder.stat().st_ino


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def usb(tmp_path: Path) -> Path:
    """The other medium."""
    (tmp_path / "usb").mkdir()
    return tmp_path / "usb"


@pytest.fixture
def copy(usb: Path) -> Path:
    return usb / "copy.db"


@contextmanager
def copying(path: Path, copy: Path) -> Iterator[JournalCopier]:
    copier = JournalCopier(path, copy, medium_of)
    copier.thread.start()
    try:
        yield copier
    finally:
        copier.stop()
        copier.thread.join(WAIT_S)


def store(journal: SqliteJournal, copier: JournalCopier, *pending: Pending) -> None:
    copier.follow(pending, journal.append(pending))


def is_level(copier: JournalCopier) -> bool:
    return copier.behind == 0 and not copier.fault


def rows(path: Path) -> Sequence[tuple[int, bytes, bytes]]:
    reader = SqliteJournalReader.open(path)
    try:
        return [(row.seq, row.body, row.digest) for row in reader.stored()]
    finally:
        reader.close()


def test_a_copy_is_made_and_follows_byte_by_byte(journal: SqliteJournal, shop: Shop, path: Path, copy: Path) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1")])
    with copying(path, copy) as copier:
        store(journal, copier, shop.decided("P1", "unknown"))
        store(journal, copier, shop.owed("P1"))
        wait_until(lambda: is_level(copier))
        reader = SqliteJournalReader.open(copy)
        wait_until(lambda: len(list(reader.stored())) == 4)
        assert reader.open_debts() == journal.open_debts()
        assert reader.verify() == journal.verify()
        reader.close()
    assert rows(copy) == rows(path)
    assert copy.stat().st_mode & 0o077 == 0


def test_a_copy_seals_where_the_journal_does(journal: SqliteJournal, shop: Shop, path: Path, copy: Path) -> None:
    with copying(path, copy) as copier:
        store(journal, copier, shop.armed("P1"), shop.cancelled("P1"))
        opened = BatchOpened(at_ms=shop.at_ms, trust=2, batch=2, next_stan=1, reason="sign-on")
        store(journal, copier, Pending(opened))
        wait_until(lambda: is_level(copier))
    assert rows(copy) == rows(path)


def test_what_was_missed_between_two_runs_is_caught_up(
    journal: SqliteJournal, shop: Shop, path: Path, copy: Path
) -> None:
    journal.append([shop.armed("P1")])
    open_level(path, copy).close()
    journal.append([shop.sale("P1"), shop.decided("P1", "unknown"), shop.owed("P1")])
    caught_up = open_level(path, copy)
    assert caught_up.open_debts() == journal.open_debts()
    caught_up.close()
    assert sorted(each.name for each in copy.parent.iterdir()) == ["copy.db", "copy.db.lock"]
    assert rows(copy) == rows(path)


def test_the_envelope_of_a_closed_debt_is_gone_from_the_copy_too(
    journal: SqliteJournal, shop: Shop, path: Path, copy: Path
) -> None:
    owed = shop.owed
    with copying(path, copy) as copier:
        store(journal, copier, shop.armed("P1"), shop.sale("P1"), shop.decided("P1", "unknown"))
        store(journal, copier, owed("P1"))
        wait_until(lambda: is_level(copier))
        store(journal, copier, shop.closed("P1", "reversal", "reversed"))
        wait_until(lambda: is_level(copier))
    for kept in copy.parent.iterdir():
        assert b"<envelope of" not in kept.read_bytes(), kept.name


def test_a_copy_that_was_replaced_leaves_no_envelope_on_its_medium(
    journal: SqliteJournal, shop: Shop, path: Path, copy: Path
) -> None:
    journal.append([shop.armed("P1"), shop.sale("P1")])
    open_level(path, copy).close()
    journal.append([shop.decided("P1", "approved")])
    with open(copy, "rb") as replaced:
        assert b"<envelope of" in replaced.read()
        open_level(path, copy).close()
        replaced.seek(0)
        assert not replaced.read().strip(b"\0")


def test_a_copy_that_would_hold_other_bytes_stops(journal: SqliteJournal, shop: Shop, path: Path, copy: Path) -> None:
    with copying(path, copy) as copier:
        wait_until(copy.exists)
        store(journal, copier, shop.armed("P1"))
        wait_until(lambda: is_level(copier))
        pending = [shop.armed("P2")]
        (stored,) = journal.append(pending)
        copier.follow(pending, [replace(stored, digest=bytes(32))])
        wait_until(lambda: f"entry {stored.seq}: the same entry became other bytes" in copier.fault)


def test_a_copy_that_knows_more_than_its_journal_is_left_alone(
    journal: SqliteJournal, shop: Shop, path: Path, copy: Path, tmp_path: Path
) -> None:
    """The card was restored from an image; what the shop sold since then stands in the copy alone."""
    journal.append([shop.armed("P1")])
    journal.checkpoint()
    image = tmp_path / "image"
    shutil.copy(path, image)
    journal.append([shop.cancelled("P1"), shop.armed("P2")])
    open_level(path, copy).close()
    journal.close()
    shutil.copy(image, path)
    before = copy.read_bytes()
    with pytest.raises(CopyRefused, match="journal entry 2: it holds entries up to 3 that the journal lacks"):
        open_level(path, copy)
    assert copy.read_bytes() == before


def test_a_copy_of_another_chain_is_left_alone_and_the_parting_named(
    journal: SqliteJournal, shop: Shop, path: Path, copy: Path
) -> None:
    journal.append([shop.armed("P1")])
    open_level(path, copy).close()
    other = SqliteJournal.open(copy)
    other.append([shop.armed("P2")])
    other.close()
    before = copy.read_bytes()
    journal.append([shop.armed("P3"), shop.armed("P4")])
    with pytest.raises(CopyRefused, match="journal entry 2: from here on it holds other entries"):
        open_level(path, copy)
    assert copy.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "error"), [(b"", JournalDamaged), (b"a shopping list, longer than a header" * 9, JournalForeign)]
)
def test_a_file_that_is_no_journal_is_left_alone(
    journal: SqliteJournal, path: Path, copy: Path, content: bytes, error: type[Exception]
) -> None:
    copy.write_bytes(content)
    with pytest.raises(error):
        open_level(path, copy)
    assert copy.read_bytes() == content


def test_a_copy_in_an_older_format_is_made_anew(journal: SqliteJournal, shop: Shop, path: Path, copy: Path) -> None:
    open_level(path, copy).close()
    other = SqliteJournal.open(copy)
    other._connection.execute("DROP TABLE seal")
    other._connection.pragma("user_version", 1)
    other.close()
    assert open_level(path, copy).format == journal.format


def test_a_copy_on_the_journals_own_medium_is_refused(journal: SqliteJournal, path: Path, copy: Path) -> None:
    """A mount that failed leaves an ordinary folder behind."""
    copier = JournalCopier(path, copy)
    copier.thread.start()
    wait_until(lambda: "own medium" in copier.fault)
    copier.stop()
    copier.thread.join(WAIT_S)
    assert not copy.exists()


def test_a_medium_that_is_pulled_and_put_back_is_found_again(
    journal: SqliteJournal, shop: Shop, path: Path, copy: Path
) -> None:
    copy.parent.rmdir()
    with copying(path, copy) as copier:
        store(journal, copier, shop.armed("P1"), shop.cancelled("P1"))
        wait_until(lambda: "is the medium there?" in copier.fault)
        assert copier.behind == 2
        copy.parent.mkdir()
        wait_until(lambda: is_level(copier))
    assert rows(copy) == rows(path)


def test_a_full_medium_is_told_and_stops_nothing(
    journal: SqliteJournal, shop: Shop, path: Path, small_disk: SmallDisk
) -> None:
    copy = small_disk.folder / "copy.db"
    with copying(path, copy) as copier:
        store(journal, copier, shop.armed("P0"))
        wait_until(lambda: is_level(copier))
        small_disk.fill()
        for number in range(1, 200):
            store(journal, copier, shop.armed(f"P{number}"))
        wait_until(lambda: "the disk is full" in copier.fault)
        assert copier.behind > 0
        small_disk.free()
        wait_until(lambda: is_level(copier))
    assert rows(copy) == rows(path)


def test_a_medium_that_is_too_slow_holds_nobody_up(journal: SqliteJournal, shop: Shop, path: Path, copy: Path) -> None:
    """Nobody takes what is left: the writer goes on, and the whole copy that follows has everything."""
    copier = JournalCopier(path, copy, medium_of)
    groups = GROUPS_WAITING_MAX + 10
    stored = journal.append([shop.armed(f"P{number}") for number in range(groups)])
    for record in stored:
        copier.follow([Pending(record.entry)], [record])
    assert copier.behind == groups
    copier.thread.start()
    wait_until(lambda: is_level(copier))
    copier.stop()
    copier.thread.join(WAIT_S)
    assert rows(copy) == rows(path)


@given(
    st.lists(st.integers(0, 3), max_size=40),
    st.integers(0, 40),
    st.lists(st.integers(0, 3), max_size=5),
)
def test_the_parting_is_found_wherever_it_lies(ours: list[int], shared: int, theirs: list[int]) -> None:
    """Against looking at every entry in turn."""
    copied = [*ours[:shared], *theirs]
    prefix = 0
    while prefix < min(len(ours), len(copied)) and ours[prefix] == copied[prefix]:
        prefix += 1

    def same(seq: int) -> bool:
        return seq <= prefix

    if prefix == len(copied):
        assert entries_behind(len(ours), len(copied), same, "copy") == len(ours) - len(copied)
    else:
        with pytest.raises(CopyRefused, match=f"journal entry {prefix + 1}:"):
            entries_behind(len(ours), len(copied), same, "copy")
