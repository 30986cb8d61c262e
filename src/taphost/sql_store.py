"""The store in a SQL database: `sqlite:///FILE` or `postgresql://...`.

Comes in: a database URL. Goes out: a `Store`.
Strategy: synchronous SQLAlchemy Core, every message one transaction. On SQLite a write-ahead log synced at every
commit, read back after it was asked for, and the write lock taken at the start, so that a second host on the same file
waits instead of failing half way. No card number in any table: accounts are keyed hashes, entries carry masked numbers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    RowMapping,
    String,
    Table,
    UniqueConstraint,
    and_,
    bindparam,
    create_engine,
    event,
    func,
    insert,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError

from taphost.accounts import Account
from taphost.errors import StoreError
from taphost.ledger import Charge, Entry, EntryState
from taphost.requests import MessageClass, MessageKey
from taphost.store import AccountLine, KeyUse

SCHEMA_VERSION = 1
BUSY_TIMEOUT_MS = 5_000
_SYNCHRONOUS_FULL = 2

_metadata = MetaData()
_about = Table("about", _metadata, Column("schema_version", Integer, primary_key=True))
_entries = Table(
    "entries",
    _metadata,
    Column("serial", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("terminal", String(8), nullable=False),
    Column("batch", Integer, nullable=False),
    Column("stan", Integer, nullable=False),
    Column("message_class", String(16), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("fingerprint", String(256), nullable=False),
    Column("payment_ref", String(128), nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("captured_minor", BigInteger, nullable=False),
    Column("code", String(2), nullable=False),
    Column("auth_code", String(6), nullable=False),
    Column("rrn", String(12), nullable=False),
    Column("token", String(64), nullable=False),
    Column("masked_pan", String(19), nullable=False),
    Column("account_id", String(32), ForeignKey("accounts.account_id")),
    Column("sequence", String(2)),
    Column("atc", Integer),
    Column("received_ms", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("reply", LargeBinary, nullable=False),
    UniqueConstraint("terminal", "batch", "stan", "message_class"),
    Index("entries_by_card", "account_id", "atc"),
)
_accounts = Table(
    "accounts",
    _metadata,
    Column("account_id", String(32), primary_key=True),
    Column("masked_pan", String(19), nullable=False),
    Column("note", String(256), nullable=False),
    Column("credit_minor", BigInteger, nullable=False),
    Column("owed_minor", BigInteger, nullable=False),
)
_key_uses = Table(
    "key_uses",
    _metadata,
    Column("ksn", LargeBinary(12), primary_key=True),
    Column("digest", LargeBinary(32), nullable=False),
    Column("terminal", String(8), nullable=False),
    Column("batch", Integer, nullable=False),
    Column("stan", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Index("key_uses_by_stan", "terminal", "batch", "stan"),
)
_KEY_COLUMNS = ("terminal", "batch", "stan", "message_class")
_PLAIN_COLUMNS = tuple(field.name for field in fields(Entry) if field.name not in ("key", "state"))
# Built once: making a statement costs more than running it.
_of_key = and_(*(_entries.c[name] == bindparam(f"key_{name}") for name in _KEY_COLUMNS))
_of_account = _accounts.c.account_id == bindparam("of_account")
_of_batch = and_(_key_uses.c.terminal == bindparam("of_terminal"), _key_uses.c.batch == bindparam("of_batch"))
_ENTRY = select(_entries).where(_of_key)
_ENTRIES = select(_entries).order_by(_entries.c.serial)
_CAPTURED = _ENTRIES.where(_entries.c.state == EntryState.CAPTURED.value)
_LAST_SERIAL = select(func.max(_entries.c.serial))
_SPENT = select(_entries.c.sequence).where(
    _entries.c.account_id == bindparam("of_account"), _entries.c.atc == bindparam("of_atc")
)
_ADD_ENTRY = insert(_entries)
_CHANGE_ENTRY = update(_entries).where(_of_key)
_KEY_USE = select(_key_uses).where(_key_uses.c.ksn == bindparam("of_ksn"))
_ADD_KEY_USE = insert(_key_uses)
_LAST_BATCH = select(func.max(_key_uses.c.batch)).where(_key_uses.c.terminal == bindparam("of_terminal"))
_HIGHEST_STAN = select(func.max(_key_uses.c.stan)).where(_of_batch, _key_uses.c.ksn != bindparam("but_ksn"))
_OWED = select(_accounts.c.owed_minor).where(_of_account)
_CHARGE = update(_accounts).where(_of_account).values(owed_minor=_accounts.c.owed_minor + bindparam("charged_minor"))
_CHANGE_ACCOUNT = update(_accounts).where(_of_account)
_ADD_ACCOUNT = insert(_accounts)
_ACCOUNTS = select(_accounts).order_by(_accounts.c.masked_pan)


class SqlStore:
    """Opens and, unless it `must_exist`, creates the database. Raises StoreError; later calls raise SQLAlchemy's
    errors."""

    def __init__(self, url: str, *, must_exist: bool = False) -> None:
        self._engine = _engine(url)
        file = self._engine.url.database if self._engine.name == "sqlite" else None
        if must_exist and file and not Path(file).is_file():
            raise StoreError("there is no such file", where="database")
        _metadata.create_all(self._engine)
        with self._engine.begin() as connection:
            _check_version(connection)

    @contextmanager
    def transaction(self) -> Iterator[SqlBooks]:
        with self._engine.begin() as connection:
            yield SqlBooks(connection)

    def close(self) -> None:
        self._engine.dispose()


class SqlBooks:
    """The open transaction of a SqlStore."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def key_use(self, ksn: bytes) -> KeyUse | None:
        row = self._connection.execute(_KEY_USE, {"of_ksn": ksn}).mappings().first()
        return KeyUse(**row) if row else None

    def remember_key_use(self, use: KeyUse) -> None:
        self._connection.execute(_ADD_KEY_USE, asdict(use))

    def current_batch(self, terminal: str) -> int | None:
        batch: int | None = self._connection.scalar(_LAST_BATCH, {"of_terminal": terminal})
        return batch

    def highest_stan(self, terminal: str, batch: int, except_ksn: bytes) -> int:
        asked = {"of_terminal": terminal, "of_batch": batch, "but_ksn": except_ksn}
        return self._connection.scalar(_HIGHEST_STAN, asked) or 0

    def entry(self, key: MessageKey) -> Entry | None:
        row = self._connection.execute(_ENTRY, _key_parameters(key)).mappings().first()
        return _entry_of(row) if row else None

    def next_serial(self) -> int:
        return (self._connection.scalar(_LAST_SERIAL) or 0) + 1

    def add(self, serial: int, entry: Entry) -> None:
        self._connection.execute(_ADD_ENTRY, {"serial": serial} | _columns_of(entry))

    def mark_undone(self, entry: Entry) -> None:
        changed = {"state": entry.state.value, "captured_minor": entry.captured_minor, "changed_ms": entry.changed_ms}
        self._connection.execute(_CHANGE_ENTRY, changed | _key_parameters(entry.key))

    def owed_minor(self, account_id: str) -> int:
        return self._connection.scalar(_OWED, {"of_account": account_id}) or 0

    def charge(self, charge: Charge) -> None:
        charged = {"of_account": charge.account_id, "charged_minor": charge.amount_minor}
        self._connection.execute(_CHARGE, charged)

    def atc_is_spent(self, account_id: str, sequence: str | None, atc: int) -> bool:
        return sequence in self._connection.scalars(_SPENT, {"of_account": account_id, "of_atc": atc}).all()

    def set_accounts(self, accounts: Iterable[Account]) -> None:
        for account in accounts:
            shown = {"masked_pan": account.masked_pan, "note": account.note, "credit_minor": account.credit_minor}
            changed = self._connection.execute(_CHANGE_ACCOUNT, shown | {"of_account": account.account_id})
            if changed.rowcount == 0:
                new = {"account_id": account.account_id, "owed_minor": 0}
                self._connection.execute(_ADD_ACCOUNT, shown | new)

    def accounts(self) -> list[AccountLine]:
        return [AccountLine(**row) for row in self._connection.execute(_ACCOUNTS).mappings()]

    def entries(self, captured_only: bool) -> list[Entry]:
        rows = self._connection.execute(_CAPTURED if captured_only else _ENTRIES).mappings()
        return [_entry_of(row) for row in rows]


