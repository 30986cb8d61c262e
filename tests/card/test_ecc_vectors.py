"""EC-SDSA certificates judged by the examples EMVCo publishes with Book E, every file of the ecc folder by format."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.conformance import NotApplicable

from taptill.card.proof.ec_sdsa import P256_SHA256, P521_SHA512, SignatureSuite, public_point, verify
from taptill.card.proof.ecc_certificates import (
    EccCaKey,
    EccPublicKey,
    IccEccCertificate,
    IssuerEccCertificate,
    parse_icc_certificate,
    parse_issuer_certificate,
    recover_ecc_icc_key,
    recover_ecc_issuer_key,
)
from taptill.card.refused import Refused

Case = dict[str, Any]
SUITES = {("P-256", "SHA-256"): P256_SHA256, ("P-521", "SHA-512"): P521_SHA512}
BEFORE_ALL_EXPIRIES = "19700101"
AFTER_ALL_EXPIRIES = "99991231"


def signatures(document: Case) -> Iterator[tuple[str, Case | NotApplicable]]:
    for number, vector in enumerate(document.get("vectors", []), 1):
        if "public_key_x" in vector:
            known = (vector["curve"], vector["hash"]) in SUITES
            yield (
                f"{vector.get('example', number)}-{vector['curve']}",
                vector if known else NotApplicable("no suite of EMV Book E"),
            )


def with_its(*names: str) -> Callable[[Case], Iterator[tuple[str, Case]]]:
    """The signatures whose making is told too."""

    def told(document: Case) -> Iterator[tuple[str, Case]]:
        for name, vector in signatures(document):
            if not isinstance(vector, NotApplicable) and set(names) <= set(vector):
                yield name, vector

    return told


def chains(document: Case) -> Iterator[tuple[str, Case]]:
    """An issuer certificate and a card certificate that the key certified in it has signed."""
    found = [vector for _, vector in with_its("message")(document)]
    for issuer in (each for each in found if each["message"].startswith("12")):
        for icc in (each for each in found if each["message"].startswith("14")):
            if issuer["message"].upper().endswith(icc["public_key_x"].upper()):
                yield f"{issuer.get('example')}-{icc.get('example')}", {"issuer": issuer, "icc": icc}


def parts(vector: Case) -> tuple[SignatureSuite, bytes, bytes, bytes]:
    octets = (bytes.fromhex(vector[name]) for name in ("public_key_x", "message", "signature"))
    x, message, signature = octets
    return SUITES[(vector["curve"], vector["hash"])], x, message, signature


def ca_key(vector: Case) -> EccCaKey:
    """The CA key as the certificate itself names its place."""
    suite, x, message, _ = parts(vector)
    return EccCaKey(message[15:20], message[20], suite, x)


def pan_of(message: bytes) -> str:
    return message[2:7].hex().upper().rstrip("F").ljust(16, "0")


@pytest.mark.vectors(folder="ecc", cases=signatures)
def test_a_signature_of_book_e_verifies(vector: Case) -> None:
    assert verify(*parts(vector))


@pytest.mark.vectors(folder="ecc", cases=signatures)
def test_a_changed_octet_anywhere_fails(vector: Case) -> None:
    suite, x, message, signature = parts(vector)
    for at in range(len(message)):
        assert not verify(suite, x, changed(message, at), signature)
    for at in range(len(signature)):
        assert not verify(suite, x, message, changed(signature, at))
    assert not verify(suite, x, message, signature[:-1])
    assert not verify(suite, changed(x, len(x) - 1), message, signature)


def changed(octets: bytes, at: int) -> bytes:
    return octets[:at] + bytes([octets[at] ^ 0x01]) + octets[at + 1 :]


@pytest.mark.vectors(folder="ecc", cases=with_its("private_key"))
def test_a_key_of_a_private_number_has_that_x_and_the_smaller_y(vector: Case) -> None:
    suite, x, _, _ = parts(vector)
    numbers = ec.derive_private_key(int(vector["private_key"], 16), suite.curve).public_key().public_numbers()
    point = public_point(suite, x)
    assert point is not None
    assert point[0] == numbers.x
    assert point[1] in (numbers.y, suite.prime - numbers.y)
    assert (point[1] < (suite.prime + 1) // 2) is vector.get("public_key_y_is_the_smaller_root", True)


@pytest.mark.vectors(folder="ecc", cases=with_its("k"))
def test_the_nonce_gives_the_first_half_of_the_signature(vector: Case) -> None:
    suite, _, message, signature = parts(vector)
    x = ec.derive_private_key(int(vector["k"], 16), suite.curve).public_key().public_numbers().x
    found = hashlib.new(suite.hash_name, x.to_bytes(suite.field_octets, "big") + message).digest()
    assert signature.startswith(found)


@pytest.mark.vectors(folder="ecc", cases=chains)
def test_a_chain_gives_the_issuers_key_and_then_the_cards(vector: Case) -> None:
    _, _, message, signature = parts(vector["issuer"])
    issuer = recover_ecc_issuer_key(message + signature, ca_key(vector["issuer"]), pan_of(message), BEFORE_ALL_EXPIRIES)
    suite, x, icc_message, icc_signature = parts(vector["icc"])
    assert issuer == EccPublicKey(suite, x)
    card = parse_icc_certificate(icc_message + icc_signature, suite)
    assert isinstance(card, IccEccCertificate)
    assert verify(suite, issuer.x, card.message, card.signature)
    assert card.key.x == icc_message[-32:]
    # The examples do not tell the static data their hash covers: any other data is refused for exactly that.
    assert recover_ecc_icc_key(icc_message + icc_signature, issuer, b"", "197001010000") == Refused(
        "static-data-differ"
    )


@pytest.mark.vectors(folder="ecc", cases=chains)
def test_an_issuer_certificate_fails_on_each_field_that_does_not_fit(vector: Case) -> None:
    _, _, message, signature = parts(vector["issuer"])
    certificate, ca, pan = message + signature, ca_key(vector["issuer"]), pan_of(message)
    found = parse_issuer_certificate(certificate, ca.suite)
    assert isinstance(found, IssuerEccCertificate)
    assert refusal(recover_ecc_issuer_key(certificate, ca, pan, AFTER_ALL_EXPIRIES)) == "issuer-certificate-expired"
    assert recover_ecc_issuer_key(certificate, ca, pan, found.expiry) == found.key
    revoked = frozenset([found.serial])
    assert refusal(recover_ecc_issuer_key(certificate, ca, pan, found.expiry, revoked)) == "issuer-certificate-revoked"
    other = ("9" if pan[0] != "9" else "8") + pan[1:]
    said = refusal(recover_ecc_issuer_key(certificate, ca, other, found.expiry))
    assert said == "issuer-certificate-not-of-this-card"
    for elsewhere in (EccCaKey(b"\xff" * 5, ca.index, ca.suite, ca.x), EccCaKey(ca.rid, ca.index ^ 1, ca.suite, ca.x)):
        said = refusal(recover_ecc_issuer_key(certificate, elsewhere, pan, found.expiry))
        assert said == "issuer-certificate-of-another-ca-key"
    assert refusal(recover_ecc_issuer_key(certificate[:-1], ca, pan, found.expiry)) == "issuer-certificate-wrong"
    assert (
        refusal(recover_ecc_issuer_key(b"\x13" + certificate[1:], ca, pan, found.expiry)) == "issuer-certificate-wrong"
    )
    forged = changed(certificate, len(certificate) - 1)
    assert refusal(recover_ecc_issuer_key(forged, ca, pan, AFTER_ALL_EXPIRIES)) == "issuer-certificate-wrong"


def refusal(result: EccPublicKey | Refused) -> str:
    assert isinstance(result, Refused)
    return result.reason
