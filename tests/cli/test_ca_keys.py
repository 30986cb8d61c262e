"""`taptill ca-keys`: the good keys on standard output, the bad ones by name on standard error."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Taptill

from taptill.card.proof.ca_keys import format_ca_keys, parse_ca_keys
from taptill.terminal.wiring import product_ca_keys


def test_a_good_list_comes_out_as_it_went_in(taptill: Taptill, tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(format_ca_keys(product_ca_keys()), encoding="utf-8")
    done = taptill("ca-keys", str(path))
    assert (done.status, done.err) == (0, "")
    assert parse_ca_keys(done.out) == product_ca_keys()


def test_a_bad_key_is_named_and_left_out(taptill: Taptill, tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    good, bad = product_ca_keys()[:2]
    spoiled = format_ca_keys([bad]).replace(bad.checksum.hex().upper(), "00" * 20)
    path.write_text(format_ca_keys([good]) + spoiled, encoding="utf-8")
    done = taptill("ca-keys", str(path))
    assert done.status == 1
    assert parse_ca_keys(done.out) == (good,)
    assert f"key 2, CA key {bad.name}: the checksum" in done.err


def test_a_file_that_is_no_list_is_refused(taptill: Taptill, tmp_path: Path) -> None:
    path = tmp_path / "keys.txt"
    path.write_text("9F0605A000000333", encoding="utf-8")
    done = taptill("ca-keys", str(path))
    assert done.status == 1
    assert "record 1: 9F22 is missing" in done.err
    path.write_text("keys, please", encoding="utf-8")
    assert taptill("ca-keys", str(path)).status == 2
    assert taptill("ca-keys", str(tmp_path / "absent")).status == 2
