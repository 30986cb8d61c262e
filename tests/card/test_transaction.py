"""A transaction over several presentations: what is shown, when the field goes, where it starts again.

The order of messages is judged by the type-approval cases (test_entry_point_vectors.py); here is what they leave out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.card.reader_stage import (
    OK,
    ONE_CARD,
    REFUSED,
    SALE,
    Answer,
    ToldKernel,
    WaitingKernel,
    card,
    combination,
    configuration,
    entry,
    fci,
    lost,
    perform,
    played_result,
    ppse,
)

from taptill.card.entry_point import Configuration
from taptill.card.kernels.c7.kernel import KernelC7
from taptill.card.outcome import Cvm, MessageId, OnlineResponse, Outcome, OutcomeKind, Start, UiRequest, UiStatus
from taptill.card.outcomes import approved, online_request, see_phone, select_next, try_again
from taptill.card.read_card import COMMANDS_PER_TAP_MAX, TAP_US_MAX
from taptill.card.reader import Presentation
from taptill.card.transaction import (
    STEPS_MAX,
    AskSale,
    AwaitCard,
    AwaitRemoval,
    Field,
    FieldOff,
    FieldOn,
    FinalOutcome,
    run_transaction,
)

AID = "A0000000010001"
OTHER = "A0000000020002"
UNIONPAY = combination("A0000003330101", 7)
TWO_CARDS = Presentation(b"", "A", cards_in_field=2)
PRESENT = (MessageId.PRESENT_CARD, UiStatus.READY_TO_READ)
WELCOME = (MessageId.WELCOME, UiStatus.IDLE)
AGAIN = (MessageId.PRESENT_CARD_AGAIN, UiStatus.PROCESSING_ERROR)
AGAIN_READY = (MessageId.PRESENT_CARD_AGAIN, UiStatus.READY_TO_READ)
ONE_ONLY = (MessageId.PRESENT_ONE_CARD_ONLY, UiStatus.PROCESSING_ERROR)
ONE_NOW = (MessageId.PRESENT_ONE_CARD_ONLY, UiStatus.READY_TO_READ)
APPROVED = (MessageId.APPROVED, UiStatus.CARD_READ_SUCCESSFULLY)
CARD_READ = (MessageId.CARD_READ_OK, UiStatus.CARD_READ_SUCCESSFULLY)
TRY_ANOTHER = (MessageId.INSERT_SWIPE_OR_TRY_ANOTHER_CARD, UiStatus.READY_TO_READ)
ONE_APPLICATION = card(entry(AID, "21"))
ISSUER_DATA = bytes.fromhex("9108AABBCCDD00000000")


def reader(kernel: ToldKernel) -> Configuration:
    return configuration([combination(AID, 0x21), combination(OTHER, 0x22)], kernel)


def asks_issuer(start: Start, online_response: OnlineResponse = OnlineResponse.EMV_DATA, **changes: object) -> Outcome:
    return replace(online_request(Cvm.NONE), start=start, online_response=online_response, **changes)  # type: ignore[arg-type]


def at_command(number: int, what: Exception | bytes, otherwise: Answer) -> Answer:
    """The card of `otherwise`, but for its `number`th answer."""
    count = 0

    def answer(command: bytes) -> bytes | Exception:
        nonlocal count
        count += 1
        return what if count == number else otherwise(command)

    return answer


def test_nobody_comes_and_there_is_no_outcome() -> None:
    played = perform(reader(ToldKernel()), ONE_APPLICATION, polls=[Field.EMPTY, Field.EMPTY, Field.GIVEN_UP])
    assert played.read is None
    assert played.shown() == [WELCOME, PRESENT]
    assert played.acts[-1] == FieldOff(0)
    assert not played.of(FinalOutcome)


def test_who_is_asked_for_again_and_does_not_come_leaves_the_last_outcome() -> None:
    kernel = ToldKernel(see_phone("card-wants-its-owner"))
    played = perform(reader(kernel), ONE_APPLICATION, polls=[ONE_CARD, Field.GIVEN_UP])
    assert played.reason() == "card-wants-its-owner"
    assert not played.of(FinalOutcome)


def test_each_presentation_is_asked_for_its_own_sale() -> None:
    kernel = ToldKernel(try_again("no"), approved(Cvm.NONE))
    sales = [replace(SALE, unpredictable_number=bytes([number]) * 4) for number in (1, 2)]
    second = Presentation(b"\x02", "B")
    played = perform(reader(kernel), ONE_APPLICATION, sales=sales, polls=[ONE_CARD, second])
    assert [request.unpredictable_number[0] for _, request in kernel.told] == [1, 2]
    first_asked, then_asked = (act for act in played.of(AskSale) if isinstance(act, AskSale))
    assert (first_asked.presentation, first_asked.before) == (ONE_CARD, None)
    assert then_asked.presentation == second
    assert then_asked.before is not None
    assert then_asked.before.outcome.kind is OutcomeKind.TRY_AGAIN


def test_the_limits_are_judged_again_for_the_sale_of_the_presentation() -> None:
    kernel = ToldKernel()
    tightened = replace(SALE, offline_allowed=False)
    perform(reader(kernel), ONE_APPLICATION, sales=[tightened])
    assert kernel.told[0][0].prepared.ttq.hex() == "26800080"
    limited = configuration([combination(AID, 0x21, transaction_limit_minor=200)], kernel)
    above = replace(SALE, amount=replace(SALE.amount, minor=200))
    played = perform(limited, ONE_APPLICATION, sales=[above])
    assert (played.reason(), played.commands()) == ("amount-not-allowed", [])


def test_a_collision_is_told_once_and_its_end_once() -> None:
    polls: list[Presentation | Field] = [Field.COLLISION, TWO_CARDS, Field.EMPTY, Field.EMPTY, ONE_CARD]
    played = perform(reader(ToldKernel()), ONE_APPLICATION, polls=polls)
    assert played.shown() == [WELCOME, PRESENT, ONE_ONLY, ONE_NOW, APPROVED]


def test_the_card_that_stays_after_a_collision_is_read() -> None:
    played = perform(reader(ToldKernel()), ONE_APPLICATION, polls=[Field.COLLISION, ONE_CARD])
    assert played.shown() == [WELCOME, PRESENT, ONE_ONLY, APPROVED]


def test_what_is_no_payment_card_is_asked_nothing_and_told_of_once() -> None:
    ticket = Presentation(b"\x04", "A", takes_apdus=False)
    no_card = (MessageId.INSERT_SWIPE_OR_TRY_ANOTHER_CARD, UiStatus.READY_TO_READ)
    alone = perform(reader(ToldKernel()), ONE_APPLICATION, polls=[ticket, ticket, Field.GIVEN_UP])
    assert (alone.commands(), alone.of(AskSale), alone.shown()) == ([], [], [WELCOME, PRESENT, no_card])
    polls: list[Presentation | Field] = [ticket, ticket, Field.EMPTY, ticket, Field.EMPTY, ONE_CARD]
    assert perform(reader(ToldKernel()), ONE_APPLICATION, polls=polls).shown()[2:] == [no_card, no_card, APPROVED]


def test_a_ticket_beside_a_card_is_a_collision_first() -> None:
    both = Presentation(b"\x04", "A", cards_in_field=2, takes_apdus=False)
    polls: list[Presentation | Field] = [both, replace(both, cards_in_field=1), both, Field.EMPTY, ONE_CARD]
    shown = perform(reader(ToldKernel()), ONE_APPLICATION, polls=polls).shown()
    assert shown[2:] == [
        ONE_ONLY,
        (MessageId.INSERT_SWIPE_OR_TRY_ANOTHER_CARD, UiStatus.READY_TO_READ),
        ONE_ONLY,
        ONE_NOW,
        APPROVED,
    ]


def test_a_card_that_leaves_before_its_kernel_is_silently_awaited_again() -> None:
    for number in (1, 2):
        played = perform(reader(ToldKernel()), at_command(number, lost(), ONE_APPLICATION))
        assert played.shown() == [WELCOME, PRESENT, APPROVED]
        assert len(played.of(AwaitCard)) == len(played.of(FieldOn)) == 2


def test_a_card_that_leaves_its_kernel_is_asked_for_again() -> None:
    played = perform(reader(ToldKernel()), at_command(3, lost(), ONE_APPLICATION))
    assert played.shown() == [WELCOME, PRESENT, AGAIN, AGAIN_READY, APPROVED]


def test_an_answer_too_short_to_be_one_is_a_card_that_left() -> None:
    assert perform(reader(ToldKernel()), at_command(1, b"\x90", ONE_APPLICATION)).shown()[-1] == APPROVED
    assert AGAIN in perform(reader(ToldKernel()), at_command(3, b"", ONE_APPLICATION)).shown()


def test_a_phone_gets_its_message_and_a_second_chance() -> None:
    kernel = ToldKernel(see_phone("card-wants-its-owner"), approved(Cvm.CONSUMER_DEVICE))
    played = perform(reader(kernel), ONE_APPLICATION)
    see, ready = (
        (MessageId.SEE_PHONE, UiStatus.PROCESSING_ERROR),
        (MessageId.SEE_PHONE, UiStatus.READY_TO_READ),
    )
    assert played.shown() == [WELCOME, PRESENT, see, ready, APPROVED]
    assert [told.restart for told, _ in kernel.told] == [False, False]  # the reader did not activate it anew


def test_an_application_that_will_not_do_may_have_its_say_first() -> None:
    ui = UiRequest(MessageId.PROCESSING, UiStatus.PROCESSING, hold_ms=500)
    kernel = ToldKernel(replace(select_next("no"), ui_on_outcome=ui), approved(Cvm.NONE))
    played = perform(reader(kernel), card(entry(AID, "21"), entry(OTHER, "22", priority="02")))
    assert played.selected() == [AID, OTHER]
    assert played.shown()[2:] == [(MessageId.PROCESSING, UiStatus.PROCESSING), APPROVED]


@pytest.mark.parametrize(
    ("start", "commands", "polls"),
    [(Start.A, 6, 2), (Start.B, 5, 2), (Start.C, 5, 1), (Start.D, 4, 1)],
)
def test_after_the_issuers_answer_it_goes_on_where_the_outcome_said(start: Start, commands: int, polls: int) -> None:
    kernel = ToldKernel(asks_issuer(start), approved(Cvm.NONE))
    played = perform(reader(kernel), ONE_APPLICATION, issuer=[ISSUER_DATA])
    assert (len(played.commands()), len(played.of(AwaitCard))) == (commands, polls)
    again, _ = kernel.told[1]
    assert (again.start, again.restart, again.online_response) == (start, True, ISSUER_DATA)
    assert [act.read.outcome.kind for act in played.of(FinalOutcome)] == [  # type: ignore[union-attr]
        OutcomeKind.ONLINE_REQUEST,
        OutcomeKind.APPROVED,
    ]


def test_an_issuer_with_nothing_for_the_card_ends_it() -> None:
    kernel = ToldKernel(asks_issuer(Start.B, removal_timeout_ms=10_000))
    played = perform(reader(kernel), ONE_APPLICATION, issuer=[None])
    assert played.shown()[-2:] == [CARD_READ, CARD_READ]  # on outcome; and because the card waits for nothing now
    assert played.acts[-2:] == [AwaitRemoval(10_000), FieldOff(0)]
    assert len(kernel.told) == 1


def test_a_kernel_that_takes_any_answer_goes_on_without_one() -> None:
    kernel = ToldKernel(asks_issuer(Start.D, OnlineResponse.ANY), approved(Cvm.NONE))
    assert perform(reader(kernel), ONE_APPLICATION, issuer=[None]).shown()[-1] == APPROVED


def test_a_restart_keeps_what_pre_processing_found() -> None:
    kernel = ToldKernel(asks_issuer(Start.B, OnlineResponse.ANY), approved(Cvm.NONE))
    above_floor = configuration([combination(AID, 0x21, floor_limit_minor=1)], kernel)
    perform(above_floor, ONE_APPLICATION, issuer=[None])
    assert [told.prepared.ttq.hex() for told, _ in kernel.told] == ["26800080", "26800080"]


def test_issuer_data_are_for_one_application_alone() -> None:
    kernel = ToldKernel(asks_issuer(Start.B))
    held = at_command(4, REFUSED, card(entry(AID, "21"), entry(OTHER, "22", priority="02")))
    played = perform(reader(kernel), held, issuer=[ISSUER_DATA])
    assert played.selected() == [AID, AID]
    assert played.shown()[-1] == TRY_ANOTHER
    assert played.reason() == "application-refused-6A82"


def test_the_field_goes_off_as_long_as_the_outcome_wants() -> None:
    kernel = ToldKernel(replace(try_again("no"), field_off_hold_ms=1_300), approved(Cvm.NONE))
    played = perform(reader(kernel), ONE_APPLICATION)
    assert played.of(FieldOff) == [FieldOff(0), FieldOff(1_300), FieldOff(0)]
    kernel = ToldKernel(replace(try_again("no"), field_off_hold_ms=0), approved(Cvm.NONE))
    assert perform(reader(kernel), ONE_APPLICATION).of(FieldOff) == [FieldOff(0)] * 3


def test_a_reader_that_runs_by_itself_begins_with_its_field_on() -> None:
    kernel = ToldKernel()
    limits = combination(AID, 0x21, status_check=True, cvm_limit_minor=1, floor_limit_minor=0)
    reader_alone = configuration([replace(limits, ttq=bytes.fromhex("A6C08000"))], kernel)
    sale = replace(SALE, amount=replace(SALE.amount, minor=1))
    played = perform(reader_alone, ONE_APPLICATION, autorun=True, sale=sale)
    told = kernel.told[0][0]
    assert played.acts[0] == FieldOn()
    assert (told.start, told.prepared.ttq.hex()) == (Start.B, "a6c08000")
    assert told.prepared.indicators == type(told.prepared.indicators)()


def test_no_combination_for_this_type_of_transaction_needs_no_card() -> None:
    sales_only = configuration([combination(AID, 0x21, transaction_types=frozenset({0}))], ToldKernel())
    played = perform(sales_only, ONE_APPLICATION, sale=replace(SALE, transaction_type=0x20))
    assert played.shown()[-1] == (MessageId.INSERT_OR_SWIPE, UiStatus.PROCESSING_ERROR)
    assert not played.of(AwaitCard, FieldOn)


def test_a_card_that_never_ends_is_ended() -> None:
    again = perform(reader(ToldKernel(try_again("no"))), ONE_APPLICATION)
    restarts = perform(reader(ToldKernel(asks_issuer(Start.D, OnlineResponse.ANY))), ONE_APPLICATION)
    lost_again = perform(reader(ToldKernel()), lambda command: lost())
    assert again.reason() == lost_again.reason() == restarts.reason() == "too-many-presentations"
    assert len(restarts.commands()) == STEPS_MAX + 2


def test_a_card_that_drags_out_its_answers_is_asked_for_again() -> None:
    slow = perform(reader(ToldKernel()), ONE_APPLICATION, answer_us=TAP_US_MAX, polls=[ONE_CARD, Field.GIVEN_UP])
    assert slow.reason() == "card-too-slow"
    assert perform(reader(ToldKernel()), ONE_APPLICATION, answer_us=TAP_US_MAX // 3).shown()[-1] == APPROVED


def test_a_directory_without_end_is_ended() -> None:
    many = [entry(f"A00000000100{number:02X}", "21") for number in range(COMMANDS_PER_TAP_MAX + 5)]
    refusing: Answer = lambda command: ppse(*many) if b"2PAY" in command else REFUSED  # noqa: E731
    reader_of_rid = configuration([combination("A000000001", 0x21)], ToldKernel())
    assert perform(reader_of_rid, refusing).reason() == "too-many-commands"


@pytest.mark.parametrize(("built", "kernels"), [(False, []), (True, [1])])
def test_a_visa_card_that_cannot_be_told_the_ttq_is_for_kernel_1_alone(built: bool, kernels: list[int]) -> None:
    kernel = ToldKernel()
    visa = [combination("A0000000031010", 3)] + [combination("A0000000999999", 1)] * built
    held = card(entry("A0000000031010"), pdol="9F0206")
    played = perform(configuration(visa, kernel), held)
    assert [told.prepared.combination.kernel_id for told, _ in kernel.told] == kernels
    assert played.reason() == ("" if built else "no-kernel")


def test_a_visa_card_that_asks_for_the_ttq_stays_with_kernel_3() -> None:
    kernel = ToldKernel()
    held = card(entry("A0000000031010"), pdol="9F02069F6604")
    perform(configuration([combination("A0000000031010", 3)], kernel), held)
    assert kernel.told[0][0].prepared.combination.kernel_id == 3


@pytest.mark.parametrize(
    ("aid", "identifier", "reason"),
    [
        ("A00000002501", None, "no-kernel: American Express"),
        ("A0000000651010", None, "no-kernel: JCB"),
        ("A0000001523010", "06", "no-kernel: Discover"),
        ("A0000003241010", None, "no-kernel: Discover"),
        ("A0000006723010", None, "scheme-not-accepted"),
        ("A0000006723010", "810978", "no-kernel"),
    ],
)
def test_a_scheme_without_a_kernel_is_named(aid: str, identifier: str | None, reason: str) -> None:
    kernel = ToldKernel()
    alone = perform(configuration([UNIONPAY], kernel), card(entry(aid, identifier)))
    assert (alone.reason(), alone.selected()) == (reason, [])
    assert alone.read is not None
    assert (alone.read.aid.hex().upper(), alone.read.kernel[:5]) == (aid, "none:")


def test_a_card_whose_amount_is_too_high_is_told_apart_from_one_that_is_not_taken() -> None:
    limited = combination(AID, 0x21, transaction_limit_minor=100)
    played = perform(configuration([limited, combination(OTHER, 0x22)], ToldKernel()), ONE_APPLICATION)
    assert (played.reason(), played.selected()) == ("amount-not-allowed", [])


def test_an_answer_to_select_that_is_no_fci_drops_the_application() -> None:
    for answer in (b"", fci(b"")[2:], b"\x70" + fci(bytes.fromhex(AID))[1:-2]):
        held = at_command(2, answer + (b"" if answer.endswith(OK) else OK), ONE_APPLICATION)
        assert perform(reader(ToldKernel()), held).reason() == "application-malformed"


def test_behind_a_scheme_without_a_kernel_the_cards_other_application_is_read() -> None:
    kernel = ToldKernel()
    amex = combination("A00000002501", 4)
    held = card(entry("A00000002501", priority="01"), entry("A000000333010101", priority="02"))
    for served in ([UNIONPAY], [amex, UNIONPAY]):
        assert perform(configuration(served, kernel, 4), held).selected() == ["A000000333010101"]
    refused = perform(configuration([amex], kernel, 4), held)
    assert refused.reason() == "no-kernel: American Express"


SOUND = [ppse(entry("A000000333010101")), fci(bytes.fromhex("A000000333010101"), "9F66049F02069F3704"), OK]


def anything() -> st.SearchStrategy[list[bytes]]:
    cut = st.sampled_from(SOUND).flatmap(lambda whole: st.integers(0, len(whole)).map(lambda at: whole[:at] + OK))
    bent = st.tuples(st.sampled_from(SOUND), st.integers(0, 60), st.integers(0, 255)).map(_bent)
    answers = st.one_of(st.sampled_from(SOUND), cut, bent, st.binary(max_size=80).map(lambda octets: octets + OK))
    return st.lists(st.one_of(answers, st.binary(max_size=40)), max_size=12)


def _bent(drawn: tuple[bytes, int, int]) -> bytes:
    whole, at, octet = drawn
    at %= len(whole)
    return whole[:at] + bytes([octet]) + whole[at + 1 :]


@given(answers=anything(), kernel_is_ours=st.booleans())
@example(answers=[*SOUND[:2], b""], kernel_is_ours=True)
@settings(max_examples=300, deadline=None)
def test_whatever_a_card_answers_the_transaction_ends(answers: list[bytes], kernel_is_ours: bool) -> None:
    kernels = {7: KernelC7() if kernel_is_ours else ToldKernel()}
    served = replace(configuration([UNIONPAY], ToldKernel()), kernels=kernels)
    given_answers: Iterator[bytes] = iter(answers)
    answer: Callable[[bytes], bytes] = lambda command: next(given_answers, REFUSED)  # noqa: E731
    played = perform(served, answer)
    assert played.read is not None
    assert played.acts[-1] == FieldOff(0)


def test_a_driver_that_stops_midway_closes_it() -> None:
    """Whoever stops in the middle of a tap stops the kernel too: no generator is left waiting for a card."""
    kernel = WaitingKernel()
    transaction = run_transaction(reader(kernel), SALE)
    act = next(transaction)
    while not kernel.dialogues:
        act = transaction.send(played_result(act, ONE_APPLICATION))
    assert inspect.getgeneratorstate(kernel.dialogues[0]) == inspect.GEN_SUSPENDED
    transaction.close()
    assert inspect.getgeneratorstate(kernel.dialogues[0]) == inspect.GEN_CLOSED
