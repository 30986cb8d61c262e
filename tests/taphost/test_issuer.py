"""The issuer's cryptography, judged by pyemv on whatever Hypothesis thinks of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyemv import ac, kd, tools

from taphost.issuer import (
    CardKeyError,
    CryptogramType,
    MissingCardData,
    application_cryptogram,
    cryptogram_input,
    cryptogram_type,
    derive_card_key,
    derive_session_key,
    is_genuine,
)
from taphost.issuer_keys import purpose_key
from taphost.issuer_pin import iso_pin_block
from taphost.issuer_versions import version_of

KEYS = st.binary(min_size=16, max_size=16)
PANS = st.text("0123456789", min_size=12, max_size=19)
SEQUENCES = st.none() | st.text("0123456789", min_size=2, max_size=2)


@given(key=KEYS, pan=PANS, sequence=SEQUENCES)
def test_a_card_key_is_the_one_pyemv_derives(key: bytes, pan: str, sequence: str | None) -> None:
    assert derive_card_key(key, pan, sequence) == kd.derive_icc_mk_a(key, pan, sequence)


@given(key=KEYS, data=st.binary(max_size=80))
def test_a_cryptogram_is_the_one_pyemv_computes(key: bytes, data: bytes) -> None:
    assert application_cryptogram(key, data) == ac.generate_ac(key, data, ac.PaddingType.EMV)


def test_a_session_key_encrypts_the_counter_and_its_complement() -> None:
    """Our own reading of UnionPay's session key; only its building block is judged by others."""
    key = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
    expected = tools.encrypt_tdes_ecb(key, bytes.fromhex("000000000000001C000000000000FFE3"))
    assert derive_session_key(key, bytes.fromhex("001C")) == expected


@pytest.mark.parametrize(("key", "pan"), [(bytes(15), "6228000100001117"), (bytes(16), "62280001000011x7")])
def test_what_no_card_has_gives_no_card_key(key: bytes, pan: str) -> None:
    with pytest.raises(CardKeyError):
        derive_card_key(key, pan)


@pytest.mark.parametrize(
    ("issuer_data", "decision"),
    [
        ("07010103000000010A0100000000", CryptogramType.AAC),
        ("07010103100000010A0100000000", CryptogramType.TC),
        ("07010103200000010A0100000000", CryptogramType.ARQC),
        ("07010103300000010A0100000000", None),
    ],
)
def test_what_the_card_decided_stands_in_its_verification_results(issuer_data: str, decision: object) -> None:
    assert cryptogram_type({0x9F10: bytes.fromhex(issuer_data)}) is decision


@pytest.mark.parametrize(
    ("issuer_data", "version"),
    [
        ("07010103A00000010A010000000000", "UnionPay 01"),
        ("06010A03A00000", "Visa 10"),
        ("06011203A0B800", "Visa 18"),
        ("1F22010300000000000000000000000000000000000000000000000000000000", "Visa 22"),
        ("0110A040002C0000000000000000000007FF", "Mastercard 10"),  # as recorded cards have it
        ("0210904203A400000000000000000000FFFF", "Mastercard 10"),
        ("0115A00003220000000000000000000322FF", "Mastercard 15"),
        ("0110A040002C0000", None),  # too short for M/Chip
        ("06011103900000", None),  # Visa 17, which lab cards do not make
        ("0FA500A03800000000000000000000000F010000000000000000000000000000", None),  # CPA
    ],
)
def test_the_version_is_read_from_the_cards_own_data(issuer_data: str, version: str | None) -> None:
    found = version_of(bytes.fromhex(issuer_data))
    assert (found.name if found else None) == version
    if version is None:
        assert not is_genuine(bytes(16), {0x9F10: bytes.fromhex(issuer_data)})
        assert cryptogram_type({0x9F10: bytes.fromhex(issuer_data)}) is None


@pytest.mark.parametrize(
    ("issuer_data", "decision"),
    [
        ("06010A03A00000", CryptogramType.ARQC),
        ("06011103900000", None),
        ("06011203900000", CryptogramType.TC),
        ("0110A040002C0000000000000000000007FF", CryptogramType.ARQC),
        ("0210904203A400000000000000000000FFFF", CryptogramType.TC),
        ("011080400000000000000000000000000000", CryptogramType.AAC),
    ],
)
def test_visa_and_mastercard_say_what_they_decided_too(issuer_data: str, decision: object) -> None:
    assert cryptogram_type({0x9F10: bytes.fromhex(issuer_data)}) is decision


def test_a_pin_has_four_to_twelve_digits() -> None:
    for pin in ("123", "1234567890123", "12a4"):
        with pytest.raises(CardKeyError, match="PIN"):
            iso_pin_block(pin)


def test_keys_of_other_purposes_are_keys_of_their_own() -> None:
    key = bytes(range(16))
    others = {purpose_key(key, purpose) for purpose in ("script integrity", "verification codes")}
    assert len(others | {key}) == 3
    assert all(octet.bit_count() % 2 for other in others for octet in other)


def test_missing_card_data_is_named_by_its_tag() -> None:
    with pytest.raises(MissingCardData, match="9F02"):
        cryptogram_input({0x9F10: bytes.fromhex("07010103200000")})
    with pytest.raises(MissingCardData, match="9F10"):
        cryptogram_type({0x9F10: b"\x07\x01\x01"})


@pytest.mark.parametrize("flipped", [0x9F02, 0x9F37, 0x95, 0x9F36, 0x9F26, 0x9F10])
def test_one_bit_of_the_card_data_makes_the_card_a_false_one(flipped: int) -> None:
    lengths = {0x9F02: 6, 0x9F03: 6, 0x9F1A: 2, 0x95: 5, 0x5F2A: 2, 0x9A: 3, 0x9C: 1, 0x9F37: 4, 0x82: 2, 0x9F36: 2}
    icc = {tag: bytes(length) for tag, length in lengths.items()} | {0x9F10: bytes.fromhex("0701010320000001")}
    key = bytes(range(16))
    icc[0x9F26] = application_cryptogram(derive_session_key(key, icc[0x9F36]), cryptogram_input(icc))
    assert is_genuine(key, icc)
    value = icc[flipped]
    icc[flipped] = (
        value[:4] + bytes([value[4] ^ 1]) + value[5:] if len(value) > 4 else bytes([value[0] ^ 1]) + value[1:]
    )
    assert not is_genuine(key, icc)


def test_a_cryptogram_of_another_version_is_not_taken_for_ours() -> None:
    lengths = {0x9F02: 6, 0x9F03: 6, 0x9F1A: 2, 0x95: 5, 0x5F2A: 2, 0x9A: 3, 0x9C: 1, 0x9F37: 4, 0x82: 2, 0x9F36: 2}
    icc = {tag: bytes(length) for tag, length in lengths.items()} | {0x9F10: bytes.fromhex("06010A03200000")}
    key = bytes(range(16))
    icc[0x9F26] = application_cryptogram(derive_session_key(key, icc[0x9F36]), cryptogram_input(icc))
    assert not is_genuine(key, icc)
