"""Every foreign recording replays to an outcome or a typed refusal, and its proofs hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import resources
from itertools import zip_longest
from typing import Any

import pytest
from tests.conformance import NotApplicable, vector_files

from taptill.card.ca_keys import CaKey, CaKeyRefused, CaKeyStore, ca_key_checksum, parse_ca_keys
from taptill.card.outcome import CryptogramType, OdaMethod, OdaVerdict
from taptill.card.read_card import KERNELS
from taptill.card.replay.directory import kernel_of, recorded_applications
from taptill.card.replay.interface import Interface, recorded_interface
from taptill.card.replay.observation import observe
from taptill.card.replay.recording import Recording, TranscriptRefused, case_ids, load_recording
from taptill.card.replay.replay import replay
from taptill.card.replay.report import ReplayReport
from taptill.card.tlv import MalformedTlv, find, parse_tlv

Case = dict[str, Any]
OUTCOMES = {"approved", "declined", "online", "try again", "try another interface", "end application"}
DYNAMIC = {"dda", "fdda_v00", "fdda_v01", "cda"}
SIGNATURES = {0x93: "sda", 0x9F4B: "dynamic"}


def product_keys() -> tuple[CaKey, ...]:
    return parse_ca_keys((resources.files("taptill.card") / "ca_keys_test.toml").read_text(encoding="utf-8"))


def listed_keys() -> Iterator[CaKey]:
    """The keys of the capk folder, best attested first, without those that no terminal would take."""
    listed = [key for file, document in vector_files().items() if file.startswith("capk/") for key in document["keys"]]
    for key in sorted(listed, key=lambda key: not key.get("checksum_matches")):
        octets = [bytes.fromhex(key[name]) for name in ("rid", "modulus", "exponent")]
        checksum = ca_key_checksum(octets[0], int(key["index"], 16), octets[1], octets[2])
        if key.get("checksum_matches", True):
            try:
                yield CaKey(octets[0], int(key["index"], 16), octets[1], octets[2], checksum)
            except CaKeyRefused:
                continue


def stores() -> list[CaKeyStore]:
    """Origins disagree on some places, and a store takes one key in each: as many stores as the most disputed place
    has keys."""
    by_place: dict[tuple[bytes, int], list[CaKey]] = {}
    for key in listed_keys():
        by_place.setdefault((key.rid, key.index), []).append(key)
    if not by_place:
        return [CaKeyStore.of(product_keys())]
    return [
        CaKeyStore.of(key or keys[0] for key, keys in zip(turn, by_place.values(), strict=True))
        for turn in zip_longest(*by_place.values())
    ]


@pytest.fixture(scope="module")
def ca_key_stores() -> list[CaKeyStore]:
    return stores()


def best_replay(vector: Case, ca_key_stores: list[CaKeyStore]) -> ReplayReport:
    """With the keys that fit the card, where a place is disputed."""
    reports = [replay(vector["document"], vector["case"], store) for store in ca_key_stores]
    return max(reports, key=lambda report: sum(said == "passed" for said in report.proofs.values()))


def recordings(document: Case) -> Iterator[tuple[str, Case]]:
    for case_id in case_ids(document) or (None,):
        yield str(case_id or "no commands"), {"document": document, "case": case_id}


def recorded(document: Case) -> Iterator[tuple[str, Case]]:
    return ((name, vector) for name, vector in recordings(document) if vector["case"] is not None)


@pytest.mark.vectors(folder="cards", cases=recordings)
def test_a_recording_replays_to_an_outcome_or_is_refused(vector: Case, ca_key_stores: list[CaKeyStore]) -> None:
    if vector["case"] is None:
        with pytest.raises(TranscriptRefused, match="no recorded commands"):
            replay(vector["document"], None, ca_key_stores[0])
        return
    report = best_replay(vector, ca_key_stores)
    assert report.outcome in OUTCOMES
    assert report.missed == ()
    for tag in ("5A", "57", "56", "9F6B"):
        assert "*" in report.tags.get(tag, "*")
    assert set(report.tags.get("5F20", "*")) == {"*"}
    assert json.loads(json.dumps(report.as_json()))["outcome"] == report.outcome


@pytest.mark.vectors(folder="cards", cases=recorded)
def test_a_card_number_is_nowhere_in_what_is_told(vector: Case, ca_key_stores: list[CaKeyStore]) -> None:
    observed = observe(load_recording(vector["document"], vector["case"]).exchanges)
    pan = observed.data.get(0x5A, observed.data.get(0x57, b"")).hex().upper().partition("D")[0].rstrip("F")
    told = json.dumps(replay(vector["document"], vector["case"], ca_key_stores[0]).as_json())
    assert not pan or pan not in told.upper()


def signed_recordings(document: Case) -> Iterator[tuple[str, Case]]:
    proven = set(document.get("reverified_here", []))
    for name, vector in recorded(document):
        if proven & (DYNAMIC | {"sda"}):
            yield name, {**vector, "proven": proven}


@pytest.mark.vectors(folder="cards", cases=signed_recordings)
def test_one_wrong_bit_in_a_signature_is_noticed(vector: Case, ca_key_stores: list[CaKeyStore]) -> None:
    before = best_replay(vector, ca_key_stores)
    spoilt = {**vector, "document": json.loads(json.dumps(vector["document"]))}
    tags = [tag for tag in SIGNATURES if any(flip(apdu, tag) for apdu in spoilt["document"]["apdus"])]
    after = best_replay(spoilt, ca_key_stores)
    assert tags
    assert (before.oda.verdict, after.oda.verdict) == (OdaVerdict.PASSED, OdaVerdict.FAILED)
    assert after.outcome != "approved"
    assert {name for name in before.proofs if after.proofs[name] != "passed"} >= vector["proven"] & DYNAMIC
    assert after.missed


def flip(apdu: Case, tag: int) -> bool:
    """One bit in the middle of the value, where the response has one."""
    try:
        value = find(parse_tlv(bytes.fromhex(apdu["r"])[:-2]), tag)
    except MalformedTlv:
        return False
    if not value or len(value) < 64:
        return False
    spoilt = bytes([*value[:40], value[40] ^ 1, *value[41:]])
    apdu["r"] = apdu["r"].upper().replace(value.hex().upper(), spoilt.hex().upper())
    return True


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
        elif kernel_id in KERNELS and observe(recording.exchanges).gpo:
            yield name, {**vector, "kernel": f"C-{kernel_id}"}


@pytest.mark.vectors(folder="cards", cases=of_our_kernels)
def test_a_contactless_recording_runs_on_the_kernel_of_its_scheme(
    vector: Case, ca_key_stores: list[CaKeyStore]
) -> None:
    report = best_replay(vector, ca_key_stores)
    assert (report.interface, report.kernel) == ("contactless", vector["kernel"])


@pytest.mark.vectors(folder="cards", cases=signed_recordings)
def test_what_a_proven_cryptogram_says_is_what_comes_of_it(vector: Case, ca_key_stores: list[CaKeyStore]) -> None:
    report = best_replay(vector, ca_key_stores)
    if not vector["proven"] & DYNAMIC:
        return
    said = {CryptogramType.TC: "approved", CryptogramType.ARQC: "online", CryptogramType.AAC: "declined"}
    assert report.cryptogram_type is not None
    assert report.outcome == said[report.cryptogram_type]
    assert report.oda.verdict is OdaVerdict.PASSED


def cards_with_cda(document: Case) -> Iterator[tuple[str, Case]]:
    return ((name, vector) for name, vector in signed_recordings(document) if "cda" in vector["proven"])


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
    vector: Case, rid: str, kernel: str, ca_key_stores: list[CaKeyStore]
) -> None:
    """A signature does not cover the AID, so that a recorded card serves for another scheme under the same CA keys."""
    own = load_recording(vector["document"]).exchanges
    theirs = recorded_applications(own)[0].adf_name[:5].hex().upper()
    document = json.loads(re.sub(theirs, rid, json.dumps(vector["document"]), flags=re.IGNORECASE))
    stores = [
        CaKeyStore.of(
            CaKey(
                bytes.fromhex(rid),
                key.index,
                key.modulus,
                key.exponent,
                ca_key_checksum(bytes.fromhex(rid), key.index, key.modulus, key.exponent),
            )
            for key in store
            if key.rid.hex().upper() == theirs
        )
        for store in ca_key_stores
    ]
    report = best_replay({"document": document, "case": None}, stores)
    assert (report.kernel, report.oda.method, report.oda.verdict) == (kernel, OdaMethod.CDA, OdaVerdict.PASSED)
    assert report.proofs["tdh"] == "passed"
    assert report.outcome in ("approved", "online")
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
