"""SDA, DDA and CDA judged by other implementations' chains: every file of the oda folder, by format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from tests.card.signer import new_key, signed
from tests.card.vector_keys import KEY_IS_NOT_HERE, is_keyless, vector_stores
from tests.conformance import NotApplicable

from taptill.card.outcome import OdaVerdict
from taptill.card.proof.ca_keys import CaKey, CaKeyStore, ca_key_checksum
from taptill.card.proof.certificates import (
    PresentedCertificate,
    RsaPublicKey,
    dynamic_number,
    recover,
    recover_icc_key,
    recover_issuer_key,
    verify_dynamic,
    verify_static,
)
from taptill.card.proof.offline_authentication import CombinedSignature, Evidence, authenticate_combined
from taptill.card.refused import Refused
from taptill.card.tlv import encode_tlv

Case = dict[str, Any]
BEFORE_ALL_EXPIRIES = "080101"
HEX = re.compile(r"([0-9A-F]{2}){2,}")


def struct_files(document: Case) -> Iterator[tuple[str, Case]]:
    """emv-tools: a CA key as struct fields, then named byte strings."""
    for name, entries in document.get("files", {}).items():
        if isinstance(entries, list) and any("fields" in entry for entry in entries):
            texts = {entry["name"]: entry["value"] for entry in entries if "value" in entry}
            pan = texts.pop("pan").upper().rstrip("F").encode()
            values = {name: bytes.fromhex(text) for name, text in texts.items()} | {"pan": pan}
            fields = next(entry["fields"] for entry in entries if "fields" in entry)
            yield name, {**values, "ca": fields}


def combined_files(document: Case) -> Iterator[tuple[str, Case]]:
    yield from ((name, case) for name, case in struct_files(document) if "crm1" in case)


def array_files(document: Case) -> Iterator[tuple[str, Case | NotApplicable]]:
    """emv-utils: named arrays, lists of tags, expected structs; one case per constant that can be judged."""
    for name, entries in document.get("files", {}).items():
        if not isinstance(entries, dict):
            continue
        arrays = {entry["name"]: bytes.fromhex(entry["value"]) for entry in entries["arrays"]}
        comment = next(entry["comment"] for entry in entries["arrays"] if entry["name"] == "test_capk_rid")
        case = {"arrays": arrays, "tags": entries["tlv_lists"], "structs": entries["expected_structs"], "ca": comment}
        judged = [array for array in arrays if array.startswith(("valid_", "invalid_"))]
        keyless = is_keyless(arrays["test_capk_rid"], bytes.fromhex(comment.rpartition("#")[2]))
        for each in (*judged, *entries["tlv_lists"], *entries["expected_structs"]):
            yield f"{name}-{each}", KEY_IS_NOT_HERE if keyless else {**case, "judged": each}


def number_files(document: Case) -> Iterator[tuple[str, Case]]:
    """emv-tools' signing test: the numbers it signs, to be signed and found again here."""
    for name, entries in document.get("files", {}).items():
        if isinstance(entries, list) and {"dac", "idn"} <= {entry["name"] for entry in entries}:
            yield name, {entry["name"]: bytes.fromhex(entry["value"]) for entry in entries}


def tags_of(entries: list[Case]) -> dict[int, bytes]:
    return {int(entry["tag"], 16): bytes.fromhex(entry["value"]) for entry in entries}


def ca_of(fields: Case) -> CaKey:
    rid, index = bytes.fromhex(fields["rid"]), int(fields["index"], 16)
    modulus, exponent = bytes.fromhex(fields["modulus"]), bytes.fromhex(fields["exp"])
    return CaKey(rid, index, modulus, exponent, ca_key_checksum(rid, index, modulus, exponent))


