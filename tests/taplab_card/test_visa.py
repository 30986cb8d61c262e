"""The Visa card: what it decides and says, its cryptograms judged by pyemv, its signatures by the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pyemv.cvn import VisaCVN10, VisaCVN18

from taplab.card import Card, Scheme
from taptill.card.outcome import Oda, OdaVerdict
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.proof.offline_authentication import AuthenticatedRecord, Evidence, authenticate_fast, static_data_of
from taptill.card.tlv import parse_tlv

VISA = bytes.fromhex("A000000003")
ONLINE_REQUIRED = bytes.fromhex("26800080")
CVM_REQUIRED = bytes.fromhex("26C00080")
SIGNS_ONLINE = bytes.fromhex("27800080")
FUNDS = ("[offline]", "balance_minor = 20000", "single_limit_minor = 10000")
TapACard = Callable[..., Any]
MakeCard = Callable[..., Card]


def processed(tap: TapACard, card: Card | str, **terminal: bytes) -> Any:
    tapped = tap(card, **terminal)
    assert tapped.process() == "9000"
    return tapped


def tags_of(tapped: Any) -> list[str]:
    return [f"{tlv.tag:X}" for tlv in parse_tlv(tapped.answer)[0].children]


def authenticate(tapped: Any, scheme: Scheme) -> Oda:
    """fDDA as the terminal does it, over what this tap sent and got."""
    signed = static_data_of([AuthenticatedRecord(3, tapped.records[3, 1])], tapped.got)
    pan = tapped.got[0x5A].hex().rstrip("f")
    evidence = Evidence(VISA, tapped.got, pan, signed, "260115")
    return authenticate_fast(evidence, CaKeyStore.of(scheme.ca_keys()), tapped.sent)


def test_the_directory_and_the_application_say_visa(tap: TapACard) -> None:
    tapped = tap("visa_credit")
    assert tapped.got[0x84].hex() == "a0000000031010"
    assert tapped.got[0x9F38].startswith(bytes.fromhex("9F6604"))
    assert 0x9F2A not in tapped.got


def test_an_online_answer_holds_what_the_issuer_needs_and_no_file_locator(tap: TapACard) -> None:
    tapped = processed(tap, "visa_credit", _9F66=ONLINE_REQUIRED)
    assert tags_of(tapped) == ["82", "57", "5F34", "9F10", "9F26", "9F27", "9F36", "9F6C"]
    assert (tapped.got[0x9F27].hex(), tapped.got[0x9F10].hex()) == ("80", "06011203a00000")


def test_an_offline_answer_has_signature_and_records_like_a_recorded_card(tap: TapACard) -> None:
    """Recorded: 9F4B, 94, 82, 9F10, 57, 9F36, 9F26, 9F6C; then 5A, 5F24 in the first, 9F69 in the last record."""
    tapped = processed(tap, "visa_offline")
    tapped.read()
    assert set(tags_of(tapped)) >= {"9F4B", "94", "82", "9F10", "57", "9F36", "9F26", "9F6C"}
    tags = {place: {tlv.tag for tlv in parse_tlv(octets)[0].children} for place, octets in tapped.records.items()}
    assert tags[3, 1] >= {0x5A, 0x5F24}
    assert [place for place, found in tags.items() if 0x9F69 in found] == [(2, 3)]
    assert len(tapped.answer) <= 256


@pytest.mark.parametrize(
    ("version", "judge"), [(10, VisaCVN10), (18, VisaCVN18)], ids=["cryptogram version 10", "cryptogram version 18"]
)
@pytest.mark.parametrize("ttq", ["26000080", "26800080", "2E000080"], ids=["any", "online", "offline only"])
def test_the_cryptogram_is_the_one_another_implementation_makes(
    tap: TapACard, make: MakeCard, scheme: Scheme, version: int, judge: Any, ttq: str
) -> None:
    tapped = processed(tap, make("visa", "[visa]", f"cryptogram_version = {version}"), _9F66=bytes.fromhex(ttq))
    key = scheme.issuer_key
    issuer = judge(key, key, key, "4761739001010010", "01")
    told = [tapped.sent[tag] for tag in (0x9F02, 0x9F03, 0x9F1A, 0x95, 0x5F2A, 0x9A, 0x9C, 0x9F37)]
    issuer_data = tapped.got[0x9F10]
    assert issuer_data[2] == version
    covered = issuer_data if version == 18 else issuer_data[3:]
    assert tapped.got[0x9F26] == issuer.generate_ac(*told, tapped.got[0x82], tapped.got[0x9F36], covered)


@pytest.mark.parametrize("ttq", ["26000000", "26000080"], ids=["version 00", "version 01"])
@pytest.mark.parametrize("in_record", ["true", "false"], ids=["signature in a record", "signature in the answer"])
def test_an_offline_tap_is_authentic_under_the_labs_key_for_visa(
    tap: TapACard, make: MakeCard, scheme: Scheme, ttq: str, in_record: str
) -> None:
    card = make("visa", *FUNDS, "[visa]", f"signature_in_record = {in_record}")
    tapped = processed(tap, card, _9F66=bytes.fromhex(ttq))
    assert (0x9F4B in tapped.got) == (in_record == "false")
    tapped.read()
    assert (0x9F69 in tapped.got) == (ttq == "26000080")
    oda = authenticate(tapped, scheme)
    assert (oda.verdict, oda.reason) == (OdaVerdict.PASSED, "")


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
    tapped = processed(tap, make("visa", *FUNDS, "[faults]", f"{fault} = true"))
    tapped.read()
    oda = authenticate(tapped, scheme)
    assert (oda.verdict, oda.reason) == (OdaVerdict.FAILED, reason)


@pytest.mark.parametrize("scheme_name", ["unionpay", "visa"])
def test_an_older_card_knows_only_the_older_signature(tap: TapACard, make: MakeCard, scheme_name: str) -> None:
    tapped = processed(tap, make(scheme_name, "fdda_version = 0", *FUNDS))
    tapped.read()
    assert (0x9F4B in tapped.got, 0x9F69 in tapped.got) == (True, False)


@pytest.mark.parametrize(("differs", "copied"), [("true", "0000"), ("false", "0080")])
def test_the_copy_of_the_qualifiers_may_differ(tap: TapACard, make: MakeCard, differs: str, copied: str) -> None:
    """EMV Book C-3 believes verification on the device only where both agree."""
    lines = ("[verification]", "consumer_device = true", "[faults]", f"qualifiers_differ = {differs}")
    tapped = processed(tap, make("visa", *FUNDS, *lines), _9F66=bytes.fromhex("26400080"))
    tapped.read()
    assert (tapped.got[0x9F6C].hex(), tapped.got[0x9F69][5:].hex()) == ("0080", copied)


def test_a_card_may_sign_online_transactions_where_the_reader_knows_it(
    tap: TapACard, make: MakeCard, scheme: Scheme
) -> None:
    card = make("visa", "[visa]", "signs_online = true")
    assert 0x94 not in processed(tap, card, _9F66=ONLINE_REQUIRED).got
    card.reset()
    tapped = processed(tap, card, _9F66=SIGNS_ONLINE)
    assert tapped.got[0x9F27].hex() == "80"
    tapped.read()
    assert authenticate(tapped, scheme).verdict is OdaVerdict.PASSED


@pytest.mark.parametrize(
    ("switch", "qualifiers"),  # EMV Book C-3, Annex A: 9F6C
    [
        ("online_if_oda_fails", "2000"),
        ("switch_if_oda_fails", "1000"),
        ("online_if_expired", "0800"),
        ("switch_for_cash", "0400"),
        ("switch_for_cashback", "0200"),
        ("not_at_machines", "0100"),
        ("issuer_update", "0040"),
    ],
)
def test_each_qualifier_has_its_switch(tap: TapACard, make: MakeCard, switch: str, qualifiers: str) -> None:
    tapped = processed(tap, make("visa", "[qualifiers]", f"{switch} = true"))
    assert tapped.got[0x9F6C].hex() == qualifiers


@pytest.mark.parametrize(
    ("verification", "qualifiers"),
    [("online_pin = true", "8000"), ("online_pin = false", "4000"), ("consumer_device = true", "0080")],
)
def test_verification_is_what_card_and_reader_know(
    tap: TapACard, make: MakeCard, verification: str, qualifiers: str
) -> None:
    card = make("visa", "[verification]", verification)
    assert processed(tap, card, _9F66=CVM_REQUIRED).got[0x9F6C].hex() == qualifiers


@pytest.mark.parametrize(
    ("lines", "absent"),
    [
        (("[faults]", "omits_qualifiers = true"), 0x9F6C),
        (("[faults]", "omits_cryptogram_type = true"), 0x9F27),
        (("[visa]", 'locator = "never"'), 0x94),
    ],
)
def test_what_cards_leave_out_can_be_left_out(
    tap: TapACard, make: MakeCard, lines: tuple[str, ...], absent: int
) -> None:
    assert absent not in processed(tap, make("visa", *FUNDS, *lines)).got


@pytest.mark.parametrize(("told", "expected"), [("tc", "40"), ("arqc", "80"), ("aac", "00")])
def test_a_card_may_be_told_what_to_decide(tap: TapACard, make: MakeCard, told: str, expected: str) -> None:
    tapped = processed(tap, make("visa", "[faults]", f'decides = "{told}"'), _9F66=ONLINE_REQUIRED)
    assert tapped.got[0x9F27].hex() == expected


@pytest.mark.parametrize("status", ["6984", "6985", "6986"])
def test_processing_options_may_be_refused_with_each_status(tap: TapACard, make: MakeCard, status: str) -> None:
    tapped = tap(make("visa", "[faults]", f'processing_status = "{status}"'))
    assert tapped.process() == status
    assert tapped.card.state().atc == 0


def test_the_file_says_what_the_card_asks_the_reader_for(tap: TapACard, make: MakeCard) -> None:
    """A PDOL without 9F66 (EMV Book B, 3.3.3.6) asks nothing about the reader; the card goes on all the same."""
    tapped = processed(tap, make("visa", 'pdol = "9F02069F37049F3501"'))
    assert tapped.got[0x9F38].hex() == "9f02069f37049f3501"


def test_a_phone_sends_its_holder_to_the_screen_once(tap: TapACard) -> None:
    tapped = tap("visa_phone", _9F66=CVM_REQUIRED)
    first_uid = tapped.card.uid
    assert tapped.process() == "6986"
    tapped.again()
    assert tapped.got[0x9F6C].hex() == "0080"
    assert tapped.got[0x9F6E].hex() == "238c0000"
    assert tapped.card.uid != first_uid
    tapped.card.reset()
    tapped.select()
    assert tapped.process() == "6986"  # a new sale, a new look


def test_a_phone_below_the_readers_limit_pays_at_the_first_tap(tap: TapACard) -> None:
    tapped = processed(tap, "visa_phone", _9F66=ONLINE_REQUIRED)
    assert tapped.got[0x9F6C].hex() == "0000"
    assert tapped.card.phone


def test_a_wrong_cryptogram_differs_from_the_right_one_in_nothing_else(tap: TapACard, make: MakeCard) -> None:
    right = processed(tap, make("visa"), _9F66=ONLINE_REQUIRED).got
    wrong = processed(tap, make("visa", "[faults]", "wrong_cryptogram = true"), _9F66=ONLINE_REQUIRED).got
    assert {tag for tag in right if right[tag] != wrong[tag]} == {0x9F26}
