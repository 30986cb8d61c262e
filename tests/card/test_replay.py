"""Every foreign recording replays to an outcome or a typed refusal, and its proofs hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.card.vector_keys import KEY_IS_NOT_HERE, is_keyless, vector_stores
from tests.conformance import NotApplicable

from taptill.card.outcome import CryptogramType, OdaMethod, OdaVerdict
from taptill.card.proof.ca_keys import CaKeyStore, ca_key_checksum
from taptill.card.read_card import KERNELS
from taptill.card.replay.directory import kernel_of, recorded_applications
from taptill.card.replay.interface import Interface, recorded_interface
from taptill.card.replay.observation import observe
from taptill.card.replay.recording import Exchange, Recording, TranscriptRefused, case_ids, joined, load_recording
from taptill.card.replay.replay import replay
from taptill.card.replay.report import ReplayReport
from taptill.card.selection import DEFAULT_KERNELS
from taptill.card.tlv import MalformedTlv, parse_tlv, walk

Case = dict[str, Any]
OUTCOMES = {"approved", "declined", "online", "try again", "try another interface", "end application"}
DYNAMIC = {"dda", "fdda_v00", "fdda_v01", "cda"}
SIGNATURE_OCTETS_MIN = 64  # RSA of 512 bits (EMV Book 2, D2)


@pytest.fixture(scope="module")
def ca_key_stores() -> tuple[CaKeyStore, ...]:
    return vector_stores()


def best_replay(vector: Case, ca_key_stores: Sequence[CaKeyStore]) -> ReplayReport:
    """With the keys that fit the card, where a place is disputed."""
    reports = [replay(vector["document"], vector["case"], store) for store in ca_key_stores]
    return max(reports, key=lambda report: sum(said == "passed" for said in report.proofs.values()))


def transcripts(document: Case) -> Iterator[tuple[str, Case]]:
    for case_id in case_ids(document) or (None,):
        yield str(case_id or "no commands"), {"document": document, "case": case_id}


def recordings(document: Case) -> Iterator[tuple[str, Case | NotApplicable]]:
    for name, vector in transcripts(document):
        yield name, KEY_IS_NOT_HERE if not is_refused(vector) and lacks_its_key(vector) else vector


def recorded(document: Case) -> Iterator[tuple[str, Case]]:
    return ((name, vector) for name, vector in transcripts(document) if not is_refused(vector))


def lacks_its_key(vector: Case) -> bool:
    observed = observe(load_recording(vector["document"], vector["case"]).exchanges)
    return is_keyless(observed.aid[:5], observed.data.get(0x8F, b""))


def is_refused(vector: Case) -> bool:
    """A transcript that is broken off in the middle of an octet, or none at all."""
    try:
        load_recording(vector["document"], vector["case"])
    except TranscriptRefused:
        return True
    return False


@pytest.mark.vectors(folder="cards", cases=recordings)
def test_a_recording_replays_to_an_outcome_or_is_refused(vector: Case, ca_key_stores: Sequence[CaKeyStore]) -> None:
    if is_refused(vector):
        with pytest.raises(TranscriptRefused, match=r"no recorded commands|not in hex|not an object"):
            replay(vector["document"], vector["case"], ca_key_stores[0])
        assert not {"outcome", "origin_field_55"} & set(vector["document"])
        return
    report = best_replay(vector, ca_key_stores)
    assert report.outcome in OUTCOMES
    assert report.missed == ()
    for tag in ("5A", "57", "56", "9F6B"):
        assert "*" in report.tags.get(tag, "*")
    assert set(report.tags.get("5F20", "*")) == {"*"}
    assert json.loads(json.dumps(report.as_json()))["outcome"] == report.outcome


@pytest.mark.vectors(folder="cards", cases=recorded)
def test_a_card_number_is_nowhere_in_what_is_told(vector: Case, ca_key_stores: Sequence[CaKeyStore]) -> None:
    told = json.dumps(replay(vector["document"], vector["case"], ca_key_stores[0]).as_json()).upper()
    assert [number for number in card_numbers(vector) if number in told] == []


def card_numbers(vector: Case) -> set[str]:
    """Of every application that the transcript read."""
    found = set()
    for exchange in joined(load_recording(vector["document"], vector["case"]).exchanges):
        try:
            objects = walk(parse_tlv(exchange.response[:-2]))
        except MalformedTlv:
            continue
        values = {each.value.hex().upper() for each in objects if each.tag in (0x5A, 0x57, 0x9F6B)}
        found |= {value.partition("D")[0].rstrip("F") for value in values}
    return {number for number in found if number.isdigit() and len(number) in range(12, 20)}


def signed_recordings(document: Case) -> Iterator[tuple[str, Case]]:
    for name, vector in recorded(document):
        said = load_recording(document, vector["case"]).document
        named = said.get("reverified_here")
        proven = {proof for proof in named if isinstance(proof, str)} if isinstance(named, list) else set()
        if proven & (DYNAMIC | {"sda"}) and not lacks_its_key(vector):
            yield name, {**vector, "proven": proven, "said": said}


@pytest.mark.vectors(folder="cards", cases=signed_recordings)
def test_one_wrong_bit_in_a_signature_is_noticed(vector: Case, ca_key_stores: Sequence[CaKeyStore]) -> None:
    before = best_replay(vector, ca_key_stores)
    after = best_replay({"document": spoilt(vector), "case": None}, ca_key_stores)
    assert after.oda.verdict is OdaVerdict.FAILED
    assert after.oda != before.oda or "expired" in before.oda.reason
    assert after.outcome != "approved"
    assert {name for name in before.proofs if after.proofs[name] != "passed"} >= vector["proven"] & DYNAMIC
    assert after.missed


def spoilt(vector: Case) -> Case:
    """The same recording with one bit of every signature turned."""
    recording = load_recording(vector["document"], vector["case"])
    exchanges = [(each.command, flipped(each)) for each in joined(recording.exchanges)]
    assert any(
        each.response != spoilt for each, (_, spoilt) in zip(joined(recording.exchanges), exchanges, strict=True)
    )
    return {**recording.document, "apdus": [{"c": c.hex(), "r": r.hex()} for c, r in exchanges], "cards": None}


def flipped(exchange: Exchange) -> bytes:
    """The response with a bit turned in the middle of the signature it has: SSAD, SDAD, or what format 1 of INTERNAL
    AUTHENTICATE holds."""
    response = exchange.response
    try:
        objects = tuple(walk(parse_tlv(response[:-2])))
    except MalformedTlv:
        return response
    tags = {0x93, 0x9F4B, 0x80} if exchange.command[1:2] == b"\x88" else {0x93, 0x9F4B}
    for value in (each.value for each in objects if each.tag in tags and len(each.value) >= SIGNATURE_OCTETS_MIN):
        response = response.replace(value, bytes([*value[:40], value[40] ^ 1, *value[41:]]))
    return response


def scheme_of(recording: Recording) -> tuple[int, Interface]:
    observed = observe(recording.exchanges)
    kernel_id = kernel_of(observed.aid, recorded_applications(recording.exchanges))
    return kernel_id, recorded_interface(recording.exchanges, observed, kernel_id)


def of_our_kernels(document: Case) -> Iterator[tuple[str, Case | NotApplicable]]:
    for name, vector in recorded(document):
        recording = load_recording(document, vector["case"])
        kernel_id, interface = scheme_of(recording)
        if interface is Interface.CONTACT:
            yield name, NotApplicable("a contact card: no kernel here, records and offline proofs only")
        elif kernel_id in KERNELS and observe(recording.exchanges).gpo and not lacks_its_directory(recording):
            yield name, {**vector, "kernel": f"C-{kernel_id}"}


def lacks_its_directory(recording: Recording) -> bool:
    """The card refused SELECT PPSE, which ends the tap (EMV Book B, 3.3.2.7), whatever its reader went on with."""
    asked = [each for each in recording.exchanges if b"2PAY.SYS.DDF01" in each.command]
    return bool(asked) and not any(each.response[:1] == b"\x6f" or each.response[:1] == b"\x61" for each in asked)


@pytest.mark.vectors(folder="cards", cases=of_our_kernels)
def test_a_contactless_recording_runs_on_the_kernel_of_its_scheme(
    vector: Case, ca_key_stores: Sequence[CaKeyStore]
) -> None:
    report = best_replay(vector, ca_key_stores)
    assert (report.interface, report.kernel) == ("contactless", vector["kernel"])


@pytest.mark.vectors(folder="cards", cases=signed_recordings)
def test_what_a_proven_cryptogram_says_is_what_comes_of_it(vector: Case, ca_key_stores: Sequence[CaKeyStore]) -> None:
    report = best_replay(vector, ca_key_stores)
    if not vector["proven"] & DYNAMIC:
        return
    said = {CryptogramType.TC: "approved", CryptogramType.ARQC: "online", CryptogramType.AAC: "declined"}
    assert report.oda.verdict is OdaVerdict.PASSED or "expired" in report.oda.reason
    assert report.cryptogram_type is not None
    if report.oda.verdict is OdaVerdict.PASSED:
        assert report.outcome == vector["said"].get("outcome", said[report.cryptogram_type])


def cards_with_cda(document: Case) -> Iterator[tuple[str, Case]]:
    """Contactless ones whose directory leaves it to the AID which kernel they want."""
    for name, vector in signed_recordings(document):
        recording = load_recording(document, vector["case"])
        applications = recorded_applications(recording.exchanges)
        by_rid = all(each.kernel_id == DEFAULT_KERNELS.get(each.adf_name[:5], 0) for each in applications)
        by_rid = by_rid and not any(b"\x9f\x2a" in each.response for each in recording.exchanges)
        if "cda" in vector["proven"] and by_rid and scheme_of(recording)[1] is Interface.CONTACTLESS:
            yield name, vector


@pytest.mark.vectors(folder="cards", cases=cards_with_cda)
@pytest.mark.parametrize(
    ("rid", "kernel"),
    [
        ("A000000025", "none: C-4 (American Express) is not built in"),
        ("A000000065", "none: C-5 (JCB) is not built in"),
        ("A000000999", "none: no payment scheme known here"),
    ],
)
def test_a_scheme_without_a_kernel_replays_through_its_cda(
    vector: Case, rid: str, kernel: str, ca_key_stores: Sequence[CaKeyStore]
) -> None:
    """A signature does not cover the AID, so that a recorded card serves for another scheme under the same CA keys."""
    own = load_recording(vector["document"], vector["case"]).exchanges
    theirs = observe(own).aid[:5].hex().upper()
    document = json.loads(re.sub(theirs, rid, json.dumps(vector["document"]), flags=re.IGNORECASE))
    moved = bytes.fromhex(rid)
    stores = [
        CaKeyStore.of(
            replace(key, rid=moved, checksum=ca_key_checksum(moved, key.index, key.modulus, key.exponent))
            for key in store
            if key.rid.hex().upper() == theirs
        )
        for store in ca_key_stores
    ]
    report = best_replay({"document": document, "case": vector["case"]}, stores)
    assert (report.kernel, report.oda.method) == (kernel, OdaMethod.CDA)
    assert report.oda.verdict is OdaVerdict.PASSED or "expired" in report.oda.reason
    assert (report.proofs["cda"], report.proofs["tdh"]) == ("passed", "passed")
    assert report.outcome in ("approved", "online", "declined")
    assert len(report.tags["9F26"]) == 16


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
