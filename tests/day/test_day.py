"""A whole shop day in the lab, played once: what the report says, and what lies on the disk afterwards."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from taphost.ledger import Entry
from taplab.books import Books
from taplab.card import packaged_cards
from taplab.card.card_file import read_card_file
from taplab.day import Day, DayReport
from taplab.report import as_json, went_well
from taplab.world import World

CARD_NUMBERS = {path.stem: read_card_file(path).pan for path in packaged_cards().values()}
MAY_HOLD_CARD_NUMBERS = {"host.toml", "scheme.json"}  # the issuer's side of the lab


@dataclass(frozen=True, slots=True)
class Played:
    """The report, the JSON made of it, and the directory of a lab that was shut down."""

    world: World
    report: DayReport
    told: dict[str, Any]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Played:
    with World(tmp_path_factory.mktemp("lab")) as world:
        report = Day(world, lambda line: None).play()
        return Played(world, report, as_json(report, world))


def test_the_day_went_well(day: Played) -> None:
    assert went_well(day.told)
    assert len(day.told["payments"]) >= 9
    assert json.loads(json.dumps(day.told)) == day.told


def test_every_scene_came_to_its_state(day: Played) -> None:
    states = {payment["state"] for payment in day.told["payments"]}
    assert states == {"approved", "declined", "reversed", "approved_offline"}
    at_the_counter = {payment["state_at_counter"] for payment in day.told["payments"]}
    assert at_the_counter >= {"approved", "declined", "reversing", "approved_offline", "deferred"}
    for payment in day.told["payments"]:
        assert payment["next_step"] or payment["state_at_counter"] in {"approved", "approved_offline", "deferred"}


def test_cards_of_other_schemes_paid_too(day: Played) -> None:
    paid = {(each["card"], each["state"], each["reader"].partition(":")[0]) for each in day.told["payments"]}
    other_reader = "pn532" if day.world.pcsc_missing else "pcsc"
    assert paid >= {("visa_credit", "approved", "pn532"), ("mastercard_credit", "approved", other_reader)}


def test_a_card_that_no_kernel_serves_was_named_and_paid_nothing(day: Played) -> None:
    (refused,) = day.told["refused"]
    assert (refused["card"], refused["state"]) == ("amex_like", "cancelled")
    assert "美国运通" in refused["told"]
    assert refused["next_step"]


def test_both_readers_sold(day: Played) -> None:
    kinds = {payment["reader"].partition(":")[0] for payment in day.told["payments"]}
    assert kinds == ({"pn532"} if day.world.pcsc_missing else {"pn532", "pcsc"})


def test_every_customer_got_a_slip_that_can_be_looked_at(day: Played) -> None:
    for payment in day.told["payments"]:
        path = Path(payment["receipt_png"])
        with Image.open(path) as slip:
            slip.load()
            assert slip.format == "PNG"
            assert slip.width > 200
            assert slip.height > slip.width
            assert len(slip.convert("L").getcolors() or ()) > 1, "a blank slip"


def test_nothing_was_lost_or_doubled_and_the_books_agree(day: Played) -> None:
    outage, books = day.told["outage"], day.told["reconciliation"]
    assert (outage["offline_approved"], outage["deferred"]) == (2, 1)
    assert (outage["lost"], outage["doubled"]) == (0, 0)
    assert outage["replayed"] >= 4
    assert books["balanced"]
    assert books["terminal_total"] == books["host_total"] > 0
    sold = [payment for payment in day.told["payments"] if payment["state"] in {"approved", "approved_offline"}]
    assert books["terminal_total"] == sum(payment["amount"] for payment in sold)


def test_what_was_owed_before_the_power_cut_was_delivered_after_it(day: Played) -> None:
    cut = day.told["power_cut"]
    assert cut["recovered"]
    assert sorted(cut["owed_before"]) == sorted(cut["delivered_after"])
    assert any(debt.endswith("/reversal") for debt in cut["owed_before"])
    assert any(debt.endswith("/advice") for debt in cut["owed_before"])


def test_no_card_number_stands_in_anything_that_was_written(day: Played) -> None:
    written = [
        path
        for path in day.world.directory.rglob("*")
        if path.is_file() and path.name not in MAY_HOLD_CARD_NUMBERS and path.suffix != ".png"
    ]
    names = {path.name for path in written}
    assert {"journal.sqlite", "terminal.log", "host.log", "host.sqlite", "slip-0001.txt"} <= names
    for path in written:
        octets = path.read_bytes()
        for card, number in CARD_NUMBERS.items():
            for form in forms(number):
                assert form not in octets, f"the number of {card} in {path.name}"


def forms(number: str) -> set[bytes]:
    """As text, as text of hex, as packed BCD with either alignment, as UTF-16."""
    shifted = bytes.fromhex(number[1:] + "0" * (len(number) % 2 == 0))[:-1]
    packed = bytes.fromhex(number + "F" * (len(number) % 2))
    return {number.encode(), number.encode().hex().encode(), packed, shifted, number.encode("utf-16-le")}


def test_the_search_for_card_numbers_finds_one(day: Played) -> None:
    octets = day.world.files.host_config.read_bytes()
    assert all(number.encode() in octets for number in CARD_NUMBERS.values())


def _without(books: Books, captured: Entry) -> Books:
    return replace(books, captured=tuple(each for each in books.captured if each is not captured))


def test_an_advice_the_host_never_took_is_a_loss(day: Played) -> None:
    report = deepcopy(day.report)
    assert report.books is not None
    advice = next(debt for debt in report.books.debts if debt.row == "offline_advice")
    taken = next(each for each in report.books.captured if each.payment_ref == advice.payment_ref)
    report.books = _without(report.books, taken)
    told = as_json(report, day.world)
    assert told["outage"]["lost"] == 1
    assert not told["power_cut"]["recovered"]
    assert not went_well(told)


def test_a_payment_captured_twice_is_counted(day: Played) -> None:
    report = deepcopy(day.report)
    assert report.books is not None
    report.books = replace(report.books, captured=(*report.books.captured, report.books.captured[0]))
    told = as_json(report, day.world)
    assert told["outage"]["doubled"] == 1
    assert not went_well(told)


def test_a_fen_too_much_is_not_balanced(day: Played) -> None:
    report = deepcopy(day.report)
    assert report.books is not None
    report.books = replace(report.books, host_total_minor=report.books.host_total_minor + 1)
    assert not went_well(as_json(report, day.world))


def test_debts_that_were_never_there_are_no_recovery(day: Played) -> None:
    report = deepcopy(day.report)
    report.owed_before_cut = []
    assert not went_well(as_json(report, day.world))


def test_a_refused_card_that_paid_is_no_good_day(day: Played) -> None:
    assert not went_well({**day.told, "refused": [{**day.told["refused"][0], "state": "approved"}]})


@pytest.mark.parametrize(
    ("part", "figure", "bad"),
    [
        ("outage", "lost", 1),
        ("outage", "doubled", 1),
        ("power_cut", "recovered", False),
        ("reconciliation", "balanced", False),
    ],
)
def test_one_bad_figure_is_enough_to_say_no(day: Played, part: str, figure: str, bad: int) -> None:
    assert not went_well({**day.told, part: {**day.told[part], figure: bad}})
