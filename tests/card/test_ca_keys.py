"""CA keys: checksums, one key per place, what ships with the terminal and what its acquirer delivers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from typing import Any

import pytest

from taptill.card.proof.ca_key_records import parse_ca_key_records, read_ca_keys
from taptill.card.proof.ca_keys import (
    CaKey,
    CaKeyRefused,
    CaKeyStore,
    ca_key_checksum,
    format_ca_keys,
    parse_ca_keys,
    sift_ca_keys,
)
from taptill.card.proof.revocation import RevocationList, RevokedCertificate
from taptill.card.proof.trusted_ca_keys import CaKeyFile, trusted_store
from taptill.errors import ConfigError

Case = dict[str, Any]
UNIONPAY = bytes.fromhex("A000000333")


def listed_keys(document: Case) -> Iterator[tuple[str, Case]]:
    for key in document.get("keys", []):
        if {"rid", "index", "modulus", "exponent"} <= set(key):
            hexadecimal = {name: key[name].upper() for name in ("rid", "index", "modulus", "exponent")}
            yield f"{hexadecimal['rid']}-{hexadecimal['index']}", {**key, **hexadecimal}


def checksum_of(key: Case) -> str:
    """The right one, from the list or by hand."""
    hashed = bytes.fromhex(key["rid"] + key["index"] + key["modulus"] + key["exponent"])
    return str(key.get("sha1_rid_index_mod_exp", hashlib.sha1(hashed, usedforsecurity=False).hexdigest())).upper()


def lists_of_keys(document: Case) -> Iterator[tuple[str, Case]]:
    if list(listed_keys(document)):
        yield "the whole list", {"keys": [key for _, key in listed_keys(document)]}


def table_of(vector: Case, checksum: str) -> str:
    fields = {name: vector[name] for name in ("rid", "index", "modulus", "exponent")} | {"checksum": checksum}
    return "\n".join(["[[key]]", *(f'{name} = "{value}"' for name, value in fields.items()), ""])


@pytest.mark.vectors(folder="capk", cases=listed_keys)
def test_a_key_is_taken_exactly_when_its_published_checksum_holds(vector: Case) -> None:
    right = checksum_of(vector)
    (key,) = parse_ca_keys(table_of(vector, right))
    assert (key.rid.hex().upper(), f"{key.index:02X}") == (vector["rid"], vector["index"])
    assert key.modulus.hex().upper() == vector["modulus"]
    assert len(key.modulus) * 8 == vector.get("modulus_bits", len(key.modulus) * 8)
    for checksum in map(str.upper, vector.get("origin_checksum", [])):
        sifted = sift_ca_keys(table_of(vector, checksum), "a list")
        assert bool(sifted.keys) is (checksum == right)
        for refused in sifted.refused:
            assert refused.where == f"a list, key 1, CA key {vector['rid']}/{vector['index']}"
            assert checksum in refused.what
    wrong = f"{int(right, 16) ^ 1:040X}"
    with pytest.raises(CaKeyRefused, match=f"{wrong} does not belong"):
        parse_ca_keys(table_of(vector, wrong))


@pytest.mark.vectors(folder="capk", cases=lists_of_keys)
def test_a_list_with_bad_keys_is_refused_whole_and_sifted_only_on_request(vector: Case) -> None:
    keys = [key for key in vector["keys"] if key.get("origin_checksum")]
    text = "\n".join(table_of(key, key["origin_checksum"][0]) for key in keys)
    bad = [key for key in keys if key["origin_checksum"][0].upper() != checksum_of(key)]
    if bad:
        with pytest.raises(CaKeyRefused, match="does not belong"):
            parse_ca_keys(text)
    sifted = sift_ca_keys(text)
    assert len(sifted.keys) == len(keys) - len(bad)
    assert [refused.where.rpartition(" ")[2] for refused in sifted.refused] == [
        f"{key['rid']}/{key['index']}" for key in bad
    ]


def twins(document: Case) -> Iterator[tuple[str, Case]]:
    found: dict[str, list[Case]] = {}
    for name, key in listed_keys(document):
        found.setdefault(name, []).append(key)
    yield from ((name, {"keys": keys}) for name, keys in found.items() if len({key["modulus"] for key in keys}) > 1)


@pytest.mark.vectors(folder="capk", cases=twins)
def test_two_different_keys_in_one_place_are_refused_not_guessed(vector: Case) -> None:
    keys = [parse_ca_keys(table_of(key, checksum_of(key)))[0] for key in vector["keys"]]
    with pytest.raises(CaKeyRefused, match="two different keys") as refused:
        CaKeyStore.of(keys)
    assert keys[0].name in refused.value.where
    assert CaKeyStore.of([keys[0], keys[0]]).find(keys[0].rid, keys[0].index) == keys[0]


def download_records(document: Case) -> Iterator[tuple[str, Case]]:
    for record in document.get("capks", []):
        yield f"{record['fields']['9F06']}-{record['fields']['9F22']}", record


@pytest.mark.vectors(folder="config", cases=download_records)
def test_an_acquirers_download_record_is_a_key(vector: Case) -> None:
    fields = vector["fields"]
    (key,) = parse_ca_key_records(bytes.fromhex(vector["raw"]))
    assert key.name == f"{fields['9F06']}/{fields['9F22']}"
    assert (key.modulus.hex().upper(), key.exponent.hex().upper()) == (fields["DF02"], fields["DF04"])
    assert key.checksum.hex().upper() == fields["DF03"]
    expiry = bytes.fromhex(fields.get("DF05", ""))
    assert f"20{key.expiry_yymmdd}" in (expiry.decode("ascii", "replace"), expiry.hex(), "20" + expiry.hex())
    assert read_ca_keys(f"{vector['raw']}\n{vector['raw'].lower()}\n") == (key, key)
    with pytest.raises(CaKeyRefused, match=key.name):
        parse_ca_key_records(bytes.fromhex(vector["raw"].replace(fields["DF03"], "00" * 20)))


def shipped(name: str) -> tuple[CaKey, ...]:
    return parse_ca_keys((resources.files("taptill.card.proof") / name).read_text(encoding="utf-8"))


def published() -> tuple[CaKey, ...]:
    return shipped("ca_keys_test.toml")


def live() -> tuple[CaKey, ...]:
    return shipped("ca_keys_live.toml")


def test_the_published_test_keys_load_and_say_that_they_are_test_keys() -> None:
    store = CaKeyStore.of(published())
    assert all(key.test for key in store)
    unionpay = store.find(UNIONPAY, 0x80)
    assert unionpay is not None
    assert unionpay.modulus.hex().upper().startswith("CCDBA686")
    assert store.find(UNIONPAY, 0x81) is None


def test_the_live_keys_are_no_test_keys_and_stand_in_places_of_their_own() -> None:
    store = CaKeyStore.of((*published(), *live()))
    assert len(store) == len(published()) + len(live())
    assert not any(key.test for key in live())
    assert not {key.modulus for key in live()} & {key.modulus for key in published()}


@pytest.mark.parametrize("name", ["ca_keys_test.toml", "ca_keys_live.toml"])
def test_shipped_keys_say_where_they_come_from_and_cover_every_scheme(name: str) -> None:
    keys = shipped(name)
    assert all(key.source for key in keys)
    schemes = {"A000000003", "A000000004", "A000000025", "A000000065", "A000000152", "A000000333"}
    assert {key.rid.hex().upper() for key in keys} == schemes
    about = (resources.files("taptill.card.proof") / name).read_text(encoding="utf-8").partition("[about]")[2]
    assert {line.partition(" = ")[0] for line in about.splitlines()[1:4]} == {"version", "date", "source"}


def test_keys_survive_being_written_and_read() -> None:
    assert parse_ca_keys(format_ca_keys(published())) == published()


def test_a_changed_modulus_is_refused() -> None:
    key = published()[0]
    with pytest.raises(CaKeyRefused, match="checksum"):
        replace(key, modulus=bytes([key.modulus[0] ^ 1]) + key.modulus[1:])


@pytest.mark.parametrize(
    "text", ["keys = []", "key = 3", "[[key]]\nrid = 'A0'", "[[key", "[[key]]\nrid = 5", "key = [1]"]
)
def test_text_that_is_no_key_list_is_refused(text: str) -> None:
    with pytest.raises(CaKeyRefused):
        parse_ca_keys(text)


@pytest.mark.parametrize(
    ("name", "value"), [("expiry", "'311301'"), ("expiry", "'2031'"), ("test", "'no'"), ("index", "'100'")]
)
def test_a_field_that_makes_no_sense_is_refused_with_its_key(name: str, value: str) -> None:
    lines = format_ca_keys(published()[:1]).splitlines()
    text = "\n".join([line for line in lines if not line.startswith(f"{name} =")] + [f"{name} = {value}"])
    with pytest.raises(CaKeyRefused, match="list, key 1"):
        parse_ca_keys(text, "list")


def record(**parts: str) -> bytes:
    """A download record of a short key; parts change or, empty, leave out an element."""
    tags = {"rid": "9F06", "index": "9F22", "expiry": "DF05", "hashed": "DF06", "algorithm": "DF07"}
    tags |= {"modulus": "DF02", "exponent": "DF04", "checksum": "DF03"}
    modulus = "C3" * 64
    checksum = ca_key_checksum(UNIONPAY, 3, bytes.fromhex(modulus), b"\x03").hex()
    values = {"rid": "A000000333", "index": "03", "expiry": "20301231", "hashed": "01", "algorithm": "01"}
    values |= {"modulus": modulus, "exponent": "03", "checksum": checksum} | parts
    return b"".join(
        bytes.fromhex(f"{tags[name]}{len(value) // 2:02X}{value}") for name, value in values.items() if value
    )


def test_a_record_may_write_its_expiry_in_four_octets_or_leave_it_out() -> None:
    assert parse_ca_key_records(record())[0].expiry_yymmdd == "301231"
    assert parse_ca_key_records(record(expiry=b"20301231".hex()))[0].expiry_yymmdd == "301231"
    assert parse_ca_key_records(record(expiry=""))[0].expiry_yymmdd == ""


@pytest.mark.parametrize(
    ("parts", "what"),
    [
        ({"modulus": ""}, "DF02 is missing"),
        ({"checksum": ""}, "DF03 is missing"),
        ({"hashed": "02"}, "only RSA with SHA-1"),
        ({"algorithm": "04"}, "only RSA with SHA-1"),
        ({"expiry": "20301301"}, "no YYMMDD"),
        ({"index": "0103"}, "the index one"),
        ({"rid": "A0000003330101"}, "five bytes"),
    ],
)
def test_a_record_that_is_no_key_is_refused_with_its_number(parts: dict[str, str], what: str) -> None:
    with pytest.raises(CaKeyRefused, match=what) as refused:
        parse_ca_key_records(record() + record(**parts), "download")
    assert refused.value.where.startswith("download, record 2")


def test_a_cut_record_is_refused() -> None:
    with pytest.raises(CaKeyRefused):
        read_ca_keys(record().hex()[:-4])
    with pytest.raises(CaKeyRefused, match="no hex"):
        read_ca_keys(record().hex()[:-1])


def test_a_configured_key_takes_the_place_of_the_products() -> None:
    ours = live()[0]
    modulus = bytes([ours.modulus[0] ^ 0x20]) + ours.modulus[1:]
    checksum = ca_key_checksum(ours.rid, ours.index, modulus, ours.exponent)
    theirs = replace(ours, modulus=modulus, checksum=checksum)
    store = trusted_store(live(), [CaKeyFile("acquirer.toml", (theirs,))], live=True)
    assert store.find(ours.rid, ours.index) == theirs
    assert len(store) == len(live())
    alone = trusted_store(live(), [CaKeyFile("acquirer.toml", (theirs,))], live=True, with_product=False)
    assert list(alone) == [theirs]
    with pytest.raises(CaKeyRefused, match="two different keys"):
        trusted_store((), [CaKeyFile("one", (ours,)), CaKeyFile("two", (theirs,))], live=True)


def test_a_live_terminal_has_no_test_keys() -> None:
    product = (*published(), *live())
    assert set(trusted_store(product, (), live=True)) == set(live())
    assert set(trusted_store(product, (), live=False)) == set(product)


@pytest.mark.parametrize("says_so", [True, False])
def test_a_live_terminal_refuses_a_configured_test_key_whatever_its_file_says(says_so: bool) -> None:
    key = replace(next(iter(published())), test=says_so)
    with pytest.raises(ConfigError, match=rf"acquirer\.toml: {key.name} is a test key"):
        trusted_store(published(), [CaKeyFile("acquirer.toml", (key,))], live=True)
    store = trusted_store(published(), [CaKeyFile("acquirer.toml", (key,))], live=False)
    assert all(each.test for each in store)


def test_revoked_certificates_travel_with_the_keys() -> None:
    revoked = RevocationList.of([RevokedCertificate(UNIONPAY, 3, b"\x00\x00\xa1")])
    assert trusted_store(live(), (), True, revoked).revoked is revoked
    assert len(trusted_store(live(), (), True).revoked) == 0
