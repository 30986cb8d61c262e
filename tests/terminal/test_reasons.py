"""What the cashier reads about a card that this terminal does not take."""

from __future__ import annotations

import pytest

from taptill.card.nothing_in_common import NO_KERNEL
from taptill.card.selection import KERNEL_NAMES
from taptill.terminal.reasons import REASONS, explain_reason
from taptill.terminal.wiring import read_profile


@pytest.mark.parametrize("scheme", KERNEL_NAMES.values())
def test_a_scheme_without_a_kernel_is_named_to_the_cashier(scheme: str) -> None:
    reason = explain_reason(f"{NO_KERNEL}: {scheme}", read_profile("aes"))
    assert scheme in reason.cashier.en
    assert reason.cashier.zh != REASONS[NO_KERNEL].cashier.zh
    assert reason.next_step.zh


def test_a_detail_without_words_of_its_own_changes_nothing() -> None:
    profile = read_profile("aes")
    assert explain_reason(f"{NO_KERNEL}: girocard", profile) == REASONS[NO_KERNEL]
    assert explain_reason("silent: timeout", profile) == REASONS["silent"]
