"""The lab's Mastercards, made from the books by others, on a reader with the parameters this product ships."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import resources

import pytest
from tests.card.c2.conftest import REQUEST, TimedCard

from taplab.card import Scheme, load_card
from taptill.amount.money import Money
from taptill.card.outcome import CardRead, CryptogramType, Cvm, OdaVerdict, OutcomeKind
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.read_card import drive, read_card
from taptill.card.reader_parameters import parse_reader_parameters
from taptill.entropy import SystemEntropy

AIR_US = 4_200  # the book's own idea of both transmissions
US_PER_MS = 1_000
RELAY_ON, RELAY_AND_MAG_STRIPE_ON = b"\xb0", b"\x30"
Present = Callable[..., CardRead]


@pytest.fixture(scope="module")
def present() -> Present:
    scheme = Scheme.generate(SystemEntropy())
    keys = CaKeyStore.of(scheme.ca_keys())
    text = (resources.files("taptill.card") / "reader_parameters.toml").read_text(encoding="utf-8")
    shipped = [each.combination for each in parse_reader_parameters(text) if each.combination.kernel_id == 2]

    def tap(name: str, amount_minor: int, kernel_configuration: bytes = b"", **sale: bool) -> CardRead:
        combinations = [replace(each, cvm_limit_minor=10_000) for each in shipped]
        if kernel_configuration:
            changed = {0xDF811B: kernel_configuration}
            combinations = [replace(each, kernel_data={**each.kernel_data, **changed}) for each in combinations]
        card = load_card(name, scheme, SystemEntropy())

        def answer(command: bytes) -> tuple[bytes, int]:
            answered = card.answer(command)
            return answered.octets, AIR_US + answered.compute_ms * US_PER_MS

        request = replace(REQUEST, amount=Money(amount_minor), **sale)  # type: ignore[arg-type]
        return drive(read_card(request, combinations, keys), TimedCard(answer), 1000)

    return tap


def test_a_credit_card_goes_online_with_a_signature_that_holds(present: Present) -> None:
    read = present("mastercard_credit", 1_250, offline_allowed=False)
    assert (read.outcome.kind, read.cryptogram_type) == (OutcomeKind.ONLINE_REQUEST, CryptogramType.ARQC)
    assert (read.oda.verdict, read.kernel, read.outcome.cvm) == (OdaVerdict.PASSED, "C-2", Cvm.NONE)
    assert len(read.data[0x9F26]) == 8


def test_a_card_with_funds_of_its_own_approves_through_an_outage(present: Present) -> None:
    read = present("mastercard_offline", 1_250, online_possible=False)
    assert (read.outcome.kind, read.oda.verdict) == (OutcomeKind.APPROVED, OdaVerdict.PASSED)


def test_a_card_without_funds_asks_for_its_issuer_all_the_same(present: Present) -> None:
    assert present("mastercard_credit", 1_250, online_possible=False).outcome.kind is OutcomeKind.ONLINE_REQUEST


def test_above_the_cvm_limit_plastic_is_signed_for_and_a_phone_wants_its_owner(present: Present) -> None:
    assert present("mastercard_credit", 10_001, offline_allowed=False).outcome.cvm is Cvm.SIGNATURE
    read = present("mastercard_phone", 10_001, offline_allowed=False)
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.TRY_AGAIN, "card-wants-its-owner")
    assert present("mastercard_phone", 9_999, offline_allowed=False).outcome.kind is OutcomeKind.ONLINE_REQUEST


@pytest.mark.parametrize(("name", "byte_5"), [("mastercard_relay", 0x02), ("mastercard_relayed", 0x0E)])
def test_a_relay_is_noticed_by_its_time(present: Present, name: str, byte_5: int) -> None:
    read = present(name, 1_250, RELAY_ON, offline_allowed=False)
    assert (read.outcome.kind, read.tvr[4]) == (OutcomeKind.ONLINE_REQUEST, byte_5)
    assert read.oda.verdict is OdaVerdict.PASSED
    assert present(name, 1_250, offline_allowed=False).tvr[4] == 0x01


def test_a_mag_stripe_card_is_taken_only_where_that_mode_is_on(present: Present) -> None:
    assert present("mastercard_mag_stripe", 1_250).outcome.reason == "magstripe-only"
    read = present("mastercard_mag_stripe", 1_250, RELAY_AND_MAG_STRIPE_ON)
    assert read.outcome.kind is OutcomeKind.ONLINE_REQUEST
    assert read.number is not None
    assert len(read.number.track2) > 20
