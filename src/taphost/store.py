"""The Store port: what the host must remember.

Strategy: one transaction per message. All a rule may see is read, and all it decided is written, inside one `with
store.transaction()`; leaving it normally is the commit, synced before an answer may leave; an exception undoes it all.
Calls block for a disk sync and come from one thread at a time. Broken storage raises whatever the storage raises.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from taphost.accounts import Account
from taphost.ledger import Charge, Entry
from taphost.requests import MessageKey


@dataclass(frozen=True, slots=True)
class KeyUse:
    """A KSN and the message that used it up. `digest` is SHA-256 over the message bytes."""

    ksn: bytes
    digest: bytes
    terminal: str
    batch: int
    stan: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class AccountLine:
    """One account for people: who, how much may be owed, how much is."""

    account_id: str
    masked_pan: str
    note: str
    credit_minor: int
    owed_minor: int


class Books(Protocol):
    """The open transaction."""

    def key_use(self, ksn: bytes) -> KeyUse | None:
        """The message that used this KSN, if any."""

    def remember_key_use(self, use: KeyUse) -> None:
        """Once per KSN."""

    def current_batch(self, terminal: str) -> int | None:
        """The highest batch seen of the terminal."""

    def highest_stan(self, terminal: str, batch: int, except_ksn: bytes) -> int:
        """The highest STAN seen in the batch, 0 for none, leaving out the message now being answered."""

    def entry(self, key: MessageKey) -> Entry | None: ...

    def next_serial(self) -> int:
        """A number no entry has yet."""

    def add(self, serial: int, entry: Entry) -> None: ...

    def mark_undone(self, entry: Entry) -> None:
        """Write state, captured amount and time of change of a stored entry."""

    def owed_minor(self, account_id: str) -> int: ...

    def charge(self, charge: Charge) -> None: ...

    def atc_is_spent(self, account_id: str, sequence: str | None, atc: int) -> bool:
        """Whether any entry carries this card's transaction counter."""

    def set_accounts(self, accounts: Iterable[Account]) -> None:
        """Bring the configured accounts in; what they owe stays."""

    def accounts(self) -> list[AccountLine]: ...

    def entries(self, captured_only: bool) -> list[Entry]:
        """In the order of their serials."""


class Store(Protocol):
    def transaction(self) -> AbstractContextManager[Books]: ...

    def close(self) -> None: ...
