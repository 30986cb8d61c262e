"""The disk under real SQLite: what survives, what does not, and what its faults look like to the journal."""

from __future__ import annotations

import time
from pathlib import Path

import apsw
import pytest
from tests.simulation.conftest import SALE_ENTRIES, Machine, Machines, at_operation, open_file

from taplab.simulation.disk import SLOW_SYNC_US, SYNC_US
from taplab.simulation.disk_space import RESERVE_OCTETS
from taplab.simulation.schedule import Kind, Point
from taptill.journal.adapters.sqlite import SqliteJournalReader
from taptill.journal.port import JournalError

VALUES = range(40)


def test_the_journal_has_all_its_settings_and_a_reader_beside_it(machine: Machine) -> None:
    journal = machine.open()
    connection = journal._connection  # the settings of a connection are seen by it alone
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("synchronous") == 2
    assert connection.pragma("locking_mode") == "normal"
    reader = SqliteJournalReader.open(machine.path)
    assert machine.sell(journal, "P1") == SALE_ENTRIES
    assert reader.verify() == journal.verify()
    reader.close()
    journal.close()


def test_what_was_synced_survives_every_cut(machine: Machine) -> None:
    for value in VALUES:
        journal = machine.open()
        assert journal.verify().count == value * SALE_ENTRIES
        assert machine.sell(journal, f"P{value}") == SALE_ENTRIES
        machine.disk.cut(value)
        journal.close()


def test_what_was_not_synced_may_survive_or_not(machines: Machines) -> None:
    """Power fails in the sync of the last append."""
    found = set()
    last = machines.operations_of_a_sale() - 1
    for value in VALUES:
        machine = machines.new(at_operation(last, Kind.POWER_CUT, value))
        journal = machine.open()
        assert machine.sell(journal, "P1") == SALE_ENTRIES - 1
        journal.close()
        found.add(machine.open().verify().count)
    assert found == {SALE_ENTRIES - 1, SALE_ENTRIES}


def test_a_cut_at_any_operation_of_a_checkpoint_loses_nothing(machine: Machine) -> None:
    """Pages of the database itself tear here."""
    acknowledged = 0
    for nth in range(60):
        journal = machine.open()
        assert journal.verify().count == acknowledged
        acknowledged += machine.sell(journal, f"P{nth}")
        machine.plan(nth % 6, Kind.POWER_CUT, nth)
        journal.checkpoint()
        assert machine.disk.dead
        journal.close()


def test_a_cut_at_any_operation_of_making_the_journal_leaves_a_sound_one_or_none(machines: Machines) -> None:
    for nth in range(200):
        machine = machines.new(at_operation(nth, Kind.POWER_CUT, nth), has_journal=False)
        machine.open().close()
        if not machine.disk.dead:
            break
        journal = machine.open()
        assert journal.verify().count == 0
        assert machine.sell(journal, "P1") == SALE_ENTRIES
        journal.close()
    else:
        pytest.fail("making a journal takes less than 200 operations")
    assert nth > 10


def test_an_error_at_any_operation_is_a_journal_error_and_loses_nothing(machines: Machines) -> None:
    refused = 0
    for nth in range(machines.operations_of_a_sale()):
        machine = machines.new(at_operation(nth, Kind.IO_ERROR))
        journal = machine.open()
        acknowledged = machine.sell(journal, "P1")
        refused += acknowledged < SALE_ENTRIES
        assert journal.verify().count >= acknowledged
        acknowledged += machine.sell(journal, "P2")
        machine.disk.cut(nth)
        journal.close()
        journal = machine.open()
        assert journal.verify().count >= acknowledged
        assert machine.sell(journal, "P3") == SALE_ENTRIES
    assert refused == nth + 1


def test_what_a_failed_sync_left_out_stays_lost(machines: Machines) -> None:
    left = set()
    for seed in VALUES:
        machine = machines.new(at_operation(1, Kind.IO_ERROR), has_journal=False, seed=seed)
        file = open_file(machine.disk.boot() / "file")
        file.xWrite(b"octets", 0)
        with pytest.raises(apsw.IOError):
            file.xSync(apsw.SQLITE_SYNC_NORMAL)
        file.xSync(apsw.SQLITE_SYNC_NORMAL)
        left.add(machine.disk.image().files)
    assert left == {(("file", b""),), (("file", b"octets"),)}


def test_a_truncation_is_a_change_like_a_write(machines: Machines) -> None:
    machine = machines.new(at_operation(2, Kind.POWER_CUT, 1), has_journal=False)
    file = open_file(machine.disk.boot() / "file")
    file.xWrite(b"octets", 0)
    file.xSync(apsw.SQLITE_SYNC_NORMAL)
    file.xTruncate(2)
    assert machine.disk.dead
    assert machine.disk.image().files in {(("file", b"octets"),), (("file", b"oc"),)}


