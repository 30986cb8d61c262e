"""What goes to the host is what the cryptogram covers: judged by the host's issuer, over relays and torn taps."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

import pytest
from tests.card.c2.conftest import REQUEST, TimedCard

from taphost.issuer import derive_card_key, is_genuine
from taplab.card import Card, Scheme, load_card
from taptill.card.outcome import CardRead, OutcomeKind
from taptill.card.parameters import TapRequest
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.read_card import drive, read_card
from taptill.card.reader import CardLost
from taptill.card.reader_parameters import parse_reader_parameters
from taptill.entropy import SystemEntropy

GENERATE, RELAY = 0xAE, 0xEA
IN_TIME_US, LATE_US = 6_000, 90_000
ONLINE = replace(REQUEST, offline_allowed=False)
SECOND = replace(ONLINE, unpredictable_number=bytes.fromhex("99887766"), time_hhmmss="120107")


@pytest.fixture(scope="module")
def scheme() -> Scheme:
    return Scheme.generate(SystemEntropy())


def tapped(
    card: Card, scheme: Scheme, sale: TapRequest, relay_us: tuple[int, ...] = (), leaves: bool = False
) -> tuple[CardRead, list[int]]:
    """With the parameters this product ships; relay resistance where its times are given."""
    text = (resources.files("taptill.card") / "reader_parameters.toml").read_text(encoding="utf-8")
    combinations = [each.combination for each in parse_reader_parameters(text)]
    if relay_us:
        on = {0xDF811B: b"\xb0"}
        combinations = [replace(each, kernel_data={**each.kernel_data, **on}) for each in combinations]
    asked: list[int] = []

    def answer(command: bytes) -> tuple[bytes, int]:
        asked.append(command[1])
        octets = card.answer(command).octets
        if command[1] == GENERATE and leaves:
            raise CardLost("it left", where="test card")
        late = relay_us[asked.count(RELAY) - 1] if command[1] == RELAY else IN_TIME_US
        return octets, late

    card.reset()
    keys = CaKeyStore.of(scheme.ca_keys())
    return drive(read_card(sale, combinations, keys), TimedCard(answer), 1000), asked


def believed(read: CardRead, scheme: Scheme) -> bool:
    """By the issuer, from the data objects the host is sent and the number in the envelope."""
    assert read.number is not None
    pan = read.number.pan.reveal().decode()
    return is_genuine(derive_card_key(scheme.issuer_key, pan, read.number.sequence_number), read.data)


@pytest.mark.parametrize("name", ["good_credit", "no_9f27", "visa_credit", "mastercard_credit", "mastercard_phone"])
def test_each_schemes_field_55_is_covered_by_its_cryptogram(scheme: Scheme, name: str) -> None:
    read, _ = tapped(load_card(name, scheme, SystemEntropy()), scheme, ONLINE)
    assert read.outcome.kind is OutcomeKind.ONLINE_REQUEST
    assert believed(read, scheme)
    assert read.data[0x9F37] == ONLINE.unpredictable_number


@pytest.mark.parametrize(
    ("relay_us", "attempts"), [((IN_TIME_US,), 1), ((LATE_US, IN_TIME_US), 2), ((LATE_US,) * 3, 3)]
)
def test_the_number_of_the_last_relay_resistance_attempt_is_told(
    scheme: Scheme, relay_us: tuple[int, ...], attempts: int
) -> None:
    read, asked = tapped(load_card("mastercard_relay", scheme, SystemEntropy()), scheme, ONLINE, relay_us)
    assert asked.count(RELAY) == attempts
    assert read.data[0x9F37] == ONLINE.fresh_numbers[attempts - 1]
    assert believed(read, scheme)
    assert read.data[0x95] == read.tvr


@pytest.mark.parametrize("relay_us", [(), (LATE_US, IN_TIME_US)])
def test_a_recovered_cryptogram_goes_with_all_that_its_own_tap_said(scheme: Scheme, relay_us: tuple[int, ...]) -> None:
    card = load_card("mastercard_relay", scheme, SystemEntropy())
    torn, _ = tapped(card, scheme, ONLINE, relay_us, leaves=True)
    assert torn.torn_record is not None, "the shipped parameters keep one"
    later = replace(SECOND, torn_records=(torn.torn_record,), fresh_numbers=(bytes(4),) * 3)
    read, asked = tapped(card, scheme, later, relay_us)
    assert (read.recovered, GENERATE in asked) == (True, False)
    assert read.data[0x9F37] == (ONLINE.fresh_numbers[1] if relay_us else ONLINE.unpredictable_number)
    assert read.data[0x9F21].hex() == ONLINE.time_hhmmss
    assert believed(read, scheme)


def test_a_torn_card_that_is_asked_anew_is_believed_by_its_new_tap(scheme: Scheme) -> None:
    """Nothing of the record is left in field 55 when the card knows nothing of it."""
    torn, _ = tapped(load_card("mastercard_credit", scheme, SystemEntropy()), scheme, ONLINE, leaves=True)
    assert torn.torn_record is not None
    twin = load_card("mastercard_credit", scheme, SystemEntropy())
    read, asked = tapped(twin, scheme, replace(SECOND, torn_records=(torn.torn_record,)))
    assert (read.recovered, asked[-2:]) == (False, [0xD0, GENERATE])
    assert (read.data[0x9F37], believed(read, scheme)) == (SECOND.unpredictable_number, True)