def issuer_key_of(vector: Case) -> RsaPublicKey:
    ca = ca_of(vector["ca"])
    presented = PresentedCertificate(vector["issuer_cert"], vector.get("issuer_rem", b""), vector["issuer_exp"])
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
    other_data = vector["ssd1"][:-1] + bytes([vector["ssd1"][-1] ^ 0xFF])
    wrong = recover_icc_key(presented, issuer, other_data, pan, BEFORE_ALL_EXPIRIES)
    assert wrong == Refused("icc-certificate-wrong")
    other_pan = pan[:-1] + str((int(pan[-1]) + 1) % 10)
    stolen = recover_icc_key(presented, issuer, vector["ssd1"], other_pan, BEFORE_ALL_EXPIRIES)
    assert stolen == Refused("icc-certificate-not-of-this-card")
    assert isinstance(verify_dynamic(vector["sdad_cr"], card, vector["dd1"]), bytes)
    other_number = vector["dd1"][:-1] + bytes([vector["dd1"][-1] ^ 0x01])
    assert verify_dynamic(vector["sdad_cr"], card, other_number) == Refused("signature-wrong")


@pytest.mark.vectors(folder="oda", cases=combined_files)
def test_a_combined_signature_covers_what_was_sent_and_answered(vector: Case) -> None:
    ca = ca_of(vector["ca"])
    data = {0x8F: bytes([ca.index]), 0x90: vector["issuer_cert"], 0x92: vector.get("issuer_rem", b"")}
    data |= {0x9F32: vector["issuer_exp"], 0x9F46: vector["icc_cert"], 0x9F47: vector["icc_exp"]}
    data |= {0x9F48: vector["icc_rem"]} if vector.get("icc_rem") else {}
    evidence = Evidence(ca.rid, data, vector["pan"].decode(), vector["ssd1"], BEFORE_ALL_EXPIRIES)
    response = vector["dd2"] + encode_tlv(0x9F4B, vector["sdad_cr"])
    good = CombinedSignature(vector["dd1"], b"", vector["crm1"], response)
    passed = authenticate_combined(evidence, CaKeyStore.of([ca]), good)
    assert (passed.verdict, set(passed.signed_data)) == (OdaVerdict.PASSED, {0x9F4C, 0x9F26})
    other_values = vector["crm1"][:-1] + bytes([vector["crm1"][-1] ^ 0x01])
    changed = CombinedSignature(vector["dd1"], b"", other_values, response)
    oda = authenticate_combined(evidence, CaKeyStore.of([ca]), changed)
    assert (oda.verdict, oda.reason) == (OdaVerdict.FAILED, "transaction-data-differ")


def published_ca(vector: Case) -> CaKey:
    """The CA key the comment names; where that place is disputed, the one under which the valid certificate opens."""
    rid, index = vector["arrays"]["test_capk_rid"], int(vector["ca"].rpartition("#")[2], 16)
    found = [key for store in vector_stores() if (key := store.find(rid, index)) is not None]
    certificate = vector["arrays"]["valid_issuer_cert"]
    opening = (key for key in found if recover(certificate, RsaPublicKey(key.modulus, key.exponent)) is not None)
    return next(opening, found[0])


def judge_issuer(
    vector: Case, array: str, date_yymmdd: str, tag_list: str = "valid_icc_data"
) -> RsaPublicKey | Refused:
    ca = published_ca(vector)
    tags = tags_of(vector["tags"][tag_list])
    presented = PresentedCertificate(vector["arrays"][array], tags.get(0x92, b""), tags[0x9F32])
    pan = tags[0x5A].hex().rstrip("f")
    return recover_issuer_key(presented, RsaPublicKey(ca.modulus, ca.exponent), pan, date_yymmdd)


def valid_date(vector: Case) -> str:
    """A day on which the origin calls its certificates valid."""
    valid = (tags_of(tags) for name, tags in vector["tags"].items() if name.startswith("valid_params"))
    return next((tags[0x9A].hex() for tags in valid if 0x9A in tags), BEFORE_ALL_EXPIRIES)


def struct_key(vector: Case, struct: str) -> RsaPublicKey:
    """The modulus is the one long field, the exponent the next."""
    fields = vector["structs"][struct]["fields"]
    at = next(at for at, field in enumerate(fields) if len(field) > 60)
    return RsaPublicKey(bytes.fromhex(fields[at]), bytes.fromhex(fields[at + 1]))