def test_a_removal_that_was_to_be_synced_may_not_have_been_when_power_fails_in_it(machines: Machines) -> None:
    left = set()
    for value in VALUES:
        machine = machines.new(at_operation(2, Kind.POWER_CUT, value), has_journal=False)
        path = machine.disk.boot() / "file"
        file = open_file(path)
        file.xWrite(b"octets", 0)
        file.xSync(apsw.SQLITE_SYNC_NORMAL)
        machine.disk.remove("file", durably=True)
        path.unlink()
        left.add(machine.disk.image().files)
    assert left == {(), (("file", b"octets"),)}


def test_an_error_is_not_printed(machines: Machines, capfd: pytest.CaptureFixture[str]) -> None:
    machine = machines.new(at_operation(0, Kind.IO_ERROR))
    journal = machine.open()
    with pytest.raises(JournalError, match="the disk reports an error"):
        journal.append([machine.shop.armed("P1")])
    journal.append([machine.shop.armed("P1")])
    assert capfd.readouterr() == ("", "")


def test_on_a_full_disk_a_begun_sale_is_ended_and_no_other_begins(machine: Machine) -> None:
    journal = machine.open()
    journal.append([machine.shop.armed("P1"), machine.shop.sale("P1")])
    machine.plan(0, Kind.FULL, 60_000)
    journal.append([machine.approved("P1")])
    assert machine.disk.space.is_full()
    assert not machine.disk.reserve.whole
    assert machine.sell(journal, "P2") == 0
    machine.agenda.now_us += 60_000_000
    assert machine.sell(journal, "P3") == SALE_ENTRIES
    assert journal.verify().count == 2 * SALE_ENTRIES


def test_on_a_full_disk_files_grow_only_into_room_that_was_given_up(machine: Machine) -> None:
    file = machine.disk.boot() / "file"
    machine.disk.space.fill(1)
    opened = open_file(file)
    with pytest.raises(apsw.FullError):
        opened.xWrite(b"grows", 0)
    assert not machine.disk.space.take_room(1)
    machine.disk.space.give_room(6)
    opened.xWrite(b"grows", 0)
    opened.xWrite(b"other", 0)
    with pytest.raises(apsw.FullError):
        opened.xWrite(b"two", 4)
    machine.agenda.now_us += 1_000
    opened.xWrite(b"much more", 4)
    assert machine.disk.space.take_room(1)


def test_power_fails_on_a_full_disk_as_well(machines: Machines) -> None:
    machine = machines.new(at_operation(0, Kind.POWER_CUT), has_journal=False)
    file = open_file(machine.disk.boot() / "file")
    machine.disk.space.fill(1)
    file.xWrite(b"grows", 0)
    assert machine.disk.dead


def test_the_reserve_gives_its_room_once(machine: Machine) -> None:
    machine.disk.boot()
    reserve, space = machine.disk.reserve, machine.disk.space
    space.fill(1)
    assert reserve.whole
    assert reserve.release()
    assert not reserve.release()
    assert space.room_octets == RESERVE_OCTETS
    assert not reserve.restore()
    machine.agenda.now_us += 1_000
    assert reserve.restore()
    assert reserve.whole
    assert space.room_octets == 0


def test_syncs_take_time_and_more_of_it_while_the_disk_is_slow(machines: Machines) -> None:
    machine = machines.new(at_operation(1, Kind.SLOW, 100), has_journal=False)
    file = open_file(machine.disk.boot() / "file")
    for took_us, then_us in ((SYNC_US, 0), (SLOW_SYNC_US, 99_999), (SLOW_SYNC_US, 1), (SYNC_US, 0)):
        file.xSync(apsw.SQLITE_SYNC_NORMAL)
        assert machine.disk.take_busy_us() == took_us
        assert machine.disk.take_busy_us() == 0
        machine.agenda.now_us += then_us


def test_waiting_for_another_connection_takes_virtual_time_only(machine: Machine) -> None:
    journal = machine.open()
    other = apsw.Connection(str(machine.path))
    other.execute("BEGIN IMMEDIATE")
    began_s = time.monotonic()
    with pytest.raises(JournalError, match="another program holds it"):
        journal.append([machine.shop.armed("P1")])
    assert time.monotonic() - began_s < 1
    assert machine.disk.take_busy_us() > 4_000_000
    other.close()
    journal.close()


