"""`taptill read` talks while it works: on standard error, in the language asked for or configured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Taptill

from taplab.card import Scheme, load_card
from taplab.pn532.serial_port import VirtualPn532
from taptill.entropy import SystemEntropy

CONFIG = """
journal = "journal.db"
readers = []
keystore = "file:keys.json"
[identity]
terminal_id = "TERM0001"
merchant_id = "MERCHANT0000001"
merchant_name = "Shop"
country = "156"
language = "en"
[host]
endpoints = []
server_name = "host"
ca = "ca.pem"
certificate = "terminal.pem"
key = "terminal.key"
[cards]
schemes = ["visa"]
"""


@pytest.fixture
def chip() -> Iterator[VirtualPn532]:
    with VirtualPn532() as chip:
        chip.present(load_card("good_credit", Scheme.generate(SystemEntropy()), SystemEntropy()))
        yield chip


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        ([], ["欢迎", "请出示卡片", "读卡成功，请移开卡片 (余额 ¥0.00)"]),
        (["--language", "en"], ["Welcome", "Present card", "Card read OK, please remove card (balance ¥0.00)"]),
    ],
)
def test_what_the_customer_would_see_is_told_as_it_comes(
    taptill: Taptill, chip: VirtualPn532, arguments: list[str], lines: list[str]
) -> None:
    done = taptill("read", "--reader", f"pn532:{chip.path}", *arguments)
    assert done.err.splitlines() == lines
    assert done.json["outcome"] == "online"


def test_a_configuration_says_the_language_and_which_cards_are_taken(
    taptill: Taptill, chip: VirtualPn532, tmp_path: Path
) -> None:
    config = tmp_path / "terminal.toml"
    config.write_text(CONFIG, encoding="utf-8")
    done = taptill("read", "--reader", f"pn532:{chip.path}", "--config", str(config))
    assert done.err.splitlines()[-1] == "Insert, swipe or try another card"
    assert (done.json["outcome"], done.json["reason"]) == ("end application", "scheme-not-accepted")
