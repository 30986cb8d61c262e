"""Wall time: never below the floor, never moved by the machine's clock, corrected by whoever knows better."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taptill.clock import MachineTime, Moment, SystemClock, Timestamp, Trust
from taptill.journal.adapters.moment_file import MomentFile
from taptill.machine_time import boot_id, is_set_from_rtc

YEAR_MS = 365 * 86_400_000
FLOOR_MS = 1_795_305_600_000  # 2026-11-22 00:00 UTC
NOON_MS = FLOOR_MS + 43_200_000


class Machine:
    """A TimeSource set by hand."""

    def __init__(self, wall_ms: int, trust: Trust) -> None:
        self.count_us, self.wall, self.believed = 5_000_000, wall_ms, trust

    def monotonic_us(self) -> int:
        return self.count_us

    def wall_ms(self) -> int:
        return self.wall

    def trust(self) -> Trust:
        return self.believed

    def run(self, ms: int) -> None:
        self.count_us += ms * 1000
        self.wall += ms


jumps = st.sampled_from([-YEAR_MS, YEAR_MS])
passing = st.integers(0, 86_400_000)


@given(
    st.integers(0, FLOOR_MS + 20 * YEAR_MS),
    st.sampled_from(Trust),
    st.lists(st.one_of(passing, jumps.map(str), st.sampled_from(Trust)), max_size=12),
)
def test_whatever_the_machines_clock_does_time_is_never_below_the_floor(
    wall_ms: int, trust: Trust, day: list[int | str | Trust]
) -> None:
    machine = Machine(wall_ms, trust)
    clock = SystemClock(FLOOR_MS, machine)
    for event in day:
        if isinstance(event, Trust):
            machine.believed = event
        elif isinstance(event, str):
            machine.wall += int(event)
        else:
            machine.run(event)
        assert clock.now().unix_ms >= FLOOR_MS
        assert clock.surely_past().unix_ms in {FLOOR_MS, clock.now().unix_ms}


@given(st.sampled_from(Trust), st.lists(st.one_of(passing, jumps.map(str)), max_size=12))
def test_jumps_of_a_year_move_nothing(trust: Trust, day: list[int | str]) -> None:
    machine = Machine(NOON_MS, trust)
    clock = SystemClock(FLOOR_MS, machine)
    passed_ms = 0
    for event in day:
        if isinstance(event, str):
            machine.wall += int(event)
        else:
            machine.run(event)
            passed_ms += event
        assert clock.now() == Timestamp(NOON_MS + passed_ms, trust)


@given(
    st.integers(0, FLOOR_MS + 20 * YEAR_MS),
    st.sampled_from(Trust),
    st.lists(st.one_of(passing, jumps.map(str), st.integers(0, YEAR_MS).map(lambda ms: Timestamp(ms, Trust.HOST)))),
)
def test_only_the_host_turns_time_back(wall_ms: int, trust: Trust, day: list[int | str | Timestamp]) -> None:
    machine = Machine(wall_ms, trust)
    clock = SystemClock(FLOOR_MS, machine)
    last_ms = clock.now().unix_ms
    for event in day:
        if isinstance(event, Timestamp):
            clock.follow(Timestamp(FLOOR_MS + event.unix_ms, Trust.HOST))
            assert clock.now() == Timestamp(FLOOR_MS + event.unix_ms, Trust.HOST)
        else:
            machine.wall += int(event) if isinstance(event, str) else 0
            machine.run(event if isinstance(event, int) else 0)
            assert clock.now().unix_ms >= last_ms
        last_ms = clock.now().unix_ms


def test_a_machine_in_1970_counts_from_the_floor_and_says_that_it_guesses() -> None:
    machine = Machine(7_000, Trust.GUESS)
    clock = SystemClock(FLOOR_MS, machine)
    machine.run(60_000)
    assert clock.now() == Timestamp(FLOOR_MS + 60_000, Trust.GUESS)
    assert clock.surely_past() == Timestamp(FLOOR_MS, Trust.GUESS)


def test_a_trusted_time_below_the_floor_is_a_guess() -> None:
    assert SystemClock(FLOOR_MS, Machine(FLOOR_MS - YEAR_MS, Trust.NTP)).now() == Timestamp(FLOOR_MS, Trust.GUESS)


def test_a_time_daemon_that_found_its_servers_is_believed() -> None:
    machine = Machine(7_000, Trust.GUESS)
    clock = SystemClock(FLOOR_MS, machine)
    machine.wall, machine.believed = NOON_MS, Trust.NTP
    assert clock.now() == clock.surely_past() == Timestamp(NOON_MS, Trust.NTP)


def test_the_host_is_believed_above_all_and_nobody_after_it() -> None:
    machine = Machine(NOON_MS, Trust.NTP)
    clock = SystemClock(FLOOR_MS, machine)
    clock.follow(Timestamp(NOON_MS + 90_000, Trust.HOST))
    clock.follow(Timestamp(NOON_MS, Trust.NTP))
    machine.run(1_000)
    assert clock.now() == Timestamp(NOON_MS + 91_000, Trust.HOST)


def test_a_restart_within_the_boot_keeps_the_hosts_time(tmp_path: Path) -> None:
    """DESIGN 5.14: monotonic time since a trusted moment of this boot."""
    machine = Machine(7_000, Trust.GUESS)
    SystemClock(FLOOR_MS, machine, MomentFile(tmp_path / "moment", "boot 1")).follow(Timestamp(NOON_MS, Trust.HOST))
    machine.run(3_600_000)
    again = SystemClock(FLOOR_MS, machine, MomentFile(tmp_path / "moment", "boot 1"))
    assert again.now() == Timestamp(NOON_MS + 3_600_000, Trust.HOST)
    assert [path.name for path in tmp_path.iterdir()] == ["moment"]


def test_another_boot_knows_nothing_of_it(tmp_path: Path) -> None:
    machine = Machine(7_000, Trust.GUESS)
    SystemClock(FLOOR_MS, machine, MomentFile(tmp_path / "moment", "boot 1")).follow(Timestamp(NOON_MS, Trust.HOST))
    assert MomentFile(tmp_path / "moment", "boot 2").recall() is None
    assert SystemClock(FLOOR_MS, machine, MomentFile(tmp_path / "moment", "boot 2")).now().trust is Trust.GUESS


KEPT = {"boot_id": "boot 1", "monotonic_us": 1, "unix_ms": NOON_MS, "trust": 3}


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        json.dumps(KEPT).encode()[:-2],
        json.dumps(KEPT | {"unix_ms": "noon"}).encode(),
        json.dumps(KEPT | {"unix_ms": 10**18}).encode(),
        json.dumps(KEPT | {"monotonic_us": -1}).encode(),
        json.dumps(KEPT | {"trust": 4}).encode(),
        json.dumps(KEPT | {"boot_id": ""}).encode(),
    ],
)
def test_a_file_that_says_nothing_sensible_is_no_moment(tmp_path: Path, octets: bytes) -> None:
    (tmp_path / "moment").write_bytes(octets)
    assert MomentFile(tmp_path / "moment", "boot 1").recall() is None
    assert MomentFile(tmp_path / "moment", "").recall() is None


def test_a_moment_that_cannot_be_kept_costs_nothing(tmp_path: Path) -> None:
    lost = MomentFile(tmp_path / "no such folder" / "moment", "boot 1")
    lost.keep(Moment(Timestamp(NOON_MS, Trust.HOST), 1))
    assert lost.recall() is None


@pytest.mark.parametrize(
    ("hctosys", "since_epoch", "believed"),
    [
        ("1\n", "1795348800\n", True),
        ("1\n", "1795348900\n", True),
        ("0\n", "1795348800\n", False),
        ("1\n", "946684800\n", False),
        ("", "1795348800\n", False),
        ("1\n", "soon\n", False),
    ],
)
def test_a_real_time_clock_counts_when_it_set_the_systems_and_agrees(
    tmp_path: Path, hctosys: str, since_epoch: str, believed: bool
) -> None:
    """The system's clock says noon of 2026-11-22; 946684800 is 2000-01-01, where an empty battery begins again."""
    clock = tmp_path / "rtc0"
    clock.mkdir()
    (clock / "hctosys").write_text(hctosys)
    (clock / "since_epoch").write_text(since_epoch)
    assert is_set_from_rtc(1_795_348_800, tmp_path) is believed
    assert not is_set_from_rtc(1_795_348_800, tmp_path / "no such class")


def test_this_machine_says_what_its_kernel_says() -> None:
    machine = MachineTime()
    assert machine.trust() in {Trust.GUESS, Trust.RTC, Trust.NTP}
    assert machine.trust() is machine.trust()
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_a_floor_left_by_a_wild_guess_yields_to_the_hosts_time() -> None:
    wild_ms = NOON_MS + 3 * YEAR_MS
    clock = SystemClock(wild_ms, Machine(NOON_MS, Trust.GUESS))
    assert clock.now() == Timestamp(wild_ms, Trust.GUESS)
    clock.follow(Timestamp(NOON_MS + 500, Trust.HOST))
    assert clock.now() == Timestamp(NOON_MS + 500, Trust.HOST)


def test_a_battery_clock_gone_wild_dates_no_certificate() -> None:
    clock = SystemClock(FLOOR_MS, Machine(NOON_MS + 70 * YEAR_MS, Trust.RTC))
    assert clock.now().trust is Trust.RTC
    assert clock.surely_past() == Timestamp(FLOOR_MS, Trust.GUESS)
