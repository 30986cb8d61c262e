"""The host's configuration file: as an example somebody would write, and with every mistake named by its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from taphost.config import config_text, load_config, parse_config
from taphost.errors import HostConfigError

EXAMPLE = """
listen = "127.0.0.1:0"
bdk = "FEDCBA9876543210F1F1F1F1F1F1F1F1"
account_key = "00112233445566778899AABBCCDDEEFF"

[tls]
certificate = "host.pem"
key = "host.key"
client_ca = "ca.pem"

[[merchants]]
id = "898310000000001"
name = "街角小店"

[[terminals]]
id = "10000001"
merchant = "898310000000001"
key_set = "0000000100000001"

[[issuers]]
prefix = "622800"
key = "0123456789ABCDEFFEDCBA9876543210"
name = "Lab bank"

[[accounts]]
pan = "6228000100001117"
credit_minor = 500000
expiry = "3012"
note = "the good card"
"""


def test_the_example_is_read_and_written_back_the_same() -> None:
    config = parse_config(EXAMPLE)
    assert config.accounts[0].credit_minor == 500_000
    assert config.merchants[0].name == "街角小店"
    assert config.utc_offset_minutes == 480
    assert parse_config(config_text(config)) == config


def test_files_are_found_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "host.toml").write_text(EXAMPLE, encoding="utf-8")
    tls = load_config(tmp_path / "host.toml").tls
    assert tls is not None
    assert Path(tls.client_ca) == tmp_path.resolve() / "ca.pem"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('listen = "127', 'lisen = "127', "lisen"),
        ("credit_minor = 500000", "credit_minor = -1", "credit_minor"),
        ("credit_minor = 500000", "credit_minor = 5.0", "credit_minor"),
        ('expiry = "3012"', 'expiry = "3013"', "expiry"),
        ('note = "the', 'notes = "the', "notes"),
        ('bdk = "FEDC', 'bdk = "FE', "bdk"),
        ('merchant = "898310000000001"', 'merchant = "898310000000009"', "terminals"),
        ("[[merchants]]", "[[merchants", "TOML"),
        ('pan = "6228000100001117"', 'pan = "6228"', "pan"),
    ],
)
def test_a_mistake_is_named_by_its_place_and_nothing_secret_is_told(old: str, new: str, named: str) -> None:
    assert old in EXAMPLE
    with pytest.raises(HostConfigError, match=named) as caught:
        parse_config(EXAMPLE.replace(old, new))
    assert "6228" not in str(caught.value)
    assert "FEDC" not in str(caught.value)


def test_the_same_account_twice_is_a_mistake() -> None:
    account = EXAMPLE[EXAMPLE.index("[[accounts]]") :]
    with pytest.raises(HostConfigError, match="accounts"):
        parse_config(EXAMPLE + account)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostConfigError, match=r"nowhere\.toml"):
        load_config(tmp_path / "nowhere.toml")


def test_nothing_of_it_shows_in_a_repr() -> None:
    config = parse_config(EXAMPLE)
    shown = repr(config) + repr(config.accounts) + repr(config.issuers) + str(config)
    assert not any(secret in shown for secret in ("6228", "FEDC", "0123", "0011"))
