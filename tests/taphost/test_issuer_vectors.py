"""The issuer's cryptography judged by recorded calls of other implementations: every file of the folder, by format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.conformance import NotApplicable

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
from taphost.issuer_pin import Enciphering, encipher, iso_pin_block, pin_change, visa_pin_block
from taphost.issuer_response import arpc_method_1, arpc_method_2, script_commands, script_mac
from taphost.issuer_versions import (
    MASTERCARD_10,
    MASTERCARD_11,
    MASTERCARD_14,
    MASTERCARD_15,
    VISA_10,
    VISA_18,
    VISA_22,
    CryptogramVersion,
    version_of,
)

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
# 9F10 where a call does not give it, the CVR and the counters still zero.
ISSUER_DATA = {
    "Visa 10": "06010A03000000",
    "Visa 18": "06011203000000",
    "Visa 22": "1F22" + "00" * 30,
    **{f"Mastercard {version}": f"01{version}" + "00" * 16 for version in (10, 11, 14, 15)},
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
    return retail_mac(key, pad(octets(given["data"]), Padding(given["padding"])))[: given.get("length")]


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
    "mac.pad_iso9797_1": lambda given: pad(octets(given["data"]), Padding.ZEROS, given.get("block_size") or 8),
    "mac.pad_iso9797_2": lambda given: pad(octets(given["data"]), Padding.MARKED, given.get("block_size") or 8),
    "sm.generate_command_mac": lambda given: mac(octets(given["sk_smi"]), octets(given["command"]))[
        : given.get("length")
    ],
    "tools.key_check_digits": lambda given: encrypt(octets(given["key"]), bytes(8))[
        : given.get("length", CHECK_DIGITS_OCTETS)
    ],
    "cvv.generate_cvc3": verification_code,
    "sm.encrypt_command_data": lambda given: encipher(
        octets(given["sk_smc"]), octets(given["command_data"]), Enciphering[given["encryption_type"]]
    ),
    "sm.format_iso9564_2_pin_block": lambda given: iso_pin_block(digits(given["pin"])),
    "sm.format_vis_pin_block": lambda given: visa_pin_block(
        octets(given["icc_mk_ac"]),
        digits(given["pin"]),
        digits(given["current_pin"]) if given.get("current_pin") else "",
    ),
}


def field_55(version: CryptogramVersion, given: Case) -> dict[int, bytes]:
    """The data objects of a call that names them, 9F10 among them."""
    icc = {int(name[4:], 16): octets(value) for name, value in given.items() if name.startswith("tag_")}
    issuer_data = bytes.fromhex(ISSUER_DATA[version.name])
    cvr = maybe(given, "cvr")
    cvr_at = 3 if version.name.startswith("Visa") else 2
    issuer_data = issuer_data[:cvr_at] + cvr + issuer_data[cvr_at + len(cvr) :]
    if "counters" in given:
        issuer_data = issuer_data[:10] + octets(given["counters"])
    icc.setdefault(0x9F10, issuer_data)
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


def version_pin_change(version: CryptogramVersion, given: Case) -> bytes:
    keys, icc = given["self"], field_55(version, given)
    current_pin = digits(given["current_pin"]) if given.get("current_pin") else ""
    card_key, secret_key = octets(keys["icc_mk_ac"]), octets(keys["icc_mk_smc"])
    command = pin_change(card_key, secret_key, icc, digits(given["pin"]), current_pin)
    (sealed,) = script_commands(octets(keys["icc_mk_smi"]), icc, [command])
    return sealed


OF_A_VERSION: dict[str, Callable[[CryptogramVersion, Case], bytes]] = {
    "generate_ac": version_cryptogram,
    "generate_arpc": version_answer,
    "generate_command_mac": version_script_mac,
    "generate_pin_change_command": version_pin_change,
    "_derive_sk_ac_mastercard": version_session_key,
    "_derive_sk_ac_common": version_session_key,
    "_derive_sk_arpc_none": version_answer_key,
    "_derive_sk_sm_common": version_script_key,
    "_derive_sk_sm_visa": version_script_key,
}


NOT_JUDGED = {
    "kd.derive_emv2000_tree_sk": "the session key tree of EMV 2000, which no scheme here uses",
    "InteracCVN133": "a card of Interac, which this host does not serve",
}


def judged_calls(document: Case) -> Iterator[tuple[str, Any]]:
    """Every recorded call, or why it says nothing about this issuer."""
    for call in document.get("calls", []):
        owner, _, name = call["fn"].partition(".")
        known = call["fn"] in JUDGED or (owner in VERSIONS and name in OF_A_VERSION)
        reason = NOT_JUDGED.get(owner) or NOT_JUDGED.get(call["fn"]) or "no part of this issuer"
        yield call["fn"], call if known else NotApplicable(reason)


def layouts(document: Case) -> Iterator[tuple[str, Any]]:
    """CVN 10 has also the layout we read for UnionPay's CVN 01."""
    for case in document.get("cases", []):
        known = case.get("builder") in {"CVN10", "CVN18", "CVN22", "CVNMC"}
        yield f"{case.get('builder')} {case.get('test')}", case if known else NotApplicable("a version of no card here")


@pytest.mark.vectors(folder="crypto-vectors", cases=judged_calls)
def test_the_issuer_computes_what_the_recorded_call_gave(vector: Case) -> None:
    owner, _, name = vector["fn"].partition(".")
    expected = octets(vector["out"]) if isinstance(vector["out"], dict) else int(vector["out"])
    if owner in VERSIONS:
        assert OF_A_VERSION[name](VERSIONS[owner], vector["in"]) == expected
    else:
        assert JUDGED[vector["fn"]](vector["in"]) == expected


@pytest.mark.vectors(folder="crypto-vectors", cases=layouts)
def test_the_input_of_the_cryptogram_is_laid_out_as_elsewhere(vector: Case) -> None:
    icc = {int(tag, 16): bytes.fromhex(value) for tag, value in vector["tags"].items()}
    told = cryptogram_input(icc)
    version = version_of(icc[0x9F10])
    assert version is not None
    assert [told.hex().upper(), pad(told, version.padding).hex().upper()] == vector["expected"]