def test_nothing_of_a_dead_boot_reaches_the_next(machine: Machine) -> None:
    dead = machine.open()
    machine.sell(dead, "P1")
    machine.disk.cut(0)
    left = machine.disk.image()
    dead.append([machine.shop.armed("P2")])
    dead.checkpoint()
    assert machine.disk.image() == left
    alive = machine.open()
    dead.append([machine.shop.cancelled("P2")])  # what begins nothing goes on into a file that is gone
    dead.checkpoint()
    dead.close()
    assert alive.verify().count == SALE_ENTRIES
    assert machine.disk.image() == left
    alive.close()


def test_operations_of_a_dead_boot_are_not_counted(machine: Machine) -> None:
    journal = machine.open()
    machine.disk.cut(0)
    journal.append([machine.shop.armed("P1")])
    assert machine.faults.counts[Point.DISK] == 0
    assert machine.disk.take_busy_us() == 0


def test_after_a_shutdown_everything_is_there(machine: Machine) -> None:
    file = open_file(machine.disk.boot() / "file")
    file.xWrite(b"never synced", 0)
    assert (machine.disk.boot() / "file").read_bytes() == b"never synced"


def test_an_older_copy_is_what_the_next_boot_finds(machine: Machine) -> None:
    journal = machine.open()
    machine.sell(journal, "P1")
    older = machine.disk.image()
    machine.sell(journal, "P2")
    machine.disk.cut(0)
    machine.disk.put_in(older)
    assert machine.open().verify().count == SALE_ENTRIES


def test_the_same_faults_leave_the_same_octets(machines: Machines) -> None:
    """SQLite's own random numbers included."""
    images = [left_by(machines, seed) for seed in (7, 7, 8)]
    assert images[0] == images[1]
    assert images[0] != images[2]


def left_by(machines: Machines, seed: int) -> object:
    apsw.randomness(4)  # some other use of SQLite in this process
    faults = [*at_operation(9, Kind.IO_ERROR), *at_operation(25, Kind.POWER_CUT, 3), *at_operation(50, Kind.FULL, 1)]
    machine = machines.new(faults, seed=seed)
    images = []
    for ref in ("P1", "P2", "P3", "P4"):
        journal = machine.open()
        machine.sell(journal, ref)
        machine.disk.cut(5)
        images.append(machine.disk.image())
        journal.close()
    assert len(machine.faults.struck) == len(faults)
    return images, machine.story.sentences


def test_files_of_the_operating_system_stay_and_a_lock_does_not(machine: Machine) -> None:
    machine.disk.provide("keys.json", b"{}")
    journal = machine.open()
    assert machine.path.with_name("journal.db.lock").exists()
    keys = machine.path.with_name("keys.json")
    assert keys.stat().st_mode & 0o077 == 0
    keys.with_name("keys.json.mark").write_bytes(b"257")
    machine.disk.cut(0)
    keys.with_name("keys.json.mark").write_bytes(b"too late")
    journal.close()
    left = {name for name, _ in machine.disk.image().files}
    assert left == {"journal.db", "journal.db-wal", "keys.json", "keys.json.mark"}
    assert (machine.disk.boot() / "keys.json.mark").read_bytes() == b"257"


def test_a_search_sees_durable_octets_and_those_that_are_not_yet(machine: Machine) -> None:
    file = open_file(machine.disk.boot() / "file")
    file.xWrite(b"first", 0)
    file.xSync(apsw.SQLITE_SYNC_NORMAL)
    file.xWrite(b"after", 0)
    seen = [octets for name, octets in machine.disk.everything() if name == "file"]
    assert seen == [b"first", b"after"]


def test_a_disk_is_changed_only_while_its_power_is_off(machine: Machine) -> None:
    image = machine.disk.image()
    machine.disk.boot()
    with pytest.raises(RuntimeError, match="power is off"):
        machine.disk.provide("name", b"")
    with pytest.raises(RuntimeError, match="power is off"):
        machine.disk.put_in(image)


def test_one_disk_is_in_use_at_a_time_and_the_end_of_it_shows_nowhere(directory: Path) -> None:
    before = apsw.vfs_names()
    first, second = Machine(directory / "first").disk, Machine(directory / "second").disk
    still_open = open_file(first.boot() / "file")
    with pytest.raises(RuntimeError, match="still in use"):
        second.boot()
    first.close()
    second.boot()
    second.close()
    assert apsw.vfs_names() == before
    assert list(directory.glob("*/*")) == []
    still_open.xWrite(b"nowhere", 0)
    still_open.xClose()


def test_sqlite_is_random_again_after_the_end_of_a_disk(machines: Machines) -> None:
    drawn = set()
    for _ in range(2):
        machines.new(seed=1).open().close()
        machines.close()
        drawn.add(apsw.randomness(8))
    assert len(drawn) == 2
