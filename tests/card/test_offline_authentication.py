"""SDA, DDA, fDDA and CDA on a scheme made here: one field wrong at a time, each with its reason."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.card.signer import Key, new_key, signed

from taptill.card.outcome import Oda, OdaVerdict
from taptill.card.proof.ca_keys import CaKey, CaKeyStore, ca_key_checksum
from taptill.card.proof.offline_authentication import (
    AuthenticatedRecord,
    CombinedSignature,
    Evidence,
    authenticate_combined,
    authenticate_dynamic,
    authenticate_fast,
    authenticate_static,
    static_data_of,
)
from taptill.card.proof.revocation import RevocationList, RevokedCertificate
from taptill.card.tlv import encode_tlv

PAN = "6228000100001117"
TODAY = "261122"
NUMBER = bytes.fromhex("2B29EBE4")
RELAY = bytes.fromhex("11223344AABBCCDD001400320012")
RECORD = bytes.fromhex("70 0E 5A08 6228000100001117 5F3401 00".replace(" ", ""))
AIP = bytes.fromhex("7C00")


CA, ISSUER, ICC = new_key(1408, 3), new_key(1152, 3), new_key(1024, 65537)


@dataclass(frozen=True)
class Certificate:
    """What stands in a certificate, each part to be spoiled on its own."""

    form: int
    name: bytes
    expiry_mmyy: str = "1229"
    serial: bytes = b"\x00\x00\xa1"
    algorithms: bytes = b"\x01\x01"
    key_octets: int | None = None
    exponent: bytes | None = None
    exponent_octets: int | None = None
    cut_remainder: int = 0

    def present(self, signer: Key, key: Key, covered: bytes = b"") -> tuple[bytes, bytes, bytes]:
        """The certificate, the remainder and the exponent as a card gives them."""
        exponent = self.exponent or key.exponent
        key_octets = len(key.octets) if self.key_octets is None else self.key_octets
        exponent_octets = len(exponent) if self.exponent_octets is None else self.exponent_octets
        head = bytes([self.form]) + self.name + bytes.fromhex(self.expiry_mmyy) + self.serial + self.algorithms
        head += bytes([key_octets, exponent_octets])
        room = len(signer.octets) - 22 - len(head)
        leftmost, remainder = key.octets[:room].ljust(room, b"\xbb"), key.octets[room:]
        remainder = remainder[: len(remainder) - self.cut_remainder]
        return signed(signer, head + leftmost, remainder + exponent + covered), remainder, exponent


@dataclass(frozen=True)
class Card:
    """A card under the scheme above, good unless told otherwise."""

    issuer: Certificate = Certificate(0x02, bytes.fromhex("62280001"))
    icc: Certificate = Certificate(0x04, bytes.fromhex(PAN) + b"\xff\xff")
    data: Mapping[int, bytes] = field(default_factory=dict)
    rid: bytes = bytes.fromhex("A000000333")

    def evidence(self, date: str = TODAY) -> Evidence:
        static = static_data_of([AuthenticatedRecord(1, RECORD)], {0x82: AIP, 0x9F4A: b"\x82"})
        assert isinstance(static, bytes)
        data = {0x8F: b"\x80", 0x9F4A: b"\x82", 0x82: AIP}
        data[0x90], data[0x92], data[0x9F32] = self.issuer.present(CA, ISSUER)
        data[0x9F46], data[0x9F48], data[0x9F47] = self.icc.present(ISSUER, ICC, static)
        data[0x93] = signed(ISSUER, bytes.fromhex("0301DAC0"), static, b"\xbb")
        return Evidence(self.rid, {**data, **self.data}, PAN, static, date)


def store(
    rid: bytes = bytes.fromhex("A000000333"), expiry: str = "", revoked: RevocationList | None = None
) -> CaKeyStore:
    checksum = ca_key_checksum(rid, 0x80, CA.octets, CA.exponent)
    return CaKeyStore.of([CaKey(rid, 0x80, CA.octets, CA.exponent, checksum, expiry, test=True)], revoked)


def sdad(dynamic: bytes, covered: bytes, head: bytes = b"\x05\x01") -> bytes:
    return signed(ICC, head + bytes([len(dynamic)]) + dynamic, covered, b"\xbb")


def dda(card: Card, ca_keys: CaKeyStore | None = None, date: str = TODAY, dynamic: bytes = b"\x02\x00\xae") -> Oda:
    return authenticate_dynamic(card.evidence(date), ca_keys or store(), NUMBER, sdad(dynamic, NUMBER))


def test_a_good_card_passes_and_its_dynamic_number_comes_out() -> None:
    oda = dda(Card())
    assert (oda.verdict, oda.test_key) == (OdaVerdict.PASSED, True)
    assert oda.signed_data == {0x9F4C: bytes.fromhex("00AE")}


def test_static_data_pass_and_the_authentication_code_comes_out() -> None:
    oda = authenticate_static(Card().evidence(), store())
    assert (oda.verdict, oda.signed_data) == (OdaVerdict.PASSED, {0x9F45: b"\xda\xc0"})
    spoiled = replace(Card().evidence(), static_data=b"other")
    assert authenticate_static(spoiled, store()).reason == "signature-wrong"


@settings(max_examples=10, deadline=None)
@given(st.binary(min_size=5, max_size=5))
def test_no_scheme_is_special(rid: bytes) -> None:
    assert dda(Card(rid=rid + b"\x01\x01"), store(rid)).verdict is OdaVerdict.PASSED
    assert dda(Card(rid=b"\xd1" + rid[1:]), store(b"\xd2" + rid[1:])).reason == "no-ca-key"


ISSUER_FAULTS: list[tuple[dict[str, object], str]] = [
    ({"form": 0x04}, "issuer-certificate-wrong"),
    ({"name": bytes.fromhex("62280002")}, "issuer-certificate-not-of-this-card"),
    ({"name": bytes.fromhex("62FFFFFF")}, "issuer-certificate-not-of-this-card"),
    ({"name": bytes.fromhex("62FF0001")}, "issuer-certificate-not-of-this-card"),
    ({"name": bytes.fromhex("6228000A")}, "issuer-certificate-not-of-this-card"),
    ({"expiry_mmyy": "1026"}, "issuer-certificate-expired"),
    ({"expiry_mmyy": "12AF"}, "issuer-certificate-expired"),
    ({"algorithms": b"\x02\x01"}, "issuer-certificate-algorithm-unknown"),
    ({"algorithms": b"\x01\x02"}, "issuer-certificate-algorithm-unknown"),
    ({"exponent": b"\x05"}, "issuer-certificate-algorithm-unknown"),
    ({"exponent_octets": 3}, "issuer-certificate-incomplete"),
    ({"key_octets": 250}, "issuer-certificate-incomplete"),
    ({"cut_remainder": 1}, "issuer-certificate-incomplete"),
]


@pytest.mark.parametrize(("change", "reason"), ISSUER_FAULTS)
def test_an_issuer_certificate_fails_on_each_wrong_field(change: dict[str, object], reason: str) -> None:
    card = Card(issuer=replace(Card().issuer, **change))  # type: ignore[arg-type]
    assert dda(card).reason == reason
    assert authenticate_static(card.evidence(), store()).reason == reason


@pytest.mark.parametrize("name", ["622FFFFF", "622800FF", "6228000F", "62280001"])
def test_an_issuer_identifier_of_three_to_eight_digits_is_padded(name: str) -> None:
    assert dda(Card(issuer=replace(Card().issuer, name=bytes.fromhex(name)))).verdict is OdaVerdict.PASSED


ICC_FAULTS: list[tuple[dict[str, object], str]] = [
    ({"form": 0x02}, "icc-certificate-wrong"),
    ({"name": bytes.fromhex("6228000100001125FFFF")}, "icc-certificate-not-of-this-card"),
    ({"expiry_mmyy": "1026"}, "icc-certificate-expired"),
    ({"algorithms": b"\x02\x01"}, "icc-certificate-algorithm-unknown"),
    ({"exponent": b"\x11"}, "icc-certificate-algorithm-unknown"),
    ({"cut_remainder": 1}, "icc-certificate-incomplete"),
]


@pytest.mark.parametrize(("change", "reason"), ICC_FAULTS)
def test_a_card_certificate_fails_on_each_wrong_field(change: dict[str, object], reason: str) -> None:
    assert dda(Card(icc=replace(Card().icc, **change))).reason == reason  # type: ignore[arg-type]


def test_a_certificate_holds_to_the_last_day_of_its_month() -> None:
    card = Card(issuer=replace(Card().issuer, expiry_mmyy="1126"))
    assert dda(card, date="261130").verdict is OdaVerdict.PASSED
    assert dda(card, date="261201").reason == "issuer-certificate-expired"


def test_a_ca_key_past_its_day_proves_nothing() -> None:
    assert dda(Card(), store(expiry="261122")).verdict is OdaVerdict.PASSED
    assert dda(Card(), store(expiry="261121")).reason == "ca-key-expired"


def test_a_revoked_issuer_certificate_fails_under_its_own_ca_key_only() -> None:
    rid, serial = bytes.fromhex("A000000333"), b"\x00\x00\xa1"
    revoked = RevocationList.of([RevokedCertificate(rid, 0x80, serial)])
    oda = dda(Card(), store(revoked=revoked))
    assert (oda.verdict, oda.reason) == (OdaVerdict.FAILED, "issuer-certificate-revoked")
    assert authenticate_static(Card().evidence(), store(revoked=revoked)).reason == "issuer-certificate-revoked"
    for elsewhere in (
        RevokedCertificate(rid, 0x81, serial),
        RevokedCertificate(rid, 0x80, b"\x00\x00\xa2"),
        RevokedCertificate(b"\xa0\x00\x00\x00\x03", 0x80, serial),
    ):
        assert dda(Card(), store(revoked=RevocationList.of([elsewhere]))).verdict is OdaVerdict.PASSED


@pytest.mark.parametrize(
    ("head", "reason"), [(b"\x03\x01", "signature-wrong"), (b"\x05\x02", "signature-algorithm-unknown")]
)
def test_a_signature_of_another_form_or_hash_is_refused(head: bytes, reason: str) -> None:
    signature = sdad(b"\x02\x00\xae", NUMBER, head)
    assert authenticate_dynamic(Card().evidence(), store(), NUMBER, signature).reason == reason


def test_dynamic_data_longer_than_the_signature_are_refused() -> None:
    room = len(ICC.octets) - 25
    overlong = signed(ICC, b"\x05\x01" + bytes([room + 1]), NUMBER, b"\xbb")
    assert authenticate_dynamic(Card().evidence(), store(), NUMBER, overlong).reason == "signature-wrong"
    assert dda(Card(), dynamic=b"").signed_data == {}
    assert dda(Card(), dynamic=b"\x09" + bytes(9)).signed_data == {}


@pytest.mark.parametrize(
    ("ddol", "reason"),
    [("9F3704", ""), ("9F0206", "ddol-without-unpredictable-number"), ("9F37", "ddol-without-unpredictable-number")],
)
def test_a_ddol_has_to_ask_for_the_unpredictable_number(ddol: str, reason: str) -> None:
    assert dda(Card(data={0x9F49: bytes.fromhex(ddol)})).reason == reason


@pytest.mark.parametrize(("tag_list", "good"), [(b"\x82", True), (b"\x95", False), (b"\x82\x82", False), (b"", False)])
def test_the_tag_list_may_name_the_aip_and_nothing_else(tag_list: bytes, good: bool) -> None:
    static = static_data_of([AuthenticatedRecord(1, RECORD)], {0x82: AIP, 0x9F4A: tag_list, 0x95: bytes(5)})
    assert isinstance(static, bytes) is good


def test_a_record_counts_with_its_template_above_sfi_ten() -> None:
    assert static_data_of([AuthenticatedRecord(10, RECORD)], {}) == RECORD[2:]
    assert static_data_of([AuthenticatedRecord(11, RECORD)], {}) == RECORD


def test_fdda_takes_what_gpo_sent() -> None:
    sent = {0x9F37: NUMBER, 0x9F02: bytes(6), 0x5F2A: b"\x01\x56"}
    related = bytes.fromhex("01AABBCCDD0000")
    for signature, extra in (
        (sdad(b"\x02\x00\x01", NUMBER), {}),
        (sdad(b"\x02\x00\x01", NUMBER + bytes(6) + b"\x01\x56" + related), {0x9F69: related}),
    ):
        oda = authenticate_fast(Card(data={0x9F4B: signature, **extra}).evidence(), store(), sent)
        assert (oda.verdict, oda.signed_data) == (OdaVerdict.PASSED, {0x9F4C: b"\x00\x01"})
    later = Card(data={0x9F4B: signature, 0x9F69: b"\x02" + related[1:]}).evidence()
    assert authenticate_fast(later, store(), sent).reason == "fdda-version-unknown"


AC = bytes.fromhex("1122334455667788")


HEAD = bytes.fromhex("9F270140" + "9F36020001" + "9F100706010A03A00000")


def combined(
    relay: bytes = b"", hashed: bytes = b"PDOL" + b"CDOL1", behind: bytes = b"", head: bytes = HEAD
) -> CombinedSignature:
    """A TC answered to GENERATE AC; the card signs `relay` and `behind`."""
    digest = hashlib.sha1(hashed + head, usedforsecurity=False).digest()
    dynamic = b"\x02\x00\xae" + b"\x40" + AC + digest + relay + behind
    signature = sdad(dynamic, NUMBER)
    return CombinedSignature(NUMBER, b"PDOL", b"CDOL1", head + encode_tlv(0x9F4B, signature))


def cda(signature: CombinedSignature) -> Oda:
    return authenticate_combined(Card().evidence(), store(), signature)


def test_cda_gives_the_cryptogram_that_only_the_signature_holds() -> None:
    oda = cda(combined())
    assert (oda.verdict, oda.signed_data) == (OdaVerdict.PASSED, {0x9F4C: b"\x00\xae", 0x9F26: AC})


def test_cda_covers_the_relay_resistance_data_where_the_protocol_ran() -> None:
    """EMV Book C-2, Table 6.8: they stand behind the transaction data hash."""
    assert cda(replace(combined(RELAY), relay_resistance=RELAY)).verdict is OdaVerdict.PASSED
    assert cda(replace(combined(RELAY, behind=b"\x00"), relay_resistance=RELAY)).verdict is OdaVerdict.PASSED
    for at in range(len(RELAY)):
        other = RELAY[:at] + bytes([RELAY[at] ^ 1]) + RELAY[at + 1 :]
        assert cda(replace(combined(other), relay_resistance=RELAY)).reason == "relay-resistance-data-differ"
    assert cda(replace(combined(), relay_resistance=RELAY)).reason == "relay-resistance-data-differ"
    assert cda(combined(RELAY)).verdict is OdaVerdict.PASSED


@pytest.mark.parametrize("written", ["9F27810140" + "9F36020001", "9F27820001409F3681020001", "9F270140E305DF02810155"])
def test_cda_covers_the_length_fields_as_the_card_wrote_them(written: str) -> None:
    """EMV Book 2, 6.6.2, step 10: the hash is over tags, lengths and values as they were returned."""
    assert cda(combined(head=bytes.fromhex(written))).verdict is OdaVerdict.PASSED
    respelled = combined(head=bytes.fromhex("9F27810140")).response.replace(bytes.fromhex("9F278101"), b"\x9f\x27\x01")
    assert cda(replace(combined(), response=respelled)).reason == "transaction-data-differ"


def test_a_second_cryptogram_covers_the_second_list_too() -> None:
    second = combined(hashed=b"PDOLCDOL1CDOL2")
    assert cda(replace(second, cdol2_values=b"CDOL2")).verdict is OdaVerdict.PASSED
    assert cda(second).reason == "transaction-data-differ"


def test_cda_with_another_cryptogram_type_than_signed_is_refused() -> None:
    good = combined()
    response = good.response.replace(bytes.fromhex("9F270140"), bytes.fromhex("9F270180"))
    assert cda(replace(good, response=response)).reason == "cryptogram-information-differs"
    assert cda(replace(good, response=HEAD)).reason == "data-missing-9F4B"
    short = encode_tlv(0x9F4B, sdad(b"\x02\x00\xae\x40", NUMBER))
    assert cda(replace(good, response=short)).reason == "signature-wrong"


@pytest.mark.parametrize("tag", [0x8F, 0x90, 0x9F32, 0x9F46, 0x9F47])
def test_a_missing_data_object_is_named(tag: int) -> None:
    assert dda(Card(data={tag: b""})).reason == f"data-missing-{tag:X}"
