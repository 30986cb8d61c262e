"""The facts a terminal writes down, one frozen struct each.

Comes in: what just became true. Goes out: the exact bytes that are stored and hashed.
Strategy: an entry is appended and synced before anything it allows is done. A payment's state is a projection of its
entries, made by the same table (terminal/machine) that runs the payment; `state` carries the result so that a reader
needs no table. Digests stand in the chain, message bytes in rows of their own (DESIGN 5.16).
"""

from __future__ import annotations

import msgspec


class Entry(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Base of all entries. `at_ms` and `trust` are the wall time when it was decided."""

    at_ms: int
    trust: int


class PaymentEntry(Entry, frozen=True, kw_only=True):
    """An entry about one payment, with the payment's state after it (ECR names, DESIGN 6)."""

    payment_ref: str
    state: str


class TerminalStarted(Entry, frozen=True, kw_only=True, tag="terminal_started"):
    """A boot: version and what recovery found."""

    version: str
    open_payments: int
    open_debts: int


class PaymentArmed(PaymentEntry, frozen=True, kw_only=True, tag="payment_armed"):
    """What is owed; the reference is minted here and nowhere else."""

    client_ref: str
    amount_minor: int
    currency: str
    request_digest: str
    expires_at_ms: int
    idempotency_key: str = ""


class ExchangeIntended(PaymentEntry, frozen=True, kw_only=True, tag="exchange_intended"):
    """A message that may leave as soon as this is synced: a sale (financial) or a question about one."""

    transaction: str  # "<payment_ref>/1"
    row: str  # host profile row
    stan: int
    batch: int
    key_counter: int
    amount_minor: int
    token: str
    masked_pan: str
    reader: str
    card_facts: dict[str, str]  # tag -> hex, nothing sensitive: for receipts and explain
    wire_digest: str


class LinkIntended(Entry, frozen=True, kw_only=True, tag="link_intended"):
    """A sign-on or echo: uses a STAN and a key counter, belongs to no payment."""

    row: str
    stan: int
    batch: int
    key_counter: int


class BatchOpened(Entry, frozen=True, kw_only=True, tag="batch_opened"):
    """A new batch, and why: sign-on, or a host STAN ahead of ours (DESIGN 5.4)."""

    batch: int
    next_stan: int
    reason: str


class BatchSealed(Entry, frozen=True, kw_only=True, tag="batch_sealed"):
    """All entries before this one are closed off: opening the journal verifies from the last seal on."""

    batch: int  # that was current
    entries: int  # all of the journal that stand before
    head: str  # hex digest of the entry before


class TransactionDecided(PaymentEntry, frozen=True, kw_only=True, tag="transaction_decided"):
    """How the transaction ended, or that it is unknown. Nobody is told before this is synced."""

    transaction: str
    result: str  # approved, declined, not_sent, unknown, parked
    by: str  # host, status_query, terminal, card
    code: str = ""  # DE39, or a stable reason word
    amount_minor: int | None = None
    auth_code: str = ""
    rrn: str = ""
    evidence_digest: str = ""
    reader: str = ""
    masked_pan: str = ""
    card_facts: dict[str, str] = {}


class DebtOwed(PaymentEntry, frozen=True, kw_only=True, tag="debt_owed"):
    """The terminal owes the host a message and will repeat it byte for byte until it is answered.

    For `reversal` this is the one commit point at which UNKNOWN becomes "will be undone". For `offline_advice` and
    `deferred_advice` it is the outcome of the payment as well: card facts and amount stand here."""

    debt: str  # "<payment_ref>/1/reversal"
    transaction: str
    row: str  # reversal, offline_advice, deferred_advice
    reason: str
    stan: int
    batch: int
    key_counter: int
    amount_minor: int
    token: str
    masked_pan: str
    reader: str
    card_facts: dict[str, str]
    wire_digest: str


class DebtTried(PaymentEntry, frozen=True, kw_only=True, tag="debt_tried"):
    """A try that did not close the debt, and why. Network failures never count against it."""

    debt: str
    result: str


class DebtClosed(PaymentEntry, frozen=True, kw_only=True, tag="debt_closed"):
    """An authenticated final answer of the host. `taken` is False where it declined a deferred sale."""

    debt: str
    code: str
    taken: bool = True
    rrn: str = ""
    evidence_digest: str = ""


class DebtParked(PaymentEntry, frozen=True, kw_only=True, tag="debt_parked"):
    """A semantic refusal: only an operator can close it now. It blocks no other payment's debts."""

    debt: str
    code: str
    evidence_digest: str = ""


class Disposed(PaymentEntry, frozen=True, kw_only=True, tag="disposed"):
    """An operator's signed word about what only an operator can end (DESIGN 5.7): a parked debt or transaction.
    `statement` is the exact text that was signed."""

    target: str  # the debt or transaction
    decision: str  # debt: "send again", "settled"; transaction: "paid", "not paid"
    operator: str
    reason: str
    statement: str
    signature: str  # hex


class PaymentCancelled(PaymentEntry, frozen=True, kw_only=True, tag="payment_cancelled"):
    """Ended before anything was sent: cancelled, expired, or the terminal restarted while armed."""

    reason: str


class LateReply(PaymentEntry, frozen=True, kw_only=True, tag="late_reply"):
    """An answer that came after the decision: evidence, never a sale (DESIGN 5.6)."""

    transaction: str
    code: str
    evidence_digest: str


AnyEntry = (
    TerminalStarted
    | PaymentArmed
    | ExchangeIntended
    | LinkIntended
    | BatchOpened
    | BatchSealed
    | TransactionDecided
    | DebtOwed
    | DebtTried
    | DebtClosed
    | DebtParked
    | Disposed
    | PaymentCancelled
    | LateReply
)
