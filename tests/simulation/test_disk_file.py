"""One file and one directory while the power fails: each content a cut may leave, and no other."""

from __future__ import annotations

from pathlib import Path
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from taplab.simulation.disk_directory import DiskDirectory
from taplab.simulation.disk_file import SECTOR_OCTETS, DiskFile, Fate

NOTHING, EVERYTHING = Fate(0.0, Random(0)), Fate(1.0, Random(0))
VALUES = range(40)
WRITES = st.lists(st.tuples(st.integers(0, 3_000), st.binary(min_size=1, max_size=1_500)), min_size=1, max_size=6)


@given(durable=st.binary(max_size=2_000), writes=WRITES, seed=st.integers(0, 2**16))
def test_each_sector_shows_some_moment_of_its_own_past(
    durable: bytes, writes: list[tuple[int, bytes]], seed: int
) -> None:
    file = DiskFile("file", durable, entered=True)
    past = [durable]
    for offset, octets in writes:
        file.write(offset, octets)
        before = past[-1].ljust(offset, b"\0")
        past.append(before[:offset] + octets + before[offset + len(octets) :])
    left = file.after_cut(Fate.drawn(Random(seed)))
    for sector in range(0, max(map(len, past)), SECTOR_OCTETS):
        seen = {moment[sector : sector + SECTOR_OCTETS].ljust(SECTOR_OCTETS, b"\0") for moment in past}
        assert left[sector : sector + SECTOR_OCTETS].ljust(SECTOR_OCTETS, b"\0") in seen
    assert file.after_cut(NOTHING) == durable
    assert file.after_cut(EVERYTHING) == past[-1]
    assert file.length == len(past[-1])


def test_a_page_tears_and_a_later_write_overtakes_an_earlier_one() -> None:
    file = DiskFile("file", bytes(2 * 4096), entered=True)
    file.write(0, b"1" * 4096)
    file.write(4096, b"2" * 4096)
    left = [file.after_cut(Fate.drawn(Random(value))) for value in VALUES]
    assert any({*each[:4096]} == {0, ord("1")} for each in left)
    assert any(each[-SECTOR_OCTETS:] > each[:SECTOR_OCTETS] == bytes(SECTOR_OCTETS) for each in left)
    assert any(each == bytes(2 * 4096) for each in left)
    assert any(0 not in each for each in left)


def test_truncations_that_were_not_synced_happened_in_order_up_to_some_point() -> None:
    file = DiskFile("file", b"abcdef", entered=True)
    file.truncate(4)
    file.truncate(2)
    assert {file.after_cut(Fate.drawn(Random(value))) for value in VALUES} == {b"abcdef", b"abcd", b"ab"}
    file.sync()
    assert file.after_cut(NOTHING) == b"ab"


def test_what_a_failed_sync_left_out_is_not_made_durable_by_the_next() -> None:
    """Linux takes pages for written once it has reported the error."""
    left = set()
    for seed in VALUES:
        file = DiskFile("file", b"old", entered=True)
        file.write(0, b"new")
        file.fail_to_sync(Fate.drawn(Random(seed)))
        file.sync()
        left.add(file.after_cut(NOTHING))
    assert left == {b"old", b"new"}


def new_file(directory: DiskDirectory, name: str, octets: bytes = b"") -> DiskFile:
    """As the VFS does it: known first, then written."""
    file = directory.find(name)
    (directory.path / name).write_bytes(octets)
    directory.opened(file)
    file.write(0, octets)
    return file


def names_left(directory: DiskDirectory) -> set[tuple[str, ...]]:
    return {tuple(sorted(directory.after_cut(Fate.drawn(Random(value))))) for value in VALUES}


def test_a_new_file_may_be_missing_until_it_was_synced(tmp_path: Path) -> None:
    files = DiskDirectory(tmp_path)
    file = new_file(files, "new", b"1")
    assert names_left(files) == {(), ("new",)}
    file.sync()
    assert names_left(files) == {("new",)}


def test_a_synced_directory_names_all_its_files(tmp_path: Path) -> None:
    files = DiskDirectory(tmp_path)
    new_file(files, "new")
    files.remove("another", durably=True)
    assert names_left(files) == {("new",)}


def test_a_removed_file_may_be_back_until_the_directory_was_synced(tmp_path: Path) -> None:
    files = DiskDirectory(tmp_path)
    for name in ("first", "second"):
        (tmp_path / name).write_bytes(b"1")
        files.opened(files.find(name))
    files.remove("first", durably=False)
    (tmp_path / "first").unlink()
    assert names_left(files) == {("first", "second"), ("second",)}
    files.remove("second", durably=True)
    (tmp_path / "second").unlink()
    assert names_left(files) == {()}


def test_a_file_made_in_place_of_a_removed_one_is_one_of_both_or_none(tmp_path: Path) -> None:
    files = DiskDirectory(tmp_path)
    (tmp_path / "log").write_bytes(b"old")
    files.opened(files.find("log"))
    files.remove("log", durably=False)
    (tmp_path / "log").unlink()
    new = new_file(files, "log", b"new")
    left = {files.after_cut(Fate.drawn(Random(value))).get("log") for value in VALUES}
    assert left == {b"old", b"new", b"", None}
    files.remove("log", durably=False)
    assert files.after_cut(NOTHING) == {"log": b"old"}
    files.opened(new)
    new.sync()
    assert files.after_cut(NOTHING) == {"log": b"new"}


def test_a_file_made_and_removed_at_once_leaves_nothing(tmp_path: Path) -> None:
    files = DiskDirectory(tmp_path)
    new_file(files, "new")
    files.remove("new", durably=False)
    assert files.after_cut(NOTHING) == files.after_cut(EVERYTHING) == {}


def test_a_file_that_was_put_there_behind_the_back_of_sqlite_counts_as_it_is(tmp_path: Path) -> None:
    """A new journal is renamed into its place."""
    files = DiskDirectory(tmp_path)
    new_file(files, "journal.new", b"not synced")
    (tmp_path / "journal.new").rename(tmp_path / "journal")
    assert files.after_cut(NOTHING) == files.after_cut(EVERYTHING) == {"journal": b"not synced"}
    (tmp_path / "journal.new").write_bytes(b"another")
    assert files.find("journal.new").after_cut(NOTHING) == b"another"
