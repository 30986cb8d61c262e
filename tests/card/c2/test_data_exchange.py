"""What kernel and terminal tell each other while the card waits, and the balance the card tells both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from tests.card.c2.conftest import Hold
from tests.card.c2.mchip_card import GENERATE, GET_DATA, MchipCard

from taptill.card.kernels.c2 import tags
from taptill.card.kernels.c2.data_exchange import DataFromKernel, tag_list
from taptill.card.kernels.c2.kernel import KernelC2
from taptill.card.outcome import CardRead, OutcomeKind
from taptill.card.tlv import MalformedTlv

READABLE: dict[int, str | None] = {0x9F5D: "010200"}
BALANCE = "000000012345"


@dataclass
class Terminal:
    """Answers DEKs from a list, and remembers them."""

    answers: list[Mapping[int, bytes]] = field(default_factory=list)
    asked: list[DataFromKernel] = field(default_factory=list)

    def answer(self, asked: DataFromKernel) -> Mapping[int, bytes]:
        self.asked.append(asked)
        return self.answers.pop(0) if self.answers else {}


def test_without_data_exchange_nothing_is_asked_of_the_card(hold: Hold) -> None:
    card = MchipCard(data={0x9F50: BALANCE}, fci=READABLE)
    assert hold(card).outcome.kind is OutcomeKind.APPROVED
    assert card.asked(GET_DATA) == []


def test_tags_to_read_come_from_records_or_by_get_data(hold: Hold) -> None:
    terminal = Terminal()
    card = MchipCard(data={0x9F70: "0BADCAFE"})
    read = hold(card, {tags.TAGS_TO_READ: "9F705F249F71DF50"}, kernel=KernelC2(terminal))
    assert read.outcome.kind is OutcomeKind.APPROVED
    assert [command[2:4] for command in card.asked(GET_DATA)] == [b"\x9f\x70", b"\x9f\x71"]
    told: dict[int, bytes] = {}
    for asked in terminal.asked:
        told |= asked.read
    assert told == {0x9F70: bytes.fromhex("0BADCAFE"), 0x9F71: b"", 0x5F24: bytes.fromhex("391231"), 0xDF50: b""}
    assert all(asked.needed == () for asked in terminal.asked)


def test_the_terminal_may_ask_for_more_meanwhile(hold: Hold) -> None:
    terminal = Terminal([{tags.TAGS_TO_READ: bytes.fromhex("9F79")}])
    card = MchipCard(data={0x9F70: "01", 0x9F79: "02"})
    hold(card, {tags.TAGS_TO_READ: "9F70"}, kernel=KernelC2(terminal))
    assert [asked.read for asked in terminal.asked] == [{0x9F70: b"\x01"}, {0x9F79: b"\x02"}]


def test_a_terminal_that_asks_without_end_is_bounded(hold: Hold) -> None:
    card = MchipCard(data={0x9F70: "01"})
    terminal = Terminal([{tags.TAGS_TO_READ: bytes.fromhex("9F70")}] * 100)
    read = hold(card, {tags.TAGS_TO_READ: "9F70"}, kernel=KernelC2(terminal))
    assert read.outcome.kind is OutcomeKind.APPROVED
    assert len(card.asked(GET_DATA)) == 16


@pytest.mark.parametrize(
    ("flag", "answers", "kind"),
    [
        ("", [{tags.PROCEED_TO_FIRST_WRITE: b"\x01"}], OutcomeKind.APPROVED),
        ("00", [{tags.PROCEED_TO_FIRST_WRITE: b"\x01"}], OutcomeKind.APPROVED),
        ("01", [], OutcomeKind.APPROVED),
        ("", [], OutcomeKind.END_APPLICATION),
        ("00", [{}, {tags.PROCEED_TO_FIRST_WRITE: b"\x00"}], OutcomeKind.END_APPLICATION),
    ],
)
def test_the_card_is_not_committed_before_the_terminal_proceeds_and_nobody_waits_for_ever(
    hold: Hold, flag: str, answers: list[Mapping[int, bytes]], kind: OutcomeKind
) -> None:
    card = MchipCard()
    read = hold(card, {tags.PROCEED_TO_FIRST_WRITE: flag}, kernel=KernelC2(Terminal(list(answers))))
    assert read.outcome.kind is kind
    assert len(card.asked(GENERATE)) == (kind is OutcomeKind.APPROVED)
    if kind is OutcomeKind.END_APPLICATION:
        assert read.outcome.reason == "data-exchange-time-out"


def test_a_flag_that_is_wanted_is_asked_for_by_name(hold: Hold) -> None:
    terminal = Terminal()
    hold(MchipCard(), {tags.PROCEED_TO_FIRST_WRITE: ""}, kernel=KernelC2(terminal))
    assert terminal.asked[0].needed == (tags.PROCEED_TO_FIRST_WRITE,)


def test_a_list_of_tags_is_read_to_its_end() -> None:
    assert tag_list(bytes.fromhex("9F705ADF8112")) == [0x9F70, 0x5A, 0xDF8112]
    with pytest.raises(MalformedTlv, match="tag list"):
        tag_list(bytes.fromhex("9F"))


def balance_of(read: CardRead) -> tuple[str, int | None, str]:
    ui = read.outcome.ui_on_outcome
    assert ui is not None
    return ui.value_qualifier, ui.value_minor, ui.currency


def test_the_balance_is_read_when_it_is_asked_for(hold: Hold) -> None:
    card = MchipCard(data={0x9F50: BALANCE}, fci=READABLE)
    read = hold(card, {tags.BALANCE_BEFORE: "", tags.BALANCE_AFTER: ""})
    assert [command[1] for command in card.commands][-4:] == [0xB2, GET_DATA, GENERATE, GET_DATA]
    assert read.data[tags.BALANCE_BEFORE] == read.data[tags.BALANCE_AFTER] == bytes.fromhex(BALANCE)
    assert balance_of(read) == ("balance", 12_345, "156")


@pytest.mark.parametrize("card", [MchipCard(data={0x9F50: BALANCE}), MchipCard(fci=READABLE)])
def test_a_balance_the_card_does_not_tell_stops_nothing(hold: Hold, card: MchipCard) -> None:
    read = hold(card, {tags.BALANCE_BEFORE: "", tags.BALANCE_AFTER: ""})
    assert read.outcome.kind is OutcomeKind.APPROVED
    assert balance_of(read) == ("", None, "")


@pytest.mark.parametrize("balance", ["", "00000001234A", "0001"])
def test_what_is_no_amount_is_no_balance(hold: Hold, balance: str) -> None:
    read = hold(MchipCard(data={0x9F50: balance}, fci=READABLE), {tags.BALANCE_AFTER: ""})
    assert balance_of(read) == ("", None, "")


def test_a_card_that_leaves_after_its_cryptogram_has_done_its_part(hold: Hold) -> None:
    card = MchipCard(data={0x9F50: BALANCE}, fci=READABLE, leaves_at=[GET_DATA])
    assert hold(card, {tags.BALANCE_AFTER: ""}).outcome.kind is OutcomeKind.APPROVED
    early = MchipCard(data={0x9F50: BALANCE}, fci=READABLE, leaves_at=[GET_DATA])
    assert hold(early, {tags.BALANCE_BEFORE: ""}).outcome.kind is OutcomeKind.TRY_AGAIN
