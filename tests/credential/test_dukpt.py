"""AES DUKPT against the published test data of ANSI X9.24-3 and against its own rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conformance import NotApplicable

from taptill.credential.dukpt import (
    COUNTER_MAX,
    DukptError,
    KeyUsage,
    derive_initial_key,
    derive_transaction_key,
    derive_working_key,
    is_counter,
    next_counter,
)

Case = dict[str, Any]

AES_KSN_DIGITS = 24  # initial key id and counter; a TDES KSN has 20, and TDES DUKPT is not spoken here
WORKING_KEYS = {
    f"{word}_verify".replace("BITS", str(bits)): (usage, bits)
    for bits in (128, 192, 256)
    for word, usage in (
        ("pin_key_aesBITS", KeyUsage.PIN_ENCRYPTION),
        ("data_aesBITS_key", KeyUsage.DATA_ENCRYPTION),
        ("cmac_aesBITS_key", KeyUsage.MAC_GENERATION),
    )
}

BDK = bytes.fromhex("FEDCBA9876543210F1F1F1F1F1F1F1F1")
KEY_ID = bytes.fromhex("1234567890123456")


def published_keys(document: Case) -> Iterator[tuple[str, Case | NotApplicable]]:
    """One case per key that is published for AES: how it is derived, and what it has to be."""
    for suite, constants in document.get("files", {}).items():
        values = {constant["name"]: constant["value"] for constant in constants}
        if "bdk" in values and "ikid" in values:
            yield from cases_of(suite, values)
        else:
            yield suite, NotApplicable(why_not(values))


def why_not(values: Case) -> str:
    if not values:
        return "the origin's suite holds no constants"
    return (
        "an update of the initial key, which nothing here does" if "ik" in values else "TDES DUKPT is not spoken here"
    )


def cases_of(suite: str, values: Case) -> Iterator[tuple[str, Case | NotApplicable]]:
    """Counter 0 is the initial key itself; no usage means the key all others of that counter come from."""
    keys = {"bdk": bytes.fromhex(values["bdk"]), "key_id": bytes.fromhex(values["ikid"])}
    if "ik_verify" in values:
        yield f"{suite}-initial", {**keys, "counter": 0, "expected": values["ik_verify"]}
    for name, expectations in values.items():
        stem, suffix = (name[:-1], name[-1]) if name[-1].isdigit() else (name, "")
        if stem not in WORKING_KEYS and stem != "txn_key_verify":
            continue
        usage, bits = WORKING_KEYS.get(stem, (None, 0))
        numbers = values.get(f"ksn_verify{suffix}", [])
        if len(numbers) != len(expectations) or any(len(ksn) != AES_KSN_DIGITS for ksn in numbers):
            yield f"{suite}-{name}", NotApplicable("its key serial numbers are not told, or are those of TDES")
            continue
        for ksn, expected in zip(numbers, expectations, strict=True):
            case = {**keys, "counter": int(ksn[16:], 16), "usage": usage, "bits": bits, "expected": expected}
            yield f"{suite}-{name}-{ksn[16:]}", case


@pytest.mark.vectors(folder="dukpt", cases=published_keys)
def test_every_published_aes_key_comes_out(vector: Case) -> None:
    key = derive_initial_key(vector["bdk"], vector["key_id"])
    counter = vector["counter"]
    if counter:
        assert is_counter(counter)
        key = (
            derive_transaction_key(key, vector["key_id"], counter)
            if vector["usage"] is None
            else derive_working_key(key, vector["key_id"], counter, vector["usage"], vector["bits"])
        )
    assert key.hex().upper() == vector["expected"].upper()


def test_working_keys_of_one_counter_differ_by_usage() -> None:
    initial = derive_initial_key(BDK, KEY_ID)
    keys = {derive_working_key(initial, KEY_ID, 7, usage) for usage in KeyUsage}
    assert len(keys) == len(KeyUsage)


def test_a_256_bit_base_key_gives_longer_working_keys_that_are_not_prefixes() -> None:
    initial = derive_initial_key(BDK * 2, KEY_ID)
    lengths = {bits: derive_working_key(initial, KEY_ID, 1, KeyUsage.DATA_ENCRYPTION, bits) for bits in (128, 192, 256)}
    assert [len(key) for key in lengths.values()] == [16, 24, 32]
    assert not lengths[256].startswith(lengths[128])


@pytest.mark.parametrize("bits", [64, 192, 256])
def test_a_working_key_is_never_longer_than_its_initial_key(bits: int) -> None:
    with pytest.raises(DukptError, match=f"no {bits}-bit key"):
        derive_working_key(derive_initial_key(BDK, KEY_ID), KEY_ID, 1, KeyUsage.MAC_GENERATION, bits)


@pytest.mark.parametrize("counter", [0, -1, 0x1FFFF, COUNTER_MAX + 1, 0xFFFFFFFF])
def test_a_counter_outside_the_rule_gives_no_key(counter: int) -> None:
    with pytest.raises(DukptError, match="no transaction counter"):
        derive_transaction_key(derive_initial_key(BDK, KEY_ID), KEY_ID, counter)


def test_wrong_key_and_id_lengths_are_refused() -> None:
    with pytest.raises(DukptError, match="120 bits"):
        derive_initial_key(BDK[:15], KEY_ID)
    with pytest.raises(DukptError, match="8 bytes, not 7"):
        derive_initial_key(BDK, KEY_ID[:7])


def test_seventeen_one_bits_are_skipped() -> None:
    """X9.24-3 supplement: 0x1FFFF is left out between 0x1FFFE and 0x20000."""
    assert next_counter(0) == 1
    assert next_counter(0x1FFFE) == 0x20000
    assert next_counter(0xFFFE8000) == COUNTER_MAX


def test_after_the_last_counter_there_is_none() -> None:
    with pytest.raises(DukptError, match="used up"):
        next_counter(COUNTER_MAX)


@given(st.integers(min_value=0, max_value=COUNTER_MAX - 1))
def test_the_next_counter_is_the_lowest_usable_one_above(counter: int) -> None:
    following = next_counter(counter)
    assert is_counter(following)
    assert not any(is_counter(between) for between in range(counter + 1, min(following, counter + 500)))
