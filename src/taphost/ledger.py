"""The money rules of the host.

Comes in: a request and everything stored that bears on it (`Known`). Goes out: a `Decision`: what to answer, to store
and to charge. Strategy: pure. A repeated key gets the stored answer when the fingerprint is the same and 94 when it
differs; a reversal of an unknown original is remembered and the original refused when it comes later (DESIGN 5, last
paragraph), so that no order of sale, query and reversal leaves a capture nobody has.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum

from taphost.accounts import Account, Presentation
from taphost.issuer import CryptogramType
from taphost.requests import Answer, Financial, FinancialKind, MessageKey, Reversal, StatusQuery

APPROVED = "00"
DO_NOT_HONOUR = "05"
APPROVED_IN_PART = "10"
INVALID_TRANSACTION = "12"
INVALID_AMOUNT = "13"
INVALID_CARD_NUMBER = "14"
NO_ORIGINAL = "25"
FORMAT_ERROR = "30"
INSUFFICIENT_FUNDS = "51"
EXPIRED_CARD = "54"
CARD_CHECK_FAILED = "59"
RESTRICTED_CARD = "62"
AMOUNT_OF_ANOTHER = "64"
DUPLICATE = "94"

CURRENCY_CNY = "156"
SERIAL_WRAP = 1_000_000
_AMOUNT, _CURRENCY, _RESPONSE_CODE = 0x9F02, 0x5F2A, 0x8A
_RESPONSE_CODE_OF_ADVICE = {FinancialKind.OFFLINE_ADVICE: b"Y1", FinancialKind.DEFERRED_ADVICE: b"Y3"}


class EntryState(Enum):
    """Of financial entries the first three, of reversals the last two."""

    CAPTURED = "captured"
    DECLINED = "declined"
    REVERSED = "reversed"
    CLOSED = "closed"  # the original was known: nothing of it is captured any more
    REMEMBERED = "remembered"  # the original was unknown: it is refused if it ever comes


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the ledger. `reply` is the answer's message without its MAC, filled in before it is stored;
    `account_id` and `atc` are set only where the card proved itself."""

    key: MessageKey
    kind: str
    state: EntryState
    fingerprint: str
    payment_ref: str
    amount_minor: int
    captured_minor: int
    code: str
    auth_code: str = ""
    rrn: str = ""
    token: str = ""
    masked_pan: str = ""
    account_id: str | None = None
    sequence: str | None = None
    atc: int | None = None
    received_ms: int = 0
    changed_ms: int = 0
    reply: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Known:
    """What is stored and bears on one request. `local_time` is the host's; no entry has `serial` yet."""

    original: Entry | None
    reversal: Entry | None
    owed_minor: int
    atc_is_spent: bool
    serial: int
    now_ms: int
    local_time: datetime


@dataclass(frozen=True, slots=True)
class Charge:
    """A change of what an account owes, negative where a capture is undone."""

    account_id: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Decision:
    """With `repeats` the stored reply goes out again and nothing is stored. Otherwise `entry` is new, and `undone` is
    the original as a reversal leaves it."""

    answer: Answer
    entry: Entry | None = None
    undone: Entry | None = None
    charge: Charge | None = None
    repeats: Entry | None = None


def decide_financial(request: Financial, presentation: Presentation | None, known: Known) -> Decision:
    """A sale or advice. `presentation` is None where there was no card to look at, or field 55 was not enough."""
    if known.original is not None and known.original.state is not EntryState.REVERSED:
        return _repeat(known.original, request.fingerprint)
    if known.original is not None and known.original.fingerprint == request.fingerprint:
        # Nobody may read an approval out of what was undone since.
        return Decision(Answer(INVALID_TRANSACTION, remark="REVERSED SINCE"))
    if known.original is not None:
        return Decision(Answer(DUPLICATE))
    if known.reversal is not None:
        return _refuse_what_was_reversed(request, presentation, known)
    refusal = _flaw(request, presentation) or _refusal(request, presentation, known)
    code, captured_minor = (refusal, 0) if refusal else _authorise(request, _account(presentation), known)
    return _book(request, presentation, known, code, captured_minor)


