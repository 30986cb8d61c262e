"""Visa and Mastercard taps end to end: the lab's card, the terminal's kernel, field 55, the host's verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec
import pytest

from taphost.acquirer import Acquirer
from taphost.config import HostConfig
from taphost.memory_store import MemoryStore
from taplab.card import Card, Scheme, load_card
from taplab.card.in_hand import CardInHand
from taplab.provision import card_accounts, issuers
from taptill.amount.money import Money
from taptill.card.outcome import CardRead
from taptill.card.parameters import Combination, TapRequest
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.read_card import drive, read_card
from taptill.entropy import SystemEntropy
from taptill.host.exchange import HostReply, Verdict

if TYPE_CHECKING:
    from tests.taphost.conftest import Host

REQUEST = TapRequest(
    amount=Money(2_500),
    amount_other=Money(0),
    transaction_type=0x00,
    date_yymmdd="260101",
    time_hhmmss="090000",
    country="156",
    unpredictable_number=bytes.fromhex("2B29EBE4"),
    online_possible=True,
    offline_allowed=True,
)
MASTERCARD_DATA = {0xDF811B: b"\xa0", 0xDF8118: b"\x20", 0xDF8119: b"\x08", 0xDF811F: b"\x08", 0xDF8121: bytes(5)}
MASTERCARD_DATA |= dict.fromkeys((0xDF8120, 0xDF8122), bytes.fromhex("F45084800C"))
COMBINATIONS = (
    Combination(bytes.fromhex("A0000003330101"), 7, bytes.fromhex("26000080"), floor_limit_minor=10_000),
    Combination(bytes.fromhex("A0000000031010"), 3, bytes.fromhex("26004080"), floor_limit_minor=10_000),
    Combination(bytes.fromhex("A0000000041010"), 2, b"", floor_limit_minor=10_000, kernel_data=MASTERCARD_DATA),
)
PUBLISHED = {"unionpay": "6228000100001109", "visa": "4761739001010010", "mastercard": "5413339000001513"}
CARD_TIMEOUT_MS = 1_000
NOTHING: Mapping[int, bytes] = MappingProxyType({})
NOW_MS = 1_767_229_200_000  # 2026-01-01 01:00:00 UTC


@pytest.fixture(scope="module")
def scheme() -> Scheme:
    return Scheme.generate(SystemEntropy())


@pytest.fixture
def lab_host(config: HostConfig, new_host: Callable[[], Host], scheme: Scheme) -> Host:
    """A host that speaks for the lab's issuer."""
    of_the_lab = msgspec.structs.replace(config, issuers=issuers(scheme), accounts=card_accounts())
    store = MemoryStore()
    return replace(new_host(), acquirer=Acquirer(of_the_lab, store, lambda: NOW_MS), store=store)


@pytest.fixture
def card_of(scheme: Scheme, tmp_path: Path) -> Callable[..., Card]:
    """A card with a published test number and these lines in its file."""

    def make(name: str, *lines: str) -> Card:
        head = ['label = "x"', f'pan = "{PUBLISHED[name]}"', 'expiry = "2031-12"', f'scheme = "{name}"']
        file = tmp_path / "card.toml"
        file.write_text("\n".join([*head, *lines]), encoding="utf-8")
        return load_card(file, scheme, SystemEntropy())

    return make


def tapped(card: Card, scheme: Scheme) -> CardRead:
    hand = CardInHand(card)
    hand.wait_for_card(CARD_TIMEOUT_MS)
    dialogue = read_card(REQUEST, COMBINATIONS, CaKeyStore.of(scheme.ca_keys()))
    return drive(dialogue, hand, CARD_TIMEOUT_MS)


def ask(host: Host, read: CardRead, row: str = "sale", changed: Mapping[int, bytes] = NOTHING) -> HostReply:
    """The sale of this tap; `changed` replaces data objects of field 55."""
    assert read.number is not None
    pan = bytes(read.number.pan.reveal()).decode()
    icc = {**read.data, **changed}
    return host.ask(host.till.pay(row, pan=pan, amount_minor=REQUEST.amount.minor, icc=icc))


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("unionpay", ()),
        ("visa", ("[visa]", "cryptogram_version = 10")),
        ("visa", ("[visa]", "cryptogram_version = 18")),
        *(("mastercard", ("[mastercard]", f'cryptogram_version = "{version}"')) for version in (10, 11, 14, 15)),
        ("mastercard", ("[mastercard]", "signs = false")),
    ],
    ids=lambda value: "-".join(value[1:]) if isinstance(value, tuple) else value,
)
def test_a_tap_of_each_scheme_and_version_is_approved(
    lab_host: Host, scheme: Scheme, card_of: Callable[..., Card], name: str, lines: tuple[str, ...]
) -> None:
    read = tapped(card_of(name, *lines), scheme)
    assert read.outcome.kind.value == "online request", read.outcome.reason
    assert ask(lab_host, read).verdict is Verdict.APPROVED
    assert lab_host.captured_minor() == REQUEST.amount.minor


@pytest.mark.parametrize("name", ["visa", "mastercard"])
@pytest.mark.parametrize(
    "changed",
    [{0x9F02: bytes.fromhex("000000000100")}, {0x9F37: bytes(4)}, {0x95: b"\xff" * 5}, {0x9F26: bytes(8)}],
    ids=lambda value: f"{next(iter(value)):X}",
)
def test_a_changed_data_object_makes_the_card_a_false_one(
    lab_host: Host, scheme: Scheme, card_of: Callable[..., Card], name: str, changed: dict[int, bytes]
) -> None:
    assert ask(lab_host, tapped(card_of(name), scheme), changed=changed).verdict is Verdict.DECLINED


@pytest.mark.parametrize("name", ["visa", "mastercard"])
def test_a_card_with_a_wrong_cryptogram_is_declined(
    lab_host: Host, scheme: Scheme, card_of: Callable[..., Card], name: str
) -> None:
    read = tapped(card_of(name, "[faults]", "wrong_cryptogram = true"), scheme)
    assert ask(lab_host, read).verdict is Verdict.DECLINED


@pytest.mark.parametrize("name", ["visa_offline", "mastercard_offline"])
def test_an_offline_approval_is_believed_by_its_cryptogram(lab_host: Host, scheme: Scheme, name: str) -> None:
    read = tapped(load_card(name, scheme, SystemEntropy()), scheme)
    assert read.outcome.kind.value == "approved", read.outcome.reason
    assert ask(lab_host, read, "offline_advice", {0x8A: b"Y1"}).verdict is Verdict.APPROVED


def test_the_same_tap_is_not_taken_for_a_second_sale(
    lab_host: Host, scheme: Scheme, card_of: Callable[..., Card]
) -> None:
    read = tapped(card_of("mastercard"), scheme)
    assert [ask(lab_host, read).verdict for _ in range(2)] == [Verdict.APPROVED, Verdict.DECLINED]
