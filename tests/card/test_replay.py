"""Every foreign recording replays to an outcome or a typed refusal, and its proofs hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest

from taptill.card.ca_keys import CaKeyStore, parse_ca_keys
from taptill.card.recording import TranscriptRefused, case_ids, load_recording
from taptill.card.transcript import replay

Case = dict[str, Any]
OUTCOMES = {"approved", "declined", "online", "try again", "try another interface", "end application"}


def published_keys() -> CaKeyStore:
    text = (resources.files("taptill.card") / "ca_keys_test.toml").read_text(encoding="utf-8")
    return CaKeyStore.of(parse_ca_keys(text))


def recordings(document: Case) -> Iterator[tuple[str, Case]]:
    for case_id in case_ids(document) or (None,):
        yield str(case_id), {"document": document, "case": case_id}


@pytest.mark.vectors(folder="cards", cases=recordings)
def test_a_recording_replays_to_an_outcome_or_is_refused(vector: Case) -> None:
    document = vector["document"]
    if vector["case"] is None:
        with pytest.raises(TranscriptRefused, match="no recorded commands"):
            replay(document, None, published_keys())
        return
    report = replay(document, vector["case"], published_keys())
    assert report.outcome in OUTCOMES
    for proof in document.get("reverified_here", []):
        assert report.proofs[proof] == "passed"
    assert report.outcome == document.get("outcome", report.outcome)
    assert report.differences == ()
    told = json.dumps(report.as_json())
    for pan in (tag for tag in ("5A", "57", "56", "9F6B") if tag in report.tags):
        assert "*" in report.tags[pan]
    assert "5F20" not in report.tags or set(report.tags["5F20"]) == {"*"}
    assert told


@pytest.mark.vectors(folder="cards", cases=recordings)
def test_one_wrong_bit_in_a_signature_is_noticed(vector: Case) -> None:
    document = vector["document"]
    signed = [tag for tag in ("9F4B", "93") if any(tag in apdu["r"] for apdu in document.get("apdus", []))]
    if not document.get("reverified_here") or not signed or vector["case"] is None:
        return
    before = replay(document, vector["case"], published_keys())
    changed = json.loads(json.dumps(document))
    for apdu in changed["apdus"]:
        at = apdu["r"].find("9F4B")
        if at >= 0:
            flipped = f"{int(apdu['r'][at + 60], 16) ^ 1:X}"
            apdu["r"] = apdu["r"][: at + 60] + flipped + apdu["r"][at + 61 :]
    after = replay(changed, vector["case"], published_keys())
    assert (before.oda_result, after.oda_result) == ("passed", "failed")
    assert after.differences


def qpboc_only(document: Case) -> Iterator[tuple[str, Case]]:
    for case_id in case_ids(document):
        exchanges = load_recording(document, case_id).exchanges
        if any(bytes.fromhex("A000000333") in exchange.command for exchange in exchanges):
            yield case_id, {"document": document, "case": case_id}


@pytest.mark.vectors(folder="cards", cases=qpboc_only)
def test_a_unionpay_recording_runs_on_our_own_kernel(vector: Case) -> None:
    report = replay(vector["document"], vector["case"], published_keys())
    assert report.kernel == "C-7"
    assert report.aid.startswith("A000000333")


def test_an_unknown_case_is_refused_with_the_names_there_are() -> None:
    document = {"cards": {"one": [{"c": "", "r": "6985"}], "two": []}}
    with pytest.raises(TranscriptRefused, match="one of one, two"):
        replay(document, "three", CaKeyStore())


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"apdus": 3},
        {"apdus": [3]},
        {"apdus": [{"c": "zz", "r": "9000"}]},
        {"apdus": [{"c": "00"}]},
        {"cards": [[{"c": "00", "r": "9000"}]], "not_found_sw": 5},
    ],
)
def test_a_document_that_is_no_transcript_is_refused(document: Case) -> None:
    with pytest.raises(TranscriptRefused):
        replay(document, None, CaKeyStore())


@pytest.mark.parametrize("responses", [[""], ["90"], ["9000"], ["6F009000", "6F009000"], ["77009000", "FFFF9000"]])
def test_senseless_answers_end_the_application(responses: list[str]) -> None:
    document = {"apdus": [{"c": "", "r": response} for response in responses]}
    assert replay(document, None, CaKeyStore()).outcome in OUTCOMES
