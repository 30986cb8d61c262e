"""The Mastercard: GENERATE AC with and without signature, relay resistance, recovery, mag-stripe mode. Cryptograms are
judged by pyemv, signatures by the terminal."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyemv.ac import generate_arpc_1
from pyemv.cvn import MasterCardCVN16, MasterCardCVN17, MasterCardCVN20, MasterCardCVN21
from pyemv.cvv import generate_cvc3
from pyemv.kd import derive_common_sk, derive_icc_mk_a

from taphost.issuer_keys import purpose_key
from taplab.card import Card, Scheme, load_card
from taplab.card.issuing import CODE_PURPOSE
from taptill.card.dol import fill_dol
from taptill.card.outcome import Oda, OdaVerdict
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.proof.certificates import RsaPublicKey, recover
from taptill.card.proof.offline_authentication import (
    AuthenticatedRecord,
    CombinedSignature,
    Evidence,
    authenticate_combined,
    static_data_of,
)
from taptill.card.tlv import encode_tlv, parse_tlv

MASTERCARD = bytes.fromhex("A000000004")
FUNDS = ("[offline]", "balance_minor = 20000", "single_limit_minor = 10000")
SDAD_HEAD_OCTETS = 4  # header, format, hash algorithm, length of the ICC dynamic data
TapACard = Callable[..., Any]
MakeCard = Callable[..., Card]


def ready(tap: TapACard, card: Card | str, **terminal: bytes) -> Any:
    """Up to GENERATE AC."""
    tapped = tap(card, **terminal)
    assert tapped.process() == "9000"
    tapped.read()
    return tapped


def authenticate(tapped: Any, scheme: Scheme) -> Oda:
    """CDA as the terminal does it, over what this tap sent and got."""
    signed = static_data_of([AuthenticatedRecord(2, tapped.records[2, 1])], tapped.got)
    evidence = Evidence(MASTERCARD, tapped.got, tapped.got[0x5A].hex(), signed, "260115")
    combined = CombinedSignature(
        unpredictable_number=tapped.sent[0x9F37],
        pdol_values=fill_dol(tapped.got.get(0x9F38, b""), tapped.sent),
        cdol_values=fill_dol(tapped.got[0x8C], tapped.sent),
        response=parse_tlv(tapped.answer)[0].value,
    )
    return authenticate_combined(evidence, CaKeyStore.of(scheme.ca_keys()), combined)


def dynamic_data(tapped: Any, scheme: Scheme) -> bytes:
    """The ICC dynamic data, opened with the public half of the card's key."""
    block = recover(tapped.got[0x9F4B], RsaPublicKey(scheme.card.modulus, scheme.card.exponent))
    assert block is not None
    return block[SDAD_HEAD_OCTETS : SDAD_HEAD_OCTETS + block[SDAD_HEAD_OCTETS - 1]]


@pytest.mark.parametrize(
    ("lines", "profile"),  # EMV Book C-2, Annex A: 82
    [
        ((), "1980"),
        (("[mastercard]", "signs = false"), "1880"),
        (("[mastercard.relay]",), "1981"),
        (("[verification]", "consumer_device = true"), "1b80"),
        (("[mastercard]", 'mode = "mag-stripe"'), "0000"),
    ],
)
def test_the_interchange_profile_says_what_the_card_can(
    tap: TapACard, make: MakeCard, lines: tuple[str, ...], profile: str
) -> None:
    tapped = tap(make("mastercard", *lines))
    assert tapped.process() == "9000"
    assert tapped.got[0x82].hex() == profile


def test_the_records_hold_what_book_c2_asks_of_them(tap: TapACard) -> None:
    tapped = ready(tap, "mastercard_credit")
    assert {0x5A, 0x5F24, 0x8C, 0x8D, 0x8E, 0x9F07, 0x9F0D, 0x9F0E, 0x9F0F, 0x8F, 0x90, 0x9F46} <= set(tapped.got)
    assert tapped.got[0x94].startswith(bytes.fromhex("08010100"))


def test_the_reader_may_be_asked_for_data_before_gpo(tap: TapACard, make: MakeCard, scheme: Scheme) -> None:
    tapped = ready(tap, make("mastercard", 'pdol = "9F33039F3501"'))
    assert tapped.generate("90") == "9000"
    assert authenticate(tapped, scheme).verdict is OdaVerdict.PASSED


