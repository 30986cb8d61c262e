"""`taptill decode`: bytes for people and for machines. The examples are from EMV and ISO texts, not our encoder."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.cli.conftest import RUN, Taptill

# EMV Book 1, 12.2.2: an FCI of the PSE; ISO/IEC 7816-4, 11.2.2: SELECT by name.
FCI = "6F1A840E325041592E5359532E4444463031A5088801025F2D027A68"
SELECT_PPSE = "00A404000E325041592E5359532E444446303100"


def test_tlv_is_shown_as_a_tree(taptill: Taptill) -> None:
    done = taptill("decode", "tlv", FCI)
    assert done.status == 0
    assert [line.split()[0] for line in done.out.splitlines()] == ["6F", "84", "A5", "88", "5F2D"]
    assert '5F2D Language Preference [2] 7A68 "zh"' in done.out


def test_tlv_is_given_to_machines_with_its_children(taptill: Taptill) -> None:
    (fci,) = taptill("decode", "tlv", FCI, "--json").json
    assert fci["tag"] == "6F"
    assert [child["tag"] for child in fci["children"]] == ["84", "A5"]


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_command_is_named(taptill: Taptill, form: list[str]) -> None:
    done = taptill("decode", "apdu", SELECT_PPSE, *form)
    assert done.status == 0
    assert "SELECT" in done.out


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_message_shows_its_type_and_fields(taptill: Taptill, form: list[str]) -> None:
    """An ISO 8583:1987 echo in binary: 0820, bitmap with fields 7 and 11."""
    done = taptill("decode", "iso", "08000020000000000000000042", *form)
    assert done.status == 0
    assert "0800" in done.out
    assert "000042" in done.out


@pytest.mark.parametrize("kind", ["tlv", "apdu", "iso"])
@pytest.mark.parametrize("octets", ["6F1", "XY", "6F 1A 8", "ｆｆ"])
def test_what_is_no_hex_is_refused_with_a_hint(taptill: Taptill, kind: str, octets: str) -> None:
    done = taptill("decode", kind, octets)
    assert done.status == 2
    assert "even number of hex digits" in done.err
    assert done.out == ""


@pytest.mark.parametrize("kind", ["tlv", "apdu", "iso"])
@pytest.mark.parametrize("octets", ["", "00", "9F", "6F7F01", "FFFFFFFFFFFFFFFFFF", "0200FFFF" + "00" * 20])
def test_broken_bytes_end_with_words_and_no_trace(taptill: Taptill, kind: str, octets: str) -> None:
    done = taptill("decode", kind, octets)
    assert done.status in {0, 2}
    assert done.out or done.err


def test_card_numbers_are_masked(taptill: Taptill) -> None:
    record = "5A086228000100001117570F6228000100001117D30122010000005F24033012315F20054142434445"
    done = taptill("decode", "tlv", record)
    assert done.status == 0
    assert "6228000100001117" not in done.out + done.err
    assert "41424344" not in done.out


def test_a_reader_that_stops_reading_is_no_fault() -> None:
    """As in `taptill decode ... | head -0`."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, "decode", "tlv", FCI, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(30) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


def test_without_a_verb_the_verbs_are_named(taptill: Taptill) -> None:
    done = taptill()
    assert done.status == 2
    assert "VERB" in done.err
    everything = taptill("--help").out
    assert all(verb in everything for verb in ("run", "read", "replay", "decode", "explain", "journal"))
