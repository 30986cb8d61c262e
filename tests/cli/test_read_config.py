"""`taptill read --config` reads a card as that terminal would: its keys, its exception list, its name."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import RUN, Done, Taptill

from taplab.card import Scheme, load_card
from taplab.card.scheme import ISSUER_SERIAL
from taplab.pn532.serial_port import VirtualPn532
from taptill.entropy import SystemEntropy

UNIONPAY = bytes.fromhex("A000000333")
LISTED = "6228000100001125"  # the card offline_funds
CONFIG = """
journal = "journal.db"
readers = []
keystore = "file:keys.json"
{top}
[identity]
terminal_id = "10000042"
merchant_id = "MERCHANT0000001"
merchant_name = "Shop"
live = {live}
[host]
endpoints = []
server_name = "host"
ca = "ca.pem"
certificate = "terminal.pem"
key = "terminal.key"
[cards]
{cards}
"""


@pytest.fixture(scope="module")
def scheme() -> Scheme:
    return Scheme.generate(SystemEntropy())


@pytest.fixture
def chip(scheme: Scheme) -> Iterator[VirtualPn532]:
    with VirtualPn532() as chip:
        chip.present(load_card("offline_funds", scheme, SystemEntropy()))
        yield chip


@pytest.fixture
def folder(tmp_path: Path, scheme: Scheme) -> Path:
    """What configurations name: the lab's CA keys, a revocation of its issuer, and a list with one card."""
    (tmp_path / "lab.toml").write_text(scheme.ca_keys_toml(), encoding="utf-8")
    index = scheme.ca_key(UNIONPAY).index
    revoked = f'[[revoked]]\nrid = "{UNIONPAY.hex()}"\nindex = "{index:02X}"\nserial = "{ISSUER_SERIAL.hex()}"\n'
    (tmp_path / "revoked.toml").write_text(revoked, encoding="utf-8")
    (tmp_path / "refused.txt").write_text(hashlib.sha256(LISTED.encode()).hexdigest(), encoding="utf-8")
    return tmp_path


def read(
    taptill: Taptill,
    chip: VirtualPn532,
    folder: Path,
    top: str = "",
    live: bool = False,
    cards: str = "",
    more: str = "",
) -> Done:
    config = folder / "terminal.toml"
    config.write_text(CONFIG.format(top=top, live=str(live).lower(), cards=cards), encoding="utf-8")
    given = ["--ca-keys", str(folder / more)] if more else []
    return taptill("read", "--reader", f"pn532:{chip.path}", "--offline", "--config", str(config), *given)


KEYS = 'ca_keys = ["lab.toml"]'


@pytest.mark.parametrize(
    ("top", "cards", "said"),
    [
        ("", "", ("declined", "no-ca-key")),
        (KEYS, "", ("approved", "")),
        (KEYS + "\nproduct_ca_keys = false", "", ("approved", "")),
        (KEYS + '\nrevoked_certificates = ["revoked.toml"]', "", ("declined", "oda-failed")),
        (KEYS, 'refused = "refused.txt"', ("declined", "exception-list")),
    ],
)
def test_a_card_is_judged_by_what_the_configuration_names(
    taptill: Taptill, chip: VirtualPn532, folder: Path, top: str, cards: str, said: tuple[str, str]
) -> None:
    told = read(taptill, chip, folder, top, cards=cards).json
    assert (told["outcome"], told["reason"]) == said


def test_the_keys_named_on_the_command_line_come_on_top(taptill: Taptill, chip: VirtualPn532, folder: Path) -> None:
    assert read(taptill, chip, folder, more="lab.toml").json["outcome"] == "approved"


@pytest.mark.parametrize(("top", "more"), [(KEYS, ""), ("", "lab.toml")])
def test_a_live_terminal_reads_with_no_test_key(
    taptill: Taptill, chip: VirtualPn532, folder: Path, top: str, more: str
) -> None:
    done = read(taptill, chip, folder, top, live=True, more=more)
    assert done.status == 2
    assert "is a test key" in done.err


def test_the_card_is_told_the_terminals_own_number(taptill: Taptill, chip: VirtualPn532, folder: Path) -> None:
    assert read(taptill, chip, folder, KEYS).json["tags"]["9F1E"] == b"10000042".hex().upper()


def test_a_digest_is_printed_and_its_number_is_not() -> None:
    command = [sys.executable, "-c", RUN, "card-digest"]
    done = subprocess.run(command, input=LISTED + "\n", capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == hashlib.sha256(LISTED.encode()).hexdigest() + "\n"
    assert done.stderr == ""


def test_a_number_that_is_none_is_refused_unseen() -> None:
    command = [sys.executable, "-c", RUN, "card-digest"]
    done = subprocess.run(command, input="4711 4711 471\n", capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no card number" in done.stderr
    assert "4711" not in done.stderr