@pytest.mark.parametrize(
    ("control", "terminal", "expected"),
    [
        ("00", {}, "00"),
        ("40", {}, "40"),
        ("50", {}, "40"),
        ("80", {}, "80"),
        ("90", {}, "80"),
        ("50", {"_9F02": bytes.fromhex("000000010001")}, "80"),
        ("50", {"_9F02": bytes.fromhex("000000010001"), "_9F35": b"\x23"}, "00"),
        ("50", {"_5F2A": bytes.fromhex("0840")}, "80"),
    ],
)
def test_the_card_decides_by_request_funds_and_reader(
    tap: TapACard, make: MakeCard, control: str, terminal: dict[str, bytes], expected: str
) -> None:
    tapped = ready(tap, make("mastercard", *FUNDS), **terminal)
    assert tapped.generate(control) == "9000"
    assert tapped.got[0x9F27].hex() == expected


@pytest.mark.parametrize("control", ["50", "90"], ids=["approved offline", "asking the issuer"])
def test_a_combined_signature_holds_over_all_that_was_exchanged(
    tap: TapACard, make: MakeCard, scheme: Scheme, control: str
) -> None:
    tapped = ready(tap, make("mastercard", *FUNDS))
    assert tapped.generate(control) == "9000"
    assert [f"{tlv.tag:X}" for tlv in parse_tlv(tapped.answer)[0].children] == ["9F27", "9F36", "9F4B", "9F10"]
    assert tapped.got[0x9F10][2:4].hex() == {"50": "9040", "90": "a040"}[control]  # A040 as a recorded card has it
    oda = authenticate(tapped, scheme)
    assert (oda.verdict, oda.reason, oda.test_key) == (OdaVerdict.PASSED, "", True)
    tapped.sent[0x9F02] = bytes.fromhex("000000000100")
    assert authenticate(tapped, scheme).reason == "transaction-data-differ"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("wrong_signature", "signature-wrong"),
        ("broken_certificate", "icc-certificate-wrong"),
        ("expired_certificate", "icc-certificate-expired"),
    ],
)
def test_a_false_proof_fails_for_its_own_reason(
    tap: TapACard, make: MakeCard, scheme: Scheme, fault: str, reason: str
) -> None:
    tapped = ready(tap, make("mastercard", "[faults]", f"{fault} = true"))
    tapped.generate("90")
    assert authenticate(tapped, scheme).reason == reason


@pytest.mark.parametrize("control", ["80", "00"])
def test_without_a_signature_the_cryptogram_stands_in_the_answer(tap: TapACard, control: str) -> None:
    tapped = ready(tap, "mastercard_credit")
    assert tapped.generate(control) == "9000"
    assert [f"{tlv.tag:X}" for tlv in parse_tlv(tapped.answer)[0].children] == ["9F27", "9F36", "9F26", "9F10"]


def test_a_declined_transaction_is_not_signed(tap: TapACard) -> None:
    tapped = ready(tap, "mastercard_credit")
    tapped.generate("10")
    assert (tapped.got[0x9F27].hex(), 0x9F4B in tapped.got) == ("00", False)


@pytest.mark.parametrize(
    ("version", "judge"),
    [("10", MasterCardCVN16), ("11", MasterCardCVN17), ("14", MasterCardCVN20), ("15", MasterCardCVN21)],
)
def test_the_cryptogram_is_the_one_another_implementation_makes(
    tap: TapACard, make: MakeCard, scheme: Scheme, version: str, judge: Any
) -> None:
    tapped = ready(tap, make("mastercard", "[mastercard]", f'cryptogram_version = "{version}"'))
    tapped.generate("80")
    key = scheme.issuer_key
    issuer = judge(key, key, key, "5413339000001513", "01")
    told = [tapped.sent[tag] for tag in (0x9F02, 0x9F03, 0x9F1A, 0x95, 0x5F2A, 0x9A, 0x9C, 0x9F37)]
    issuer_data = tapped.got[0x9F10]
    assert (issuer_data[1:2].hex(), len(issuer_data)) == (version, 18)
    counters = [issuer_data[10:]] if version in ("11", "15") else []
    expected = issuer.generate_ac(*told, tapped.got[0x82], tapped.got[0x9F36], issuer_data[2:8], *counters)
    assert tapped.got[0x9F26] == expected


