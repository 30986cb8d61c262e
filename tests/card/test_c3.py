"""qVSDC against cards that do as they please: online and offline, with every wish of the card's qualifiers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.card.visa_card import PAN, US_DEBIT, VISA, VisaCard, visa_keys

from taptill.amount.money import Money
from taptill.card.apdu import split_command
from taptill.card.outcome import Cvm, MessageId, OdaMethod, OdaVerdict, OutcomeKind, Start
from taptill.card.parameters import ProgrammeLimits
from taptill.card.proof.ca_keys import CaKeyStore

Tap = Callable[..., Any]
V01 = "26004080"
V00 = "26004000"


@pytest.fixture(scope="session")
def visa(tap: Tap) -> Tap:
    """Holds a Visa card to a terminal abroad; keyword arguments change the sale or the combination."""

    def hold(card: Callable[[bytes], bytes], ca_keys: CaKeyStore | None = None, **changes: Any) -> Any:
        ttq = changes.pop("ttq", V01)
        changes = {"kernel_id": 3, "aid": VISA, "country": "840", "amount": Money(2_00)} | changes
        return tap(card, visa_keys() if ca_keys is None else ca_keys, ttq=bytes.fromhex(ttq), **changes)

    return hold


def said(read: Any) -> tuple[OutcomeKind, str]:
    return read.outcome.kind, read.outcome.reason


def test_an_online_tap_is_three_commands_and_the_card_may_go(visa: Tap) -> None:
    read, commands = visa(VisaCard(), offline_allowed=False)
    assert read.outcome.kind is OutcomeKind.ONLINE_REQUEST
    assert read.outcome.ui_on_outcome.message is MessageId.CARD_READ_OK
    assert [command[1] for command in commands] == [0xA4, 0xA4, 0xA8]
    assert split_command(commands[2]).data[2:6].hex() == "22804080"
    assert (read.kernel, read.cryptogram_type.name, read.data[0x9F27]) == ("C-3", "ARQC", b"\x80")
    assert read.data[0x95] == bytes(5)
    assert read.number.pan.reveal().decode() == PAN
    assert PAN not in repr(read)


@pytest.mark.parametrize(("version", "ttq"), [(0, V00), (1, V00), (1, V01)])
def test_an_offline_approval_rests_on_the_card_s_signature(visa: Tap, version: int, ttq: str) -> None:
    read, commands = visa(VisaCard("TC", fdda=version), ttq=ttq)
    assert said(read) == (OutcomeKind.APPROVED, "")
    assert (read.oda.method, read.oda.verdict, read.oda.test_key) == (OdaMethod.FDDA, OdaVerdict.PASSED, True)
    assert (read.tvr, read.data[0x9F27]) == (bytes(5), b"\x40")
    assert [command[1] for command in commands] == [0xA4, 0xA4, 0xA8, 0xB2, 0xB2, 0xB2]


def test_a_reader_that_announced_version_01_takes_no_signature_that_leaves_the_amount_out(visa: Tap) -> None:
    read, _ = visa(VisaCard("TC", fdda=0), ttq=V01)
    assert said(read) == (OutcomeKind.DECLINED, "oda-failed")
    assert read.oda.reason == "fdda-version-00"


def test_a_card_under_another_rid_finds_its_key_by_its_own(visa: Tap) -> None:
    card = VisaCard("TC", fdda=1, aid=US_DEBIT)
    read, _ = visa(card, visa_keys(US_DEBIT[:5]), aid=US_DEBIT)
    assert read.outcome.kind is OutcomeKind.APPROVED
    read, _ = visa(card, visa_keys(VISA[:5]), aid=US_DEBIT)
    assert said(read) == (OutcomeKind.DECLINED, "no-ca-key")


@pytest.mark.parametrize(
    ("changes", "kind", "reason"),
    [
        ({0x9F10: "06011103800000"}, OutcomeKind.DECLINED, "card-declined"),
        ({0x9F27: "00"}, OutcomeKind.DECLINED, "card-declined"),
        ({0x9F27: "80", 0x9F10: "06011103900000"}, OutcomeKind.ONLINE_REQUEST, ""),
        ({0x9F10: "06011103B00000"}, OutcomeKind.END_APPLICATION, "no-cryptogram"),
        ({0x9F10: "0601"}, OutcomeKind.END_APPLICATION, "no-cryptogram"),
        ({0x9F26: None}, OutcomeKind.END_APPLICATION, "data-missing-9F26"),
        ({0x9F36: None}, OutcomeKind.END_APPLICATION, "data-missing-9F36"),
        ({0x57: None}, OutcomeKind.END_APPLICATION, "data-missing-57"),
        ({0x57: None, 0x5A: PAN}, OutcomeKind.END_APPLICATION, "data-missing-57"),
        ({0x5A: "4761739001010028"}, OutcomeKind.END_APPLICATION, "card-numbers-differ"),
        ({0x94: "0801"}, OutcomeKind.END_APPLICATION, "afl-malformed"),
        ({0x94: "10010100"}, OutcomeKind.END_APPLICATION, "record-refused"),
    ],
)
def test_what_the_card_leaves_out_or_gets_wrong_is_named(
    visa: Tap, changes: dict[int, str | None], kind: OutcomeKind, reason: str
) -> None:
    assert said(visa(VisaCard(changes=changes))[0]) == (kind, reason)


@pytest.mark.parametrize(
    ("sw", "kind", "reason"),
    [
        ("6984", OutcomeKind.TRY_ANOTHER_INTERFACE, "card-wants-another-interface"),
        ("6985", OutcomeKind.END_APPLICATION, "card-refused"),
        ("6986", OutcomeKind.TRY_AGAIN, "card-wants-its-owner"),
        ("6283", OutcomeKind.END_APPLICATION, "gpo-refused-6283"),
        ("6A81", OutcomeKind.END_APPLICATION, "gpo-refused-6A81"),
    ],
)
def test_a_status_word_of_the_options_is_an_outcome(visa: Tap, sw: str, kind: OutcomeKind, reason: str) -> None:
    read, commands = visa(VisaCard(options_sw=sw))
    assert said(read) == (kind, reason)
    assert len(commands) == 3


def test_a_phone_is_presented_again_after_its_owner_looked_at_it(visa: Tap) -> None:
    read, _ = visa(VisaCard(options_sw="6986"))
    assert (read.outcome.start, read.outcome.ui_on_restart.message) == (Start.B, MessageId.SEE_PHONE)


def test_a_card_that_asks_for_no_qualifiers_is_none_of_this_kernel(visa: Tap) -> None:
    read, commands = visa(VisaCard(pdol=bytes.fromhex("9F02069F3704")))
    assert read.outcome.kind is OutcomeKind.END_APPLICATION
    assert 0xA8 not in {command[1] for command in commands}


def test_a_card_cannot_speak_for_the_terminal(visa: Tap) -> None:
    lie = {0x9F02: "000000000001", 0x9F37: "00000000", 0x9F66: "FFFFFFFF", 0x95: "FFFFFFFFFF", 0x5F2A: "0156"}
    read, _ = visa(VisaCard("TC", fdda=1, changes=dict(lie)))
    assert said(read) == (OutcomeKind.APPROVED, "")
    assert read.data[0x9F02].hex() == "000000000200"
    assert read.data[0x9F37].hex().upper() == "2B29EBE4"
    assert read.data[0x9F66].hex() == "22004080"


def test_a_card_without_a_list_of_records_cannot_approve_offline(visa: Tap) -> None:
    read, commands = visa(VisaCard("TC"))
    assert said(read) == (OutcomeKind.DECLINED, "expired")
    assert read.tvr[0] & 0x80
    assert len(commands) == 3


@pytest.mark.parametrize(
    ("ctq", "ttq", "online", "kind"),
    [
        ("2000", V01, True, OutcomeKind.ONLINE_REQUEST),
        ("2000", V01, False, OutcomeKind.DECLINED),
        ("2000", "2E004080", True, OutcomeKind.DECLINED),  # an offline-only reader
        ("1000", "36004080", True, OutcomeKind.TRY_ANOTHER_INTERFACE),
        ("1000", V01, True, OutcomeKind.DECLINED),  # no contact reader here: nothing to switch to
        ("3000", "36004080", True, OutcomeKind.ONLINE_REQUEST),
        ("0000", "36004080", True, OutcomeKind.DECLINED),
    ],
)
def test_the_card_says_where_a_failed_authentication_may_go(
    visa: Tap, ctq: str, ttq: str, online: bool, kind: OutcomeKind
) -> None:
    read, _ = visa(VisaCard("TC", ctq, fdda=1, spoilt=True), ttq=ttq, online_possible=online)
    assert said(read) == (kind, "oda-failed")
    assert (read.oda.verdict, read.tvr.hex()) == (OdaVerdict.FAILED, "0800000000")


@pytest.mark.parametrize(
    ("ctq", "online", "kind"),
    [
        ("0000", True, OutcomeKind.DECLINED),
        ("0800", True, OutcomeKind.ONLINE_REQUEST),
        ("0800", False, OutcomeKind.DECLINED),
    ],
)
def test_an_expired_card_may_only_ask_its_issuer(visa: Tap, ctq: str, online: bool, kind: OutcomeKind) -> None:
    card = VisaCard("TC", ctq, fdda=1, record={0x5F24: "200531"})
    read, _ = visa(card, online_possible=online)
    assert said(read) == (kind, "expired")
    assert read.tvr[1] == 0x40
    assert visa(VisaCard("TC", fdda=1, record={0x5F24: "200601"}))[0].outcome.kind is OutcomeKind.APPROVED


def test_a_listed_card_is_declined_offline_and_left_to_its_issuer_online(visa: Tap) -> None:
    listed = frozenset({hashlib.sha256(PAN.encode()).digest()})
    assert said(visa(VisaCard("TC", fdda=1), exceptions=listed)[0]) == (OutcomeKind.DECLINED, "exception-list")
    assert visa(VisaCard(), exceptions=listed)[0].outcome.kind is OutcomeKind.ONLINE_REQUEST


@pytest.mark.parametrize(
    ("usage", "country", "type_", "ctq", "kind"),
    [
        ("FFC0", "0840", 0x01, "0000", OutcomeKind.APPROVED),
        ("7FC0", "0840", 0x01, "0000", OutcomeKind.DECLINED),
        ("7FC0", "0840", 0x01, "0400", OutcomeKind.TRY_ANOTHER_INTERFACE),
        ("7FC0", "0156", 0x01, "0000", OutcomeKind.APPROVED),  # abroad it is the other bit
        ("BFC0", "0156", 0x01, "0000", OutcomeKind.DECLINED),
        (None, "0840", 0x01, "0000", OutcomeKind.DECLINED),
        ("FF80", "0840", 0x09, "0000", OutcomeKind.APPROVED),
        ("FF40", "0840", 0x09, "0000", OutcomeKind.DECLINED),
        ("FF40", "0840", 0x09, "0200", OutcomeKind.TRY_ANOTHER_INTERFACE),
        ("FF40", "0840", 0x09, "0400", OutcomeKind.DECLINED),
        ("0000", "0840", 0x00, "0000", OutcomeKind.APPROVED),  # Book C-3 looks at cash and cash back alone
    ],
)
def test_cash_has_to_be_allowed(
    visa: Tap, usage: str | None, country: str, type_: int, ctq: str, kind: OutcomeKind
) -> None:
    card = VisaCard("TC", ctq, fdda=1, record={0x9F07: usage, 0x5F28: country})
    read, _ = visa(card, transaction_type=type_, amount_other=Money(1_00 if type_ == 0x09 else 0))
    assert read.outcome.kind is kind


def test_cash_online_is_the_issuer_s_to_allow(visa: Tap) -> None:
    assert visa(VisaCard(), transaction_type=0x01)[0].outcome.kind is OutcomeKind.ONLINE_REQUEST


@pytest.mark.parametrize(
    ("gives", "ctq", "copy", "fdda", "ttq", "cvm", "reason"),
    [
        ("ARQC", "0080", None, None, V01, Cvm.CONSUMER_DEVICE, ""),
        ("TC", "0080", None, 1, V01, Cvm.CONSUMER_DEVICE, ""),
        ("TC", "0080", "0000", 1, V01, Cvm.NOT_APPLICABLE, "device-verification-unproven"),
        ("TC", "0080", None, 0, V00, Cvm.NOT_APPLICABLE, "device-verification-unproven"),
        ("ARQC", "C000", None, None, V01, Cvm.SIGNATURE, ""),
        ("ARQC", "8000", None, None, V01, Cvm.NOT_APPLICABLE, "no-pin-pad"),
        ("ARQC", None, None, None, V01, Cvm.SIGNATURE, ""),
        ("ARQC", None, None, None, "24004080", Cvm.NOT_APPLICABLE, "no-pin-pad"),
        ("ARQC", "0000", None, None, V01, Cvm.NOT_APPLICABLE, "no-pin-pad"),
    ],
)
def test_above_the_cvm_limit_somebody_has_to_be_verified(
    visa: Tap, gives: str, ctq: str | None, copy: str | None, fdda: int | None, ttq: str, cvm: Cvm, reason: str
) -> None:
    card = VisaCard(gives, ctq, fdda=fdda, copied_ctq=copy)
    read, _ = visa(card, ttq=ttq, cvm_limit_minor=0)
    assert (read.outcome.cvm, read.outcome.reason) == (cvm, reason)


def test_a_copy_of_the_qualifiers_that_no_signature_covers_proves_nothing(visa: Tap) -> None:
    card = VisaCard("TC", "0080", fdda=0, record={0x9F69: "00112233440080"})
    read, _ = visa(card, ttq=V00)
    assert read.oda.verdict is OdaVerdict.PASSED
    assert said(read) == (OutcomeKind.DECLINED, "device-verification-unproven")
    assert (read.tvr.hex(), read.tsi.hex()) == ("0000800000", "8000")


def test_a_device_s_claim_that_nothing_vouches_for_is_declined_at_any_amount(visa: Tap) -> None:
    read, _ = visa(VisaCard("TC", "0080", fdda=1, copied_ctq="0000"), cvm_limit_minor=None)
    assert said(read) == (OutcomeKind.DECLINED, "device-verification-unproven")


def test_a_pin_is_the_issuer_s_to_check_so_the_sale_goes_online(visa: Tap) -> None:
    card = VisaCard("TC", "8000", fdda=1)
    read, _ = visa(card, pin_pad=True)
    assert (read.outcome.kind, read.outcome.cvm) == (OutcomeKind.ONLINE_REQUEST, Cvm.ONLINE_PIN)
    assert said(visa(card, pin_pad=True, online_possible=False)[0]) == (OutcomeKind.DECLINED, "no-pin-pad")


@pytest.mark.parametrize(("spoilt", "verdict"), [(False, OdaVerdict.PASSED), (True, OdaVerdict.FAILED)])
def test_authentication_of_an_online_sale_does_not_stop_it(visa: Tap, spoilt: bool, verdict: OdaVerdict) -> None:
    read, _ = visa(VisaCard("ARQC", fdda=1, spoilt=spoilt), ttq="27004080")
    assert (read.outcome.kind, read.oda.verdict) == (OutcomeKind.ONLINE_REQUEST, verdict)
    assert read.data[0x95] == bytes(5)


def test_an_online_card_that_would_rather_be_inserted_is_sent_there(visa: Tap) -> None:
    card = VisaCard("ARQC", "1000", fdda=1, spoilt=True)
    assert said(visa(card, ttq="37004080")[0]) == (OutcomeKind.TRY_ANOTHER_INTERFACE, "oda-failed")
    assert visa(card, ttq="27004080")[0].outcome.kind is OutcomeKind.ONLINE_REQUEST


def test_a_reader_that_did_not_announce_it_authenticates_nothing_online(visa: Tap) -> None:
    read, _ = visa(VisaCard("ARQC", "1000", fdda=1, spoilt=True), ttq="36004080")
    assert (read.outcome.kind, read.oda.method) == (OutcomeKind.ONLINE_REQUEST, OdaMethod.NONE)


def test_an_offline_only_reader_asks_nobody(visa: Tap) -> None:
    assert said(visa(VisaCard(), ttq="2E004080")[0]) == (OutcomeKind.DECLINED, "reader-is-offline-only")


def test_a_card_that_approves_what_must_go_online_goes_online(visa: Tap) -> None:
    read, _ = visa(VisaCard("TC", fdda=1), offline_allowed=False)
    assert said(read) == (OutcomeKind.ONLINE_REQUEST, "card-approved-what-must-go-online")
    assert read.cryptogram_type.name == "TC"


def test_what_may_still_be_spent_offline_is_shown(visa: Tap) -> None:
    read, _ = visa(VisaCard(changes={0x9F5D: "000000003878"}))
    ui = read.outcome.ui_on_outcome
    assert (ui.value_qualifier, ui.value_minor, ui.currency) == ("balance", 3878, "156")


def test_how_a_card_was_read_is_not_the_card_s_to_say(visa: Tap) -> None:
    read, _ = visa(VisaCard(changes={0x9F6E: "20700007"}))
    assert read.data[0x9F6E].hex() == "20700000"


@pytest.mark.parametrize(
    ("programme", "amount_minor", "ttq", "reason"),
    [
        ("3102640900", 9_99, "22004080", ""),
        ("3102640900", 10_00, "22404080", ""),  # above that programme's CVM limit
        ("3102640901", 20_00, None, "amount-not-allowed"),  # the longer name counts
        ("3102000000", 10_00, "22004080", ""),
        ("", 10_00, "22004080", ""),
    ],
)
def test_a_card_s_programme_has_limits_of_its_own(
    visa: Tap, programme: str, amount_minor: int, ttq: str | None, reason: str
) -> None:
    limits = (
        ProgrammeLimits(bytes.fromhex("31026409"), cvm_limit_minor=10_00),
        ProgrammeLimits(bytes.fromhex("3102640901"), transaction_limit_minor=20_00),
    )
    read, commands = visa(
        VisaCard(programme=programme), amount=Money(amount_minor), cvm_limit_minor=50_00, programme_limits=limits
    )
    told = [split_command(command).data[2:6].hex() for command in commands if command[1] == 0xA8]
    assert told == ([ttq] if ttq else [])
    if reason:
        assert said(read) == (OutcomeKind.END_APPLICATION, reason)


def test_a_programme_raises_no_limit_and_the_empty_one_is_for_every_card(visa: Tap) -> None:
    """9F5A stands outside every signature: no card chooses itself a limit above the merchant's."""
    higher = (ProgrammeLimits(bytes.fromhex("3102"), cvm_limit_minor=90_00, transaction_limit_minor=90_00),)
    limits = {"cvm_limit_minor": 50_00, "transaction_limit_minor": 80_00}
    card = VisaCard(programme="3102")
    assert said(visa(card, amount=Money(80_00), programme_limits=higher, **limits)[0])[1] == "amount-not-allowed"
    _, commands = visa(card, amount=Money(50_00), programme_limits=higher, **limits)
    assert split_command(commands[2]).data[2:6].hex() == "22404080"
    every = (ProgrammeLimits(b"", cvm_limit_minor=10_00), *higher)
    for programme, ttq in (("", "22404080"), ("99", "22404080"), ("3102", "22004080")):
        _, commands = visa(VisaCard(programme=programme), amount=Money(10_00), programme_limits=every, **limits)
        assert split_command(commands[2]).data[2:6].hex() == ttq