def decide_reversal(request: Reversal, known: Known) -> Decision:
    """Undo, or make sure that it never happens."""
    if known.reversal is not None:
        return _repeat(known.reversal, request.fingerprint)
    original = known.original
    if original is None:
        return _close_reversal(request, known, NO_ORIGINAL, EntryState.REMEMBERED)
    if not _same_payment(request.payment_ref, original):
        # Another payment holds this key (a restored memory card): undoing it would rob that one. Not stored, so that
        # the owner of the key can still reverse it.
        return Decision(Answer(INVALID_TRANSACTION, remark="ORIGINAL IS OF ANOTHER PAYMENT"))
    if request.amount_minor not in (original.amount_minor, original.captured_minor):
        return Decision(Answer(AMOUNT_OF_ANOTHER))
    decision = _close_reversal(request, known, APPROVED, EntryState.CLOSED)
    if original.state is not EntryState.CAPTURED:
        return decision
    undone = replace(original, state=EntryState.REVERSED, captured_minor=0, changed_ms=known.now_ms)
    charge = Charge(original.account_id, -original.captured_minor) if original.account_id else None
    return replace(decision, undone=undone, charge=charge)


def decide_query(request: StatusQuery, known: Known) -> Decision:
    """How the original stands. This host decides in one commit, so it never answers P (in progress)."""
    original = known.original
    if original is not None and not _same_payment(request.payment_ref, original):
        return Decision(Answer(APPROVED, private_text=_status("N", None)))
    if original is not None:
        letter = {EntryState.CAPTURED: "A", EntryState.DECLINED: "D"}.get(original.state, "R")
        return Decision(Answer(APPROVED, private_text=_status(letter, original)))
    reversed_in_advance = known.reversal is not None and _same_payment(request.payment_ref, known.reversal)
    return Decision(Answer(APPROVED, private_text=_status("R" if reversed_in_advance else "N", None)))


def _repeat(stored: Entry, fingerprint: str) -> Decision:
    if stored.fingerprint == fingerprint:
        return Decision(Answer(stored.code), repeats=stored)
    return Decision(Answer(DUPLICATE))


def _refuse_what_was_reversed(request: Financial, presentation: Presentation | None, known: Known) -> Decision:
    decision = _book(request, presentation, known, INVALID_TRANSACTION, 0)
    if decision.entry is None or known.reversal is None or not _same_payment(request.payment_ref, known.reversal):
        return decision
    return replace(decision, entry=replace(decision.entry, state=EntryState.REVERSED))


def _flaw(request: Financial, presentation: Presentation | None) -> str:
    """The code for a message that contradicts itself; empty for a sound one."""
    if presentation is None or request.flaw:
        return FORMAT_ERROR
    if request.icc.get(_RESPONSE_CODE) != _RESPONSE_CODE_OF_ADVICE.get(request.kind):
        return FORMAT_ERROR
    if request.currency != CURRENCY_CNY or request.icc.get(_CURRENCY, b"").hex().lstrip("0") != CURRENCY_CNY:
        return INVALID_TRANSACTION
    # The cryptogram covers 9F02 alone: an amount in DE4 that the card never saw is nobody's consent.
    if request.amount_minor == 0 or request.icc.get(_AMOUNT, b"").hex() != f"{request.amount_minor:012d}":
        return INVALID_AMOUNT
    return ""