def test_the_signature_holds_the_cryptogram(tap: TapACard, scheme: Scheme) -> None:
    tapped = ready(tap, "mastercard_credit")
    tapped.generate("90")
    inside = dynamic_data(tapped, scheme)
    key = scheme.issuer_key
    issuer: Any = MasterCardCVN20(key, key, key, "5413339000001513", "01")
    told = [tapped.sent[tag] for tag in (0x9F02, 0x9F03, 0x9F1A, 0x95, 0x5F2A, 0x9A, 0x9C, 0x9F37)]
    expected = issuer.generate_ac(*told, tapped.got[0x82], tapped.got[0x9F36], tapped.got[0x9F10][2:8])
    assert inside[:1] + inside[9:18] == b"\x08\x80" + expected


def test_an_offline_sale_is_spent_and_shown_in_the_balance(tap: TapACard) -> None:
    tapped = ready(tap, "mastercard_offline")
    assert tapped.command("80CA9F50")[0].hex() == "9f5006000000020000"
    tapped.generate("50")
    assert tapped.command("80CA9F50")[0].hex() == "9f5006000000017500"
    assert tapped.command("80CA9F17")[0].hex() == "9f170103"


def relay(tapped: Any, entropy: str = "01020304") -> tuple[bytes, str]:
    answered: tuple[bytes, str] = tapped.command("80EA0000", bytes.fromhex(entropy))
    return answered


def test_relay_resistance_data_is_exchanged_and_signed(tap: TapACard, scheme: Scheme) -> None:
    tapped = ready(tap, "mastercard_relay")
    answered, status = relay(tapped)
    assert (status, answered[:2].hex(), answered[6:].hex()) == ("9000", "800a", "001400640012")
    tapped.sent[0x9F37] = bytes.fromhex("01020304")
    tapped.generate("90")
    inside = dynamic_data(tapped, scheme)
    exchanged = fill_dol(tapped.got[0x8C], tapped.sent)
    told = b"".join(encode_tlv(tlv.tag, tlv.value) for tlv in parse_tlv(tapped.answer)[0].children if tlv.tag != 0x9F4B)
    assert inside[18:38] == hashlib.sha1(exchanged + told).digest()
    assert inside[38:] == bytes.fromhex("01020304") + answered[2:]


def test_relay_resistance_is_tried_three_times_and_not_behind_the_cryptogram(tap: TapACard) -> None:
    tapped = ready(tap, "mastercard_relay")
    assert [relay(tapped)[1] for _ in range(4)] == ["9000", "9000", "9000", "6985"]
    assert relay(ready(tap, "mastercard_relay"), "0102")[1] == "6700"
    tapped.again()
    tapped.read()
    tapped.generate("80")
    assert relay(tapped)[1] == "6985"
    assert relay(ready(tap, "mastercard_credit"))[1] == "6d00"


def test_a_relayed_card_takes_longer_than_it_claims(tap: TapACard) -> None:
    tapped = ready(tap, "mastercard_relayed")
    answer = tapped.card.answer(bytes.fromhex("80EA0000040102030400"))
    assert answer.compute_ms * 10 > int.from_bytes(answer.octets[8:10], "big")


def test_a_torn_card_gives_its_answer_again_to_who_asked(tmp_path: Path, tap: TapACard, scheme: Scheme) -> None:
    state_path = tmp_path / "card.json"
    tapped = ready(tap, load_card("mastercard_offline", scheme, Counted(), state_path))
    tapped.generate("50")
    given = tapped.answer
    card = load_card("mastercard_offline", scheme, Counted(), state_path)  # its memory survives its power
    tapped = ready(tap, card)
    assert tapped.command("80D00000", bytes(4))[1] == "6985"
    assert tapped.command("80D00000", tapped.sent[0x9F37]) == (given, "9000")
    assert tapped.generate("50") == "6985"
    assert card.state().balance_minor == 17500


