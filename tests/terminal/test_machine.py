"""The state table by itself: nothing ambiguous, nothing that cannot be reached, no way back from an end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from taptill.terminal.machine import TABLE, ImpossibleStep, PaymentState, Trigger, diagram, is_open, replay, step

README = Path(__file__).parents[2] / "README.md"
FINAL = {
    PaymentState.APPROVED,
    PaymentState.APPROVED_OFFLINE,
    PaymentState.DECLINED,
    PaymentState.DEFERRED_DECLINED,
    PaymentState.CANCELLED,
    PaymentState.REVERSED,
}
NOT_JOURNALED = {Trigger.CARD_SEEN, Trigger.TAP_AGAIN}


def reached_from(state: PaymentState) -> set[PaymentState]:
    found = {state}
    while added := {row.dest for row in TABLE if row.source in found} - found:
        found |= added
    return found


def test_a_fact_leads_from_a_state_to_one_other() -> None:
    assert len({(row.source, row.trigger) for row in TABLE}) == len(TABLE)


def test_every_state_and_every_trigger_is_used() -> None:
    assert reached_from(PaymentState.NEW) == set(PaymentState)
    assert {row.trigger for row in TABLE} == set(Trigger)


@pytest.mark.parametrize("state", sorted(set(PaymentState) - FINAL, key=str))
def test_a_payment_that_is_not_settled_is_open_and_can_come_to_an_end(state: PaymentState) -> None:
    assert is_open(state)
    assert reached_from(state) & FINAL


@pytest.mark.parametrize("state", sorted(FINAL, key=str))
def test_no_fact_leads_out_of_an_end(state: PaymentState) -> None:
    assert not is_open(state)
    assert reached_from(state) == {state}


def test_only_late_answers_and_the_fate_of_an_advice_follow_an_end() -> None:
    follows = {row.trigger for row in TABLE if row.source in FINAL}
    assert follows == {
        Trigger.LATE,
        Trigger.TRY,
        Trigger.DELIVER,
        Trigger.PARK_DEBT,
        Trigger.SEND_AGAIN,
        Trigger.SETTLE,
    }
    assert {row.source for row in TABLE if row.source in FINAL and row.trigger is not Trigger.LATE} == {
        PaymentState.APPROVED_OFFLINE
    }


def test_an_operator_moves_nothing_but_what_is_parked_or_owed() -> None:
    by_operator = {Trigger.SEND_AGAIN, Trigger.SETTLE, Trigger.PAID, Trigger.NOT_PAID}
    moves = {(row.source, row.dest) for row in TABLE if row.trigger in by_operator and row.source is not row.dest}
    assert {source for source, _ in moves} == {PaymentState.PARKED, PaymentState.DEFERRED}
    assert {dest for source, dest in moves if source is PaymentState.PARKED} == {
        PaymentState.REVERSING,
        PaymentState.REVERSED,
        PaymentState.APPROVED,
        PaymentState.DECLINED,
    }


def test_nothing_is_undone_twice_and_nothing_approved_is_undone() -> None:
    undone = {row.source for row in TABLE if row.trigger is Trigger.UNDO}
    assert undone == {PaymentState.AUTHORIZING, PaymentState.UNKNOWN}


@pytest.mark.parametrize("state", list(PaymentState))
@pytest.mark.parametrize("trigger", list(Trigger))
def test_a_step_outside_the_table_is_refused_by_name(state: PaymentState, trigger: Trigger) -> None:
    rows = [row for row in TABLE if (row.source, row.trigger) == (state, trigger)]
    if rows:
        assert step(state, trigger) is rows[0]
        return
    with pytest.raises(ImpossibleStep, match=f"{trigger.value!r} cannot follow {state.value!r}"):
        step(state, trigger)


@pytest.mark.parametrize("trigger", sorted(set(Trigger) - NOT_JOURNALED, key=str))
def test_entries_read_back_lead_where_the_running_payment_went(trigger: Trigger) -> None:
    """That a card was seen stands in no journal: read back, a payment goes on from `armed`."""
    running = [row for row in TABLE if (row.source, row.trigger) == (PaymentState.READING, trigger)]
    for row in running:
        assert replay(PaymentState.ARMED, trigger).dest is row.dest
    for row in TABLE:
        if row.trigger is trigger and row.source not in {PaymentState.ARMED, PaymentState.READING}:
            assert replay(row.source, trigger) is row


def test_the_diagram_in_the_readme_is_the_table() -> None:
    shown = re.search(r"<!-- states -->\n```mermaid\n(.*?)```\n<!-- /states -->", README.read_text("utf-8"), re.DOTALL)
    assert shown, "README.md shows no diagram between its markers"
    assert shown[1] == diagram()


def test_the_diagram_has_an_arrow_for_every_change_of_state() -> None:
    arrows = re.findall(r"^    (\w+) --> (\w+): (.+)$", diagram(), re.MULTILINE)
    changes = [row for row in TABLE if row.source is not row.dest]
    assert arrows == [(row.source.value, row.dest.value, row.trigger.value) for row in changes]
    assert set(re.findall(r"(\w+) --> \[\*\]", diagram())) == {state.value for state in FINAL}
