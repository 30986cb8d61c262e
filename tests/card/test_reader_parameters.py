"""Reader parameters: what ships, what an acquirer may put in its place, and what is refused with its place."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from taptill.card.reader_parameters import (
    ReaderParametersRefused,
    download_record,
    parse_reader_parameters,
)

SHIPPED = (files("taptill.card") / "reader_parameters.toml").read_text(encoding="utf-8")
ONE = 'version = "1"\n[[combination]]\nscheme = "visa"\naid = "A0000000031010"\nkernel = 3\nttq = "26004080"\n'


def records(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, record in enumerate(document.get("aids", []), 1):
        yield f"aid-{number}", record


def test_the_shipped_parameters_serve_three_schemes_each_on_its_kernel() -> None:
    served = {(each.scheme, each.combination.kernel_id) for each in parse_reader_parameters(SHIPPED)}
    assert served == {("unionpay", 7), ("visa", 3), ("mastercard", 2)}


def test_the_shipped_parameters_claim_nothing_this_terminal_cannot_do() -> None:
    for each in parse_reader_parameters(SHIPPED):
        combination = each.combination
        if combination.ttq:
            assert not combination.ttq[0] & 0x90, "no mag-stripe mode, no contact chip (EMV Book A, 5.7)"
            assert not combination.ttq[1], "the transient bits are pre-processing's"
        else:
            assert combination.kernel_data[0xDF811B][0] & 0x80, "C-2 without mag-stripe mode"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("kernel = 3", "kernel = 3\nkernal = 2"), "unknown field `kernal`"),
        (('aid = "A0000000031010"\n', ""), "missing required field `aid`"),
        (("26004080", "2600"), "four bytes"),
        (("A0000000031010", "A000"), "5 to 16 bytes"),
        (("26004080", "nothex"), "not in hex"),
        (("[[combination]]", "[combination]"), "Expected `array`"),
        (("kernel = 3", "kernel ="), "Invalid value|line 4|Expected"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_with_their_place(change: tuple[str, str], said: str) -> None:
    with pytest.raises(ReaderParametersRefused, match=said) as refusal:
        parse_reader_parameters(ONE.replace(*change), where="acquirer.toml")
    assert "acquirer.toml" in refusal.value.where


def test_limits_flags_types_and_kernel_data_are_taken_over() -> None:
    more = 'cvm_limit_minor = 300\nstatus_check = true\ntransaction_types = ["00", "20"]\n'
    (each,) = parse_reader_parameters(ONE + more + "[combination.kernel_data]\nDF8120 = '0400800000'\n")
    combination = each.combination
    assert (combination.cvm_limit_minor, combination.status_check) == (300, True)
    assert combination.transaction_types == frozenset({0x00, 0x20})
    assert combination.kernel_data == {0xDF8120: bytes.fromhex("0400800000")}
    assert combination.transaction_limit_minor is None


@pytest.mark.vectors(folder="config", cases=records)
def test_an_acquirers_download_record_becomes_a_combination(vector: dict[str, Any]) -> None:
    fields = vector["fields"]
    combination = download_record(bytes.fromhex(vector["raw"]), 7, bytes.fromhex("26000080"))
    assert combination.aid.hex().upper() == fields["9F06"]
    assert combination.partial_match is (fields["DF01"] == "00")
    assert combination.application_version.hex().upper() == fields["9F08"]
    named = {"DF19": "floor_limit_minor", "DF20": "transaction_limit_minor", "DF21": "cvm_limit_minor"}
    for tag, name in named.items():
        if tag in fields:
            assert getattr(combination, name) == int(fields[tag]), tag
    for tag in ("DF11", "DF12", "DF13", "9F1B"):
        if tag in fields:
            assert combination.kernel_data[int(tag, 16)].hex().upper() == fields[tag]


@pytest.mark.parametrize("raw", ["", "9F0602A000", "9F0608A0000003330101", "9F0608A000000333010101DF2002ABCD"])
def test_a_download_record_that_makes_no_sense_is_refused(raw: str) -> None:
    with pytest.raises(ReaderParametersRefused):
        download_record(bytes.fromhex(raw), 7, bytes(4))
