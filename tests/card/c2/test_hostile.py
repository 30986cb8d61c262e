"""A Mastercard card that sends anything at any moment costs this tap, never the terminal."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.card.c2.conftest import KERNEL_DATA, REQUEST
from tests.card.c2.mchip_card import (
    GENERATE,
    GET_DATA,
    MASTERCARD,
    OPTIONS,
    PAN,
    RECORD,
    RELAY,
    MchipCard,
    mastercard_keys,
)

from taptill.card.apdu import CommandApdu, MalformedApdu, ResponseApdu
from taptill.card.dialogue import Selection
from taptill.card.dol import MalformedDol
from taptill.card.kernels.c2.kernel import KernelC2
from taptill.card.outcome import CardRead, CryptogramType, OdaVerdict, OutcomeKind
from taptill.card.parameters import Combination
from taptill.card.preprocessing import prepare
from taptill.card.reader import CardLost
from taptill.card.tlv import MalformedTlv, encode_tlv

EVERYTHING_ON = KERNEL_DATA | {0xDF811B: "30", 0xDF811D: "02", 0xDF8104: "", 0xDF8105: "", 0xDF8112: "9F709F71"}
COMMANDS_MAX = 64
STATES = (OPTIONS, RELAY, GET_DATA, RECORD, GENERATE)
TAGS = st.sampled_from(
    (
        *(0x77, 0x80, 0x70, 0x82, 0x94, 0x9F27, 0x9F36, 0x9F26, 0x9F4B, 0x9F10, 0x5A, 0x57, 0x8C, 0x8E, 0x9F4A, 0x8F),
        *(0x90, 0x9F46, 0x9F47, 0x9F32, 0x9F5D, 0x9F50, 0x9F51, 0x9F6B, 0x9F61, 0x9F65, 0x9F66, 0x9F67, 0xDF4B, 0x9F6E),
    )
)
OBJECTS = st.lists(st.builds(encode_tlv, TAGS, st.binary(max_size=24)), max_size=6).map(b"".join)
ANSWERS = st.one_of(
    st.binary(max_size=64),
    OBJECTS,
    st.builds(encode_tlv, st.sampled_from([0x77, 0x70, 0x80]), OBJECTS),
    st.builds(encode_tlv, st.just(0x80), st.binary(max_size=48)),
)


def converse(card: MchipCard, at: int, nth: int, answer: bytes, sw: int, elapsed_us: int) -> CardRead | None:
    """One tap without the entry point; the nth command of one instruction is answered otherwise. None: it raised what
    a kernel may raise."""
    data = {tag: bytes.fromhex(value) for tag, value in EVERYTHING_ON.items()}
    combination = Combination(MASTERCARD, 2, b"", kernel_data=data)
    selection = Selection(MASTERCARD, prepare(combination, REQUEST), {0x9F5D: b"\x01\x02\x00"})
    dialogue = KernelC2().run(selection, REQUEST, mastercard_keys())
    seen = 0
    with contextlib.suppress(MalformedTlv, MalformedDol, MalformedApdu):
        try:
            command = next(dialogue)
            for _ in range(COMMANDS_MAX):
                seen += command.ins == at
                otherwise = command.ins == at and seen == nth
                command = _said(dialogue, card, command, ResponseApdu(answer, sw, elapsed_us) if otherwise else None)
        except StopIteration as finished:
            read: CardRead = finished.value
            return read
        pytest.fail(f"more than {COMMANDS_MAX} commands")
    return None


def _said(dialogue: object, card: MchipCard, command: CommandApdu, otherwise: ResponseApdu | None) -> CommandApdu:
    answered: CommandApdu
    if otherwise is not None:
        answered = dialogue.send(otherwise)  # type: ignore[attr-defined]
        return answered
    try:
        octets, elapsed_us = card(command.encode())
    except CardLost as lost:
        answered = dialogue.throw(lost)  # type: ignore[attr-defined]
        return answered
    answered = dialogue.send(ResponseApdu.decode(octets, elapsed_us))  # type: ignore[attr-defined]
    return answered


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    at=st.sampled_from(STATES),
    nth=st.integers(1, 3),
    answer=ANSWERS,
    sw=st.sampled_from([0x9000, 0x9000, 0x9000, 0x6985, 0x6A88]),
    elapsed_us=st.integers(0, 2_000_000),
    aip=st.sampled_from(["1981", "1B81", "1880", "0000"]),
)
def test_any_answer_at_any_state_comes_to_an_outcome_or_a_declared_error(
    at: int, nth: int, answer: bytes, sw: int, elapsed_us: int, aip: str
) -> None:
    card = MchipCard(aip=aip, relay_us=(6_000,), data={0x9F50: "000000000001", 0x9F70: "00"})
    read = converse(card, at, nth, answer, sw, elapsed_us)
    if read is not None and read.outcome.kind is OutcomeKind.APPROVED:
        assert read.oda.verdict is OdaVerdict.PASSED
        assert read.data[0x9F27] == b"\x40"


@settings(max_examples=100, deadline=None)
@example({0x8F: ""}, "1881")
@example({0x9F4A: ""}, "1981")
@given(
    changes=st.dictionaries(TAGS, st.binary(max_size=40).map(bytes.hex), max_size=4),
    aip=st.sampled_from(["1981", "1881", "1B81"]),
)
def test_any_data_in_the_records_comes_to_an_outcome_or_a_declared_error(changes: dict[int, str], aip: str) -> None:
    card = MchipCard(aip=aip, changes=dict(changes))
    read = converse(card, at=0, nth=1, answer=b"", sw=0x9000, elapsed_us=0)
    if read is not None and read.outcome.kind in (OutcomeKind.APPROVED, OutcomeKind.ONLINE_REQUEST):
        assert read.number is not None
        assert read.number.pan.reveal().decode() == (changes.get(0x5A) or PAN).upper().rstrip("F")
        assert read.outcome.kind is OutcomeKind.ONLINE_REQUEST or read.oda.verdict is OdaVerdict.PASSED


@settings(max_examples=100, deadline=None)
@given(answers=st.dictionaries(TAGS, st.binary(max_size=40).map(bytes.hex), max_size=4))
def test_any_data_beside_the_cryptogram_never_approves_unsigned(answers: dict[int, str]) -> None:
    read = converse(MchipCard(answers=dict(answers)), at=0, nth=1, answer=b"", sw=0x9000, elapsed_us=0)
    if read is not None and read.outcome.kind is OutcomeKind.APPROVED:
        assert read.oda.verdict is OdaVerdict.PASSED
        assert read.cryptogram_type is CryptogramType.TC


@pytest.mark.parametrize("leaves", [OPTIONS, RECORD, RELAY, GET_DATA])
def test_a_card_that_leaves_before_its_cryptogram_is_the_entry_points_affair(leaves: int) -> None:
    card = MchipCard(aip="1981", leaves_at=[leaves], data={0x9F50: "000000000001"})
    with pytest.raises(CardLost):
        converse(card, at=0, nth=1, answer=b"", sw=0x9000, elapsed_us=0)
    assert not card.asked(GENERATE)


def test_a_card_that_leaves_at_its_cryptogram_is_asked_for_again() -> None:
    read = converse(MchipCard(aip="1981", leaves_at=[GENERATE]), at=0, nth=1, answer=b"", sw=0x9000, elapsed_us=0)
    assert read is not None
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.TRY_AGAIN, "card-lost")
    assert read.cryptogram_type is None
