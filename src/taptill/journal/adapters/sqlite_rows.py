"""Rows of the tables as the journal's shapes, and back.

Strategy: every SELECT names its columns in the order of the shape's fields; an UPSERT names them in the order of the
table. Card facts stand as JSON text.
"""

from __future__ import annotations

from typing import Any

import msgspec

from taptill.journal.port import DebtRow, PaymentRow, TransactionRow

Values = tuple[int | str | bytes | None, ...]

PAYMENT = """SELECT payment_ref, client_ref, state, amount_minor, currency, approved_minor, masked_pan, reader,
    opened_at_ms, changed_at_ms, first_seq, last_seq, refunded_minor,
    idempotency_key FROM payment """
ACT = """SELECT name, payment_ref, profile_row, result, stan, batch, key_counter, amount_minor, approved_minor, token,
    masked_pan, reader, card_facts, code, auth_code, rrn, intended_at_ms, intended_seq, wire_id FROM act """
DEBT = """SELECT name, payment_ref, act, profile_row, state, stan, batch, key_counter, amount_minor, attempts,
    last_result, created_at_ms, created_seq, token, wire_id FROM debt """

PUT_PAYMENT = """INSERT INTO payment VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)
    ON CONFLICT (first_seq) DO UPDATE SET state = excluded.state, approved_minor = excluded.approved_minor,
    masked_pan = excluded.masked_pan, reader = excluded.reader, changed_at_ms = excluded.changed_at_ms,
    last_seq = excluded.last_seq, refunded_minor = excluded.refunded_minor"""
DROP_ACT = "DELETE FROM act WHERE name = ?"
PUT_ACT = """INSERT INTO act VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
    ON CONFLICT (intended_seq) DO UPDATE SET result = excluded.result, approved_minor = excluded.approved_minor,
    masked_pan = excluded.masked_pan, reader = excluded.reader, card_facts = excluded.card_facts, code = excluded.code,
    auth_code = excluded.auth_code, rrn = excluded.rrn, wire_id = excluded.wire_id"""
PUT_DEBT = """INSERT INTO debt VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)
    ON CONFLICT (created_seq) DO UPDATE SET state = excluded.state, attempts = excluded.attempts,
    last_result = excluded.last_result, wire_id = excluded.wire_id"""

_encoder = msgspec.json.Encoder()
_facts = msgspec.json.Decoder(dict[str, str])


def payment_of(row: tuple[Any, ...]) -> PaymentRow:
    return PaymentRow(*row)


def act_of(row: tuple[Any, ...], wire: bytes | None = None) -> TransactionRow:
    values: tuple[Any, ...] = (*row[:12], _facts.decode(row[12]), *row[13:18], wire)
    return TransactionRow(*values)


def debt_of(row: tuple[Any, ...], wire: bytes | None = None) -> DebtRow:
    values: tuple[Any, ...] = (*row[:13], wire, row[13])
    return DebtRow(*values)


def payment_values(row: PaymentRow) -> Values:
    return (
        row.first_seq,
        row.payment_ref,
        row.client_ref,
        row.state,
        row.amount_minor,
        row.currency,
        row.approved_minor,
        row.masked_pan,
        row.reader,
        row.opened_at_ms,
        row.changed_at_ms,
        row.last_seq,
        row.refunded_minor,
        row.idempotency_key,
    )


def act_values(row: TransactionRow, wire_id: int | None) -> Values:
    return (
        row.intended_seq,
        row.transaction,
        row.payment_ref,
        row.row,
        row.result,
        row.stan,
        row.batch,
        row.key_counter,
        row.amount_minor,
        row.approved_minor,
        row.token,
        row.masked_pan,
        row.reader,
        _encoder.encode(row.card_facts).decode(),
        row.code,
        row.auth_code,
        row.rrn,
        row.intended_at_ms,
        wire_id,
    )


def debt_values(row: DebtRow, wire_id: int | None) -> Values:
    return (
        row.created_seq,
        row.debt,
        row.payment_ref,
        row.transaction,
        row.row,
        row.state,
        row.stan,
        row.batch,
        row.key_counter,
        row.amount_minor,
        row.attempts,
        row.last_result,
        row.created_at_ms,
        row.token,
        wire_id,
    )
