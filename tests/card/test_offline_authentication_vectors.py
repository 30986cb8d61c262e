"""SDA, DDA and CDA judged by other implementations' chains: every file of the oda folder, by format."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from typing import Any

import pytest

from taptill.card.ca_keys import CaKey, CaKeyStore, ca_key_checksum, parse_ca_keys
from taptill.card.certificates import (
    PresentedCertificate,
    Refused,
    RsaPublicKey,
    recover_icc_key,
    recover_issuer_key,
    verify_dynamic,
    verify_static,
)
from taptill.card.offline_authentication import CombinedSignature, Evidence, authenticate_combined
from taptill.card.outcome import OdaVerdict
from taptill.card.tlv import flatten, parse_tlv

Case = dict[str, Any]
BEFORE_ALL_EXPIRIES = "080101"


def struct_files(document: Case) -> Iterator[tuple[str, Case]]:
    """emv-tools: a CA key as struct fields, then named byte strings."""
    for name, entries in document.get("files", {}).items():
        if isinstance(entries, list) and any("fields" in entry for entry in entries):
            values = {entry["name"]: bytes.fromhex(entry["value"]) for entry in entries if "value" in entry}
            values["pan"] = next(entry["value"] for entry in entries if entry["name"] == "pan").encode()
            fields = next(entry["fields"] for entry in entries if "fields" in entry)
            yield name, {**values, "ca": fields}


def combined_files(document: Case) -> Iterator[tuple[str, Case]]:
    yield from ((name, case) for name, case in struct_files(document) if "crm1" in case)


def array_files(document: Case) -> Iterator[tuple[str, Case]]:
    """emv-utils: named arrays, lists of tags, expected structs; one case per thing that can be judged."""
    for name, entries in document.get("files", {}).items():
        if not isinstance(entries, dict):
            continue
        arrays = {entry["name"]: bytes.fromhex(entry["value"]) for entry in entries["arrays"]}
        comment = next(entry["comment"] for entry in entries["arrays"] if entry["name"] == "test_capk_rid")
        case = {"arrays": arrays, "tags": entries["tlv_lists"], "structs": entries["expected_structs"], "ca": comment}
        for array in arrays:
            # The origin gives no static data, so neither its SSAD nor its ICC certificate can be judged here.
            if array.endswith(("issuer_cert", "enc_sdad")):
                yield f"{name}-{array}", {**case, "judged": array}
        for tags in entries["tlv_lists"]:
            if "params" in tags:
                yield f"{name}-{tags}", {**case, "judged": tags}


def tags_of(entries: list[Case]) -> dict[int, bytes]:
    return {int(entry["tag"], 16): bytes.fromhex(entry["value"]) for entry in entries}


def ca_of(fields: Case) -> CaKey:
    rid, index = bytes.fromhex(fields["rid"]), int(fields["index"], 16)
    modulus, exponent = bytes.fromhex(fields["modulus"]), bytes.fromhex(fields["exp"])
    return CaKey(rid, index, modulus, exponent, ca_key_checksum(rid, index, modulus, exponent))


def issuer_key_of(vector: Case) -> RsaPublicKey:
    ca = ca_of(vector["ca"])
    presented = PresentedCertificate(vector["issuer_cert"], vector["issuer_rem"], vector["issuer_exp"])
    above = RsaPublicKey(ca.modulus, ca.exponent)
    key = recover_issuer_key(presented, above, vector["pan"].decode(), BEFORE_ALL_EXPIRIES)
    assert isinstance(key, RsaPublicKey)
    return key


@pytest.mark.vectors(folder="oda", cases=struct_files)
def test_a_chain_of_emv_tools_verifies_and_a_changed_byte_does_not(vector: Case) -> None:
    issuer = issuer_key_of(vector)
    if "ssad_cr" in vector:
        assert isinstance(verify_static(vector["ssad_cr"], issuer, vector["ssd1"]), bytes)
        assert isinstance(verify_static(vector["ssad_cr"], issuer, vector["ssd1"] + b"\x00"), Refused)
        return
    presented = PresentedCertificate(vector["icc_cert"], vector.get("icc_rem", b""), vector["icc_exp"])
    pan = vector["pan"].decode()
    card = recover_icc_key(presented, issuer, vector["ssd1"], pan, BEFORE_ALL_EXPIRIES)
    assert isinstance(card, RsaPublicKey)
    wrong = recover_icc_key(presented, issuer, vector["ssd1"][:-1] + b"\xff", pan, BEFORE_ALL_EXPIRIES)
    assert wrong == Refused("icc-certificate-wrong")
    stolen = recover_icc_key(presented, issuer, vector["ssd1"], pan[:-1] + "0", BEFORE_ALL_EXPIRIES)
    assert stolen == Refused("icc-certificate-not-of-this-card")
    assert isinstance(verify_dynamic(vector["sdad_cr"], card, vector["dd1"]), bytes)
    assert verify_dynamic(vector["sdad_cr"], card, bytes(3) + b"\x01") == Refused("signature-wrong")


@pytest.mark.vectors(folder="oda", cases=combined_files)
def test_a_combined_signature_covers_what_was_sent_and_answered(vector: Case) -> None:
    ca = ca_of(vector["ca"])
    data = {0x8F: bytes([ca.index]), 0x90: vector["issuer_cert"], 0x92: vector["issuer_rem"]}
    data |= {0x9F32: vector["issuer_exp"], 0x9F46: vector["icc_cert"], 0x9F47: vector["icc_exp"]}
    evidence = Evidence(ca.rid, data, vector["pan"].decode(), vector["ssd1"], BEFORE_ALL_EXPIRIES)
    response = parse_tlv(vector["dd2"] + bytes.fromhex("9F4B8170") + vector["sdad_cr"])
    good = CombinedSignature(vector["dd1"], b"", vector["crm1"], response)
    assert authenticate_combined(evidence, CaKeyStore.of([ca]), good).verdict is OdaVerdict.PASSED
    changed = CombinedSignature(vector["dd1"], b"", vector["crm1"][:-1] + b"\x01", response)
    oda = authenticate_combined(evidence, CaKeyStore.of([ca]), changed)
    assert (oda.verdict, oda.reason) == (OdaVerdict.FAILED, "transaction-data-differ")
    assert flatten(response)[0x9F27] == b"\x40"


def published_ca(vector: Case) -> CaKey:
    keys = parse_ca_keys((resources.files("taptill.card") / "ca_keys_test.toml").read_text(encoding="utf-8"))
    index = int(vector["ca"].rpartition("#")[2], 16)
    key = CaKeyStore.of(keys).find(vector["arrays"]["test_capk_rid"], index)
    assert key is not None, f"{vector['ca']} is not among the published test keys"
    return key


def judge_issuer(vector: Case, array: str, date_yymmdd: str) -> RsaPublicKey | Refused:
    ca = published_ca(vector)
    tags = tags_of(vector["tags"]["valid_icc_data"])
    presented = PresentedCertificate(vector["arrays"][array], tags[0x92], tags[0x9F32])
    return recover_issuer_key(presented, RsaPublicKey(ca.modulus, ca.exponent), tags[0x5A].hex(), date_yymmdd)


def struct_key(vector: Case, struct: str) -> RsaPublicKey:
    values = [field for field in vector["structs"][struct]["fields"] if len(field) > 60]
    return RsaPublicKey(bytes.fromhex(values[0]), b"\x03")


@pytest.mark.vectors(folder="oda", cases=array_files)
def test_what_emv_utils_calls_valid_verifies_and_what_it_calls_invalid_does_not(vector: Case) -> None:
    judged = vector["judged"]
    if "params" in judged:
        result: object = judge_issuer(vector, "valid_issuer_cert", tags_of(vector["tags"][judged])[0x9A].hex())
        if judged.startswith("expired"):
            assert result == Refused("issuer-certificate-expired")
            return
    elif judged.endswith("issuer_cert"):
        result = judge_issuer(vector, judged, "220101")
    else:
        key = struct_key(vector, "full_icc_pkey_verify")
        result = verify_dynamic(vector["arrays"][judged], key, vector["arrays"]["ddol_data"])
    assert isinstance(result, Refused) is judged.startswith("invalid")
