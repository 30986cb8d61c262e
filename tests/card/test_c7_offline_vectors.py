"""qPBOC offline: foreign personalisations with known keys sign for us, and the kernel has to tell good from bad."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.card.vector_keys import KEY_IS_NOT_HERE, is_keyless, vector_stores
from tests.conformance import NotApplicable

from taptill.amount.money import Money
from taptill.card.apdu import split_command
from taptill.card.dol import split_dol
from taptill.card.outcome import Cvm, OdaMethod, OdaVerdict, OutcomeKind
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.tlv import encode_tlv, find, flatten, parse_tlv, walk

Case = dict[str, Any]
UNIONPAY = bytes.fromhex("A000000333")
RECORD = re.compile(r"0[1-9]0[1-9]")  # SFI and number of a record that READ RECORD gives
PAN_TC_CVR = bytes.fromhex("07010103900000010A01000000000000000000")


def personalisations(document: Case) -> Iterator[tuple[str, Case | NotApplicable]]:
    if "dgis" in document and "icc_rsa_crt" in document:
        keyless = is_keyless(UNIONPAY, PersonalisedCard(document).ca_index)
        yield "card", KEY_IS_NOT_HERE if keyless else document


class PersonalisedCard:
    """A card built from DGIs that answers qPBOC with a TC and a real fDDA signature. `extra` is added to the GPO
    answer, `records` replaces record contents, `version` is the fDDA version."""

    def __init__(self, document: Case, extra: bytes = b"", version: int = 0, cvr: bytes = PAN_TC_CVR) -> None:
        self.dgis = {name.split()[0]: bytes.fromhex(value) for name, value in document["dgis"].items() if value}
        ppse = [value for name, value in document["dgis"].items() if name.startswith("PSE") or name.startswith("PPSE")]
        self.ppse = bytes.fromhex(ppse[0])
        self.fci = next(bytes.fromhex(v) for n, v in document["dgis"].items() if n.startswith("9103"))
        self.options = next(bytes.fromhex(v) for n, v in document["dgis"].items() if n.startswith("9207"))
        crt = {name: int(value, 16) for name, value in document["icc_rsa_crt"].items()}
        self.modulus = crt["p"] * crt["q"]
        exponent = int(document["icc_rsa_e"], 16)
        self.private = pow(exponent, -1, (crt["p"] - 1) * (crt["q"] - 1))
        self.extra, self.version, self.cvr = extra, version, cvr
        self.related = b""
        self.spoil = False
        tlvs = [tlv for name, octets in self.dgis.items() if RECORD.fullmatch(name) for tlv in walk(parse_tlv(octets))]
        self.pan = next(tlv.value for tlv in tlvs if tlv.tag == 0x5A).hex().rstrip("f")
        self.ca_index = next((tlv.value for tlv in tlvs if tlv.tag == 0x8F), b"")
        self.expiry = next(tlv.value for tlv in tlvs if tlv.tag == 0x5F24).hex()
        tracks = (tlv.value for tlv in tlvs if tlv.tag == 0x57 and tlv.value.hex().startswith(f"{self.pan}d"))
        self.track2 = next(tracks, bytes.fromhex(f"{self.pan}D{self.expiry[:4]}201F{'' if len(self.pan) % 2 else 'F'}"))
        places = find(parse_tlv(self.options), 0x94) or b""
        self.last_record = (places[-4] >> 3, places[-2])

    @property
    def good_day(self) -> str:
        """In the month in which the card expires."""
        return f"{self.expiry[:4]}01"

    def __call__(self, command: bytes) -> bytes:
        apdu = split_command(command)
        if apdu.ins == 0xA4:
            return (self.ppse if apdu.data.startswith(b"2PAY") else self.fci) + b"\x90\x00"
        if apdu.ins == 0xA8:
            return self._options(apdu.data) + b"\x90\x00"
        record = self.dgis.get(f"{apdu.p2 >> 3:02X}{apdu.p1:02X}")
        if record is None:
            return b"\x6a\x83"
        if (apdu.p2 >> 3, apdu.p1) == self.last_record and self.related:
            record = encode_tlv(0x70, encode_tlv(0x9F69, self.related))
        return record + b"\x90\x00"

    def _options(self, data: bytes) -> bytes:
        pdol = find(parse_tlv(self.fci), 0x9F38) or b""
        sent = split_dol(pdol, find(parse_tlv(data), 0x83) or b"")
        counter = b"\x00\x01"
        covered = sent[0x9F37]
        if self.version == 1:
            self.related = b"\x01" + bytes(4) + self._qualifiers()
            covered += sent[0x9F02] + sent[0x5F2A] + self.related
        static = flatten(parse_tlv(self.options))
        body = encode_tlv(0x82, static[0x82]) + encode_tlv(0x94, static[0x94]) + encode_tlv(0x9F36, counter)
        body += encode_tlv(0x9F10, self.cvr) + encode_tlv(0x9F26, bytes(8))
        body += encode_tlv(0x57, self.track2)
        body += encode_tlv(0x9F4B, self._sign(counter, covered)) + self.extra
        return encode_tlv(0x77, body)

    def _qualifiers(self) -> bytes:
        return find(parse_tlv(self.extra), 0x9F6C) or bytes(2)

    def _sign(self, counter: bytes, covered: bytes) -> bytes:
        octets = (self.modulus.bit_length() + 7) // 8
        dynamic = bytes([len(counter)]) + counter
        body = bytes([0x05, 0x01, len(dynamic)]) + dynamic
        body = body.ljust(octets - 22, b"\xbb")
        digest = hashlib.sha1(body + covered).digest()
        block = b"\x6a" + body + digest + b"\xbc"
        if self.spoil:
            block = b"\x6a" + body + bytes(20) + b"\xbc"
        return pow(int.from_bytes(block, "big"), self.private, self.modulus).to_bytes(octets, "big")


Tap = Callable[..., Any]


@pytest.fixture
def tap_it(tap: Tap) -> Tap:
    """A tap on a day when the card is valid; with the scheme's keys, of disputed ones those that the card is under."""

    def hold(card: PersonalisedCard, ca_keys: CaKeyStore | None = None, **changes: object) -> Any:
        changes.setdefault("date_yymmdd", card.good_day)
        stores = vector_stores() if ca_keys is None else (ca_keys,)
        taps = [tap(card, store, **changes) for store in stores]
        return next((each for each in taps if each[0].oda.reason != "issuer-certificate-wrong"), taps[0])

    return hold


