"""Relay resistance on a card whose exchanges take as long as the test says."""

from __future__ import annotations

import pytest
from tests.card.c2.conftest import REQUEST, Hold
from tests.card.c2.mchip_card import ENTROPY, GENERATE, PAN, RELAY, MchipCard

from taptill.card.kernels.c2 import tags
from taptill.card.outcome import CardRead, OdaVerdict, OutcomeKind

RELAY_ON = {0xDF811B: "B0"}
NEAR_US, FAR_US = 6_000, 20_000  # against 18 + 24 units on the air and at most 60 + 50 in the card


def relay_card(**changes: object) -> MchipCard:
    card = MchipCard(aip="1981")
    for name, value in changes.items():
        setattr(card, name, value)
    return card


def tvr_5(read: CardRead) -> int:
    return read.tvr[4]


def test_a_near_card_passes_at_once_and_signs_what_was_exchanged(hold: Hold) -> None:
    card = relay_card(relay_us=(NEAR_US,))
    read = hold(card, RELAY_ON)
    assert (read.outcome.kind, read.oda.verdict) == (OutcomeKind.APPROVED, OdaVerdict.PASSED)
    assert tvr_5(read) == 0x02
    assert card.asked(RELAY) == [bytes.fromhex("80EA000004") + REQUEST.fresh_numbers[0] + b"\x00"]
    assert card.sent[0x9F37] == read.data[0x9F37] == REQUEST.fresh_numbers[0]
    assert read.data[tags.RELAY_DEVICE_ENTROPY] == ENTROPY
    assert int.from_bytes(read.data[tags.RELAY_TIME_MEASURED], "big") == 18


def test_the_entropy_is_told_to_nobody_before(hold: Hold) -> None:
    card = relay_card(pdol="9F3704")
    read = hold(card, RELAY_ON)
    assert card.asked(0xA8)[0][7:11] == REQUEST.unpredictable_number
    assert card.asked(RELAY)[0][5:9] == REQUEST.fresh_numbers[0] != REQUEST.unpredictable_number
    assert read.outcome.kind is OutcomeKind.APPROVED


def test_a_slow_answer_is_asked_for_twice_more_each_time_with_a_fresh_number(hold: Hold) -> None:
    card = relay_card(relay_us=(FAR_US, FAR_US, NEAR_US))
    read = hold(card, RELAY_ON)
    assert [command[5:9] for command in card.asked(RELAY)] == list(REQUEST.fresh_numbers)
    assert tvr_5(read) == 0x02
    assert (read.data[0x9F37], read.data[tags.RELAY_COUNTER]) == (REQUEST.fresh_numbers[2], b"\x02")
    assert read.oda.verdict is OdaVerdict.PASSED


def test_a_card_that_stays_slow_is_told_so_and_tried_no_longer(hold: Hold) -> None:
    card = relay_card(relay_us=(FAR_US,))
    read = hold(card, RELAY_ON)
    assert len(card.asked(RELAY)) == 3
    assert tvr_5(read) == 0x06
    assert read.outcome.kind is OutcomeKind.ONLINE_REQUEST  # TAC online F4 50 84 80 0C
    far = relay_card(relay_us=(60_000,))
    assert tvr_5(hold(far, RELAY_ON)) == 0x0E
    denied = relay_card(relay_us=(FAR_US,))
    assert hold(denied, RELAY_ON | {0xDF8121: "0000000004"}).outcome.kind is OutcomeKind.DECLINED


def test_the_maximum_check_has_the_maximum_grace(hold: Hold) -> None:
    edge_us = (18 + 24 + 60 + 50) * 100
    assert len(run(hold, relay_card(relay_us=(edge_us,)))) == 1
    assert len(run(hold, relay_card(relay_us=(edge_us + 100,)))) == 3


def run(hold: Hold, card: MchipCard) -> list[bytes]:
    hold(card, RELAY_ON)
    return card.asked(RELAY)


def test_a_card_faster_than_it_says_is_turned_down(hold: Hold) -> None:
    card = relay_card(relay=(100, 200, 24), relay_us=((18 + 24 + 79) * 100,))
    read = hold(card, RELAY_ON)
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.END_APPLICATION, "relay-resistance-implausible")
    assert card.asked(GENERATE) == []
    read = hold(relay_card(relay=(100, 200, 24), relay_us=((18 + 24 + 80) * 100,)), RELAY_ON)
    assert tvr_5(read) == 0x02


def test_times_of_the_two_sides_that_do_not_fit_are_a_finding(hold: Hold) -> None:
    assert tvr_5(hold(relay_card(relay=(2, 60, 49)), RELAY_ON)) == 0x0A
    assert tvr_5(hold(relay_card(relay=(2, 60, 0)), RELAY_ON)) == 0x02


@pytest.mark.parametrize(
    ("aip", "kernel_data", "numbers"),
    [("1980", RELAY_ON, 3), ("1981", {}, 3), ("1981", RELAY_ON, 0)],
)
def test_where_one_side_cannot_it_is_not_performed(
    hold: Hold, aip: str, kernel_data: dict[int, str], numbers: int
) -> None:
    card = MchipCard(aip=aip)
    read = hold(card, kernel_data, fresh_numbers=REQUEST.fresh_numbers[:numbers])
    assert (card.asked(RELAY), tvr_5(read)) == ([], 0x01)


@pytest.mark.parametrize("changed", [0, 4, 8, 10, 12])
def test_a_relay_that_changes_what_was_exchanged_breaks_the_signature(hold: Hold, changed: int) -> None:
    told = REQUEST.fresh_numbers[0] + ENTROPY + bytes.fromhex("0002003C0018")
    forged = told[:changed] + bytes([told[changed] ^ 1]) + told[changed + 1 :]
    read = hold(relay_card(relay_signed=forged), RELAY_ON)
    assert (read.outcome.kind, read.oda.verdict) == (OutcomeKind.END_APPLICATION, OdaVerdict.FAILED)
    assert read.oda.reason == "relay-resistance-data-differ"
    assert hold(relay_card(relay_signed=told), RELAY_ON).oda.verdict is OdaVerdict.PASSED


@pytest.mark.parametrize(
    ("answer", "reason"), [("6985", "relay-resistance-refused-6985"), ("80039000", "card-data-malformed")]
)
def test_a_card_that_answers_otherwise_ends_its_application(hold: Hold, answer: str, reason: str) -> None:
    read = hold(relay_card(refuses={RELAY: answer}), RELAY_ON)
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.END_APPLICATION, reason)


def test_without_cda_the_issuer_reads_the_figures_in_track_2(hold: Hold) -> None:
    card = MchipCard(aip="1881", relay_us=(NEAR_US + 9_000,), changes={0x8F: "03"})
    read = hold(card, RELAY_ON)
    assert read.outcome.kind is OutcomeKind.ONLINE_REQUEST
    assert read.number is not None
    # CA key 3, no retry, entropy C0FF and EE in decimal, 10.8 ms measured
    assert read.number.track2.reveal().decode() == f"{PAN}D3912201" + "3" + "0" + "49407" + "238" + "010"
