"""Visa issuer update: the card that comes back for what its issuer sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from tests.card.visa_card import VISA, VisaCard, visa_keys

from taptill.amount.money import Money
from taptill.card.apdu import CommandApdu, MalformedApdu, ResponseApdu
from taptill.card.dialogue import Selection
from taptill.card.entry_point import Configuration
from taptill.card.kernels.c3.kernel import KernelC3
from taptill.card.outcome import MessageId, OnlineResponse, OutcomeKind, Start
from taptill.card.parameters import Combination, TapRequest
from taptill.card.preprocessing import prepare
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.reader import Presentation
from taptill.card.tlv import encode_tlv
from taptill.card.transaction import AskSale, AwaitCard, FinalOutcome, Result, Transmit, run_transaction

Tap = Callable[..., Any]
AUTHENTICATION = encode_tlv(0x91, bytes.fromhex("0102030405060708") + b"00")
PIN_CHANGE, BLOCK = bytes.fromhex("8424000208AABBCCDD11223344"), bytes.fromhex("841E000004AABBCCDD")
APPROVED, REFUSED = encode_tlv(0x8A, b"00"), encode_tlv(0x8A, b"05")


@pytest.fixture
def request_of_sale() -> TapRequest:
    return TapRequest(
        amount=Money(100),
        amount_other=Money(0),
        transaction_type=0x00,
        date_yymmdd="200601",
        time_hhmmss="120000",
        country="156",
        unpredictable_number=bytes.fromhex("2B29EBE4"),
        online_possible=True,
        offline_allowed=True,
    )


def script(tag: int, *commands: bytes, identifier: bytes = b"\x00\x00\x00\x01") -> bytes:
    return encode_tlv(tag, encode_tlv(0x9F18, identifier) + b"".join(encode_tlv(0x86, each) for each in commands))


def second_tap(request: TapRequest, answer: bytes, says: Mapping[int, int]) -> tuple[Any, list[bytes]]:
    """The kernel restarted with the issuer's answer, on a card that answers with a status word per instruction."""
    combination = Combination(VISA, 3, bytes.fromhex("26008080"))
    selection = Selection(VISA, prepare(combination, request), {}, "VISA", Start.B, True, online_response=answer)
    sent: list[bytes] = []
    dialogue = KernelC3().run(selection, request, CaKeyStore())
    try:
        command: CommandApdu = next(dialogue)
        while True:
            sent.append(command.encode())
            command = dialogue.send(ResponseApdu(b"", says.get(command.ins, 0x9000)))
    except StopIteration as finished:
        return finished.value, sent


@pytest.mark.parametrize(
    ("ttq", "ctq", "asks"),
    [("2600C080", "0040", True), ("26004080", "0040", False), ("2600C080", "0000", False)],
)
def test_the_card_is_wanted_again_only_where_both_can_update(tap: Tap, ttq: str, ctq: str, asks: bool) -> None:
    read, _ = tap(VisaCard(ctq=ctq), kernel_id=3, aid=VISA, ttq=bytes.fromhex(ttq))
    outcome = read.outcome
    assert outcome.kind is OutcomeKind.ONLINE_REQUEST
    assert (outcome.start, outcome.online_response) == ((Start.B, OnlineResponse.EMV_DATA) if asks else (None, None))
    assert (outcome.ui_on_restart.message is MessageId.PRESENT_CARD_AGAIN) if asks else outcome.ui_on_restart is None


@pytest.mark.parametrize(("gives", "kind"), [("AAC", OutcomeKind.DECLINED), ("TC", OutcomeKind.APPROVED)])
def test_a_tap_that_asks_no_issuer_asks_for_no_update(tap: Tap, gives: str, kind: OutcomeKind) -> None:
    card = VisaCard(gives, "0040", fdda=1)
    read, _ = tap(card, visa_keys(), kernel_id=3, aid=VISA, ttq=bytes.fromhex("2600C080"))
    assert (read.outcome.kind, read.outcome.start) == (kind, None)


def test_the_issuer_is_authenticated_before_its_scripts_run_in_order(request_of_sale: TapRequest) -> None:
    answer = script(0x72, PIN_CHANGE) + APPROVED + script(0x71, BLOCK, PIN_CHANGE) + AUTHENTICATION
    read, sent = second_tap(request_of_sale, answer, {})
    assert sent == [bytes.fromhex("008200000A") + AUTHENTICATION[2:], BLOCK, PIN_CHANGE, PIN_CHANGE]
    assert read.data[0x9F5B].hex() == "2000000001" * 2
    assert (read.tvr, read.tsi.hex()) == (bytes(5), "1400")


