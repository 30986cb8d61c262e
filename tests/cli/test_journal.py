"""`taptill explain` and `taptill journal`, beside a terminal that sells, and on files that are not what they were."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Taptill

from taplab.register import Register
from taplab.world import World
from taptill.journal.adapters.sqlite import SqliteJournal

WAIT_S = 10.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("lab"), pcsc=False) as world:
        yield world


@pytest.fixture(scope="module")
def sold(world: World) -> str:
    """The reference of an approved payment."""
    register = Register(world.ecr_url)
    register.wait_until("ready", True, WAIT_S)
    ref = register.arm(1250)
    world.present(world.reader("pn532"), "good_credit")
    register.wait_for(ref, {"approved"}, WAIT_S)
    world.remove(world.reader("pn532"))
    return ref


@pytest.fixture
def copy(world: World, sold: str, tmp_path: Path) -> Path:
    """The journal as a technician takes it away, with its log moved into the file."""
    for suffix in ("", "-wal"):
        source = world.files.journal.with_name(world.files.journal.name + suffix)
        if source.exists():
            shutil.copy(source, tmp_path / source.name)
    taken = SqliteJournal.open(tmp_path / world.files.journal.name)
    taken.checkpoint()
    taken.close()
    return tmp_path / world.files.journal.name


def test_a_payment_is_explained_beside_the_running_terminal(taptill: Taptill, world: World, sold: str) -> None:
    done = taptill("explain", sold, "--journal", str(world.files.journal))
    assert done.status == 0, done.err
    assert sold in done.out
    assert "¥12.50" in done.out
    assert "approved" in done.out
    assert "622800******1109" in done.out
    assert Register(world.ecr_url).health()["ready"]


def test_a_payment_that_is_not_there_is_named(taptill: Taptill, world: World) -> None:
    done = taptill("explain", "no-such", "--journal", str(world.files.journal))
    assert done.status == 2
    assert "no payment no-such" in done.err


def test_the_chain_verifies_beside_the_running_terminal(taptill: Taptill, world: World, sold: str) -> None:
    done = taptill("journal", "verify", "--journal", str(world.files.journal))
    assert done.status == 0, done.err
    assert "entries verify" in done.out


def test_an_export_is_one_json_object_a_line_and_holds_the_payment(taptill: Taptill, world: World, sold: str) -> None:
    done = taptill("journal", "export", "--journal", str(world.files.journal))
    assert done.status == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert len(lines) > 4
    assert sold in done.out


@pytest.mark.parametrize("action", ["verify", "export"])
def test_one_changed_byte_is_found_and_its_place_named(taptill: Taptill, copy: Path, action: str) -> None:
    """An amount is changed where it is stored, as somebody with an editor would."""
    octets = copy.read_bytes()
    copy.write_bytes(octets.replace(b'"amount_minor":1250', b'"amount_minor":9250', 1))
    assert copy.read_bytes() != octets
    done = taptill("journal", action, "--journal", str(copy))
    assert done.status == 2
    assert re.search(r"journal entry \d+: ", done.err), done.err
    assert done.out == ""


def test_a_file_cut_short_is_found(taptill: Taptill, copy: Path) -> None:
    copy.write_bytes(copy.read_bytes()[:4096])
    done = taptill("journal", "verify", "--journal", str(copy))
    assert done.status == 2
    assert "journal.sqlite" in done.err


@pytest.mark.parametrize("octets", [b"", b"hello", b"SQLite format 3\0" + bytes(84), bytes(5000)])
@pytest.mark.parametrize("verb", [["explain", "x"], ["journal", "verify"], ["journal", "export"]])
def test_a_file_that_is_no_journal_is_refused_and_left_alone(
    taptill: Taptill, tmp_path: Path, octets: bytes, verb: list[str]
) -> None:
    path = tmp_path / "something"
    path.write_bytes(octets)
    done = taptill(*verb, "--journal", str(path))
    assert done.status == 2
    assert str(path) in done.err
    assert path.read_bytes() == octets
    assert list(tmp_path.iterdir()) == [path]


def test_a_journal_that_is_not_there_is_not_made(taptill: Taptill, tmp_path: Path) -> None:
    done = taptill("journal", "verify", "--journal", str(tmp_path / "none.sqlite"))
    assert done.status == 2
    assert "none.sqlite" in done.err
    assert list(tmp_path.iterdir()) == []
