"""Two books beside each other: each difference has its one sentence, and no fen is left over."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taptill.journal.port import DebtRow, PaymentRow, TransactionRow
from taptill.settlement.causes import Acts
from taptill.settlement.host_records import HostRecord
from taptill.settlement.reconcile import Finding, Reconciliation, reconcile
from taptill.settlement.totals import CAPTURED_STATES, KNOWN_STATES, TAKES_MONEY, TotalsError

TERMINAL = "10000001"


def payment(state: str, ref: str = "P1") -> PaymentRow:
    return PaymentRow(ref, "", state, 1250, "CNY", 1250 if state in CAPTURED_STATES else 0, "", "", 0, 0, 1, 2)


def act(result: str, row: str = "sale", ref: str = "P1", stan: int = 17, approved: int = 0) -> TransactionRow:
    approved = 1250 if result in {"approved", "approved_offline", "deferred"} and not approved else approved
    return TransactionRow(f"{ref}/1", ref, row, result, stan, 3, 1, 1250, approved, "", "", "", {}, "", "", "", 0, stan)


def debt(row: str, state: str = "open", last_result: str = "", ref: str = "P1", stan: int = 17) -> DebtRow:
    return DebtRow(f"{ref}/1/{row}", ref, f"{ref}/1", row, state, stan, 3, 1, 1250, 0, last_result, 0, stan, None)


def host(
    state: str, captured: int = -1, ref: str = "P1", stan: int = 17, batch: int = 3, code: str = "00"
) -> HostRecord:
    """1250 where it is captured and nothing else is said."""
    minor = (1250 if state == "captured" else 0) if captured < 0 else captured
    kind = "reversal" if state in {"closed", "remembered"} else "financial"
    return HostRecord(TERMINAL, batch, stan, kind, state, ref, 1250, minor, code)  # type: ignore[arg-type]


def compared(state: str, acts: list[TransactionRow], debts: list[DebtRow], records: list[HostRecord]) -> Reconciliation:
    """Of one payment in `state`."""
    return reconcile([payment(state)], acts, debts, records)


def only(result: Reconciliation) -> Finding:
    assert len(result.findings) == 1, result.findings
    return result.findings[0]


SALE, OFFLINE, DEFERRED = "sale", "offline_advice", "deferred_advice"
CASES = [
    pytest.param(
        "reversing", act("reversing"), debt("reversal"), host("captured"), 1250, Acts.TERMINAL,
        "the host captured ¥12.50, the terminal owes it a reversal that has not been delivered: it will be undone",
        id="will be undone",
    ),
    pytest.param(
        "reversing", act("reversing"), debt("reversal"), host("reversed"), 0, Acts.TERMINAL,
        "the host holds nothing of it (reversed), the terminal owes a reversal that is not answered yet: "
        "it is repeated until it is",
        id="undone, the answer was lost",
    ),
    pytest.param(
        "reversing", act("reversing"), debt("reversal"), None, 0, Acts.TERMINAL,
        "the host has no such record, the terminal owes a reversal that is not answered yet: "
        "it is repeated until it is",
        id="never came there, reversal owed",
    ),
    pytest.param(
        "approved_offline", act("approved_offline", OFFLINE), debt(OFFLINE), None, -1250, Acts.TERMINAL,
        "the terminal approved it offline over ¥12.50, its advice is not delivered yet: it will be sent",
        id="offline, not delivered",
    ),
    pytest.param(
        "deferred", act("deferred", DEFERRED), debt(DEFERRED), None, 0, Acts.TERMINAL,
        "the terminal took it at the merchant's risk over ¥12.50, its advice is not delivered yet: it will be sent, "
        "then the host decides",
        id="deferred, not delivered",
    ),
    pytest.param(
        "deferred", act("deferred", DEFERRED), debt(DEFERRED), host("captured"), 1250, Acts.TERMINAL,
        "the host captured ¥12.50, its answer to the advice has not arrived: the advice is repeated",
        id="deferred, taken, the answer was lost",
    ),
    pytest.param(
        "approved_offline", act("approved_offline", OFFLINE), debt(OFFLINE, "parked", "94"), None, -1250, Acts.OPERATOR,
        "the host has no such record, its advice was refused with code 94 and is parked: an operator has to decide",
        id="advice parked",
    ),
    pytest.param(
        "approved_offline", act("approved_offline", OFFLINE), debt(OFFLINE), host("declined", code="14"), -1250,
        Acts.OPERATOR,
        "the host declined the advice with code 14, the terminal approved it offline and has not heard it yet: "
        "an operator will have to decide",
        id="advice declined",
    ),
    pytest.param(
        "parked", act("parked"), None, host("captured"), 1250, Acts.OPERATOR,
        "the host captured ¥12.50, the terminal could not find out and has parked it: an operator has to decide",
        id="transaction parked",
    ),
    pytest.param(
        "unknown", act("unknown"), None, host("captured"), 1250, Acts.TERMINAL,
        "the host captured ¥12.50, the terminal does not know that yet: it is still asking",
        id="still asking",
    ),
    pytest.param(
        "authorizing", act(""), None, None, 0, Acts.TERMINAL,
        "the host has no such record, the terminal does not know that yet: it is still asking",
        id="under way",
    ),
    pytest.param(
        "confirming", act("confirming"), None, host("captured", 500), 500, Acts.TERMINAL,
        "the host captured ¥5.00, the customer has not confirmed the lower amount yet: it is booked or undone then",
        id="lower amount not confirmed",
    ),
    pytest.param(
        "approved", act("approved"), None, None, -1250, Acts.ACQUIRER,
        "the terminal booked ¥12.50 (approved), the host has no such record: call the acquirer",
        id="missing at the host",
    ),
    pytest.param(
        "approved", act("approved"), None, host("reversed"), -1250, Acts.ACQUIRER,
        "the host reversed it, the terminal booked ¥12.50 (approved): call the acquirer",
        id="reversed at the host",
    ),
    pytest.param(
        "approved", act("approved"), None, host("declined", code="51"), -1250, Acts.ACQUIRER,
        "the host declined it with code 51, the terminal booked ¥12.50 (approved): call the acquirer",
        id="declined at the host",
    ),
    pytest.param(
        "approved", act("approved"), None, host("captured", 1200), -50, Acts.ACQUIRER,
        "the terminal booked ¥12.50 (approved), the host captured ¥12.00: call the acquirer",
        id="amounts differ",
    ),
    pytest.param(
        "declined", act("declined"), None, host("captured"), 1250, Acts.ACQUIRER,
        "the host captured ¥12.50, the terminal says declined and the customer was told so: call the acquirer",
        id="captured, told declined",
    ),
    pytest.param(
        "approved", act("approved"), None, host("captured", stan=18), 0, Acts.ACQUIRER,
        "the terminal has it as batch 3, STAN 000017 (approved, ¥12.50), the host as batch 3, STAN 000018 (captured, "
        "¥12.50): call the acquirer",
        id="other numbers",
    ),
    pytest.param(
        "cancelled", None, None, host("captured"), 1250, Acts.ACQUIRER,
        "the host captured ¥12.50, the terminal never sent this (cancelled): call the acquirer",
        id="never sent",
    ),
    pytest.param(
        "approved_offline", act("approved_offline", OFFLINE), debt(OFFLINE, "closed", "operator"), None, -1250,
        Acts.NOBODY,
        "the host has no such record, an operator has signed that it is settled with the acquirer",
        id="settled by an operator",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("state", "ours", "owed", "theirs", "difference", "acts", "sentence"), CASES)
def test_a_difference_is_explained(
    state: str,
    ours: TransactionRow | None,
    owed: DebtRow | None,
    theirs: HostRecord | None,
    difference: int,
    acts: Acts,
    sentence: str,
) -> None:
    result = compared(state, [ours] if ours else [], [owed] if owed else [], [theirs] if theirs else [])
    found = only(result)
    assert (found.difference_minor, found.cause.acts, found.cause.sentence) == (difference, acts, sentence)
    assert result.needs_somebody is (difference != 0 and acts in {Acts.OPERATOR, Acts.ACQUIRER})


def test_a_reversal_that_was_answered_and_changed_nothing_is_the_acquirers() -> None:
    owed, records = debt("reversal", "closed", "00"), [host("captured"), host("closed")]
    found = only(compared("reversed", [act("reversed")], [owed], records))
    assert found.cause.name == "held-after-reversal"
    assert found.difference_minor == 1250


def test_two_captures_of_one_payment_are_told_as_that() -> None:
    result = compared("approved", [act("approved")], [], [host("captured"), host("captured", stan=18)])
    found = only(result)
    assert (result.matched, found.stan, found.difference_minor) == (1, 18, 1250)
    assert found.cause.sentence == (
        "the host has 2 captures for this payment, ¥12.50 of them here: one must be given back, call the acquirer"
    )


def test_a_payment_of_another_journal_is_told_as_that() -> None:
    found = only(reconcile([], [], [], [host("captured")]))
    assert found.cause.name == "unknown-payment"
    assert "a restored or another journal?" in found.cause.sentence


def test_a_reversal_nobody_here_asked_for_is_told() -> None:
    result = compared("approved", [act("approved")], [], [host("reversed"), host("closed")])
    assert [found.cause.name for found in result.findings] == ["reversed-at-host", "reversal-never-owed"]
    assert sum(found.difference_minor for found in result.findings) == -1250


def test_a_sale_that_was_reversed_before_it_came_is_told() -> None:
    result = compared("approved", [act("approved")], [], [host("remembered", code="25")])
    assert [found.cause.name for found in result.findings] == ["reversed-in-advance", "reversal-never-owed"]


def test_an_operators_word_against_the_hosts_book_goes_back_to_the_operator() -> None:
    paid = replace(act("approved"), code="operator")
    found = only(compared("approved", [paid], [], []))
    assert (found.cause.name, found.cause.acts) == ("operator-contradicted", Acts.OPERATOR)


def test_a_hosts_record_without_a_reference_is_known_by_its_numbers() -> None:
    result = compared("approved", [act("approved")], [], [host("captured", ref="")])
    assert (result.matched, result.findings) == (1, ())


def test_what_agrees_is_counted_and_what_holds_no_money_too() -> None:
    """A sale, a decline, an undone sale with its reversal on both sides; a sale that was never sent on one."""
    refs = {"P1": "approved", "P2": "declined", "P3": "reversed", "P4": "declined"}
    acts = [
        act("approved"),
        act("declined", ref="P2", stan=18),
        act("reversed", ref="P3", stan=19),
        act("not_sent", ref="P4", stan=20),
    ]
    debts = [debt("reversal", "closed", "00", "P3", 19)]
    records = [
        host("captured"),
        host("declined", ref="P2", stan=18, code="51"),
        host("reversed", ref="P3", stan=19),
        host("closed", ref="P3", stan=19),
    ]
    result = reconcile([payment(state, ref) for ref, state in refs.items()], acts, debts, records)
    assert result.findings == ()
    assert (result.matched, result.without_money) == (4, 1)
    assert (result.terminal_records, result.host_records) == (5, 4)
    assert (result.terminal_minor, result.host_minor) == (1250, 1250)


def test_a_state_nobody_declared_is_never_left_out_in_silence() -> None:
    with pytest.raises(TotalsError, match="'balanced' is not known"):
        compared("balanced", [act("approved")], [], [])


REFS = ("P1", "P2", "P3", "P4")
RESULTS = ("", "approved", "declined", "not_sent", "unknown", "parked", "confirming", "reversing", "reversed",
           "approved_offline", "deferred", "deferred_declined")  # fmt: skip
numbers = st.integers(1, 6)
acts_of_a_day = st.lists(
    st.builds(
        lambda ref, result, row, stan, minor: act(result, row, ref, stan, minor),
        st.sampled_from(REFS),
        st.sampled_from(RESULTS),
        st.sampled_from(sorted(TAKES_MONEY)),
        numbers,
        st.integers(1, 9_999),
    ),
    max_size=6,
    unique_by=(lambda row: row.stan, lambda row: row.transaction),
)
debts_of_a_day = st.lists(
    st.builds(
        lambda ref, row, state, stan: debt(row, state, "operator" if stan % 2 else "00", ref, stan),
        st.sampled_from(REFS),
        st.sampled_from(["reversal", "offline_advice", "deferred_advice"]),
        st.sampled_from(["open", "parked", "closed"]),
        numbers,
    ),
    max_size=6,
    unique_by=(lambda row: row.debt, lambda row: (row.row == "reversal", row.stan)),
)
hosts_of_a_day = st.lists(
    st.builds(
        lambda state, ref, stan, minor: host(state, minor if state == "captured" else 0, ref, stan),
        st.sampled_from(["captured", "declined", "reversed", "closed", "remembered"]),
        st.sampled_from((*REFS, "P9", "")),
        numbers,
        st.integers(1, 9_999),
    ),
    max_size=8,
    unique_by=lambda record: (record.message_class, record.stan),
)
states_of_a_day = st.tuples(*(st.sampled_from(sorted(KNOWN_STATES)) for _ in REFS))


@given(states_of_a_day, acts_of_a_day, debts_of_a_day, hosts_of_a_day, st.randoms(use_true_random=False))
def test_what_is_explained_adds_up_and_the_order_of_rows_is_nothing(
    states: tuple[str, ...],
    acts: list[TransactionRow],
    debts: list[DebtRow],
    records: list[HostRecord],
    chance: random.Random,
) -> None:
    payments = [payment(state, ref) for ref, state in zip(REFS, states, strict=True)]
    result = reconcile(payments, acts, debts, records)
    assert sum(found.difference_minor for found in result.findings) == result.host_minor - result.terminal_minor
    assert result.host_minor == sum(record.captured_minor for record in records)
    assert all(found.cause.sentence and not found.cause.sentence.endswith(".") for found in result.findings)
    for rows in (payments, acts, debts, records):
        chance.shuffle(rows)
    assert reconcile(payments, acts, debts, records) == result


@given(states_of_a_day, acts_of_a_day, debts_of_a_day, hosts_of_a_day)
def test_every_record_is_matched_found_or_without_money(
    states: tuple[str, ...], acts: list[TransactionRow], debts: list[DebtRow], records: list[HostRecord]
) -> None:
    """A match stands for two records, a finding for one or two: a side that has no such record is empty in it."""
    payments = [payment(state, ref) for ref, state in zip(REFS, states, strict=True)]
    result = reconcile(payments, acts, debts, records)
    found = sum(bool(finding.terminal_state) + bool(finding.host_state) for finding in result.findings)
    assert 2 * result.matched + found + result.without_money == result.terminal_records + result.host_records
