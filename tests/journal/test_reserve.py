"""The disk is full: what was begun is ended, nothing new begins, and it goes on when there is space again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from taptill.journal.adapters.reserve import RESERVE_OCTETS, FileReserve
from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.port import JournalDamaged, JournalError, SpaceGone

if TYPE_CHECKING:
    from tests.conftest import SmallDisk
    from tests.journal.conftest import Shop


def arm_until_refused(journal: SqliteJournal, shop: Shop) -> None:
    for number in range(10_000):
        try:
            journal.append([shop.armed(f"A{number}"), shop.cancelled(f"A{number}")])
        except SpaceGone:
            return
    pytest.fail("the disk never filled up")


@pytest.fixture
def path(small_disk: SmallDisk) -> Path:
    return small_disk.folder / "journal.db"


def test_the_reserve_is_really_written_and_private(tmp_path: Path) -> None:
    reserve = FileReserve(tmp_path / "journal.db")
    assert not reserve.whole
    assert reserve.restore()
    assert reserve.whole
    found = (tmp_path / "journal.db.reserve").stat()
    assert found.st_size == RESERVE_OCTETS
    assert found.st_blocks * 512 >= RESERVE_OCTETS
    assert found.st_mode & 0o077 == 0


def test_a_reserve_gives_its_space_back_once(small_disk: SmallDisk) -> None:
    reserve = FileReserve(small_disk.folder / "journal.db")
    assert not reserve.release()
    assert reserve.restore()
    small_disk.fill()
    assert reserve.release()
    assert not reserve.release()
    free = os.statvfs(small_disk.folder)
    assert free.f_bavail * free.f_frsize == RESERVE_OCTETS
    small_disk.fill()
    assert not reserve.restore()
    assert not reserve.whole
    small_disk.free()
    assert reserve.restore()


def test_a_new_journal_holds_its_reserve_before_the_first_sale(path: Path) -> None:
    SqliteJournal.open(path).close()
    assert FileReserve(path).whole


@pytest.mark.parametrize("left", [None, 4096])
def test_a_reserve_that_somebody_tidied_away_is_held_again_before_the_next_sale(
    shop: Shop, path: Path, small_disk: SmallDisk, left: int | None
) -> None:
    journal = SqliteJournal.open(path)
    held = path.with_name(path.name + ".reserve")
    if left is None:
        held.unlink()
    else:
        os.truncate(held, left)
    assert not FileReserve(path).whole
    journal.append([shop.armed("P1")])
    assert FileReserve(path).whole
    small_disk.fill()
    held.unlink()
    with pytest.raises(SpaceGone):
        journal.append([shop.sale("P1")])
    journal.close()


def test_on_a_full_disk_a_sale_ends_and_none_begins(shop: Shop, path: Path, small_disk: SmallDisk) -> None:
    journal = SqliteJournal.open(path)
    journal.append([shop.armed("P1")])
    journal.append([shop.sale("P1")])
    small_disk.fill()
    arm_until_refused(journal, shop)
    assert FileReserve(path).whole
    journal.append([shop.decided("P1", "unknown")])
    journal.append([shop.owed("P1")])
    while FileReserve(path).whole:
        journal.append([shop.tried("P1", "reversal", "reversing"), shop.link()])
    with pytest.raises(SpaceGone):
        journal.append([shop.armed("refused")])
    journal.append([shop.closed("P1", "reversal", "reversed")])
    journal.verify()
    small_disk.free()
    journal.append([shop.armed("P2")])
    assert FileReserve(path).whole
    journal.close()


def test_the_log_begins_anew_where_even_the_reserve_is_used_up(shop: Shop, path: Path, small_disk: SmallDisk) -> None:
    """A debt is tried for days on a disk that stays full: far more is written than the reserve has room for."""
    journal = SqliteJournal.open(path)
    journal.append([shop.armed("P1"), shop.sale("P1"), shop.decided("P1", "unknown"), shop.owed("P1")])
    small_disk.fill()
    written_octets = 0
    while written_octets < 3 * RESERVE_OCTETS:
        journal.append([shop.tried("P1", "reversal", "reversing")])
        written_octets += 3 * 4096  # entry, debt and counter lie on a page each
    journal.append([shop.closed("P1", "reversal", "reversed")])
    assert journal.open_debts() == []
    journal.close()


@pytest.mark.parametrize("row", ["offline_advice", "deferred_advice"])
def test_an_advice_is_refused_like_a_sale(shop: Shop, path: Path, small_disk: SmallDisk, row: str) -> None:
    journal = SqliteJournal.open(path)
    journal.append([shop.armed("P1")])
    small_disk.fill()
    FileReserve(path).release()
    small_disk.fill()
    advice = shop.owed("P1", row)
    with pytest.raises(SpaceGone):
        journal.append([advice])
    small_disk.free()
    journal.append([advice])
    assert [debt.row for debt in journal.open_debts()] == [row]
    journal.close()


def test_a_sale_that_fills_the_disk_leaves_the_reserve_alone(shop: Shop, path: Path) -> None:
    journal = SqliteJournal.open(path)
    arm_until_refused(journal, shop)
    assert FileReserve(path).whole
    assert journal.verify().count == len(list(journal.records()))
    journal.close()


def test_a_journal_opens_on_a_full_disk(shop: Shop, path: Path, small_disk: SmallDisk) -> None:
    journal = SqliteJournal.open(path)
    journal.append([shop.armed("P1")])
    journal.append([shop.sale("P1")])
    journal.close()
    small_disk.fill()
    journal = SqliteJournal.open(path)
    journal.append([shop.decided("P1", "unknown")])
    journal.append([shop.owed("P1")])
    with pytest.raises(SpaceGone):
        journal.append([shop.armed("P2")])
    journal.close()


def test_an_empty_append_is_a_trial_of_the_disk(shop: Shop, path: Path, small_disk: SmallDisk) -> None:
    journal = SqliteJournal.open(path)
    assert journal.append([]) == ()
    small_disk.fill()
    FileReserve(path).release()
    small_disk.fill()
    with pytest.raises(SpaceGone):
        journal.append([])
    assert list(journal.records()) == []
    journal.close()


class _LentSpace:
    """A disk of so many reserves, as a simulated one would keep it."""

    def __init__(self, journal: Path) -> None:
        self.whole = False
        self.asked: list[str] = []
        self.free = 0

    def release(self) -> bool:
        self.asked.append("release")
        held, self.whole = self.whole, False
        return held

    def restore(self) -> bool:
        self.asked.append("restore")
        self.whole = self.free > 0
        return self.whole


def test_a_simulated_disk_brings_its_own_reserve(shop: Shop, tmp_path: Path) -> None:
    lent: list[_LentSpace] = []

    def lend(journal: Path) -> _LentSpace:
        lent.append(_LentSpace(journal))
        return lent[-1]

    journal = SqliteJournal.open(tmp_path / "journal.db", lend)
    with pytest.raises(SpaceGone):
        journal.append([shop.armed("P1")])
    lent[0].free = 1
    journal.append([shop.armed("P1")])
    journal.append([shop.sale("P1")])
    assert lent[0].asked == ["restore"] * 3
    assert not (tmp_path / "journal.db.reserve").exists()
    journal.close()


def test_a_journal_that_is_gone_while_its_reserve_lies_there_is_not_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    SqliteJournal.open(path).close()
    path.unlink()
    with pytest.raises(JournalDamaged, match="there was a journal") as refused:
        SqliteJournal.open(path)
    assert "journal.sqlite.reserve" in refused.value.next_step
    assert not path.exists()
    (tmp_path / "journal.sqlite.reserve").unlink()
    SqliteJournal.open(path).close()


def test_a_file_taken_away_while_it_is_open_begins_nothing_more(tmp_path: Path, shop: Shop) -> None:
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal.open(path)
    journal.append([shop.armed("P1")])
    path.rename(tmp_path / "elsewhere.sqlite")
    with pytest.raises(JournalError, match="taken away"):
        journal.append([shop.armed("P2")])
    (tmp_path / "elsewhere.sqlite").rename(path)
    journal.append([shop.armed("P2")])
    journal.close()
