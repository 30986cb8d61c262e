"""`taptill reconcile`, beside a terminal that sells, and on lists and journals that are not what they should be."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Taptill

from taplab.register import Register
from taplab.world import World

WAIT_S = 10.0
LEDGER = "import sys; from taphost.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("lab"), pcsc=False) as world:
        yield world


def sell(world: World, card: str, amount_minor: int, state: str) -> str:
    register = Register(world.ecr_url)
    register.wait_until("ready", True, WAIT_S)
    ref = register.arm(amount_minor)
    world.present(world.reader("pn532"), card)
    register.wait_for(ref, {state}, WAIT_S)
    world.remove(world.reader("pn532"))
    return ref


@pytest.fixture(scope="module")
def undone(world: World) -> str:
    """A sale, a decline, and a sale whose reply was lost with the network: the host has it, the terminal owes its
    reversal. The reference of the last one."""
    sell(world, "good_credit", 1250, "approved")
    sell(world, "low_limit", 8800, "declined")
    world.network.lose_next_reply(then_down=True)
    return sell(world, "good_credit", 4500, "reversing")


@pytest.fixture
def hostfile(world: World, undone: str, tmp_path: Path) -> Path:
    """What the host prints now."""
    command = [sys.executable, "-c", LEDGER, "ledger", "--json", "--all", "--database", world.host_database]
    done = subprocess.run(command, capture_output=True, timeout=60, check=True)
    (tmp_path / "ledger.json").write_bytes(done.stdout)
    return tmp_path / "ledger.json"


def edited(hostfile: Path, change: dict[str, Any], payment_ref: str) -> Path:
    """The list with the row of one payment changed and its sum made to fit."""
    ledger = json.loads(hostfile.read_text())
    for row in ledger["transactions"]:
        row |= change if row["payment_ref"] == payment_ref else {}
    ledger["net_captured_minor"] = sum(row["captured_minor"] for row in ledger["transactions"])
    hostfile.write_text(json.dumps(ledger))
    return hostfile


def test_a_difference_that_ends_by_itself_is_explained_beside_the_running_terminal(
    taptill: Taptill, world: World, undone: str, hostfile: Path
) -> None:
    done = taptill("reconcile", str(world.files.journal), str(hostfile))
    assert done.status == 0, done.err + done.out
    assert f"{undone} (batch 1, STAN " in done.out
    assert "the terminal owes it a reversal that has not been delivered: it will be undone." in done.out
    assert "2 records on both sides agree" in done.out
    assert "difference                ¥45.00" in done.out
    assert "balanced" not in done.out


def test_machines_read_the_same(taptill: Taptill, world: World, undone: str, hostfile: Path) -> None:
    done = taptill("reconcile", str(world.files.journal), str(hostfile), "--json")
    assert done.status == 0, done.err
    told = done.json
    assert (told["terminal_minor"], told["host_minor"], told["difference_minor"]) == (1250, 5750, 4500)
    assert (told["matched"], told["needs_somebody"], told["other_terminals_records"]) == (2, False, 0)
    assert [(found["payment_ref"], found["cause"], found["who_acts"]) for found in told["findings"]] == [
        (undone, "reversal-owed", "the terminal")
    ]


def test_a_difference_that_somebody_has_to_act_on_is_bad_news(
    taptill: Taptill, world: World, undone: str, hostfile: Path
) -> None:
    sold = next(row for row in json.loads(hostfile.read_text())["transactions"] if row["captured_minor"] == 1250)
    edited(hostfile, {"captured_minor": 1200}, sold["payment_ref"])
    done = taptill("reconcile", str(world.files.journal), str(hostfile))
    assert done.status == 1, done.err
    assert "the terminal booked ¥12.50 (approved), the host captured ¥12.00: call the acquirer." in done.out


def test_another_terminals_rows_are_left_out_and_counted(
    taptill: Taptill, world: World, undone: str, hostfile: Path
) -> None:
    edited(hostfile, {"terminal": "10000099", "payment_ref": "elsewhere"}, undone)
    done = taptill("reconcile", str(world.files.journal), str(hostfile))
    assert "in 2 records, 1 of other terminals left out" in done.out
    assert "the host has no such record, the terminal owes a reversal" in done.out


@pytest.mark.parametrize("octets", [b"", b"no list", b'{"transactions": []}', b'{"transactions": ['])
def test_a_list_that_cannot_be_used_is_refused_by_name(
    taptill: Taptill, world: World, tmp_path: Path, octets: bytes
) -> None:
    path = tmp_path / "ledger.json"
    path.write_bytes(octets)
    done = taptill("reconcile", str(world.files.journal), str(path))
    assert done.status == 2
    assert "error 4102" in done.err
    assert str(path) in done.err
    assert done.out == ""


def test_files_that_are_not_there_are_named_and_not_made(taptill: Taptill, world: World, tmp_path: Path) -> None:
    done = taptill("reconcile", str(world.files.journal), str(tmp_path / "none.json"))
    assert (done.status, "none.json" in done.err) == (2, True)
    (tmp_path / "ledger.json").write_text('{"transactions": [], "count": 0, "net_captured_minor": 0}')
    done = taptill("reconcile", str(tmp_path / "none.sqlite"), str(tmp_path / "ledger.json"))
    assert (done.status, "none.sqlite" in done.err) == (2, True)
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.json"]


def test_once_the_network_is_back_nothing_differs(taptill: Taptill, world: World, undone: str, tmp_path: Path) -> None:
    world.network.up()
    Register(world.ecr_url).wait_until("open_debts", 0, 30.0)
    command = [sys.executable, "-c", LEDGER, "ledger", "--json", "--all", "--database", world.host_database]
    (tmp_path / "ledger.json").write_bytes(subprocess.run(command, capture_output=True, timeout=60, check=True).stdout)
    done = taptill("reconcile", str(world.files.journal), str(tmp_path / "ledger.json"))
    assert done.status == 0, done.err + done.out
    assert "4 records on both sides agree; compared one by one, nothing differs" in done.out
