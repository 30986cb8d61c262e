"""EC-SDSA and the certificates on keys made here: the curves against the library, cards with known static data."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from taptill.card.proof.ec_sdsa import P256_SHA256, P521_SHA512, SignatureSuite, public_point, verify
from taptill.card.proof.ecc_certificates import EccPublicKey, parse_icc_certificate, recover_ecc_icc_key
from taptill.card.refused import Refused

SUITES = [P256_SHA256, P521_SHA512]
STATIC_DATA = bytes.fromhex("5F24033012315A086228000100001117") + bytes.fromhex("7C00")


def number_of(suite: SignatureSuite, seed: int) -> int:
    return 1 + seed % (suite.order - 1)


def x_of(suite: SignatureSuite, private: int) -> bytes:
    numbers = ec.derive_private_key(private, suite.curve).public_key().public_numbers()
    return numbers.x.to_bytes(suite.field_octets, "big")


def sign(suite: SignatureSuite, private: int, nonce: int, message: bytes) -> bytes:
    """By the formula of EMV Book E, 8.8.7, with the private number whose point has the smaller y."""
    numbers = ec.derive_private_key(private, suite.curve).public_key().public_numbers()
    d = private if numbers.y < suite.prime - numbers.y else suite.order - private
    r = hashlib.new(suite.hash_name, x_of(suite, nonce) + message).digest()
    s = (nonce + int.from_bytes(r, "big") * d) % suite.order
    return r + s.to_bytes(suite.field_octets, "big")


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_the_curves_are_those_of_the_library(suite: SignatureSuite) -> None:
    assert suite.order == suite.curve.group_order
    assert suite.prime.bit_length() == suite.curve.key_size
    assert pow(2, suite.prime - 1, suite.prime) == 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0), st.integers(0), st.binary(max_size=40), st.sampled_from(SUITES))
def test_what_is_signed_verifies_and_no_other_message_does(
    private: int, nonce: int, message: bytes, suite: SignatureSuite
) -> None:
    d = number_of(suite, private)
    signature = sign(suite, d, number_of(suite, nonce), message)
    assert verify(suite, x_of(suite, d), message, signature)
    assert not verify(suite, x_of(suite, d), message + b"\x00", signature)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_the_multiples_next_to_each_other_and_opposite_are_added_right(suite: SignatureSuite) -> None:
    """s*G and r*Q may be one point, or opposite ones: the two cases a sum of points can go wrong in."""
    message = b"edge"
    for nonce in (1, 2, suite.order - 1):
        assert verify(suite, x_of(suite, 1), message, sign(suite, 1, nonce, message))
    assert not verify(suite, x_of(suite, 1), message, bytes(suite.signature_octets - 1) + b"\x01")
    r = hashlib.new(suite.hash_name, message).digest()
    same = r + (int.from_bytes(r, "big") % suite.order).to_bytes(suite.field_octets, "big")
    assert not verify(suite, x_of(suite, 1), message, same)  # s*G - r*G is the point at infinity
    opposite = r + (-int.from_bytes(r, "big") % suite.order).to_bytes(suite.field_octets, "big")
    assert not verify(suite, x_of(suite, 1), message, opposite)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_point_added_to_itself_is_doubled(suite: SignatureSuite) -> None:
    """The private number is chosen so that s*G and -r*Q are one point: k = 2s, d = -s/r."""
    for s in range(1, 50):
        r = hashlib.new(suite.hash_name, x_of(suite, 2 * s) + b"twin").digest()
        d = -s * pow(int.from_bytes(r, "big"), -1, suite.order) % suite.order
        numbers = ec.derive_private_key(d, suite.curve).public_key().public_numbers()
        if numbers.y < suite.prime - numbers.y:
            break
    assert verify(suite, x_of(suite, d), b"twin", r + s.to_bytes(suite.field_octets, "big"))


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_signature_whose_number_is_out_of_range_is_refused(suite: SignatureSuite) -> None:
    signature = sign(suite, 5, 7, b"range")
    s = int.from_bytes(signature[suite.hash_octets :], "big") + suite.order
    if s < 1 << 8 * suite.field_octets:
        beyond = signature[: suite.hash_octets] + s.to_bytes(suite.field_octets, "big")
        assert not verify(suite, x_of(suite, 5), b"range", beyond)
    assert not verify(suite, x_of(suite, 5), b"range", signature[: suite.hash_octets] + bytes(suite.field_octets))


def test_a_number_on_no_point_is_no_key() -> None:
    nowhere = next(x for x in range(1, 50) if public_point(P256_SHA256, x.to_bytes(32, "big")) is None)
    assert not verify(P256_SHA256, nowhere.to_bytes(32, "big"), b"", bytes(64))
    assert public_point(P256_SHA256, b"\xff" * 32) is None
    assert public_point(P256_SHA256, bytes(31)) is None


def icc_certificate(issuer: int, suite: SignatureSuite, **changes: bytes) -> bytes:
    fields = {
        "head": bytes.fromhex("140000"),
        "expiry": bytes.fromhex("202912312359"),
        "serial": bytes(6),
        "hashing": bytes.fromhex("0102"),
        "hash": hashlib.sha256(STATIC_DATA).digest(),
        "key": x_of(P256_SHA256, 11),
    } | changes
    message = b"".join(fields.values())
    return message + sign(suite, issuer, 13, message)


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
def test_a_card_certificate_gives_the_cards_key_while_its_minute_has_not_passed(suite: SignatureSuite) -> None:
    issuer = EccPublicKey(suite, x_of(suite, 9))
    certificate = icc_certificate(9, suite)
    key = recover_ecc_icc_key(certificate, issuer, STATIC_DATA, "202912312359")
    assert key == EccPublicKey(P256_SHA256, x_of(P256_SHA256, 11))
    expired = recover_ecc_icc_key(certificate, issuer, STATIC_DATA, "203001010000")
    assert expired == Refused("icc-certificate-expired")
    other = recover_ecc_icc_key(certificate, issuer, STATIC_DATA + b"\x00", "202912312359")
    assert other == Refused("static-data-differ")
    stolen = recover_ecc_icc_key(icc_certificate(10, suite), issuer, STATIC_DATA, "202912312359")
    assert stolen == Refused("icc-certificate-wrong")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"head": bytes.fromhex("120000")}, "icc-certificate-wrong"),
        ({"head": bytes.fromhex("140100")}, "icc-certificate-wrong"),
        ({"head": bytes.fromhex("140099")}, "icc-certificate-algorithm-unknown"),
        ({"hashing": bytes.fromhex("0002")}, "icc-certificate-algorithm-unknown"),
        ({"hashing": bytes.fromhex("0101")}, "icc-certificate-algorithm-unknown"),
        ({"key": x_of(P256_SHA256, 11)[:-1]}, "icc-certificate-wrong"),
        ({"key": b"\xff" * 32}, "icc-certificate-wrong"),
        ({"expiry": bytes.fromhex("2029AB312359")}, "icc-certificate-expired"),
    ],
)
def test_a_card_certificate_that_is_not_of_the_book_is_refused(changes: dict[str, bytes], reason: str) -> None:
    issuer = EccPublicKey(P256_SHA256, x_of(P256_SHA256, 9))
    certificate = icc_certificate(9, P256_SHA256, **changes)
    assert recover_ecc_icc_key(certificate, issuer, STATIC_DATA, "202601010000") == Refused(reason)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A good certificate with an octet changed, a piece cut off or out, or octets put in."""
    good = icc_certificate(9, P256_SHA256)
    at = draw(st.integers(0, len(good) - 1))
    kind = draw(st.sampled_from(["octet", "cut", "piece", "more"]))
    if kind == "octet":
        return good[:at] + bytes([good[at] ^ draw(st.integers(1, 255))]) + good[at + 1 :]
    if kind == "more":
        return good[:at] + draw(st.binary(min_size=1, max_size=8)) + good[at:]
    return good[:at] if kind == "cut" else good[:at] + good[at + draw(st.integers(1, 40)) :]


@settings(max_examples=60, deadline=None)
@given(spoilt())
def test_a_good_certificate_spoilt_anywhere_gives_no_key(octets: bytes) -> None:
    issuer = EccPublicKey(P256_SHA256, x_of(P256_SHA256, 9))
    assert isinstance(recover_ecc_icc_key(octets, issuer, STATIC_DATA, "202601010000"), Refused)


@settings(max_examples=50, deadline=None)
@given(st.one_of(st.binary(max_size=200), spoilt()))
def test_no_octets_at_all_break_the_parsing(octets: bytes) -> None:
    parsed = parse_icc_certificate(octets, P256_SHA256)
    assert isinstance(parsed, Refused) or len(octets) == len(icc_certificate(9, P256_SHA256))