def _refusal(request: Financial, presentation: Presentation | None, known: Known) -> str:
    """The issuer's code against this card; empty where only the amount is left to judge."""
    account = _account(presentation)
    if presentation is None or account is None:
        return INVALID_CARD_NUMBER
    offline = request.kind is FinancialKind.OFFLINE_ADVICE
    if presentation.decision is not (CryptogramType.TC if offline else CryptogramType.ARQC):
        return CARD_CHECK_FAILED
    if known.atc_is_spent:
        return DO_NOT_HONOUR
    if offline:
        return ""  # the card has approved in our name
    if account.blocked:
        return RESTRICTED_CARD
    if account.expiry < known.local_time.strftime("%y%m"):
        return EXPIRED_CARD
    return ""


def _authorise(request: Financial, account: Account | None, known: Known) -> tuple[str, int]:
    """Code and captured amount by what the account may still owe."""
    if request.kind is FinancialKind.OFFLINE_ADVICE:
        return APPROVED, request.amount_minor
    available_minor = account.credit_minor - known.owed_minor if account else 0
    if request.amount_minor <= available_minor:
        return APPROVED, request.amount_minor
    in_part = account is not None and account.partial and request.partial_allowed
    if in_part and request.kind is FinancialKind.SALE and available_minor > 0:
        return APPROVED_IN_PART, available_minor
    return INSUFFICIENT_FUNDS, 0


def _book(
    request: Financial, presentation: Presentation | None, known: Known, code: str, captured_minor: int
) -> Decision:
    account = _account(presentation)
    approved = captured_minor > 0
    proven = presentation if presentation is not None and presentation.decision is not None else None
    answer = Answer(
        code,
        amount_minor=captured_minor if approved else request.amount_minor,
        auth_code=f"{known.serial % SERIAL_WRAP:06d}" if approved else "",
        rrn=_rrn(known),
        issuer=account.issuer_name if account else "",
    )
    entry = Entry(
        key=request.key,
        kind=request.kind.value,
        state=EntryState.CAPTURED if approved else EntryState.DECLINED,
        fingerprint=request.fingerprint,
        payment_ref=request.payment_ref,
        amount_minor=request.amount_minor,
        captured_minor=captured_minor,
        code=code,
        auth_code=answer.auth_code,
        rrn=answer.rrn,
        token=request.token.hex(),
        masked_pan=presentation.masked_pan if presentation else "",
        account_id=account.account_id if account and proven else None,
        sequence=proven.sequence if proven else None,
        atc=proven.atc if proven else None,
        received_ms=known.now_ms,
        changed_ms=known.now_ms,
    )
    charge = Charge(account.account_id, captured_minor) if account and approved else None
    return Decision(answer, entry=entry, charge=charge)


def _close_reversal(request: Reversal, known: Known, code: str, state: EntryState) -> Decision:
    answer = Answer(code, amount_minor=request.amount_minor, rrn=_rrn(known))
    entry = Entry(
        key=request.key,
        kind="reversal",
        state=state,
        fingerprint=request.fingerprint,
        payment_ref=request.payment_ref,
        amount_minor=request.amount_minor,
        captured_minor=0,
        code=code,
        rrn=answer.rrn,
        received_ms=known.now_ms,
        changed_ms=known.now_ms,
    )
    return Decision(answer, entry=entry)


def _account(presentation: Presentation | None) -> Account | None:
    return presentation.account if presentation else None


def _same_payment(payment_ref: str, entry: Entry) -> bool:
    return not payment_ref or not entry.payment_ref or payment_ref == entry.payment_ref


def _rrn(known: Known) -> str:
    """Twelve digits: last digit of the year, day of the year, hour, serial."""
    at = known.local_time
    return f"{at.year % 10}{at:%j%H}{known.serial % SERIAL_WRAP:06d}"


def _status(letter: str, original: Entry | None) -> str:
    """DE62 of a status answer: state, DE39 (2), authorisation code (6), RRN (12), captured amount (12 digits)."""
    if original is None:
        return f"{letter}{'':2}{'':6}{'':12}{0:012d}"
    approved_minor = original.captured_minor
    return f"{letter}{original.code:2}{original.auth_code:6}{original.rrn:12}{approved_minor:012d}"
