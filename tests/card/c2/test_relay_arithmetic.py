"""The figures of relay resistance against rational arithmetic, and against cases counted by hand."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taptill.card.kernels.c2.relay import (
    DeviceTimes,
    Tolerances,
    device_times,
    exceeds_thresholds,
    is_too_fast,
    is_too_slow,
    processing_time,
)
from taptill.card.tlv import MalformedTlv

TWO_OCTETS = st.integers(0, 0xFFFF)
DEVICES = st.builds(DeviceTimes, st.just(bytes(4)), TWO_OCTETS, TWO_OCTETS, TWO_OCTETS)
TOLERANCES = st.builds(
    Tolerances, TWO_OCTETS, TWO_OCTETS, TWO_OCTETS, TWO_OCTETS, TWO_OCTETS, mismatch_percent=st.integers(0, 255)
)
DEFAULT = Tolerances(20, 50, 18, 24, 300, 50)


@given(elapsed_us=st.integers(0, 10_000_000), device=DEVICES, tolerances=TOLERANCES)
def test_verdicts_agree_with_rational_arithmetic(elapsed_us: int, device: DeviceTimes, tolerances: Tolerances) -> None:
    units = Fraction(elapsed_us, 100).__floor__()
    spent = Fraction(units - tolerances.expected_command - min(device.estimated, tolerances.expected_response))
    expected = min(max(Fraction(0), spent), Fraction(65_535))
    measured = processing_time(elapsed_us, device, tolerances)
    assert measured == expected
    assert is_too_fast(measured, device, tolerances) == (expected < max(0, device.minimum - tolerances.grace_min))
    assert is_too_slow(measured, device, tolerances) == (expected > Fraction(device.maximum + tolerances.grace_max))
    mismatch = False
    if device.estimated and tolerances.expected_response:
        ratio = Fraction(device.estimated, tolerances.expected_response)
        mismatch = min(ratio, 1 / ratio) * 100 < tolerances.mismatch_percent
    late = max(Fraction(0), expected - device.minimum) > tolerances.accuracy
    assert exceeds_thresholds(measured, device, tolerances) == (mismatch or late)


@pytest.mark.parametrize(
    ("elapsed_us", "estimated", "measured"),
    [
        (0, 24, 0),
        (4_200, 24, 0),
        (4_299, 24, 0),
        (4_300, 24, 1),
        (4_300, 0, 25),
        (4_300, 99, 1),
        (99_999_999, 24, 65_535),
    ],
)
def test_the_time_counts_hundreds_of_microseconds_without_both_transmissions(
    elapsed_us: int, estimated: int, measured: int
) -> None:
    assert processing_time(elapsed_us, DeviceTimes(bytes(4), 0, 0, estimated), DEFAULT) == measured


@pytest.mark.parametrize(("measured", "too_fast"), [(79, True), (80, False), (100, False)])
def test_the_least_time_has_the_minimum_grace(measured: int, too_fast: bool) -> None:
    assert is_too_fast(measured, DeviceTimes(bytes(4), 100, 200, 24), DEFAULT) is too_fast
    assert not is_too_fast(0, DeviceTimes(bytes(4), 20, 200, 24), DEFAULT)


@pytest.mark.parametrize(("measured", "too_slow"), [(220, False), (221, False), (250, False), (251, True)])
def test_the_most_time_has_the_maximum_grace(measured: int, too_slow: bool) -> None:
    assert is_too_slow(measured, DeviceTimes(bytes(4), 100, 200, 24), DEFAULT) is too_slow


@pytest.mark.parametrize(
    ("estimated", "exceeded"),
    [(12, False), (11, True), (24, False), (48, False), (49, True), (0, False), (1, True)],
)
def test_estimates_may_differ_by_half(estimated: int, exceeded: bool) -> None:
    assert exceeds_thresholds(0, DeviceTimes(bytes(4), 0, 0, estimated), DEFAULT) is exceeded


@pytest.mark.parametrize(("measured", "exceeded"), [(400, False), (401, True)])
def test_the_accuracy_threshold_is_above_the_least_time(measured: int, exceeded: bool) -> None:
    assert exceeds_thresholds(measured, DeviceTimes(bytes(4), 100, 900, 24), DEFAULT) is exceeded


@pytest.mark.parametrize("response", ["", "8009" + "00" * 9, "800C" + "00" * 12])
def test_another_form_of_answer_is_none(response: str) -> None:
    assert device_times(bytes.fromhex(response)) is None


def test_a_cut_answer_is_refused_with_its_place() -> None:
    with pytest.raises(MalformedTlv, match="relay resistance"):
        device_times(bytes.fromhex("800A0102"))


def test_an_answer_is_entropy_and_three_times() -> None:
    assert device_times(bytes.fromhex("800A01020304001000200018")) == DeviceTimes(bytes.fromhex("01020304"), 16, 32, 24)
