"""A shop that writes entries as the terminal would, and random walks through its days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from taptill.journal import entries as e
from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.port import Pending
from taptill.journal.wire import wire_digest

MASKED_PAN = "622800******1117"
FACTS = {"9F26": "A1B2C3D4E5F60718", "9F36": "0042", "95": "0000000000"}


@dataclass
class Shop:
    """Makes entries with fresh times, STANs and key counters. `P1` is the first payment's reference."""

    batch: int = 1
    stan: int = 1
    key_counter: int = 1
    at_ms: int = 1_767_225_600_000  # 2026-01-01 00:00:00 UTC
    stan_of: dict[str, int] = field(default_factory=dict)

    def wire(self, name: str) -> bytes:
        return f"<envelope of {name}>".encode() * 20

    def armed(self, ref: str, amount_minor: int = 1250) -> Pending:
        entry = e.PaymentArmed(
            at_ms=self._tick(),
            trust=2,
            payment_ref=ref,
            state="armed",
            client_ref=f"till-{ref}",
            amount_minor=amount_minor,
            currency="CNY",
            request_digest="00",
            expires_at_ms=self.at_ms + 60_000,
        )
        return Pending(entry)

    def sale(self, ref: str, amount_minor: int = 1250, row: str = "sale", number: int = 1) -> Pending:
        name = f"{ref}/{number}"
        state = "authorizing" if row != "status_query" else "unknown"
        stan = self._next_stan()
        if row != "status_query":
            self.stan_of[name] = stan
        wire = self.wire(name)
        entry = e.ExchangeIntended(
            at_ms=self._tick(),
            trust=2,
            payment_ref=ref,
            state=state,
            transaction=name,
            row=row,
            stan=stan,
            batch=self.batch,
            key_counter=self._next_key(),
            amount_minor=amount_minor,
            token="70c0",
            masked_pan=MASKED_PAN,
            reader="pn532",
            card_facts=FACTS,
            wire_digest=wire_digest(wire),
        )
        return Pending(entry, wire)

    def decided(self, ref: str, result: str, state: str = "", amount_minor: int | None = None) -> Pending:
        entry = e.TransactionDecided(
            at_ms=self._tick(),
            trust=2,
            payment_ref=ref,
            state=state or {"not_sent": "declined"}.get(result, result),
            transaction=f"{ref}/1",
            result=result,
            by="host",
            code={"approved": "00", "declined": "51", "parked": "94"}.get(result, ""),
            amount_minor=amount_minor,
            rrn="123456789012" if result == "approved" else "",
        )
        return Pending(entry)

    def owed(self, ref: str, row: str = "reversal", amount_minor: int = 1250, token: str = "70c0") -> Pending:
        state = {"reversal": "reversing", "offline_advice": "approved_offline", "deferred_advice": "deferred"}[row]
        name = f"{ref}/1"
        if row != "reversal":
            self.stan_of[name] = self._next_stan()
        wire = self.wire(f"{name}/{row}")
        entry = e.DebtOwed(
            at_ms=self._tick(),
            trust=2,
            payment_ref=ref,
            state=state,
            debt=f"{name}/{row}",
            transaction=name,
            row=row,
            reason="no answer",
            stan=self.stan_of[name],
            batch=self.batch,
            key_counter=self._next_key(),
            amount_minor=amount_minor,
            token=token,
            masked_pan=MASKED_PAN,
            reader="pn532",
            card_facts=FACTS,
            wire_digest=wire_digest(wire),
        )
        return Pending(entry, wire)

    def tried(self, ref: str, row: str, state: str) -> Pending:
        return Pending(
            e.DebtTried(
                at_ms=self._tick(), trust=2, payment_ref=ref, state=state, debt=f"{ref}/1/{row}", result="timeout"
            )
        )

    def closed(self, ref: str, row: str, state: str, code: str = "00") -> Pending:
        return Pending(
            e.DebtClosed(at_ms=self._tick(), trust=2, payment_ref=ref, state=state, debt=f"{ref}/1/{row}", code=code)
        )

    def parked(self, ref: str, row: str, state: str) -> Pending:
        return Pending(
            e.DebtParked(at_ms=self._tick(), trust=2, payment_ref=ref, state=state, debt=f"{ref}/1/{row}", code="30")
        )

    def disposed(self, target: str, decision: str, state: str) -> Pending:
        entry = e.Disposed(
            at_ms=self._tick(),
            trust=2,
            payment_ref=target.partition("/")[0],
            state=state,
            target=target,
            decision=decision,
            operator="li",
            reason="said on the phone",
            statement="{}",
            signature="00",
        )
        return Pending(entry)

    def cancelled(self, ref: str, reason: str = "cancelled") -> Pending:
        return Pending(
            e.PaymentCancelled(at_ms=self._tick(), trust=2, payment_ref=ref, state="cancelled", reason=reason)
        )

    def link(self) -> Pending:
        return Pending(
            e.LinkIntended(
                at_ms=self._tick(),
                trust=2,
                row="sign_on",
                stan=self._next_stan(),
                batch=self.batch,
                key_counter=self._next_key(),
            )
        )

    def _tick(self) -> int:
        self.at_ms += 250
        return self.at_ms

    def _next_stan(self) -> int:
        self.stan, used = self.stan % 999_999 + 1, self.stan
        return used

    def _next_key(self) -> int:
        self.key_counter, used = self.key_counter + 1, self.key_counter
        return used