vectors = pytest.mark.vectors(folder="cards", cases=personalisations)


@vectors
@pytest.mark.parametrize("version", [0, 1])
def test_a_card_that_signs_this_sale_is_approved_offline(vector: Case, tap_it: Tap, version: int) -> None:
    read, commands = tap_it(PersonalisedCard(vector, version=version))
    assert read.outcome.kind is OutcomeKind.APPROVED
    assert (read.oda.method, read.oda.verdict) == (OdaMethod.FDDA, OdaVerdict.PASSED)
    assert read.tvr == bytes(5)
    assert read.number is not None
    assert vector["pan"].startswith(read.number.pan.reveal().decode())
    assert read.data[0x9F27] == b"\x40"
    assert not {0x5A, 0x57, 0x56, 0x9F6B, 0x5F20} & set(read.data)
    assert read.number.pan.reveal().decode() not in repr(read)
    assert [command[1] for command in commands[:3]] == [0xA4, 0xA4, 0xA8]


@vectors
def test_a_wrong_signature_declines(vector: Case, tap_it: Tap) -> None:
    card = PersonalisedCard(vector)
    card.spoil = True
    read, _ = tap_it(card)
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.DECLINED, "oda-failed")
    assert (read.oda.verdict, read.tvr.hex()) == (OdaVerdict.FAILED, "0800000000")


@vectors
@pytest.mark.parametrize(
    ("qualifiers", "ttq", "online", "expected"),
    [
        ("2000", "26000080", True, OutcomeKind.ONLINE_REQUEST),
        ("2000", "26000080", False, OutcomeKind.DECLINED),
        ("1000", "36000080", True, OutcomeKind.TRY_ANOTHER_INTERFACE),
        ("1000", "26000080", True, OutcomeKind.DECLINED),
        ("0000", "36000080", True, OutcomeKind.DECLINED),
    ],
)
def test_the_card_says_where_a_failed_authentication_may_go(
    vector: Case, tap_it: Tap, qualifiers: str, ttq: str, online: bool, expected: OutcomeKind
) -> None:
    card = PersonalisedCard(vector, extra=encode_tlv(0x9F6C, bytes.fromhex(qualifiers)))
    card.spoil = True
    read, _ = tap_it(card, ttq=bytes.fromhex(ttq), online_possible=online)
    assert read.outcome.kind is expected


@vectors
def test_without_the_scheme_s_key_nothing_is_approved(vector: Case, tap_it: Tap) -> None:
    read, _ = tap_it(PersonalisedCard(vector), CaKeyStore())
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.DECLINED, "no-ca-key")