def _key_parameters(key: MessageKey) -> dict[str, object]:
    return {f"key_{name}": value for name, value in _key_columns(key).items()}


def _key_columns(key: MessageKey) -> dict[str, object]:
    values = (key.terminal, key.batch, key.stan, key.message_class.value)
    return dict(zip(_KEY_COLUMNS, values, strict=True))


def _columns_of(entry: Entry) -> dict[str, object]:
    plain = {name: getattr(entry, name) for name in _PLAIN_COLUMNS}
    return plain | _key_columns(entry.key) | {"state": entry.state.value}


def _entry_of(row: RowMapping) -> Entry:
    key = MessageKey(row["terminal"], row["batch"], row["stan"], MessageClass(row["message_class"]))
    plain = {name: row[name] for name in _PLAIN_COLUMNS}
    return Entry(key=key, state=EntryState(row["state"]), **plain)


def _check_version(connection: Connection) -> None:
    version = connection.scalar(select(_about.c.schema_version))
    if version is None:
        connection.execute(insert(_about).values(schema_version=SCHEMA_VERSION))
    elif version != SCHEMA_VERSION:
        raise StoreError(f"holds schema {version}, this program knows {SCHEMA_VERSION}", where="database")


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreError("is no database URL", where="database", next_step="sqlite:///FILE") from error
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return _postgresql(parsed)
    if backend != "sqlite":
        raise StoreError(f"{backend} is not supported", where="database", next_step="sqlite:///FILE or postgresql://")
    if not parsed.database:
        raise StoreError("names no file", where="database", next_step="sqlite:///FILE")
    engine = create_engine(parsed)
    event.listen(engine, "connect", _make_durable)
    event.listen(engine, "begin", _begin_writing)
    return engine


def _postgresql(url: URL) -> Engine:
    try:
        return create_engine(url.set(drivername="postgresql+psycopg"), isolation_level="SERIALIZABLE")
    except ModuleNotFoundError as error:
        raise StoreError("PostgreSQL needs a driver", where="database", next_step="install psycopg") from error


def _make_durable(connection: sqlite3.Connection, _record: object) -> None:
    """Asks for a synced write-ahead log and does not believe it before it was read back."""
    connection.isolation_level = None  # the driver begins nothing by itself; `_begin_writing` does
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    if mode != "wal" or synchronous != _SYNCHRONOUS_FULL:
        got = f"is in mode {mode}, synchronous {synchronous}"
        raise StoreError(got, where="database", next_step="use a file on a local disk")


def _begin_writing(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