class Counted:
    """Entropy for cards that are loaded twice."""

    def octets(self, count: int) -> bytes:
        return bytes(range(count))


def test_a_card_without_recovery_does_not_know_the_command(tap: TapACard, make: MakeCard) -> None:
    tapped = ready(tap, make("mastercard", "[mastercard]", "recovers = false"))
    assert 0x9F51 not in tapped.got
    assert tapped.command("80D00000", bytes(4))[1] == "6d00"


@pytest.mark.parametrize(
    ("right", "expected"), [(True, "40"), (False, "00")], ids=["the issuer's answer", "somebody else's answer"]
)
def test_the_second_cryptogram_approves_only_what_the_issuer_answered(
    tap: TapACard, scheme: Scheme, right: bool, expected: str
) -> None:
    tapped = ready(tap, "mastercard_credit")
    tapped.generate("80")
    card_key = derive_icc_mk_a(scheme.issuer_key, "5413339000001513", "01")
    session_key = derive_common_sk(card_key, tapped.got[0x9F36] + bytes(6))
    arpc = generate_arpc_1(session_key, tapped.got[0x9F26], b"\x00\x10")
    answered = arpc if right else bytes(8)
    tapped.sent |= {0x91: answered + b"\x00\x10", 0x8A: b"00"}
    tapped.answer, status = tapped.command("80AE4000", fill_dol(tapped.got[0x8D], tapped.sent))
    assert status == "9000"
    assert parse_tlv(tapped.answer)[0].children[0].value.hex() == expected
    assert tapped.command("80AE4000", fill_dol(tapped.got[0x8D], tapped.sent))[1] == "6985"


@pytest.mark.parametrize(
    ("command", "status"),
    [("80AE80000100", "6700"), ("80AEC0000100", "6a86"), ("80AE80010100", "6a86"), ("802A8E80040000000000", "6d00")],
)
def test_a_wrong_command_gets_its_status_word(tap: TapACard, command: str, status: str) -> None:
    card = ready(tap, "mastercard_credit").card
    assert card.answer(bytes.fromhex(command)).octets.hex() == status


def test_nothing_is_decided_before_processing_options(tap: TapACard) -> None:
    assert tap("mastercard_credit").card.answer(bytes.fromhex("80AE80000100")).octets.hex() == "6985"


def test_a_mag_stripe_card_computes_the_code_another_implementation_computes(tap: TapACard, scheme: Scheme) -> None:
    tapped = ready(tap, "mastercard_mag_stripe")
    track2 = tapped.got[0x9F6B]
    assert len(track2) == 19  # 37 digits and their padding
    tapped.sent[0x9F6A] = bytes.fromhex("00000899")
    answered, status = tapped.command("802A8E80", fill_dol(tapped.got[0x9F69], tapped.sent))
    assert status == "9000"
    told = {tlv.tag: tlv.value for tlv in parse_tlv(answered)[0].children}
    key = derive_icc_mk_a(purpose_key(scheme.issuer_key, CODE_PURPOSE), "5413339000001562", "01")
    expected = generate_cvc3(key, track2, told[0x9F36], bytes.fromhex("00000899"))
    assert int.from_bytes(told[0x9F61], "big") == int(expected)


def test_a_phone_wants_its_holder_above_its_limit_and_says_so(tap: TapACard, scheme: Scheme) -> None:
    tapped = ready(tap, "mastercard_phone", _9F02=bytes.fromhex("000000010001"))
    tapped.generate("90")
    assert (tapped.got[0x9F27].hex(), tapped.got[0xDF4B].hex()) == ("00", "000100")
    tapped.again()
    tapped.read()
    tapped.generate("90")
    assert (tapped.got[0x9F27].hex(), tapped.got[0xDF4B].hex()) == ("80", "001000")
    assert authenticate(tapped, scheme).verdict is OdaVerdict.PASSED


def test_a_phone_below_its_limit_has_nothing_to_say(tap: TapACard) -> None:
    tapped = ready(tap, "mastercard_phone", _9F02=bytes.fromhex("000000010000"))
    tapped.generate("90")
    assert (tapped.got[0x9F27].hex(), 0xDF4B in tapped.got) == ("80", False)
