"""Whatever a reader sends, each card answers with a status word and keeps its word."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taplab.card import Card, Scheme, load_card
from taptill.entropy import SystemEntropy

HEADERS = [
    "00A40400", "00A40402", "80A80000", "00B2010C", "00B20114", "80CA9F36", "80CA9F50", "80AE5000", "80AE9000",
    "80AE4000", "80EA0000", "80D00000", "802A8E80", "00820000", "841E0000", "84180000", "04DA9F79", "04DC010C",
]  # fmt: skip
BODIES = st.one_of(
    st.binary(max_size=80),
    st.sampled_from(
        [
            bytes.fromhex("A0000003330101"),
            bytes.fromhex("A0000000031010"),
            bytes.fromhex("A0000000041010"),
            bytes.fromhex("8300"),
            bytes.fromhex("8321") + bytes.fromhex("26000080") + bytes(29),
            bytes(66),
            bytes(4),
            bytes(8),
        ]
    ),
)
COMMANDS = st.lists(
    st.one_of(
        st.builds(
            lambda head, body: bytes.fromhex(head) + bytes([len(body)]) + body + b"\x00",
            st.sampled_from(HEADERS),
            BODIES,
        ),
        st.builds(lambda head: bytes.fromhex(head) + b"\x00", st.sampled_from(HEADERS)),
        st.binary(max_size=40),
        st.just(None),
    ),
    max_size=12,
)


@pytest.mark.parametrize(
    "name",
    ["offline_funds", "visa_signs_online", "visa_phone", "mastercard_relay", "mastercard_mag_stripe", "co_badged"],
)
def test_every_command_is_answered_with_a_status_word(name: str, scheme: Scheme) -> None:
    cards: list[Card] = [load_card(name, scheme, SystemEntropy())]

    @settings(max_examples=60, deadline=None)
    @given(commands=COMMANDS)
    def converse(commands: list[Any]) -> None:
        (card,) = cards
        for command in commands:
            if command is None:
                card.reset()
                continue
            before = card.state().atc
            answered = card.answer(command).octets
            assert 2 <= len(answered) <= 258
            assert card.state().atc - before in (0, 1)

    converse()
