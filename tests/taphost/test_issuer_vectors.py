"""The issuer's cryptography judged by recorded calls of other implementations: every file of the folder, by format."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taphost.issuer import (
    application_cryptogram,
    cryptogram_input,
    derive_card_key,
    dynamic_verification_code,
    retail_mac,
)
from taphost.issuer_keys import (
    Padding,
    common_session_key,
    derive_card_key_b,
    encrypt,
    mac,
    pad,
    visa_script_key,
)
from taphost.issuer_response import arpc_method_1, arpc_method_2, script_mac
from taphost.issuer_versions import (
    MASTERCARD_10,
    MASTERCARD_11,
    MASTERCARD_14,
    MASTERCARD_15,
    VISA_10,
    VISA_18,
    VISA_22,
    CryptogramVersion,
)

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / os.environ.get("TAPTILL_VECTORS", "../shared/vectors") / "crypto-vectors"
CHECK_DIGITS_OCTETS = 2

Case = dict[str, Any]

VERSIONS = {
    "VisaCVN10": VISA_10,
    "VisaCVN18": VISA_18,
    "VisaCVN22": VISA_22,
    "MasterCardCVN16": MASTERCARD_10,
    "MasterCardCVN17": MASTERCARD_11,
    "MasterCardCVN20": MASTERCARD_14,
    "MasterCardCVN21": MASTERCARD_15,
}
# 9F10 up to the CVR, where the call names the CVR alone: length or key index, key index, version.
BEFORE_CVR = {
    "Visa 10": "06010A",
    "Mastercard 10": "0110",
    "Mastercard 11": "0111",
    "Mastercard 14": "0114",
    "Mastercard 15": "0115",
}


def octets(value: Any) -> bytes:
    return bytes.fromhex(value["hex"])


def digits(value: Any) -> str:
    return octets(value).decode("ascii") if isinstance(value, dict) else str(value)


def maybe(given: Case, name: str) -> bytes:
    return octets(given[name]) if given.get(name) else b""


def card_key(given: Case, derive: Callable[..., bytes] = derive_card_key) -> bytes:
    sequence = digits(given["psn"]) if given.get("psn") else None
    return derive(octets(given["iss_mk"]), digits(given["pan"]), sequence)


def cryptogram(given: Case) -> bytes:
    padding = Padding.ZEROS if given.get("padding_type") == "VISA" else Padding.MARKED
    return application_cryptogram(octets(given["sk_ac"]), octets(given["data"]), padding)


def recorded_mac(given: Case) -> bytes:
    key = octets(given["key1"]) + octets(given["key2"])
    return retail_mac(key, pad(octets(given["data"]), Padding(given["padding"])))


def verification_code(given: Case) -> int:
    key, track = octets(given["icc_cvc3"]), octets(given["track_template"])
    return int.from_bytes(dynamic_verification_code(key, track, octets(given["un"]), octets(given["atc"])), "big")


JUDGED: dict[str, Callable[[Case], bytes | int]] = {
    "kd.derive_icc_mk_a": card_key,
    "kd.derive_icc_mk_b": lambda given: card_key(given, derive_card_key_b),
    "kd.derive_common_sk": lambda given: common_session_key(octets(given["icc_mk"]), octets(given["r"])),
    "kd.derive_visa_sm_sk": lambda given: visa_script_key(octets(given["icc_mk"]), octets(given["atc"])),
    "ac.generate_ac": cryptogram,
    "ac.generate_arpc_1": lambda given: arpc_method_1(
        octets(given["sk_ac"]), octets(given["arqc"]), octets(given["arpc_rc"])
    ),
    "ac.generate_arpc_2": lambda given: arpc_method_2(
        octets(given["sk_ac"]), octets(given["arqc"]), octets(given["csu"]), maybe(given, "prop_auth_data")
    ),
    "mac.mac_iso9797_3": recorded_mac,
    "mac.pad_iso9797_1": lambda given: pad(octets(given["data"]), Padding.ZEROS, given.get("block_size", 8)),
    "mac.pad_iso9797_2": lambda given: pad(octets(given["data"]), Padding.MARKED, given.get("block_size", 8)),
    "sm.generate_command_mac": lambda given: mac(octets(given["sk_smi"]), octets(given["command"])),
    "tools.key_check_digits": lambda given: encrypt(octets(given["key"]), bytes(8))[
        : given.get("length", CHECK_DIGITS_OCTETS)
    ],
    "cvv.generate_cvc3": verification_code,
}


def field_55(version: CryptogramVersion, given: Case) -> dict[int, bytes]:
    """The data objects of a call that names them, 9F10 among them."""
    icc = {int(name[4:], 16): octets(value) for name, value in given.items() if name.startswith("tag_")}
    if "cvr" in given:
        behind = bytes(2) + maybe(given, "counters") if "counters" in given else bytes(10)
        icc[0x9F10] = bytes.fromhex(BEFORE_CVR[version.name]) + octets(given["cvr"]) + behind
    return icc


def version_cryptogram(version: CryptogramVersion, given: Case) -> bytes:
    icc = field_55(version, given)
    key = version.session_key(octets(given["self"]["icc_mk_ac"]), icc)
    return application_cryptogram(key, cryptogram_input(icc), version.padding)


def version_answer(version: CryptogramVersion, given: Case) -> bytes:
    key = version.answer_key(octets(given["self"]["icc_mk_ac"]), field_55(version, given))
    arqc = octets(given["tag_9f26"])
    if version.arpc_method == 1:
        return arpc_method_1(key, arqc, octets(given["arpc_rc"]))
    return arpc_method_2(key, arqc, octets(given["csu"]), maybe(given, "proprietary_auth_data"))


def version_script_mac(version: CryptogramVersion, given: Case) -> bytes:
    atc, arqc = octets(given["tag_9f36"]), octets(given["tag_9f26"])
    key = version.script_key(octets(given["self"]["icc_mk_smi"]), atc, arqc)
    return script_mac(key, octets(given["command_header"]), atc, arqc, maybe(given, "command_data"))


def version_session_key(version: CryptogramVersion, given: Case) -> bytes:
    return version.session_key(octets(given["self"]["icc_mk_ac"]), field_55(version, given))


def version_answer_key(version: CryptogramVersion, given: Case) -> bytes:
    return version.answer_key(octets(given["self"]["icc_mk_ac"]), field_55(version, given))


def version_script_key(version: CryptogramVersion, given: Case) -> bytes:
    return version.script_key(octets(given["icc_mk_sm"]), maybe(given, "tag_9f36"), maybe(given, "tag_9f26"))


OF_A_VERSION: dict[str, Callable[[CryptogramVersion, Case], bytes]] = {
    "generate_ac": version_cryptogram,
    "generate_arpc": version_answer,
    "generate_command_mac": version_script_mac,
    "_derive_sk_ac_mastercard": version_session_key,
    "_derive_sk_ac_common": version_session_key,
    "_derive_sk_arpc_none": version_answer_key,
    "_derive_sk_sm_common": version_script_key,
    "_derive_sk_sm_visa": version_script_key,
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


def calls_of_a_version(document: Case) -> list[tuple[str, Case]]:
    """Calls on an object that stands for one cryptogram version."""
    parted = [(call, *call["fn"].partition(".")[::2]) for call in document.get("calls", [])]
    return [(call["fn"], call) for call, owner, name in parted if owner in VERSIONS and name in OF_A_VERSION]


def known_layouts(document: Case) -> list[tuple[str, Case]]:
    """CVN 10 has also the layout we read for UnionPay's CVN 01. CPA is no version of ours."""
    known = {"CVN10", "CVN18", "CVN22", "CVNMC"}
    return [(case["builder"], case) for case in document.get("cases", []) if case.get("builder") in known]


@pytest.mark.vectors
@pytest.mark.parametrize("call", cases(judged_calls))
def test_keys_and_macs_are_those_of_the_recorded_call(call: Case) -> None:
    expected = call["out"]
    assert JUDGED[call["fn"]](call["in"]) == (octets(expected) if isinstance(expected, dict) else int(expected))


@pytest.mark.vectors
@pytest.mark.parametrize("call", cases(calls_of_a_version))
def test_a_cryptogram_version_is_what_the_recorded_call_makes_of_it(call: Case) -> None:
    owner, _, name = call["fn"].partition(".")
    assert OF_A_VERSION[name](VERSIONS[owner], call["in"]) == octets(call["out"])


@pytest.mark.vectors
@pytest.mark.parametrize("case", cases(known_layouts))
def test_the_input_of_the_cryptogram_is_laid_out_as_elsewhere(case: Case) -> None:
    icc = {int(tag, 16): bytes.fromhex(value) for tag, value in case["tags"].items()}
    assert cryptogram_input(icc).hex().upper() == case["expected"][0]
