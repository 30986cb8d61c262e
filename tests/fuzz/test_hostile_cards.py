"""A fixed number of hostile cards, lines and files, the same ones every time; `tools/fuzz` goes on from here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from taplab.card import Scheme
from taplab.fuzz.choices import Choices
from taplab.fuzz.cli import main
from taplab.fuzz.engines import explore
from taplab.fuzz.good_cards import CARD_TIMEOUT_MS, CARDS, SALE, SALES, GoodCard, GoodWorld, good_world
from taplab.fuzz.hostile_card import EXCHANGES_MAX, HostileCard, LawBroken
from taplab.fuzz.laws import check_read, check_update
from taplab.fuzz.spoil import spoiled
from taplab.fuzz.targets import TARGETS, hold_hostile_card
from taptill.card.outcome import CardNumber, CardRead, CryptogramType, Cvm, Oda, OdaMethod, OdaVerdict, OutcomeKind
from taptill.card.outcomes import approved, online_request, select_next
from taptill.card.read_card import KERNELS, drive, read_card
from taptill.card.rules.risk_management import card_digest
from taptill.card.sensitive import SensitiveBytes
from taptill.entropy import SystemEntropy

EXECUTIONS = {
    "kernel": 3_000,
    "transaction": 1_000,
    "tlv": 1_000,
    "dol": 1_000,
    "apdu": 1_000,
    "replay": 800,
    "pn532-frames": 1_000,
    "host-messages": 1_000,
}
SEED = 20_261


@pytest.fixture(scope="module")
def world() -> GoodWorld:
    return good_world(Scheme.generate(SystemEntropy()))


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_made_up_brings_the_terminal_down(name: str, world: GoodWorld) -> None:
    crash = explore(TARGETS[name].run, world, EXECUTIONS[name], SEED)
    if crash is not None:
        crash.error.add_note(f"input: {crash.octets.hex()}")
        raise crash.error


def test_without_faults_the_cards_are_good_ones_of_every_kernel(world: GoodWorld) -> None:
    ends = Counter(hold_hostile_card(bytes([number]), world)[-1] for number in range(len(CARDS)))
    assert {
        kernel for end in ends for kernel in ("C-2", "C-3", "C-7") if "online request" in end and kernel in end
    } == {kernel.name for kernel in KERNELS.values()}
    assert any("approved" in end for end in ends)


def test_hostile_cards_come_to_ends_of_many_kinds(world: GoodWorld) -> None:
    """The control: a fuzzer whose cards all fail at once, or never, looks at nothing."""
    reasons = set()
    for number in range(600):
        octets = bytes([number % len(CARDS), number % len(SALES), *bytes(number % 9), 1, 1, number % 251, number % 17])
        reasons.add(hold_hostile_card(octets + bytes([number % 7, number % 5]), world)[-1])
    assert len(reasons) > 20


def a_kernel_with_a_mistake(octets: bytes, world: GoodWorld) -> list[str]:
    story = hold_hostile_card(octets, world)
    if any("malformed" in line for line in story):
        raise IndexError("planted")
    return story


def test_a_planted_mistake_is_found_and_made_small(world: GoodWorld) -> None:
    crash = explore(a_kernel_with_a_mistake, world, 500, SEED)
    assert crash is not None
    assert str(crash.error) == "planted"
    assert len(crash.octets) < 12
    with pytest.raises(IndexError):
        a_kernel_with_a_mistake(crash.octets, world)


def test_the_same_seed_makes_up_the_same_inputs(world: GoodWorld) -> None:
    seen: list[bytes] = []

    def keep(octets: bytes, world: GoodWorld) -> list[str]:
        seen.append(octets)
        return []

    for _ in range(2):
        explore(keep, world, 50, SEED)
    assert len(seen) == 100
    assert seen[:50] == seen[50:]


def test_choices_that_are_used_up_are_all_zero() -> None:
    choices = Choices(b"\x05\x01\x00\xaa")
    assert (choices.below(4), choices.below(1_000), choices.octets(9), choices.octet()) == (1, 256, b"\xaa", 0)
    assert choices.one_of("abc") == "a"


def test_without_choices_an_answer_is_left_alone() -> None:
    assert spoiled(Choices(b""), b"\x70\x00\x90\x00", ()) == b"\x70\x00\x90\x00"


def test_one_data_object_is_spoiled_and_the_templates_around_it_fit_again() -> None:
    """One fault, on a data object, the fourth of the tree: left out."""
    answer = bytes.fromhex("7707820279009F36009000")
    fixed = bytes.fromhex("7709820279009F360200019000")
    assert spoiled(Choices(bytes([1, 0, 2, 0])), fixed, ()) == bytes.fromhex("7704820279009000")
    assert spoiled(Choices(bytes([1, 0, 1, 0])), fixed, ()) == bytes.fromhex("77059F360200019000")
    assert spoiled(Choices(bytes([1, 0, 0, 0])), answer, ()) != answer


def test_a_card_that_is_asked_without_end_breaks_a_law() -> None:
    card = HostileCard(GoodCard("endless", {}, {}), Choices(b""))
    for _ in range(EXCHANGES_MAX):
        card.transmit(b"\x00\xb2\x01\x0c\x00", CARD_TIMEOUT_MS)
    with pytest.raises(LawBroken, match="exchanges"):
        card.transmit(b"\x00\xb2\x01\x0c\x00", CARD_TIMEOUT_MS)


def test_a_command_that_no_card_could_take_breaks_a_law() -> None:
    with pytest.raises(LawBroken, match="300 octets"):
        HostileCard(GoodCard("short", {}, {}), Choices(b"")).transmit(bytes(300), CARD_TIMEOUT_MS)


PAN = "6228000100001117"
NUMBER = CardNumber(SensitiveBytes(PAN.encode()), SensitiveBytes(b""), "00", "3012")
PROVEN = Oda(OdaMethod.FDDA, OdaVerdict.PASSED)


def unlawful() -> Iterator[tuple[str, object]]:
    yield "None", None
    yield "select next", CardRead(select_next("card-refused"))
    yield "approved on", CardRead(approved(Cvm.NONE), number=NUMBER, oda=PROVEN, cryptogram_type=CryptogramType.ARQC)
    yield "not performed", CardRead(approved(Cvm.NONE), number=NUMBER, cryptogram_type=CryptogramType.TC)
    yield "without a card number", CardRead(online_request(Cvm.NONE))
    yield "57 among", CardRead(online_request(Cvm.NONE), number=NUMBER, data={0x57: b""})
    yield "can be read", CardRead(online_request(Cvm.NONE), number=NUMBER, label=PAN)
    yield "wrong length", CardRead(online_request(Cvm.NONE), number=NUMBER, tvr=b"")


APPROVED = CardRead(approved(Cvm.NONE), number=NUMBER, oda=PROVEN, cryptogram_type=CryptogramType.TC)


def test_an_issuers_update_that_could_be_booked_breaks_a_law() -> None:
    check_update(CardRead(approved(Cvm.NONE)))
    with pytest.raises(LawBroken, match="booked"):
        check_update(APPROVED)


def test_an_approval_where_none_was_allowed_breaks_a_law() -> None:
    check_read(APPROVED, SALE)
    with pytest.raises(LawBroken, match="forbids"):
        check_read(APPROVED, replace(SALE, offline_allowed=False))
    with pytest.raises(LawBroken, match="exception list"):
        check_read(APPROVED, replace(SALE, exceptions=frozenset({card_digest(PAN)})))


@pytest.mark.parametrize(("said", "read"), [pytest.param(*each, id=each[0]) for each in unlawful()])
def test_a_tap_that_no_card_may_bring_about_breaks_a_law(said: str, read: object) -> None:
    with pytest.raises(LawBroken, match=said):
        check_read(read, SALE)


def test_a_lawful_tap_breaks_none(world: GoodWorld) -> None:
    card = HostileCard(world.cards[0], Choices(b""))
    read = drive(read_card(SALE, world.settings[0], world.ca_keys), card, CARD_TIMEOUT_MS)
    check_read(read, SALE)
    assert read.outcome.kind is OutcomeKind.ONLINE_REQUEST
    assert len(card.story) == 4


def test_the_tool_runs_so_many_inputs_and_keeps_its_keys(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["--directory", str(tmp_path), "--engine", "hypothesis", "--target", "kernel"]
    assert main([*arguments, "--executions", "30"]) == 0
    assert "kernel: 30 executions" in capfd.readouterr().err
    assert (tmp_path / "scheme.json").exists()
    kept = tmp_path / "input"
    kept.write_bytes(bytes([1, 0]))
    assert main([*arguments, "--input", str(kept)]) == 0
    assert "begins as offline_funds" in capfd.readouterr().out