def test_zero_is_asked_online(visa: Tap) -> None:
    read, commands = visa(VisaCard(), amount=Money(0), zero_amount_allowed=True)
    assert split_command(commands[2]).data[2:6].hex() == "22804080"
    assert read.outcome.kind is OutcomeKind.ONLINE_REQUEST


GENUINE = VisaCard("TC", fdda=1)
OPTIONS = b"\x80\xa8\x00\x00\x23\x83\x21" + bytes(33) + b"\x00"
GROUNDS = st.sampled_from([GENUINE(OPTIONS), *(record + b"\x90\x00" for record in GENUINE.records())])


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """A sensible answer with some bytes changed or cut, or any bytes."""
    octets = bytearray(draw(GROUNDS))
    for _ in range(draw(st.integers(0, 3))):
        octets[draw(st.integers(0, len(octets) - 1))] = draw(st.integers(0, 255))
    cut = bytes(octets)[: draw(st.integers(0, len(octets)))]
    return draw(st.sampled_from([bytes(octets), cut, draw(st.binary(max_size=60))]))


@settings(max_examples=200, deadline=None)
@given(options=answers(), record=answers())
def test_no_card_makes_the_terminal_fall_over(tap: Tap, options: bytes, record: bytes) -> None:
    forged = {0xA8: options, 0xB2: record}

    def hostile(command: bytes) -> bytes:
        return forged[command[1]] if command[1] in forged else GENUINE(command)

    read, commands = tap(hostile, visa_keys(), kernel_id=3, aid=VISA, ttq=bytes.fromhex(V01))
    assert isinstance(read.outcome.kind, OutcomeKind)
    assert read.outcome.kind is not OutcomeKind.APPROVED
    assert len(commands) < 600


@settings(max_examples=150, deadline=None)
@given(number=st.integers(1, 3), place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_wrong_bit_in_any_record_is_no_approval(visa: Tap, number: int, place: float, bit: int) -> None:
    card = VisaCard("TC", fdda=1)

    def spoiling(command: bytes) -> bytes:
        octets = bytearray(card(command))
        if command[1:3] == bytes([0xB2, number]):
            octets[int(place * (len(octets) - 2))] ^= 1 << bit
        return bytes(octets)

    assert visa(spoiling)[0].outcome.kind is not OutcomeKind.APPROVED
