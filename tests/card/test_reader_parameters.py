"""Reader parameters: what ships, what an acquirer may put in its place, and what is refused with its place."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest

from taptill.card.parameters import ProgrammeLimits
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


MASTERCARD = 'version = "1"\n[[combination]]\nscheme = "mastercard"\naid = "A0000000041010"\nkernel = 2\n'


@pytest.mark.parametrize(
    ("line", "place", "said"),
    [
        ('kernel_data.DF8126 = "00000000100A"', "combination 1, kernel_data DF8126", "not of its form"),
        ('kernel_data.DF8120 = "F450"', "combination 1, kernel_data DF8120", "not of its form"),
        ('kernel_data.DF811B = "A0B0"', "combination 1, kernel_data DF811B", "not of its form"),
        ('kernel_data.DF811A = "9F6A"', "combination 1, kernel_data DF811A", "no length"),
        ('kernel_data.DF8112 = "9F"', "combination 1, tag list", "cut"),
        ('kernel_data.9F02 = "000000000001"', "combination 1, kernel_data", "9F02 is each sale's own"),
        ('kernel_data.9F37 = "00000000"', "combination 1, kernel_data", "9F37 is each sale's own"),
        ('application_version = "02"', "combination 1", "two bytes"),
        ("floor_limit_minor = -1", "combination 1", "`floor_limit_minor` is no amount"),
        ("cvm_limit_minor = 1000000000000", "combination 1", "`cvm_limit_minor` is no amount"),
        ('[[combination.programme]]\nid = "31"', "combination 1", "kernel 3 alone"),
    ],
)
def test_what_a_kernel_could_not_use_is_found_when_it_is_read(line: str, place: str, said: str) -> None:
    """At the first tap it would cost a customer, or each of them."""
    with pytest.raises(ReaderParametersRefused, match=said) as refusal:
        parse_reader_parameters(MASTERCARD + line + "\n", where="acquirer.toml")
    assert refusal.value.where == f"acquirer.toml, {place}"


def test_limits_of_programmes_are_taken_over() -> None:
    more = """
    [[combination.programme]]
    id = "31026409"
    transaction_limit_minor = 20000
    floor_limit_minor = 0
    cvm_limit_minor = 1000
    zero_amount_allowed = true
    [[combination.programme]]
    id = ""
    status_check = true
    """
    (each,) = parse_reader_parameters(ONE + more)
    named, every = each.combination.programme_limits
    assert named == ProgrammeLimits(bytes.fromhex("31026409"), 20_000, 0, 1_000, zero_amount_allowed=True)
    assert every == ProgrammeLimits(b"", status_check=True)


@pytest.mark.parametrize(
    ("programmes", "said", "place"),
    [
        (['id = "31"', 'id = "31"'], "two programmes", "combination 1"),
        (['id = "' + "31" * 17 + '"'], "at most 16 bytes", "combination 1"),
        (['id = "3"'], "not in hex", "combination 1"),
        (['id = "31"', 'id = "32"\ncvm_limit_minor = -1'], "`cvm_limit_minor`", "combination 1, programme 2"),
        (["cvm_limit_minor = 1"], "missing required field `id`", ""),
        (['id = "31"\nlimit = 3'], "unknown field `limit`", ""),
    ],
)
def test_programmes_that_make_no_sense_are_refused(programmes: list[str], said: str, place: str) -> None:
    text = ONE + "".join(f"[[combination.programme]]\n{each}\n" for each in programmes)
    with pytest.raises(ReaderParametersRefused, match=said) as refusal:
        parse_reader_parameters(text, where="acquirer.toml")
    assert place in refusal.value.where


@pytest.mark.vectors(folder="config", cases=records)
def test_an_acquirers_download_record_becomes_a_combination(vector: dict[str, Any]) -> None:
    fields = vector["fields"]
    combination = download_record(bytes.fromhex(vector["raw"]), 7, bytes.fromhex("26000080"))
    assert combination.aid.hex().upper() == fields["9F06"]
    assert combination.partial_match is (fields.get("DF01", "00") == "00")
    assert combination.application_version.hex().upper() == fields.get("9F08", "")
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
