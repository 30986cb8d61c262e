"""Cards with several applications, and the three schemes in the terminal's own kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taphost.issuer import derive_card_key, is_genuine
from taplab.card import Card, CardState, Scheme, load_card
from taplab.card.card_file import CardFileError
from taplab.card.in_hand import CardInHand
from taptill.amount.money import Money
from taptill.card.outcome import CardRead, OdaVerdict
from taptill.card.parameters import Combination, TapRequest
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.read_card import drive, read_card
from taptill.card.reader import CardLost, RawResponse
from taptill.entropy import SystemEntropy

TapACard = Callable[..., Any]
MakeCard = Callable[..., Card]

REQUEST = TapRequest(
    amount=Money(2_500),
    amount_other=Money(0),
    transaction_type=0x00,
    date_yymmdd="260115",
    time_hhmmss="120000",
    country="156",
    unpredictable_number=bytes.fromhex("2B29EBE4"),
    online_possible=True,
    offline_allowed=True,
    fresh_numbers=(bytes(3) + b"\x01", bytes(3) + b"\x02", bytes(3) + b"\x03"),
)
MASTERCARD_DATA = {
    0xDF811B: b"\xb0",  # no mag-stripe mode; verification on devices; relay resistance
    0xDF8118: b"\x20",
    0xDF8119: b"\x08",
    0xDF811F: b"\x08",
    0xDF8120: bytes.fromhex("F45084800C"),
    0xDF8121: bytes(5),
    0xDF8122: bytes.fromhex("F45084800C"),
    0xDF811D: b"\x01",  # one torn record
    0xDF811C: b"\x01\x2c",  # for 300 seconds
}
COMBINATIONS = (
    Combination(bytes.fromhex("A0000003330101"), 7, bytes.fromhex("26000080"), floor_limit_minor=10_000),
    Combination(bytes.fromhex("A0000000031010"), 3, bytes.fromhex("26004080"), floor_limit_minor=10_000),
    Combination(bytes.fromhex("A0000000041010"), 2, b"", floor_limit_minor=10_000, kernel_data=MASTERCARD_DATA),
)
CARD_TIMEOUT_MS = 1_000
GENERATE_AC = b"\x80\xae"


class TakenAway(CardInHand):
    """The card computes its cryptogram and is gone before anybody hears it."""

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        answer = super().transmit(command, timeout_ms)
        if command[:2] == GENERATE_AC:
            raise CardLost("the card is gone", where=self.url)
        return answer


def read(
    card: Card, scheme: Scheme, request: TapRequest = REQUEST, hold: Callable[[Card], CardInHand] = CardInHand
) -> CardRead:
    """A new presentation in the terminal's kernels."""
    combinations = [replace(each, cvm_limit_minor=30_000) for each in COMBINATIONS]
    hand = hold(card)
    hand.wait_for_card(CARD_TIMEOUT_MS)
    dialogue = read_card(request, combinations, CaKeyStore.of(scheme.ca_keys()))
    return drive(dialogue, hand, CARD_TIMEOUT_MS)


def genuine(card_read: CardRead, scheme: Scheme) -> bool:
    """Whether the host would believe it."""
    assert card_read.number is not None
    pan = bytes(card_read.number.pan.reveal()).decode()
    card_key = derive_card_key(scheme.issuer_key, pan, card_read.number.sequence_number)
    return is_genuine(card_key, card_read.data)


@pytest.mark.parametrize(
    ("name", "kernel", "outcome", "oda"),
    [
        ("good_credit", "C-7", "online request", "not performed"),
        ("offline_funds", "C-7", "approved", "passed"),
        ("visa_credit", "C-3", "online request", "not performed"),
        ("visa_offline", "C-3", "approved", "passed"),
        ("visa_signs_online", "C-3", "online request", "not performed"),
        ("visa_bad_signature", "C-3", "declined", "failed"),
        ("mastercard_credit", "C-2", "online request", "passed"),
        ("mastercard_offline", "C-2", "approved", "passed"),
        ("mastercard_relay", "C-2", "online request", "passed"),
        ("mastercard_phone", "C-2", "online request", "passed"),
        ("co_badged", "C-3", "online request", "not performed"),
        ("two_products", "C-7", "online request", "not performed"),
    ],
)
def test_the_terminals_kernels_read_the_packaged_cards(
    scheme: Scheme, name: str, kernel: str, outcome: str, oda: str
) -> None:
    card_read = read(load_card(name, scheme, SystemEntropy()), scheme)
    assert (card_read.kernel, card_read.outcome.kind.value) == (kernel, outcome), card_read.outcome.reason
    assert card_read.oda.verdict.value == oda
    assert genuine(card_read, scheme)


@pytest.mark.parametrize(("name", "kernel"), [("amex_like", "C-4"), ("mastercard_mag_stripe", "C-2")])
def test_what_the_terminal_does_not_serve_ends_the_application(scheme: Scheme, name: str, kernel: str) -> None:
    card_read = read(load_card(name, scheme, SystemEntropy()), scheme)
    assert card_read.outcome.kind.value == "end application"
    assert kernel in card_read.kernel


@pytest.mark.parametrize("name", ["unionpay_phone", "visa_phone", "mastercard_phone"])
def test_a_phone_is_read_at_the_second_tap(scheme: Scheme, name: str) -> None:
    phone = load_card(name, scheme, SystemEntropy())
    dear = replace(REQUEST, amount=Money(50_000))
    assert read(phone, scheme, dear).outcome.kind.value == "try again"
    second = read(phone, scheme, dear)
    assert (second.outcome.kind.value, second.outcome.cvm.value) == ("online request", "consumer device")
    assert genuine(second, scheme)


