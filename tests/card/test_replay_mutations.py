"""Whatever a transcript holds, a replay comes to an outcome or to a declared refusal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taptill.card.proof.ca_keys import CaKeyStore, parse_ca_keys
from taptill.card.replay.recording import TranscriptRefused, case_ids, load_recording
from taptill.card.replay.replay import replay
from taptill.errors import TapTillError

Case = dict[str, Any]
Apdus = list[dict[str, str]]
PRODUCT_KEYS = CaKeyStore.of(
    parse_ca_keys((resources.files("taptill.card.proof") / "ca_keys_test.toml").read_text(encoding="utf-8"))
)
OUTCOMES = {"approved", "declined", "online", "try again", "try another interface", "end application"}
TERMINALS = st.dictionaries(
    st.sampled_from(
        ["9F66", "9F02", "9F1A", "5F2A", "9A", "9F37", "date", "time", "transaction_request_tlv", "DF811B"]
    ),
    st.one_of(st.binary(max_size=8).map(bytes.hex), st.text(max_size=4), st.integers()),
)


def apdus_of(document: Case) -> Iterator[tuple[str, Apdus]]:
    for name in case_ids(document):
        try:
            exchanges = load_recording(document, name).exchanges
        except TranscriptRefused:
            continue
        yield name, [{"c": each.command.hex(), "r": each.response.hex()} for each in exchanges[:20]]


def spoil(hex_text: str, at: int, octet: int) -> str:
    octets = bytearray.fromhex(hex_text)
    if octets:
        octets[at % len(octets)] = octet
    return octets.hex()


@st.composite
def mutated(draw: st.DrawFn, apdus: Apdus) -> Apdus:
    spoilt = [dict(each) for each in apdus]
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(spoilt) - 1)))
        kind = draw(st.sampled_from(["octet", "cut", "drop", "twice", "any", "swap"]))
        side = draw(st.sampled_from(["c", "r", "r"]))
        if not spoilt:
            break
        if kind == "octet":
            spoilt[at][side] = spoil(spoilt[at][side], draw(st.integers(0, 255)), draw(st.integers(0, 255)))
        elif kind == "cut":
            spoilt[at][side] = spoilt[at][side][: 2 * draw(st.integers(0, len(spoilt[at][side]) // 2))]
        elif kind == "drop":
            del spoilt[at]
        elif kind == "twice":
            spoilt.insert(at, dict(spoilt[at]))
        elif kind == "any":
            spoilt[at]["c"] = ""
        else:
            spoilt[at], spoilt[-1] = spoilt[-1], spoilt[at]
    return spoilt


@pytest.mark.vectors(folder="cards", cases=apdus_of)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_spoilt_recording_ends_in_an_outcome_or_a_refusal(vector: Apdus, data: st.DataObject) -> None:
    document = {"apdus": data.draw(mutated(vector)), "terminal": data.draw(TERMINALS)}
    try:
        report = replay(document, None, PRODUCT_KEYS)
    except TapTillError:
        return
    assert report.outcome in OUTCOMES
    assert json.dumps(report.as_json())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["9000", "00A40400", "6F00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["c", "r", "apdus", "name"]), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(document=st.dictionaries(st.sampled_from(["apdus", "cards", "terminal", "outcome", "not_found_sw"]), JSON))
def test_any_json_object_is_replayed_or_refused(document: Case) -> None:
    try:
        report = replay(document, None, CaKeyStore())
    except TapTillError:
        return
    assert report.outcome in OUTCOMES
