"""What a C-2 reader is set to: the book's defaults, the acquirer's data objects, the merchant's limits."""

from __future__ import annotations

import pytest
from tests.card.c2.conftest import REQUEST
from tests.card.c2.mchip_card import MASTERCARD

from taptill.card.kernels.c2 import tags
from taptill.card.kernels.c2.configuration import Configuration
from taptill.card.parameters import Combination
from taptill.errors import ConfigError


def configured(kernel_data: dict[int, str] | None = None, **limits: int) -> Configuration:
    data = {tag: bytes.fromhex(value) for tag, value in (kernel_data or {}).items()}
    return Configuration.of(Combination(MASTERCARD, 2, b"", kernel_data=data, **limits), REQUEST)  # type: ignore[arg-type]


def test_mag_stripe_mode_and_everything_that_admits_is_off_by_default() -> None:
    plain = configured()
    assert plain.emv
    off = (plain.mag_stripe, plain.relay_resistance, plain.on_device_verification, plain.combined_authentication)
    assert off == (False, False, False, False)
    assert plain.values[tags.TAC_DENIAL].hex() == "840000000c"
    assert plain.number(tags.TORN_RECORDS_MAX) == 0


def test_the_book_s_times_are_in_units_of_a_hundred_microseconds() -> None:
    plain = configured()
    times = (tags.RELAY_GRACE_MIN, tags.RELAY_GRACE_MAX, tags.RELAY_EXPECTED_COMMAND, tags.RELAY_EXPECTED_RESPONSE)
    assert [plain.number(tag) for tag in times] == [20, 50, 18, 24]
    assert (plain.number(tags.RELAY_ACCURACY), plain.number(tags.RELAY_MISMATCH)) == (300, 50)


def test_named_limits_win_over_higher_data_objects_and_those_over_defaults() -> None:
    acquirer = {tags.FLOOR_LIMIT: "000000001000", tags.CVM_LIMIT: "000000002000"}
    both = configured(acquirer, cvm_limit_minor=500, transaction_limit_minor=9_000)
    limits = (tags.FLOOR_LIMIT, tags.CVM_LIMIT, tags.TRANSACTION_LIMIT, tags.TRANSACTION_LIMIT_ON_DEVICE)
    assert [both.decimal(tag) for tag in limits] == [1_000, 499, 9_000, 9_000]


def test_the_merchants_limit_never_raises_the_acquirers() -> None:
    acquirer = {tags.CVM_LIMIT: "000000002000", tags.TRANSACTION_LIMIT_ON_DEVICE: "000000003000"}
    both = configured(acquirer, cvm_limit_minor=5_000, transaction_limit_minor=9_000)
    limits = (tags.CVM_LIMIT, tags.TRANSACTION_LIMIT, tags.TRANSACTION_LIMIT_ON_DEVICE)
    assert [both.decimal(tag) for tag in limits] == [2_000, 9_000, 3_000]


def test_limits_nobody_set_are_none_but_verification_is_always_wanted() -> None:
    plain = configured()
    assert plain.decimal(tags.FLOOR_LIMIT) == plain.decimal(tags.TRANSACTION_LIMIT) == 999_999_999_999
    assert plain.decimal(tags.CVM_LIMIT) == 0


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (tags.CVM_LIMIT, "00000000100A"),
        (tags.KERNEL_CONFIGURATION, "A000"),
        (tags.TAC_ONLINE, "F450"),
        (tags.PHONE_MESSAGES, "000001"),
        (tags.MESSAGE_HOLD_TIME, "00000D"),
    ],
)
def test_a_data_object_of_another_form_is_refused_by_name(tag: int, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{tag:X}"):
        configured({tag: value})


def test_no_card_is_told_the_kernel_s_private_data_objects() -> None:
    told = configured({tags.BALANCE_BEFORE: "", 0x9F1D: "6CFF000000000000"}).for_card()
    assert told[0x9F1D].hex() == "6cff000000000000"
    assert all(tag <= 0xFFFF for tag in told)


def test_without_a_pin_pad_no_online_pin_is_claimed() -> None:
    assert configured({tags.CVM_CAPABILITY_REQUIRED: "68"}).values[tags.CVM_CAPABILITY_REQUIRED] == b"\x28"
