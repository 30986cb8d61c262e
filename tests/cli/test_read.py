"""`taptill read` on a PN532 made of software, and `taptill replay` on what was recorded there and elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.card.vector_keys import is_keyless, vector_stores
from tests.cli.conftest import Taptill

from taplab.card import Card, CardAnswer, Scheme, load_card
from taplab.pn532.serial_port import VirtualPn532
from taptill.card.proof.ca_keys import format_ca_keys
from taptill.card.replay.observation import observe
from taptill.card.replay.recording import Recording, TranscriptRefused, case_ids, load_recording
from taptill.entropy import SystemEntropy

WHAT_A_REPLAY_SAYS = {  # DESIGN 6
    "outcome", "aid", "kernel", "masked_pan", "oda", "tvr", "cvm", "cryptogram_type", "tags", "differences",
    "proofs", "interface",
}  # fmt: skip


class RecordedLabCard:
    """A lab card whose dialogue is written down in the form of a transcript."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self.uid = card.uid
        self.ats = card.ats
        self.apdus: list[dict[str, str]] = []

    def answer(self, command: bytes) -> CardAnswer:
        answer = self._card.answer(command)
        self.apdus.append({"c": command.hex().upper(), "r": answer.octets.hex().upper()})
        return answer

    def reset(self) -> None:
        self._card.reset()


@pytest.fixture(scope="module")
def scheme() -> Scheme:
    return Scheme.generate(SystemEntropy())


@pytest.fixture(scope="module")
def ca_keys(scheme: Scheme, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("keys") / "lab-ca-keys.toml"
    path.write_text(scheme.ca_keys_toml(), encoding="utf-8")
    return str(path)


@pytest.fixture
def chip() -> Iterator[VirtualPn532]:
    with VirtualPn532() as chip:
        yield chip


def test_a_tap_is_told_as_json_with_a_masked_number(
    taptill: Taptill, chip: VirtualPn532, scheme: Scheme, ca_keys: str
) -> None:
    chip.present(load_card("offline_funds", scheme, SystemEntropy()))
    reader = f"pn532:{chip.path}"
    done = taptill("read", "--reader", reader, "--amount", "12.50", "--offline", "--ca-keys", ca_keys)
    assert done.status == 0, done.err
    told = done.json
    assert (told["outcome"], told["kernel"], told["cryptogram_type"]) == ("approved", "C-7", "TC")
    assert told["oda"] == {"method": "fDDA", "result": "passed", "reason": ""}
    assert told["masked_pan"] == "622800******1125"
    assert told["tags"]["9F26"]


def test_a_tap_online_asks_for_the_bank(taptill: Taptill, chip: VirtualPn532, scheme: Scheme) -> None:
    chip.present(load_card("good_credit", scheme, SystemEntropy()))
    told = taptill("read", "--reader", f"pn532:{chip.path}").json
    assert (told["outcome"], told["cryptogram_type"]) == ("online", "ARQC")


def test_no_card_is_bad_news_and_no_fault(taptill: Taptill, chip: VirtualPn532) -> None:
    done = taptill("read", "--reader", f"pn532:{chip.path}", "--timeout", "0.3")
    assert done.status == 1
    assert done.json["outcome"] == "no card"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--reader", "pn532:/dev/no-such-reader"], "no-such-reader"),
        (["--reader", "magic:wand"], "magic"),
        (["--reader", "no scheme at all"], "no scheme at all"),
        (["--reader", "pn532:/dev/null", "--amount", "-1"], "-1"),
        (["--reader", "pn532:/dev/null", "--amount", "1.234"], "1.234"),
    ],
)
def test_what_cannot_be_read_with_is_named(taptill: Taptill, arguments: list[str], named: str) -> None:
    done = taptill("read", *arguments)
    assert done.status == 2
    assert named in done.err


@pytest.fixture
def transcript(chip: VirtualPn532, scheme: Scheme, ca_keys: str, taptill: Taptill, tmp_path: Path) -> Path:
    """What a card and `taptill read` said to one another."""
    card = RecordedLabCard(load_card("offline_funds", scheme, SystemEntropy()))
    chip.present(card)
    assert taptill("read", "--reader", f"pn532:{chip.path}", "--offline", "--ca-keys", ca_keys).status == 0
    path = tmp_path / "tap.json"
    path.write_text(json.dumps({"apdus": card.apdus}), encoding="utf-8")
    return path


