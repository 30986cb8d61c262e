"""Pre-processing clause by clause, as libpay quotes EMV Book B, 3.1.1; the type-approval cases judge it as well."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.card.reader_stage import SALE, combination

from taptill.amount.money import Money
from taptill.card.preprocessing import Indicators, copy_all, prepare, prepare_all

AID = "A000000333010101"
CNY_SALE = replace(SALE, amount=Money(100), amount_other=Money(0))
FLOOR, NOT_ALLOWED, CVM, STATUS, ZERO = (
    Indicators(floor_limit_exceeded=True),
    Indicators(application_not_allowed=True),
    Indicators(cvm_limit_exceeded=True),
    Indicators(status_check_requested=True),
    Indicators(zero_amount=True),
)
NOTHING = Indicators()


@pytest.mark.parametrize(
    ("settings", "amount_minor", "indicators", "ttq"),
    [
        ({}, 100, NOTHING, "36000080"),
        ({"status_check": True}, 100, STATUS, "36800080"),  # one yuan is one unit of currency
        ({"status_check": True}, 1, NOTHING, "36000080"),
        ({"status_check": True}, 101, NOTHING, "36000080"),
        ({"zero_amount_allowed": False}, 0, NOT_ALLOWED, "36000080"),
        ({"zero_amount_allowed": True}, 0, ZERO, "36800080"),
        ({"zero_amount_allowed": True}, 1, NOTHING, "36000080"),
        ({"transaction_limit_minor": 100}, 99, NOTHING, "36000080"),
        ({"transaction_limit_minor": 100}, 100, NOT_ALLOWED, "36000080"),
        ({"floor_limit_minor": 100}, 100, NOTHING, "36000080"),
        ({"floor_limit_minor": 100}, 101, FLOOR, "36800080"),
        ({"terminal_floor_limit_minor": 100}, 101, FLOOR, "36800080"),
        ({"floor_limit_minor": 200, "terminal_floor_limit_minor": 100}, 150, NOTHING, "36000080"),
        ({"floor_limit_minor": 0}, 0, NOT_ALLOWED, "36000080"),
        ({"cvm_limit_minor": 100}, 99, NOTHING, "36000080"),
        ({"cvm_limit_minor": 100}, 100, CVM, "36400080"),
        ({"cvm_limit_minor": 100, "floor_limit_minor": 50}, 100, replace(FLOOR, cvm_limit_exceeded=True), "36C00080"),
        ({"ttq": "36C00080"}, 100, NOTHING, "36000080"),  # the transient bits start at zero
        ({"ttq": "3E000080", "zero_amount_allowed": True}, 0, replace(NOT_ALLOWED, zero_amount=True), "3E800080"),
        (
            {"ttq": "3E000080", "zero_amount_allowed": True, "zero_amount_offline_allowed": True},
            0,
            ZERO,
            "3E000080",
        ),
        ({"ttq": "", "cvm_limit_minor": 1, "floor_limit_minor": 1}, 2, replace(FLOOR, cvm_limit_exceeded=True), ""),
        ({"ttq": "", "zero_amount_allowed": True}, 0, ZERO, ""),
    ],
)
def test_each_limit_sets_its_indicator_and_its_bit(
    settings: dict[str, object], amount_minor: int, indicators: Indicators, ttq: str
) -> None:
    octets = bytes.fromhex(str(settings.pop("ttq", "36000080")))
    prepared = prepare(
        replace(combination(AID, 7, **settings), ttq=octets), replace(CNY_SALE, amount=Money(amount_minor))
    )
    assert (prepared.indicators, prepared.ttq.hex().upper()) == (indicators, ttq)


def test_what_this_sale_must_not_offer_is_not_told() -> None:
    for prepared in (prepare_all, copy_all):
        (told,) = prepared([combination(AID, 7)], replace(CNY_SALE, pin_pad=False, offline_allowed=False))
        assert told.ttq.hex() == "22800080"
        (told,) = prepared([combination(AID, 7)], CNY_SALE)
        assert told.ttq.hex() == "26000080"


def test_a_combination_serves_its_types_of_transaction() -> None:
    refunds = combination(AID, 7, transaction_types=frozenset({0x20}))
    everything = combination("A000000333", 7)
    for prepared in (prepare_all, copy_all):
        assert [each.combination for each in prepared([refunds, everything], CNY_SALE)] == [everything]
        refund = replace(CNY_SALE, transaction_type=0x20)
        assert [each.combination for each in prepared([refunds, everything], refund)] == [refunds, everything]