@pytest.mark.parametrize("name", ["unionpay_phone", "visa_phone", "mastercard_phone"])
def test_a_verified_phone_stays_verified_while_a_reader_cycles_its_field(scheme: Scheme, name: str) -> None:
    phone = load_card(name, scheme, SystemEntropy())
    dear = replace(REQUEST, amount=Money(50_000))
    read(phone, scheme, dear)
    for _ in range(3):
        phone.reset()
    assert read(phone, scheme, dear).outcome.cvm.value == "consumer device"
    phone.reset()
    assert read(phone, scheme, dear).outcome.kind.value == "try again", "for one transaction"


def test_a_relay_is_found_and_the_signature_still_holds(scheme: Scheme) -> None:
    """TVR (EMV Book C-2): relay resistance performed, time limits and threshold exceeded."""
    near, far = (load_card(name, scheme, SystemEntropy()) for name in ("mastercard_relay", "mastercard_relayed"))
    assert read(near, scheme).tvr[4] == 0x02
    distant = read(far, scheme)
    assert distant.tvr[4] & 0x0E == 0x0E
    assert distant.oda.verdict is OdaVerdict.PASSED


@pytest.mark.parametrize("name", ["mastercard_offline", "mastercard_relay"])
def test_a_torn_transaction_is_recovered_with_the_cryptogram_of_its_first_tap(scheme: Scheme, name: str) -> None:
    card = load_card(name, scheme, SystemEntropy())
    torn = read(card, scheme, hold=TakenAway)
    assert torn.torn_record is not None
    spent_minor, atc = card.state().balance_minor, card.state().atc
    recovered = read(card, scheme, replace(REQUEST, torn_records=(torn.torn_record,)))
    assert (recovered.recovered, recovered.oda.verdict) == (True, OdaVerdict.PASSED), recovered.outcome.reason
    assert (recovered.data[0x9F36], card.state().atc) == (atc.to_bytes(2, "big"), atc + 1)
    assert genuine(recovered, scheme)
    assert card.state().balance_minor == spent_minor


def test_a_co_badged_card_serves_both_schemes_each_with_its_own_counter(tap: TapACard) -> None:
    tapped = tap("co_badged")
    assert [tapped.select(place) for place in (0, 1)] == ["9000", "9000"]
    assert tapped.got[0x84].hex() == "a000000333010102"
    assert tapped.process() == "9000"
    assert [tapped.card.state(place).atc for place in (0, 1)] == [0, 1]


def test_two_products_of_one_scheme_follow_each_other(tap: TapACard) -> None:
    """EMV Book 1, 12.3.3: first and next occurrence of a shorter name."""
    card = tap("two_products").card
    shorter = bytes.fromhex("07A000000333010100")
    found = [card.answer(bytes.fromhex(f"00A404{which}") + shorter).octets for which in ("00", "02", "02")]
    assert [octets[4:12].hex() for octets in found[:2]] == ["a000000333010102", "a000000333010101"]
    assert found[2].hex() == "6a82"


def test_priorities_and_kernels_stand_in_the_directory(tap: TapACard, make: MakeCard) -> None:
    card = make("visa", 'kernel_identifier = "03"', 'extended_selection = "0102"', "priority = 3")
    tapped = tap(card)
    tapped.select()
    assert card.answer(bytes.fromhex("00A4040009A0000000031010010200")).octets[-2:].hex() == "9000"
    ppse = card.answer(bytes.fromhex("00A404000E325041592E5359532E444446303100")).octets
    assert bytes.fromhex("8701039F2A01039F29020102") in ppse


def test_the_state_file_of_an_older_lab_is_read(tmp_path: Path, scheme: Scheme) -> None:
    state = tmp_path / "state.json"
    state.write_text('{"atc": 7, "balance_minor": 500}', encoding="utf-8")
    card = load_card("co_badged", scheme, SystemEntropy(), state)
    assert (card.state(0), card.state(1)) == (CardState(7, 500), CardState())


def test_each_application_keeps_its_own_state(tmp_path: Path, tap: TapACard, scheme: Scheme) -> None:
    state = tmp_path / "state.json"
    tapped = tap(load_card("co_badged", scheme, SystemEntropy(), state))
    tapped.select(1)
    tapped.process()
    again = load_card("co_badged", scheme, SystemEntropy(), state)
    assert (again.state(0).atc, again.state(1).atc) == (0, 1)


@pytest.mark.parametrize(
    ("scheme_name", "lines", "named"),
    [
        ("unionpay", ("[visa]",), "visa"),
        ("visa", ("[mastercard]",), "mastercard"),
        ("mastercard", ("[qualifiers]",), "qualifiers"),
        ("mastercard", ("fdda_version = 0",), "fdda_version"),
        ("visa", ("[[also]]", 'scheme = "unionpay"', "[also.mastercard]"), "mastercard"),
        ("visa", ("[visa]", "cryptogram_version = 17"), "cryptogram_version"),
        ("mastercard", ("[mastercard.relay]", "min_ms = 2"), "min_ms"),
        ("jcb", (), "scheme"),
    ],
)
def test_a_table_nobody_would_read_is_refused(
    scheme_name: str, lines: tuple[str, ...], named: str, tmp_path: Path, scheme: Scheme
) -> None:
    file = tmp_path / "wrong.toml"
    head = ['label = "x"', 'pan = "6228000100001109"', 'expiry = "2031-12"', f'scheme = "{scheme_name}"']
    file.write_text("\n".join([*head, *lines]), encoding="utf-8")
    with pytest.raises(CardFileError, match=named):
        load_card(file, scheme, SystemEntropy())
