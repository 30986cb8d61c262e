"""The intents of many sales, in the bytes that the terminal makes of one.

Comes in: the three entries of one sale. Goes out: the same for any number of sales, each with a reference, STAN and key
counter of its own, and an intent as plain octets for stores that know nothing of entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from taptill.journal.chain import GENESIS, encode_body, link
from taptill.journal.entries import ExchangeIntended
from taptill.journal.port import Pending

STAN_MAX = 999_999
SALE_EVERY_MS = 40_000


@dataclass(frozen=True, slots=True)
class Intent:
    """What the journal stores of one: the entry's bytes, its digest, the message."""

    pending: Pending
    body: bytes
    digest: bytes
    wire: bytes

    @property
    def octets(self) -> bytes:
        """All of it in one piece, for a store of pieces."""
        return self.body + self.digest + self.wire


@dataclass(frozen=True, slots=True)
class Sale:
    """Armed, intended, decided: the entries in their order."""

    entries: tuple[Pending, ...]

    @property
    def armed(self) -> Pending:
        return self.entries[0]

    @property
    def intent(self) -> Intent:
        pending = self.entries[1]
        assert isinstance(pending.entry, ExchangeIntended), "the second entry of a sale is its intent"
        assert pending.wire is not None, "an intent has its message"
        body = encode_body(pending.entry.stan, pending.entry)
        return Intent(pending, body, link(GENESIS, body), pending.wire)


def many_sales(first: Sequence[Pending], count: int) -> Iterator[Sale]:
    for number in range(1, count + 1):
        yield Sale(tuple(_again(pending, number) for pending in first))


def _again(pending: Pending, number: int) -> Pending:
    entry = pending.entry
    ref = f"270115-{number:06d}-5a5a"
    other: dict[str, Any] = {"payment_ref": ref, "at_ms": entry.at_ms + number * SALE_EVERY_MS}
    fields = entry.__struct_fields__
    for name, value in (
        ("client_ref", f"order-{number}"),
        ("idempotency_key", f"key-{number}"),
        ("transaction", f"{ref}/1"),
        ("stan", number % STAN_MAX + 1),
        ("key_counter", number),
    ):
        if name in fields:
            other[name] = value
    return Pending(replace(entry, **other), pending.wire)
