"""The store in plain dictionaries, for worlds that live in one process and die with it.

Strategy: the same port without a disk. A transaction writes into maps of its own, which are merged
when it ends well: it keeps the promise of atomicity and, on purpose, none of durability.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from taphost.accounts import Account
from taphost.ledger import Charge, Entry, EntryState
from taphost.requests import MessageKey
from taphost.store import AccountLine, KeyUse

CardUse = tuple[str, str | None, int]  # account, sequence number, transaction counter


@dataclass(slots=True)
class MemoryBooks:
    """The open transaction of a MemoryStore: what it writes lies in front of what was committed."""

    uses: ChainMap[bytes, KeyUse]
    ledger: ChainMap[MessageKey, Entry]
    lines: ChainMap[str, AccountLine]
    spent: ChainMap[CardUse, MessageKey]

    def key_use(self, ksn: bytes) -> KeyUse | None:
        return self.uses.get(ksn)

    def remember_key_use(self, use: KeyUse) -> None:
        self.uses[use.ksn] = use

    def current_batch(self, terminal: str) -> int | None:
        return max((use.batch for use in self.uses.values() if use.terminal == terminal), default=None)

    def highest_stan(self, terminal: str, batch: int, except_ksn: bytes) -> int:
        of_batch = (use for use in self.uses.values() if (use.terminal, use.batch) == (terminal, batch))
        return max((use.stan for use in of_batch if use.ksn != except_ksn), default=0)

    def entry(self, key: MessageKey) -> Entry | None:
        return self.ledger.get(key)

    def next_serial(self) -> int:
        fresh, known = self.ledger.maps
        return len(known) + len(fresh.keys() - known.keys()) + 1  # len() of both would walk through them

    def add(self, serial: int, entry: Entry) -> None:
        self.ledger[entry.key] = entry
        if entry.account_id is not None and entry.atc is not None:
            self.spent[entry.account_id, entry.sequence, entry.atc] = entry.key

    def mark_undone(self, entry: Entry) -> None:
        self.ledger[entry.key] = entry

    def owed_minor(self, account_id: str) -> int:
        return self.lines[account_id].owed_minor

    def charge(self, charge: Charge) -> None:
        line = self.lines[charge.account_id]
        self.lines[charge.account_id] = replace(line, owed_minor=line.owed_minor + charge.amount_minor)

    def atc_is_spent(self, account_id: str, sequence: str | None, atc: int) -> bool:
        return (account_id, sequence, atc) in self.spent

    def set_accounts(self, accounts: Iterable[Account]) -> None:
        for account in accounts:
            known = self.lines.get(account.account_id)
            self.lines[account.account_id] = AccountLine(
                account_id=account.account_id,
                masked_pan=account.masked_pan,
                note=account.note,
                credit_minor=account.credit_minor,
                owed_minor=known.owed_minor if known else 0,
            )

    def accounts(self) -> list[AccountLine]:
        return sorted(self.lines.values(), key=lambda line: line.masked_pan)

    def entries(self, captured_only: bool) -> list[Entry]:
        stored = self.ledger.values()
        return [entry for entry in stored if not captured_only or entry.state is EntryState.CAPTURED]


class MemoryStore:
    """Everything is gone when it is."""

    def __init__(self) -> None:
        self._uses: dict[bytes, KeyUse] = {}
        self._ledger: dict[MessageKey, Entry] = {}
        self._lines: dict[str, AccountLine] = {}
        self._spent: dict[CardUse, MessageKey] = {}

    @contextmanager
    def transaction(self) -> Iterator[MemoryBooks]:
        draft = MemoryBooks(
            uses=ChainMap({}, self._uses),
            ledger=ChainMap({}, self._ledger),
            lines=ChainMap({}, self._lines),
            spent=ChainMap({}, self._spent),
        )
        yield draft
        self._uses.update(draft.uses.maps[0])
        self._ledger.update(draft.ledger.maps[0])
        self._lines.update(draft.lines.maps[0])
        self._spent.update(draft.spent.maps[0])

    def close(self) -> None:
        """Nothing is held open."""