# What may follow each state of a payment in a walk: word -> state after it.
STEPS: dict[str, tuple[str, ...]] = {
    "": ("arm",),
    "armed": ("ask", "cancel", "offline", "defer"),
    "authorizing": ("approve", "decline", "lose", "undo"),
    "unknown": ("query", "approve", "decline", "undo", "park"),
    "reversing": ("try", "close", "refuse"),
    "approved_offline": ("try", "close", "refuse"),
    "deferred": ("try", "close", "close declined", "refuse"),
    "parked": ("paid", "not paid"),
}


@dataclass
class Walk:
    """A random but possible day: `step(n)` lets one payment take one of the ways that lie open to it."""

    shop: Shop = field(default_factory=Shop)
    states: dict[str, str] = field(default_factory=dict)
    debt_states: dict[str, str] = field(default_factory=dict)

    def step(self, payment: int, choice: int) -> Pending:
        ref = f"P{payment}"
        ways = STEPS.get(self.states.get(ref, ""), ())
        if ref in self.debt_states and self.debt_states[ref] != "open":
            ways = ("send again", "settle") if self.debt_states[ref] == "parked" else ()
        if not ways:
            return self.shop.link()
        pending = self._take(ref, ways[choice % len(ways)])
        assert isinstance(pending.entry, e.PaymentEntry)
        self.states[ref] = pending.entry.state
        return pending

    def _take(self, ref: str, way: str) -> Pending:
        shop, state = self.shop, self.states.get(ref, "")
        row = {"reversing": "reversal", "approved_offline": "offline_advice", "deferred": "deferred_advice"}.get(
            state, ""
        )
        if way in {"offline", "defer", "undo"}:
            self.debt_states[ref] = "open"
        if way.startswith("close") or way == "refuse":
            self.debt_states[ref] = "parked" if way == "refuse" else "closed"
        if way in {"send again", "settle"}:
            self.debt_states[ref] = "open" if way == "send again" else "closed"
        after = {"reversing": "reversed", "deferred": "approved"}.get(state, state)
        return {
            "arm": lambda: shop.armed(ref),
            "ask": lambda: shop.sale(ref),
            "query": lambda: shop.sale(ref, row="status_query"),
            "cancel": lambda: shop.cancelled(ref),
            "offline": lambda: shop.owed(ref, "offline_advice"),
            "defer": lambda: shop.owed(ref, "deferred_advice"),
            "approve": lambda: shop.decided(ref, "approved"),
            "decline": lambda: shop.decided(ref, "declined"),
            "lose": lambda: shop.decided(ref, "unknown"),
            "park": lambda: shop.decided(ref, "parked"),
            "undo": lambda: shop.owed(ref, "reversal"),
            "try": lambda: shop.tried(ref, row, state),
            "close": lambda: shop.closed(ref, row, after),
            "close declined": lambda: shop.closed(ref, row, "deferred_declined", "51"),
            "refuse": lambda: shop.parked(ref, row, state),
            "send again": lambda: shop.disposed(f"{ref}/1/{row}", "send again", state),
            "settle": lambda: shop.disposed(f"{ref}/1/{row}", "settled", after),
            "paid": lambda: shop.disposed(f"{ref}/1", "paid", "approved"),
            "not paid": lambda: shop.disposed(f"{ref}/1", "not paid", "declined"),
        }[way]()


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture(scope="session")
def new_walk() -> type[Walk]:
    return Walk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[SqliteJournal]:
    opened = SqliteJournal.open(path)
    yield opened
    opened.close()