def test_a_card_that_does_not_know_its_issuer_gets_no_script(request_of_sale: TapRequest) -> None:
    read, sent = second_tap(request_of_sale, AUTHENTICATION + script(0x71, BLOCK), {0x82: 0x6300})
    assert len(sent) == 1
    assert (read.tvr.hex(), read.data) == ("0000000040", {})


@pytest.mark.parametrize(("tag", "tvr"), [(0x71, "0000000020"), (0x72, "0000000010")])
def test_a_script_stops_at_the_command_the_card_refuses(request_of_sale: TapRequest, tag: int, tvr: str) -> None:
    read, sent = second_tap(request_of_sale, script(tag, BLOCK, PIN_CHANGE, BLOCK), {0x24: 0x6985})
    assert sent == [BLOCK, PIN_CHANGE]
    assert (read.data[0x9F5B].hex(), read.tvr.hex()) == ("1200000001", tvr)


def test_a_warning_does_not_stop_a_script(request_of_sale: TapRequest) -> None:
    read, sent = second_tap(request_of_sale, script(0x71, BLOCK, PIN_CHANGE), {0x1E: 0x6200})
    assert len(sent) == 2
    assert read.tvr == bytes(5)


@pytest.mark.parametrize(
    ("said", "kind"),
    [(APPROVED, OutcomeKind.APPROVED), (REFUSED, OutcomeKind.DECLINED), (b"", OutcomeKind.END_APPLICATION)],
)
def test_the_outcome_repeats_the_issuer_s_word_and_is_no_sale(
    request_of_sale: TapRequest, said: bytes, kind: OutcomeKind
) -> None:
    read, _ = second_tap(request_of_sale, said + AUTHENTICATION, {})
    assert (read.outcome.kind, read.outcome.reason) == (kind, "issuer-update")
    assert (read.cryptogram_type, read.number) == (None, None)


def test_a_script_of_too_many_commands_is_refused(request_of_sale: TapRequest) -> None:
    with pytest.raises(MalformedApdu, match="33 commands"):
        second_tap(request_of_sale, script(0x71, *[BLOCK] * 33), {})


@pytest.mark.parametrize("octets", [1, 7, 17, 255, 256])
def test_an_issuer_s_answer_of_an_impossible_length_goes_into_no_card(request_of_sale: TapRequest, octets: int) -> None:
    """EMV Book 3, Annex A: 91 has 8 to 16 octets; 256 would not even fit a command."""
    answer = APPROVED + encode_tlv(0x91, bytes(octets)) + script(0x71, BLOCK)
    read, sent = second_tap(request_of_sale, answer, {})
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.END_APPLICATION, "issuer-answer-malformed")
    assert (sent, read.tvr, read.data) == ([], bytes(5), {})


@pytest.mark.parametrize("octets", [8, 16])
def test_an_issuer_s_answer_may_have_8_to_16_octets(request_of_sale: TapRequest, octets: int) -> None:
    read, sent = second_tap(request_of_sale, APPROVED + encode_tlv(0x91, bytes(octets)), {})
    assert (len(sent), read.outcome.kind) == (1, OutcomeKind.APPROVED)


def test_over_a_whole_transaction_the_second_presentation_goes_straight_to_the_application(
    request_of_sale: TapRequest,
) -> None:
    combination = Combination(VISA, 3, bytes.fromhex("2600C080"))
    card = VisaCard(ctq="0040")
    sent: list[str] = []
    outcomes: list[OutcomeKind] = []
    course = run_transaction(Configuration([combination], {3: KernelC3()}, CaKeyStore()), request_of_sale)
    act = next(course)
    try:
        while True:
            answer: Result = None
            if isinstance(act, AwaitCard):
                answer = Presentation(b"", "A")
            elif isinstance(act, AskSale):
                answer = request_of_sale
            elif isinstance(act, Transmit):
                sent.append(act.command.name)
                answer = ResponseApdu.decode(card(act.command.encode()))
            elif isinstance(act, FinalOutcome):
                outcomes.append(act.read.outcome.kind)
                answer = APPROVED + script(0x71, BLOCK) if len(outcomes) == 1 else None
            act = course.send(answer)
    except StopIteration:
        pass
    assert outcomes == [OutcomeKind.ONLINE_REQUEST, OutcomeKind.APPROVED]
    assert sent == [
        "SELECT PPSE",
        "SELECT application",
        "GET PROCESSING OPTIONS",
        "SELECT application",
        "issuer script",
    ]
