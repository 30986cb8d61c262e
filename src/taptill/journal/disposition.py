"""An operator's signed word about what only an operator can end (DESIGN 5.7).

Comes in: the text of a statement with its signature, the operators' public keys, the payment's records. Goes out:
nothing, or the one reason why the statement does not count.
Strategy: a statement names the digest of the entry that parked its target. So it is good for this terminal, this target
and this one parking: it can be neither replayed nor used on another one. Ed25519 (RFC 8032) over the exact text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from taptill.errors import TapTillError
from taptill.journal import entries as e
from taptill.journal.port import Record

SEND_AGAIN, SETTLED, PAID, NOT_PAID = "send again", "settled", "paid", "not paid"
DECISIONS = (SEND_AGAIN, SETTLED, PAID, NOT_PAID)
OF_A_DEBT = frozenset({SEND_AGAIN, SETTLED})
OF_A_DEFERRED_DEBT = OF_A_DEBT | {NOT_PAID}  # the host has not judged it: both ends are possible
OF_A_TRANSACTION = frozenset({PAID, NOT_PAID})

REASON_CHARACTERS_MAX = 500
NAME_CHARACTERS_MAX = 255
MAYBE_A_CARD_NUMBER = re.compile(r"\d(?:[ -]?\d){12,}")  # the host's own references have 12 digits

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARACTERS_MAX)]


class StatementMalformed(TapTillError):
    """The text is no statement: not JSON, not these fields, or not in its one way of writing."""

    code = 4005


class Statement(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is signed. `parked_by` is the digest (hex) of the entry that parked `target`."""

    terminal_id: _Name
    target: _Name
    decision: _Name
    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=REASON_CHARACTERS_MAX)]
    operator: _Name
    parked_by: _Name

    @property
    def payment_ref(self) -> str:
        """Transactions and debts are named after their payment: "<payment_ref>/1", "<payment_ref>/1/reversal"."""
        return self.target.partition("/")[0]


@dataclass(frozen=True, slots=True)
class Offer:
    """A statement as it was offered. `text` is what was signed, `signature` is hex."""

    statement: Statement
    text: str
    signature: str


@dataclass(frozen=True, slots=True)
class Parking:
    """Something that waits for an operator: the entry that parked it, and what may be decided about it."""

    target: str
    digest: bytes
    decisions: frozenset[str]


class Refusal(Enum):
    """Why a statement does not count: stable words, for which the terminal has texts in both languages."""

    UNKNOWN_OPERATOR = "operator-unknown"
    WRONG_SIGNATURE = "signature-wrong"
    OTHER_TERMINAL = "statement-for-another-terminal"
    NOT_PARKED = "target-not-parked"
    STALE = "statement-stale"
    IMPOSSIBLE = "decision-impossible"
    CARD_NUMBER = "reason-holds-a-card-number"


def statement_text(statement: Statement) -> str:
    """The one way of writing a statement: JSON, keys sorted, no spaces."""
    return msgspec.json.encode(statement, order="sorted").decode()


def read_offer(text: str, signature: str) -> Offer:
    """Raises StatementMalformed naming the field."""
    try:
        statement = msgspec.json.decode(text, type=Statement)
        written = statement_text(statement)
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise StatementMalformed(str(error), where="statement", next_step="sign it with: taptill dispose") from error
    if written != text:
        what = "not written as JSON with sorted keys and no spaces"
        raise StatementMalformed(what, where="statement", next_step="sign it with: taptill dispose")
    return Offer(statement, text, signature)


def parking_of(records: Iterable[Record], target: str) -> Parking | None:
    """How `target` stands after the records of its payment; None unless it is parked."""
    parking: Parking | None = None
    decisions = OF_A_DEBT
    for record in records:
        match record.entry:
            case e.DebtOwed(debt=name, row=row) if name == target:
                decisions = OF_A_DEFERRED_DEBT if row == "deferred_advice" else OF_A_DEBT
            case e.DebtParked(debt=name) if name == target:
                parking = Parking(target, record.digest, decisions)
            case e.TransactionDecided(transaction=name, result="parked") if name == target:
                parking = Parking(target, record.digest, OF_A_TRANSACTION)
            case e.Disposed(target=name) | e.DebtClosed(debt=name) if name == target:
                parking = None
    return parking


def refusal_of(
    offer: Offer, operators: Mapping[str, bytes], terminal_id: str, parking: Parking | None
) -> Refusal | None:
    """None when the statement counts. `operators` maps names to public keys of 32 bytes. Who did not sign learns
    nothing about the target."""
    statement = offer.statement
    key = operators.get(statement.operator)
    if key is None:
        return Refusal.UNKNOWN_OPERATOR
    if not is_signed(offer, key):
        return Refusal.WRONG_SIGNATURE
    if statement.terminal_id != terminal_id:
        return Refusal.OTHER_TERMINAL
    if parking is None or parking.target != statement.target:
        return Refusal.NOT_PARKED
    if statement.parked_by != parking.digest.hex():
        return Refusal.STALE
    if statement.decision not in parking.decisions:
        return Refusal.IMPOSSIBLE
    return Refusal.CARD_NUMBER if MAYBE_A_CARD_NUMBER.search(statement.reason) else None


def is_signed(offer: Offer, public_key: bytes) -> bool:
    """Whether the holder of this key signed exactly this text."""
    try:
        signature = bytes.fromhex(offer.signature)
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, offer.text.encode())
    except (ValueError, InvalidSignature):
        return False
    return True
