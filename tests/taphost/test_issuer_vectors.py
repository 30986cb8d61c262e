"""The issuer's cryptography judged by recorded calls of other implementations: every file of the folder, by format."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taphost.issuer import application_cryptogram, cryptogram_input, derive_card_key, retail_mac

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / os.environ.get("TAPTILL_VECTORS", "../shared/vectors") / "crypto-vectors"
DES_BLOCK_OCTETS = 8

Case = dict[str, Any]


def octets(value: Any) -> bytes:
    return bytes.fromhex(value["hex"])


def digits(value: Any) -> str:
    return octets(value).decode("ascii") if isinstance(value, dict) else str(value)


def padded(data: bytes, method: int) -> bytes:
    marked = data + (b"\x80" if method == 2 else b"")
    return marked + bytes(-len(marked) % DES_BLOCK_OCTETS)


def card_key(given: Case) -> bytes:
    sequence = digits(given["psn"]) if given.get("psn") else None
    return derive_card_key(octets(given["iss_mk"]), digits(given["pan"]), sequence)


def cryptogram(given: Case) -> bytes:
    key, data = octets(given["sk_ac"]), octets(given["data"])
    return (
        retail_mac(key, padded(data, 1)) if given.get("padding_type") == "VISA" else application_cryptogram(key, data)
    )


def mac(given: Case) -> bytes:
    return retail_mac(octets(given["key1"]) + octets(given["key2"]), padded(octets(given["data"]), given["padding"]))


JUDGED: dict[str, Callable[[Case], bytes]] = {
    "kd.derive_icc_mk_a": card_key,
    "ac.generate_ac": cryptogram,
    "mac.mac_iso9797_3": mac,
}


def cases(wanted: Callable[[Case], list[tuple[str, Case]]]) -> list[Any]:
    if not FOLDER.is_dir():
        absent = pytest.mark.skip(reason=f"vectors folder {FOLDER} is absent")
        return [pytest.param({}, marks=absent, id="absent")]
    return [
        pytest.param(case, id=f"{path.stem}:{number}:{name}"[:100])
        for path in sorted(FOLDER.glob("*.json"))
        for number, (name, case) in enumerate(wanted(json.loads(path.read_text(encoding="utf-8"))))
    ]


def judged_calls(document: Case) -> list[tuple[str, Case]]:
    return [(call["fn"], call) for call in document.get("calls", []) if call["fn"] in JUDGED]


def cvn10_layouts(document: Case) -> list[tuple[str, Case]]:
    """Visa's CVN 10 has the layout we read for UnionPay's CVN 01."""
    return [(case["test"], case) for case in document.get("cases", []) if case.get("builder") == "CVN10"]


@pytest.mark.vectors
@pytest.mark.parametrize("call", cases(judged_calls))
def test_keys_and_macs_are_those_of_the_recorded_call(call: Case) -> None:
    assert JUDGED[call["fn"]](call["in"]) == octets(call["out"])


@pytest.mark.vectors
@pytest.mark.parametrize("case", cases(cvn10_layouts))
def test_the_input_of_the_cryptogram_is_laid_out_as_elsewhere(case: Case) -> None:
    icc = {int(tag, 16): bytes.fromhex(value) for tag, value in case["tags"].items()}
    assert cryptogram_input(icc).hex().upper() == case["expected"][0]
