"""Test keys and live terminals: what the configuration may name, and what a slip says of a tap that rested on one."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
from msgspec.structs import replace as with_settings
from tests.terminal.shop import CONFIG, Shop, tapped

from taptill.card.outcome import OutcomeKind
from taptill.card.proof.ca_keys import CaKeyRefused, format_ca_keys
from taptill.card.proof.offline_authentication import Evidence, issuer_key_of
from taptill.errors import ConfigError
from taptill.receipt.compose import compose
from taptill.receipt.facts import Language
from taptill.receipt.text import render_text
from taptill.terminal.wiring import product_ca_keys, replay_ca_keys, trusted_ca_keys

TEST_FILE = Path(str(resources.files("taptill.card.proof") / "ca_keys_test.toml"))
UNIONPAY = bytes.fromhex("A000000333")


def test_a_terminal_that_is_not_live_trusts_test_keys_beside_the_live_ones() -> None:
    store = trusted_ca_keys([])
    assert {key.test for key in store} == {True, False}
    assert set(store) == set(product_ca_keys())


def test_on_a_live_terminal_a_card_under_a_test_key_has_no_ca_key() -> None:
    evidence = Evidence(UNIONPAY, {0x8F: b"\x80"}, "6228000100001117", b"", "261122")
    said = issuer_key_of(evidence, trusted_ca_keys([], live=True))[1]
    assert getattr(said, "reason", "") == "no-ca-key"
    said = issuer_key_of(evidence, trusted_ca_keys([]))[1]
    assert getattr(said, "reason", "") == "data-missing-90"


def test_a_live_terminal_does_not_start_with_a_test_key_in_a_configured_file() -> None:
    with pytest.raises(ConfigError, match=r"ca_keys_test\.toml: A0000\w+/\w\w is a test key") as refused:
        trusted_ca_keys([TEST_FILE], live=True)
    assert "identity.live = false" in refused.value.next_step


def test_a_file_may_stand_alone_as_toml_or_as_download_records(tmp_path: Path) -> None:
    key = next(key for key in product_ca_keys() if key.rid == UNIONPAY and not key.test)
    toml, record = tmp_path / "keys.toml", tmp_path / "keys.txt"
    toml.write_text(format_ca_keys([key]), encoding="utf-8")
    parts = ((0x9F06, key.rid), (0x9F22, bytes([key.index])), (0xDF02, key.modulus), (0xDF04, key.exponent))
    written = "".join(
        f"{tag:04X}{'81' if len(value) > 127 else ''}{len(value):02X}{value.hex()}"
        for tag, value in (*parts, (0xDF03, key.checksum))
    )
    record.write_text(written, encoding="utf-8")
    for path in (toml, record):
        (found,) = trusted_ca_keys([path], live=True, with_product=False)
        assert (found.modulus, found.test) == (key.modulus, False)


def test_a_revocation_file_comes_with_the_keys(tmp_path: Path) -> None:
    path = tmp_path / "revoked.toml"
    path.write_text('[[revoked]]\nrid = "A000000333"\nindex = "04"\nserial = "0000A1"\n', encoding="utf-8")
    assert trusted_ca_keys([], revocations=[path]).revoked.under(UNIONPAY, 4) == {bytes.fromhex("0000A1")}


@pytest.mark.parametrize("setting", ["ca_keys", "revoked_certificates"])
def test_a_file_that_cannot_be_read_is_named_with_its_setting(setting: str, tmp_path: Path) -> None:
    absent = tmp_path / "absent.toml"
    with pytest.raises(ConfigError, match=rf"{setting}: .*absent\.toml"):
        trusted_ca_keys([absent] if setting == "ca_keys" else [], revocations=[absent])


def test_a_key_that_does_not_verify_names_file_and_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    text = format_ca_keys(product_ca_keys()[:1])
    path.write_text(text.replace('exponent = "03"', 'exponent = "010001"'), encoding="utf-8")
    with pytest.raises(CaKeyRefused, match=r"keys\.toml, key 1, CA key A000000333/08: the checksum"):
        trusted_ca_keys([path])


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    ("language", "notice"), [("zh-CN", "脱机认证使用测试CA公钥"), ("en", "CARD AUTHENTICATED WITH A TEST CA KEY")]
)
def test_a_slip_of_a_tap_that_rested_on_a_test_key_says_so(
    tmp_path: Path, language: str, notice: str, live: bool
) -> None:
    """The slip is made of what was journaled. No live terminal has such a tap; if it had, its slip would say so too."""
    identity = with_settings(CONFIG.identity, language=language, live=live)
    shop = Shop(tmp_path, config=with_settings(CONFIG, identity=identity))
    shop.open()
    for test_key in (True, False):
        oda = replace(tapped(OutcomeKind.APPROVED).oda, test_key=test_key)
        shop.sell(replace(tapped(OutcomeKind.ONLINE_REQUEST), oda=oda))
        slip = render_text(compose(shop.printed[-1].facts, Language(language)), 200)
        assert (notice in slip) is test_key
    shop.power_cut()


def test_a_replay_knows_keys_of_old_recordings_that_no_terminal_trusts() -> None:
    retired = (bytes.fromhex("A000000003"), 0x01)  # Visa's live key of 1024 bit, gone since 2009
    assert replay_ca_keys([]).find(*retired) is not None
    assert trusted_ca_keys([]).find(*retired) is None


def test_what_a_replay_knows_takes_nothing_from_what_a_terminal_trusts() -> None:
    assert set(product_ca_keys()) <= set(replay_ca_keys([]))
