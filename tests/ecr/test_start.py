"""A terminal that cannot start says why, and what to do, and leaves everything as it was."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taplab.provision import LabFiles, provision, terminal_config
from taplab.register import Register
from taplab.world import World

RUN = "import sys; from taptill.cli import main; sys.exit(main())"


def run(config: Path) -> subprocess.CompletedProcess[str]:
    """`taptill run`, which is expected to end by itself."""
    command = [sys.executable, "-c", RUN, "run", "--config", str(config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> LabFiles:
    return provision(tmp_path_factory.mktemp("lab"))


@pytest.fixture
def config(files: LabFiles) -> Path:
    """A configuration without faults; its devices do not exist, which a terminal survives."""
    text = terminal_config(
        files,
        readers=["pn532:/dev/no-such-reader"],
        printer="",
        endpoints=["tls://127.0.0.1:9"],
        ecr_listen="127.0.0.1:0",
    )
    files.terminal_config.write_text(text, encoding="utf-8")
    return files.terminal_config


def test_a_second_terminal_on_the_same_journal_is_refused(world: World, register: Register) -> None:
    done = run(world.files.terminal_config)
    assert done.returncode == 2
    assert "another terminal writes to it" in done.stderr
    assert "journal.sqlite" in done.stderr
    assert "Traceback" not in done.stderr
    assert register.health()["ready"], "the first one does not notice"


def _insert(key: str) -> Callable[[str], str]:
    return lambda text: f"{key}\n{text}"


def _replace(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_insert("colour = 'red'"), "colour"),
        (_replace("[identity]", "[identity]\ncolour = 'red'"), "colour"),
        (_replace("reply_timeout_ms = 2500", "reply_timeout_ms = 'soon'"), "reply_timeout_ms"),
        (_replace('terminal_id = "10000001"', ""), "terminal_id"),
        (_replace("pn532:/dev/no-such-reader", "magic:/dev/wand"), "magic"),
        (_replace("file:keystore.json", "file:no-such.json"), "no-such.json"),
        (_replace("127.0.0.1:0", "0.0.0.0:0"), "ecr_listen"),
        (_replace("127.0.0.1:0", "127.0.0.1:99999"), "ecr_listen"),
        (_replace("lab-ca-keys.toml", "no-such.toml"), "no-such.toml"),
        (_insert("this is not TOML"), "terminal.toml"),
    ],
)
def test_a_fault_in_the_configuration_is_named(config: Path, change: Callable[[str], str], named: str) -> None:
    sound = config.read_text(encoding="utf-8")
    faulty = change(sound)
    assert faulty != sound
    config.write_text(faulty, encoding="utf-8")
    done = run(config)
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_configuration_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run(tmp_path / "no-such.toml")
    assert done.returncode == 2
    assert "no-such.toml" in done.stderr
