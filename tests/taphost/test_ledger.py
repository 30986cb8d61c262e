"""The money rules alone: pure functions of a request and what is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from taphost.accounts import Account, OpenedCard, Presentation
from taphost.issuer import CryptogramType
from taphost.ledger import Charge, Decision, EntryState, Known, decide_financial, decide_query, decide_reversal
from taphost.requests import Financial, FinancialKind, MessageClass, MessageKey, Reversal, StatusQuery

KEY = MessageKey("10000001", 1, 5, MessageClass.FINANCIAL)
NOTHING = Known(None, None, 0, False, 1, 1_767_229_200_000, datetime(2026, 1, 1, 9))
STATUS_CHARACTERS = 33

KINDS = st.sampled_from(FinancialKind)
AMOUNTS = st.integers(1, 3_000)
ACCOUNTS = st.builds(
    Account,
    account_id=st.just("ab" * 16),
    masked_pan=st.just("622800******1117"),
    credit_minor=st.integers(0, 3_000),
    expiry=st.sampled_from(["2512", "2601", "3012"]),
    blocked=st.booleans(),
    partial=st.booleans(),
    note=st.just(""),
    issuer_name=st.just("Lab bank"),
)
DECISIONS = st.none() | st.sampled_from(CryptogramType)


def payment(kind: FinancialKind, amount_minor: int) -> Financial:
    arc = {FinancialKind.OFFLINE_ADVICE: b"Y1", FinancialKind.DEFERRED_ADVICE: b"Y3"}.get(kind)
    icc = {0x9F02: bytes.fromhex(f"{amount_minor:012d}"), 0x5F2A: b"\x01\x56", 0x9F26: bytes(8)}
    return Financial(
        kind=kind,
        key=KEY,
        amount_minor=amount_minor,
        currency="156",
        payment_ref="ref",
        token=bytes(16),
        card=OpenedCard("6228000100001117", "01"),
        icc=icc | ({0x8A: arc} if arc else {}),
    )


def tap(account: Account | None, decision: CryptogramType | None) -> Presentation:
    return Presentation("622800******1117", account, "01", 7, decision)


def reversal(amount_minor: int) -> Reversal:
    return Reversal(replace(KEY, message_class=MessageClass.REVERSAL), amount_minor, "ref", "98")


def charged_minor(decision: Decision) -> int:
    return decision.charge.amount_minor if decision.charge else 0


@given(kind=KINDS, amount_minor=AMOUNTS, account=ACCOUNTS, decision=DECISIONS, owed_minor=st.integers(0, 3_000))
def test_what_is_charged_is_what_is_captured_and_only_the_card_may_overdraw(
    kind: FinancialKind, amount_minor: int, account: Account, decision: CryptogramType | None, owed_minor: int
) -> None:
    known = replace(NOTHING, owed_minor=owed_minor)
    decided = decide_financial(payment(kind, amount_minor), tap(account, decision), known)
    entry = decided.entry
    assert entry is not None
    assert entry.captured_minor == charged_minor(decided) <= amount_minor
    assert (entry.state is EntryState.CAPTURED) == (entry.captured_minor > 0) == (entry.code in {"00", "10"})
    if entry.captured_minor and kind is not FinancialKind.OFFLINE_ADVICE:
        assert owed_minor + entry.captured_minor <= account.credit_minor
        assert not account.blocked
    if entry.captured_minor < amount_minor and entry.captured_minor:
        assert (entry.code, account.partial, kind) == ("10", True, FinancialKind.SALE)


@given(kind=KINDS, amount_minor=AMOUNTS, account=ACCOUNTS, decision=DECISIONS)
def test_nothing_is_captured_without_a_cryptogram_of_the_fitting_type(
    kind: FinancialKind, amount_minor: int, account: Account, decision: CryptogramType | None
) -> None:
    wanted = CryptogramType.TC if kind is FinancialKind.OFFLINE_ADVICE else CryptogramType.ARQC
    decided = decide_financial(payment(kind, amount_minor), tap(account, decision), NOTHING)
    if charged_minor(decided):
        assert decision is wanted


@given(kind=KINDS, amount_minor=AMOUNTS, account=ACCOUNTS, decision=DECISIONS)
def test_a_reversal_gives_back_exactly_what_was_charged(
    kind: FinancialKind, amount_minor: int, account: Account, decision: CryptogramType | None
) -> None:
    booked = decide_financial(payment(kind, amount_minor), tap(account, decision), NOTHING)
    undone = decide_reversal(reversal(amount_minor), replace(NOTHING, original=booked.entry))
    assert charged_minor(booked) + charged_minor(undone) == 0
    assert undone.answer.code == "00"
    if booked.charge:
        assert undone.undone is not None
        assert (undone.undone.state, undone.undone.captured_minor) == (EntryState.REVERSED, 0)
        assert undone.charge == Charge(account.account_id, -booked.charge.amount_minor)


@given(kind=KINDS, amount_minor=AMOUNTS, account=ACCOUNTS, decision=DECISIONS)
def test_after_a_reversal_nothing_under_its_number_is_captured(
    kind: FinancialKind, amount_minor: int, account: Account, decision: CryptogramType | None
) -> None:
    remembered = decide_reversal(reversal(amount_minor), NOTHING)
    assert remembered.answer.code == "25"
    late = decide_financial(
        payment(kind, amount_minor), tap(account, decision), replace(NOTHING, reversal=remembered.entry)
    )
    assert late.entry is not None
    assert (late.charge, late.entry.state, late.answer.code) == (None, EntryState.REVERSED, "12")


@given(kind=KINDS, amount_minor=AMOUNTS, account=ACCOUNTS, decision=DECISIONS)
def test_every_status_has_the_agreed_length(
    kind: FinancialKind, amount_minor: int, account: Account, decision: CryptogramType | None
) -> None:
    booked = decide_financial(payment(kind, amount_minor), tap(account, decision), NOTHING)
    for original in (None, booked.entry):
        answer = decide_query(StatusQuery(KEY, "ref"), replace(NOTHING, original=original)).answer
        assert (answer.code, len(answer.private_text)) == ("00", STATUS_CHARACTERS)


def test_a_card_of_nobody_is_no_card() -> None:
    sale = payment(FinancialKind.SALE, 100)
    assert decide_financial(sale, tap(None, None), NOTHING).answer.code == "14"
    assert decide_financial(sale, None, NOTHING).answer.code == "30"


def test_another_currency_is_refused() -> None:
    sale = replace(payment(FinancialKind.SALE, 100), currency="840")
    account = Account("ab" * 16, "622800******1117", 1_000, "3012", False, False, "", "")
    assert decide_financial(sale, tap(account, CryptogramType.ARQC), NOTHING).answer.code == "12"