def test_a_recorded_tap_replays_to_the_same_outcome(taptill: Taptill, transcript: Path, ca_keys: str) -> None:
    told = taptill("replay", str(transcript), "--ca-keys", ca_keys, "--json").json
    assert set(told) >= WHAT_A_REPLAY_SAYS
    assert (told["outcome"], told["kernel"], told["oda"]["result"]) == ("approved", "C-7", "passed")
    assert told["differences"] == []
    assert "*" in told["tags"]["57"]
    assert "622800******1125" in taptill("replay", str(transcript), "--ca-keys", ca_keys).out


def test_without_its_ca_key_a_recorded_signature_proves_nothing(taptill: Taptill, transcript: Path) -> None:
    told = taptill("replay", str(transcript), "--json").json
    assert told["outcome"] != "approved"
    assert told["oda"]["result"] != "passed"


def test_a_file_of_ca_keys_that_is_not_there_is_named(taptill: Taptill, transcript: Path) -> None:
    done = taptill("replay", str(transcript), "--ca-keys", "no-such.toml")
    assert done.status == 2
    assert "no-such.toml" in done.err


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", "tap.json"),
        ("[]", "tap.json"),
        ("{}", "no recorded commands"),
        ('{"apdus": [{"c": "00A4", "r": "xyz"}]}', "command 1"),
        ('{"apdus": ["what"]}', "command 1"),
        ("\udcff", "tap.json"),
    ],
)
def test_what_is_no_transcript_is_refused(taptill: Taptill, tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "tap.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    done = taptill("replay", str(path))
    assert done.status == 2
    assert named in done.err


def test_a_case_that_is_not_there_is_named_with_those_that_are(taptill: Taptill, transcript: Path) -> None:
    done = taptill("replay", str(transcript), "--case", "nobody")
    assert done.status == 2
    assert "nobody" in done.err
    assert "apdus" in done.err


def whole_files(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """As a file that names no case, and case by case."""
    names = case_ids(document)
    yield "as a file", {"document": document, "case": None}
    yield from ((name, {"document": document, "case": name}) for name in (names if len(names) > 1 else ()))


@pytest.fixture(scope="module")
def vector_key_files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Keys that stand in the vectors' lists; the terminal's own come with it."""
    folder = tmp_path_factory.mktemp("keys")
    paths = [folder / f"keys-{at}.toml" for at, _ in enumerate(vector_stores())]
    for path, store in zip(paths, vector_stores(), strict=True):
        path.write_text(format_ca_keys(replace(key, test=True) for key in store), encoding="utf-8")
    return [str(path) for path in paths]


@pytest.mark.vectors(folder="cards", cases=whole_files)
def test_a_foreign_recording_replays_as_pure_json_without_its_card_number(
    taptill: Taptill, vector: dict[str, Any], vector_key_files: list[str], tmp_path: Path
) -> None:
    document, case = vector["document"], vector["case"]
    path = tmp_path / "recorded.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    arguments = ["replay", str(path), "--json", *(["--case", case] if case else [])]
    try:
        recording = load_recording(document, case)
    except TranscriptRefused:
        assert taptill(*arguments).status == 2
        return
    outcomes = []
    for keys in vector_key_files:
        done = taptill(*arguments, "--ca-keys", keys)
        told = done.json
        assert set(told) >= WHAT_A_REPLAY_SAYS
        assert [number for number in card_numbers(recording) if number in done.out.upper()] == []
        outcomes.append(told["outcome"])
    observed = observe(recording.exchanges)
    if not is_keyless(observed.aid[:5], observed.data.get(0x8F, b"")):
        assert recording.document.get("outcome", outcomes[0]) in outcomes


def card_numbers(recording: Recording) -> set[str]:
    """Every run of digits behind a tag that names the card, found without taking anything apart."""
    spoken = " ".join(each.response.hex().upper() for each in recording.exchanges)
    found = re.findall(r"5A(?:0[6-9]|0A)([0-9]{12,19})|57(?:0[A-F]|1[0-3])([0-9]{12,19})D", spoken)
    return {number for each in found for number in each if number}


def test_a_file_of_several_cards_names_them_and_replays_the_one_asked_for(taptill: Taptill, tmp_path: Path) -> None:
    path = tmp_path / "cards.json"
    path.write_text(json.dumps({"cards": {"one": [{"c": "", "r": "6A82"}], "two": {"apdus": []}}}), encoding="utf-8")
    assert taptill("replay", str(path), "--json").json["cases"] == ["one", "two"]
    assert taptill("replay", str(path), "--case", "two", "--json").json["case"] == "two"