def block_of(vector: Case, array: str) -> bytes | None:
    """What a certificate or signature says once it is raised with the key above it."""
    if array.endswith("issuer_cert"):
        ca = published_ca(vector)
        above = RsaPublicKey(ca.modulus, ca.exponent)
    else:
        signed_by_card = array.endswith("enc_sdad")
        above = struct_key(vector, "full_icc_pkey_verify" if signed_by_card else "full_issuer_pkey_verify")
    return recover(vector["arrays"][array], above)


REMAINDERS = {"emv_rsa_issuer_pkey_t": 0x92, "emv_rsa_icc_pkey_t": 0x9F48}
ARRAY_OF_TYPE = {
    "emv_rsa_issuer_pkey_t": "valid_issuer_cert",
    "emv_rsa_icc_pkey_t": "valid_icc_cert",
    "emv_rsa_ssad_t": "valid_enc_ssad",
    "emv_rsa_sdad_t": "valid_enc_sdad",
}


def judge_struct(vector: Case, struct: str) -> None:
    """Every field of four digits or more stands in the block, in this order; the remainder stands before the hash."""
    expected = vector["structs"][struct]
    tags = tags_of(vector["tags"]["valid_icc_data"])
    block = block_of(vector, ARRAY_OF_TYPE[expected["type"]])
    assert block is not None
    remainder = tags.get(REMAINDERS.get(expected["type"], 0), b"")
    text = block[:-21] + remainder + block[-21:-1]
    at = 0
    for octets in (bytes.fromhex(field) for field in expected["fields"] if HEX.fullmatch(field)):
        found = text.find(octets, at)
        assert found >= 0, octets.hex()
        at = found + len(octets)


def judge_array(vector: Case, array: str) -> bool:
    """Whether it holds. Without the static data, which the origin does not give, SSAD and ICC certificate are judged
    by their form: one wrong octet leaves none."""
    if array.endswith("issuer_cert"):
        return isinstance(judge_issuer(vector, array, valid_date(vector)), RsaPublicKey)
    if array.endswith("enc_sdad"):
        key = struct_key(vector, "full_icc_pkey_verify")
        return isinstance(verify_dynamic(vector["arrays"][array], key, vector["arrays"]["ddol_data"]), bytes)
    return block_of(vector, array) is not None


@pytest.mark.vectors(folder="oda", cases=array_files)
def test_what_emv_utils_calls_valid_verifies_and_what_it_calls_invalid_does_not(vector: Case) -> None:
    judged = vector["judged"]
    if judged in vector["structs"]:
        judge_struct(vector, judged)
    elif judged in vector["arrays"]:
        assert judge_array(vector, judged) is judged.startswith("valid_")
    elif "params" in judged:
        date = tags_of(vector["tags"][judged])[0x9A].hex()
        result = judge_issuer(vector, "valid_issuer_cert", date)
        expired = Refused("issuer-certificate-expired")
        assert result == expired if judged.startswith("expired") else isinstance(result, RsaPublicKey)
    else:
        result = judge_issuer(vector, "valid_issuer_cert", valid_date(vector), judged)
        assert isinstance(result, RsaPublicKey) is judged.startswith("valid_")


@pytest.mark.vectors(folder="oda", cases=number_files)
def test_the_numbers_emv_tools_signs_are_found_in_what_is_signed_with_them(vector: Case) -> None:
    key = new_key(1024, 3)
    public = RsaPublicKey(key.octets, key.exponent)
    static = signed(key, b"\x03\x01" + vector["dac"], vector["sdad"], b"\xbb")
    assert verify_static(static, public, vector["sdad"]) == vector["dac"]
    number = bytes([len(vector["idn"])]) + vector["idn"]
    dynamic = signed(key, b"\x05\x01" + bytes([len(number)]) + number, vector["dd1"], b"\xbb")
    recovered = verify_dynamic(dynamic, public, vector["dd1"])
    assert isinstance(recovered, bytes)
    assert dynamic_number(recovered) == vector["idn"]
    assert verify_dynamic(dynamic, public, vector["sdad"]) == Refused("signature-wrong")
