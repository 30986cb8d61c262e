"""Card files: what they may say, and what survives a restart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from taplab.card import CardState, Scheme, load_card, packaged_cards
from taplab.card.card_file import CardFileError
from taplab.card.card_state import CardStateError
from taplab.card.scheme import SchemeFileError
from taptill.card.proof.ca_keys import parse_ca_keys
from taptill.entropy import SystemEntropy

# UnionPay numbers of this lab; beginnings of published test numbers of Visa, Mastercard and American Express.
PUBLISHED_TEST_NUMBERS = ("62280001000011", "62280001000012", "47617390010100", "54133390000015", "374245455400126")
GOOD = 'label = "x"\npan = "6228000100001109"\nexpiry = "2031-12"\n'


def passes_luhn(digits: str) -> bool:
    doubled = [int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


@pytest.mark.parametrize("name", packaged_cards())
def test_every_packaged_card_loads_and_has_a_valid_test_number(name: str, scheme: Scheme) -> None:
    text = packaged_cards()[name].read_text(encoding="utf-8")
    pan = text.split('pan = "')[1].split('"')[0]
    assert passes_luhn(pan)
    assert pan.startswith(PUBLISHED_TEST_NUMBERS)
    assert load_card(name, scheme, SystemEntropy()).label in text


def test_no_two_packaged_cards_share_a_number() -> None:
    pans = [path.read_text(encoding="utf-8").split('pan = "')[1][:16] for path in packaged_cards().values()]
    assert len(set(pans)) == len(pans)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (GOOD + "colour = 1\n", "colour"),
        (GOOD + "[offline]\nballance_minor = 1\n", "ballance_minor"),
        (GOOD + '[faults]\nblocked = "maybe"\n', "blocked"),
        (GOOD.replace("2031-12", "12/31"), "expiry"),
        (GOOD.replace("6228000100001109", "6228x"), "pan"),
        (GOOD + 'uid = "08"\n', "uid"),
        (GOOD + 'service_code = "20"\n', "service_code"),
        ("label = ", "toml"),
    ],
)
def test_a_wrong_card_file_is_refused_and_says_what_is_wrong(
    text: str, named: str, tmp_path: Path, scheme: Scheme
) -> None:
    file = tmp_path / "card.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(CardFileError, match=named):
        load_card(file, scheme, SystemEntropy())


def test_an_unknown_card_is_answered_with_the_known_names(scheme: Scheme) -> None:
    with pytest.raises(CardFileError, match="good_credit"):
        load_card("golden_credit", scheme, SystemEntropy())


def test_counter_and_balance_outlive_the_process(tmp_path: Path, scheme: Scheme, tap: Callable[..., Any]) -> None:
    state_path = tmp_path / "offline_funds.state.json"
    card = load_card("offline_funds", scheme, SystemEntropy(), state_path)
    tapped = tap(card)
    tapped.process()
    tapped.read()
    again = load_card("offline_funds", scheme, SystemEntropy(), state_path)
    assert again.state() == CardState(atc=1, balance_minor=17500)


def test_the_counter_is_kept_before_the_answer_leaves(tmp_path: Path, scheme: Scheme) -> None:
    state_path = tmp_path / "missing folder" / "state.json"
    card = load_card("good_credit", scheme, SystemEntropy(), state_path)
    card.answer(bytes.fromhex("00A4040008A000000333010102"))
    with pytest.raises(OSError, match="missing folder"):
        card.answer(bytes.fromhex("80A800002383213680" + "00" * 31))


def test_a_broken_state_file_is_refused(tmp_path: Path, scheme: Scheme) -> None:
    state_path = tmp_path / "state.json"
    state_path.write_text('{"atc": 1', encoding="utf-8")
    with pytest.raises(CardStateError):
        load_card("good_credit", scheme, SystemEntropy(), state_path)


def test_the_scheme_comes_back_from_its_file_and_stays_private(tmp_path: Path, scheme: Scheme) -> None:
    path = tmp_path / "scheme.json"
    scheme.save(path)
    assert path.stat().st_mode & 0o077 == 0
    assert Scheme.load_or_generate(path, SystemEntropy()) == scheme
    assert f"{scheme.issuer_key.hex()}" not in repr(scheme)


def test_a_file_that_is_no_scheme_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scheme.json"
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(SchemeFileError):
        Scheme.load(path)


def test_the_ca_key_is_exported_under_each_rid_as_a_terminal_reads_it(scheme: Scheme) -> None:
    keys = parse_ca_keys(scheme.ca_keys_toml())
    assert [key.rid.hex() for key in keys] == ["a000000333", "a000000003", "a000000004"]
    assert {(key.index, key.modulus, key.test) for key in keys} == {(0xED, scheme.authority.modulus, True)}
