"""The terminal is started again while the network is away, and has nobody to ask for the time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from taplab.register import Register
from taplab.world import World
from taptill.clock import MachineTime, Trust
from taptill.journal.adapters.sqlite import SqliteJournalReader

WAIT_S = 15.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Signed on once, then cut off and without power."""
    with World(tmp_path / "lab", pcsc=False) as world:
        Register(world.ecr_url).wait_until("signed_on", True, WAIT_S)
        world.network.down()
        world.kill_terminal()
        yield world


def sell_offline(world: World) -> tuple[str, str]:
    """State and reason of a sale to a card that approves offline."""
    register = Register(world.ecr_url)
    register.wait_until("host", "unreachable", WAIT_S)
    register.wait_until("ready", True, WAIT_S)
    ref = register.arm(1880)
    world.present(world.reader("pn532"), "offline_funds")
    payment = register.wait_for(ref, {"approved_offline", "declined"}, WAIT_S)
    world.remove(world.reader("pn532"))
    return payment["state"], payment["reason"]["cashier"]["en"] if payment["reason"] else ""


def test_within_the_same_boot_the_hosts_time_still_counts(world: World) -> None:
    world.start_terminal()
    assert sell_offline(world) == ("approved_offline", "")
    journal = SqliteJournalReader.open(world.files.journal)
    assert {record.entry.trust for record in list(journal.records())[-2:]} == {Trust.HOST}
    journal.close()


def test_after_a_boot_the_machines_word_counts_and_a_guess_sells_nothing_offline(world: World) -> None:
    """What was kept is of another boot now."""
    kept = world.files.journal.with_suffix(".moment")
    kept.write_bytes(kept.read_bytes().replace(b'"boot_id":"', b'"boot_id":"another-'))
    world.start_terminal()
    guessing = MachineTime().trust() is Trust.GUESS
    expected = ("declined", "the terminal's clock is not set") if guessing else ("approved_offline", "")
    assert sell_offline(world) == expected
