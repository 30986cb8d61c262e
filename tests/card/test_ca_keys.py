"""CA keys: checksums, one key per place, the published test keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from typing import Any

import pytest

from taptill.card.ca_keys import CaKey, CaKeyRefused, CaKeyStore, format_ca_keys, parse_ca_keys

Case = dict[str, Any]


def listed_keys(document: Case) -> Iterator[tuple[str, Case]]:
    for number, key in enumerate(document.get("keys", [])):
        if "origin_checksum" in key:
            yield f"{key['rid']}-{key['index']}-{number}", key


@pytest.mark.vectors(folder="capk", cases=listed_keys)
def test_a_key_is_taken_exactly_when_its_published_checksum_holds(vector: Case) -> None:
    def take(checksum: str) -> CaKey:
        return CaKey(
            rid=bytes.fromhex(vector["rid"]),
            index=int(vector["index"], 16),
            modulus=bytes.fromhex(vector["modulus"]),
            exponent=bytes.fromhex(vector["exponent"]),
            checksum=bytes.fromhex(checksum),
        )

    for checksum in vector["origin_checksum"]:
        if checksum == vector["sha1_rid_index_mod_exp"]:
            assert take(checksum).modulus.hex().upper() == vector["modulus"]
        else:
            with pytest.raises(CaKeyRefused, match="checksum"):
                take(checksum)


def published() -> tuple[CaKey, ...]:
    return parse_ca_keys((resources.files("taptill.card") / "ca_keys_test.toml").read_text(encoding="utf-8"))


def test_the_published_test_keys_load_and_say_that_they_are_test_keys() -> None:
    store = CaKeyStore.of(published())
    assert all(key.test for key in store)
    unionpay = store.find(bytes.fromhex("A000000333"), 0x80)
    assert unionpay is not None
    assert unionpay.modulus.hex().upper().startswith("CCDBA686")
    assert store.find(bytes.fromhex("A000000333"), 0x81) is None


def test_keys_survive_being_written_and_read() -> None:
    assert parse_ca_keys(format_ca_keys(published())) == published()


def test_a_changed_modulus_is_refused() -> None:
    key = published()[0]
    with pytest.raises(CaKeyRefused, match="checksum"):
        replace(key, modulus=bytes([key.modulus[0] ^ 1]) + key.modulus[1:])


@pytest.mark.parametrize("text", ["key = 3", "[[key]]\nrid = 'A0'", "[[key", "[[key]]\nrid = 5", "key = [1]"])
def test_text_that_is_no_key_list_is_refused(text: str) -> None:
    with pytest.raises(CaKeyRefused):
        parse_ca_keys(text)
