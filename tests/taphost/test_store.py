"""The contract of the Store port, on every adapter; then what only a database has to promise."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from taphost.accounts import Account
from taphost.errors import StoreError
from taphost.ledger import Charge, Entry, EntryState
from taphost.requests import MessageClass, MessageKey
from taphost.sql_store import SqlStore
from taphost.store import KeyUse, Store

KEY = MessageKey("10000001", 1, 5, MessageClass.FINANCIAL)
ACCOUNT = Account("ab" * 16, "622800******1117", 1_000, "3012", False, False, "note", "bank")
ENTRY = Entry(
    key=KEY,
    kind="sale",
    state=EntryState.CAPTURED,
    fingerprint="sale:100:aa:ref",
    payment_ref="ref",
    amount_minor=100,
    captured_minor=100,
    code="00",
    auth_code="000001",
    rrn="600109000001",
    token="cd" * 16,
    masked_pan="622800******1117",
    account_id=ACCOUNT.account_id,
    sequence="01",
    atc=7,
    received_ms=1_767_229_200_000,
    changed_ms=1_767_229_200_000,
    reply=b"\x02\x10",
)


def use(counter: int, batch: int, stan: int) -> KeyUse:
    return KeyUse(counter.to_bytes(12, "big"), bytes(32), "10000001", batch, stan, 1)


def test_an_entry_comes_back_as_it_was_put(store: Store) -> None:
    with store.transaction() as books:
        books.set_accounts([ACCOUNT])
        assert books.entry(KEY) is None
        serial = books.next_serial()
        books.add(serial, ENTRY)
        assert books.next_serial() == serial + 1
    with store.transaction() as books:
        assert books.entry(KEY) == ENTRY
        assert books.entry(replace(KEY, message_class=MessageClass.REVERSAL)) is None
        assert books.entry(replace(KEY, batch=2)) is None


def test_an_undone_entry_is_captured_no_more(store: Store) -> None:
    undone = replace(ENTRY, state=EntryState.REVERSED, captured_minor=0, changed_ms=1_767_229_300_000)
    with store.transaction() as books:
        books.set_accounts([ACCOUNT])
        books.add(books.next_serial(), ENTRY)
        assert books.entries(captured_only=True) == [ENTRY]
        books.mark_undone(undone)
    with store.transaction() as books:
        assert books.entries(captured_only=True) == []
        assert books.entries(captured_only=False) == [undone]


def test_what_an_account_owes_survives_a_new_configuration(store: Store) -> None:
    with store.transaction() as books:
        books.set_accounts([ACCOUNT])
        books.charge(Charge(ACCOUNT.account_id, 300))
        books.charge(Charge(ACCOUNT.account_id, -100))
        books.set_accounts([replace(ACCOUNT, credit_minor=5_000)])
        assert books.owed_minor(ACCOUNT.account_id) == 200
        (line,) = books.accounts()
        assert (line.credit_minor, line.owed_minor) == (5_000, 200)


def test_a_card_counter_is_spent_for_that_card_alone(store: Store) -> None:
    with store.transaction() as books:
        books.set_accounts([ACCOUNT])
        books.add(books.next_serial(), ENTRY)
        assert books.atc_is_spent(ACCOUNT.account_id, "01", 7)
        assert not books.atc_is_spent(ACCOUNT.account_id, "01", 8)
        assert not books.atc_is_spent(ACCOUNT.account_id, "02", 7)
        assert not books.atc_is_spent(ACCOUNT.account_id, None, 7)
        assert not books.atc_is_spent("00" * 16, "01", 7)


def test_the_highest_number_is_that_of_the_batch_without_the_present_message(store: Store) -> None:
    with store.transaction() as books:
        assert books.current_batch("10000001") is None
        for seen in (use(1, 1, 900), use(2, 2, 5), use(3, 2, 8)):
            books.remember_key_use(seen)
        assert books.key_use(use(3, 2, 8).ksn) == use(3, 2, 8)
        assert books.current_batch("10000001") == 2
        assert books.current_batch("10000002") is None
        assert books.highest_stan("10000001", 2, except_ksn=b"") == 8
        assert books.highest_stan("10000001", 2, except_ksn=use(3, 2, 8).ksn) == 5
        assert books.highest_stan("10000001", 3, except_ksn=b"") == 0


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    with store.transaction() as books:
        books.set_accounts([ACCOUNT])

    def fail_half_way() -> None:
        with store.transaction() as books:
            books.remember_key_use(use(1, 1, 1))
            books.add(books.next_serial(), ENTRY)
            books.charge(Charge(ACCOUNT.account_id, 100))
            raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        fail_half_way()
    with store.transaction() as books:
        assert books.entries(captured_only=False) == []
        assert books.key_use(use(1, 1, 1).ksn) is None
        assert books.owed_minor(ACCOUNT.account_id) == 0
        assert not books.atc_is_spent(ACCOUNT.account_id, "01", 7)


def test_a_database_is_a_synced_write_ahead_log(tmp_path: Path) -> None:
    path = tmp_path / "host.db"
    store = SqlStore(f"sqlite:///{path}")
    with sqlite3.connect(path) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()
    store.close()


def test_two_hosts_on_one_file_take_turns(tmp_path: Path) -> None:
    stores = [SqlStore(f"sqlite:///{tmp_path / 'host.db'}") for _ in range(2)]
    for counter in range(1, 11):
        with stores[counter % 2].transaction() as books:
            books.remember_key_use(use(counter, 1, counter))
    with stores[0].transaction() as books:
        assert books.highest_stan("10000001", 1, except_ksn=b"") == 10
    for store in stores:
        store.close()


def test_a_database_of_another_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "host.db"
    SqlStore(f"sqlite:///{path}").close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE about SET schema_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="schema 99"):
        SqlStore(f"sqlite:///{path}")


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "mysql://localhost/x"])
def test_a_database_that_cannot_keep_money_is_refused(url: str) -> None:
    with pytest.raises(StoreError):
        SqlStore(url)