@vectors
def test_a_card_that_approves_what_must_go_online_is_declined(vector: Case, tap_it: Tap) -> None:
    read, _ = tap_it(PersonalisedCard(vector), offline_allowed=False)
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.DECLINED, "card-approved-what-must-go-online")


@vectors
def test_an_amount_above_the_floor_asks_for_an_online_cryptogram(vector: Case, tap_it: Tap) -> None:
    card = PersonalisedCard(vector)
    pdol = find(parse_tlv(card.fci), 0x9F38) or b""
    read, commands = tap_it(card, floor_limit_minor=99)
    assert split_dol(pdol, find(parse_tlv(split_command(commands[2]).data), 0x83) or b"")[0x9F66].hex() == "22800080"
    assert read.outcome.kind is OutcomeKind.DECLINED


@vectors
def test_an_expired_card_is_declined_and_the_tvr_says_so(vector: Case, tap_it: Tap) -> None:
    card = PersonalisedCard(vector)
    next_year = f"{int(card.expiry[:2]) + 1:02}0101"
    read, _ = tap_it(card, date_yymmdd=next_year)
    assert read.outcome.kind is OutcomeKind.DECLINED
    assert read.tvr[1] & 0x40


@vectors
def test_a_card_is_good_on_its_last_day_and_the_scheme_s_key_is_not_after_its_own(vector: Case, tap_it: Tap) -> None:
    card = PersonalisedCard(vector)
    stores = [CaKeyStore.of(replace(key, expiry_yymmdd="") for key in store) for store in vector_stores()]
    taps = [tap_it(card, store, date_yymmdd=card.expiry)[0] for store in stores]
    assert (OutcomeKind.APPROVED, bytes(5)) in [(read.outcome.kind, read.tvr) for read in taps]
    day_before = f"{card.expiry[:4]}{int(card.expiry[4:]) - 1:02}"
    stores = [CaKeyStore.of(replace(key, expiry_yymmdd=day_before) for key in store) for store in stores]
    reasons = {
        (read.outcome.reason, read.oda.reason)
        for read, _ in (tap_it(card, each, date_yymmdd=card.expiry) for each in stores)
    }
    assert reasons == {("oda-failed", "ca-key-expired")}


@vectors
def test_a_listed_card_is_declined(vector: Case, tap_it: Tap) -> None:
    card = PersonalisedCard(vector)
    listed = frozenset({hashlib.sha256(card.pan.encode()).digest()})
    read, _ = tap_it(card, exceptions=listed)
    assert (read.outcome.reason, read.tvr[0] & 0x10) == ("exception-list", 0x10)


@vectors
@pytest.mark.parametrize(
    ("qualifiers", "version", "ttq", "cvm", "reason"),
    [
        (None, 0, "26000080", Cvm.SIGNATURE, ""),
        (None, 0, "24000080", Cvm.NOT_APPLICABLE, "no-pin-pad"),
        ("8000", 0, "26000080", Cvm.NOT_APPLICABLE, "no-pin-pad"),
        ("C000", 0, "26000080", Cvm.SIGNATURE, ""),
        ("0080", 1, "26000080", Cvm.CONSUMER_DEVICE, ""),
        ("0080", 0, "26000080", Cvm.NOT_APPLICABLE, "device-verification-unproven"),
    ],
)
def test_above_the_cvm_limit_somebody_has_to_be_verified(
    vector: Case, tap_it: Tap, qualifiers: str | None, version: int, ttq: str, cvm: Cvm, reason: str
) -> None:
    extra = encode_tlv(0x9F6C, bytes.fromhex(qualifiers)) if qualifiers else b""
    card = PersonalisedCard(vector, extra=extra, version=version)
    read, _ = tap_it(card, amount=Money(100_000), ttq=bytes.fromhex(ttq))
    assert (read.outcome.cvm, read.outcome.reason) == (cvm, reason)


@vectors
def test_an_arqc_ends_the_card_s_part_without_reading_records(vector: Case, tap_it: Tap) -> None:
    card = PersonalisedCard(vector, cvr=bytes.fromhex("07010103A00000010A01000000000000000000"))
    read, commands = tap_it(card)
    assert read.outcome.kind is OutcomeKind.ONLINE_REQUEST
    assert len(commands) == 3
    assert read.data[0x9F27] == b"\x80"


@vectors
def test_a_card_cannot_speak_for_the_terminal(vector: Case, tap_it: Tap) -> None:
    lie = encode_tlv(0x9F02, bytes(6)) + encode_tlv(0x95, b"\xff" * 5)
    read, _ = tap_it(PersonalisedCard(vector, extra=lie))
    assert read.data[0x9F02].hex() == "000000000100"
    assert read.data[0x95] == bytes(5)
