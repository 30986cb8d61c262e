"""The money rules, watched from outside while a world runs (DESIGN 5, invariants).

Comes in: what leaves the terminal, what it shows, what its journal says after a boot, and the host's books. Goes out:
sentences about rules broken. Strategy: the terminal's own opinion counts for nothing; a rule compares what people and
the host saw with what the disk holds.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256

from taphost.ledger import Entry
from taphost.memory_store import MemoryStore
from taphost.requests import MessageClass
from taplab.simulation.story import Story
from taptill.host.exchange import HostRequest
from taptill.journal import entries as e
from taptill.journal.disposition import SEND_AGAIN
from taptill.journal.port import DebtRow, JournalReader, PaymentRow, Record
from taptill.journal.wire import wire_digest
from taptill.receipt.facts import ReceiptFacts
from taptill.terminal.config import OutageLimits

SHOWN_WITHOUT_ENTRY = frozenset({"reading"})
DEBT_ROWS = frozenset({"reversal", "offline_advice", "deferred_advice"})
ADVICE_ROWS = frozenset({"offline_advice", "deferred_advice"})
QUESTION_ROWS = frozenset({"status_query", "echo"})  # a sign-on is asked before the batch is known
MAY_BE_CAPTURED = frozenset(
    {"authorizing", "unknown", "approved", "approved_offline", "deferred", "reversing", "reversed", "parked"}
)
ENDED = frozenset({"approved", "approved_offline", "deferred_declined", "declined", "cancelled", "reversed"})
PAID = frozenset({"approved", "approved_offline", "deferred"})


class Rules:
    """One per world; it outlives every boot. `broken` stays empty in a sound one. `limits`: of what may stand out, by
    row of the host's profile."""

    def __init__(
        self, books: MemoryStore, pans: Sequence[str], limits: Mapping[str, OutageLimits], story: Story
    ) -> None:
        self._books = books
        self._limits = limits
        packed = [bytes.fromhex(pan + "F" * (len(pan) % 2)) for pan in pans]
        self._pan_shapes = (_any_of([pan.encode() for pan in pans]), _any_of(packed))
        self._story = story
        self.broken: list[str] = []
        self._told: set[tuple[str, str]] = set()
        self._synced: set[object] = set()  # message digests and (payment, state)
        self._first_use: dict[str, object] = {}
        self._owed_minor: dict[str, int] = {}  # by payment, as it was armed
        self._debt_of: dict[str, str] = {}  # by message digest
        self._at_rest: set[str] = set()  # debts that were closed or parked
        self._lost_to_restore: set[str] = set()  # payments that an older copy of the disk does not know
        self._captured_before_restore: set[str] = set()
        self._was_restored = False

    def must(self, holds: bool, otherwise: str) -> None:
        if not holds and otherwise not in self.broken:
            self.broken.append(otherwise)
            self._story.tell(f"BROKEN: {otherwise}")

    def stored(self, records: Iterable[Record]) -> None:
        """The disk holds these."""
        for entry in (record.entry for record in records):
            if isinstance(entry, e.PaymentEntry):
                self._synced.add((entry.payment_ref, entry.state))
            match entry:
                case e.PaymentArmed(payment_ref=ref, amount_minor=amount_minor):
                    self._owed_minor[ref] = amount_minor
                case e.ExchangeIntended(wire_digest=digest):
                    self._synced.add(digest)
                case e.DebtOwed(wire_digest=digest, debt=debt):
                    self._synced.add(digest)
                    self._debt_of[digest] = debt
                case e.DebtClosed(debt=debt) | e.DebtParked(debt=debt):
                    self._at_rest.add(debt)
                case e.Disposed(target=debt, decision=decision) if decision == SEND_AGAIN:
                    self._at_rest.discard(debt)

    def leaves(self, request: HostRequest) -> None:
        """A message is about to leave (DESIGN 5.1, 5.3, 5.4, 5.15)."""
        row, ref, digest = request.row, request.payment_ref, wire_digest(request.wire)
        if ref is not None:
            self.must(digest in self._synced, f"a {row} of {ref} left before its entry was synced")
        debt = self._debt_of.get(digest, "")
        self.must(debt not in self._at_rest, f"{debt} left again after it was closed or parked")
        uses: dict[str, object] = {f"key counter {request.key_counter}": request.wire}
        if row in DEBT_ROWS:
            uses[f"the {row} of {ref}"] = request.wire
        if row == "sale" or (row in ADVICE_ROWS and not self._was_restored):
            # Before its first sign-on a restored terminal cannot know better: the host says 94 to such an advice.
            uses[f"batch {request.key.batch} STAN {request.key.stan}"] = ref
        if row in QUESTION_ROWS and not self._was_restored:
            uses[f"batch {request.key.batch} STAN {request.key.stan}"] = request.wire
        for name, use in uses.items():
            self.must(self._first_use.setdefault(name, use) == use, f"{name} was used for two different things")

    def shown(self, payment_ref: str, state: str) -> None:
        """People are told (DESIGN 5.2)."""
        if state in SHOWN_WITHOUT_ENTRY:
            return
        self._told.add((payment_ref, state))
        self.must((payment_ref, state) in self._synced, f"{payment_ref} was called {state} before that was synced")

    def answered(self, payment_ref: str | None, refusal: str | None) -> None:
        """The register is told which payment is meant (DESIGN 5.2, 5.3)."""
        if payment_ref is not None and refusal is None:
            self.shown(payment_ref, "armed")

    def printed(self, slip: ReceiptFacts) -> None:
        """A slip tells the amount that was shown, as paid only where it is (DESIGN 5.2)."""
        ref, owed_minor = slip.payment_ref, self._owed_minor.get(slip.payment_ref)
        self.shown(ref, slip.state)
        self.must(slip.amount.minor == owed_minor, f"a slip of {ref} tells {slip.amount.minor}, owed were {owed_minor}")
        paid_minor = slip.approved.minor if slip.approved else 0
        self.must(
            paid_minor == (owed_minor if slip.state in PAID else 0),
            f"a slip of {ref}, {slip.state}, tells that {paid_minor} of {owed_minor} are paid",
        )

    def restored(self, known: JournalReader) -> None:
        """The disk that the terminal boots from is an older copy: it cannot know what came after, and must not undo
        what it has forgotten (DESIGN 5.4). Keys it used since are refused by the host, not by it."""
        self._was_restored = True
        rows = {row.payment_ref for row in known.payments() if row.state != "armed"}  # it may have been sent since
        self._lost_to_restore |= {fact[0] for fact in self._synced if isinstance(fact, tuple)} - rows
        approved = {ref for ref, state in self._told if state in {"approved", "approved_offline"}}
        self._captured_before_restore |= approved & self._captured().keys()
        self._synced.clear()
        self._at_rest.clear()
        self.stored(known.records())
        self._told &= {fact for fact in self._synced if isinstance(fact, tuple)}
        forgotten = self._lost_to_restore - self._booked_refs()  # no host can tell of them
        self._first_use = {
            name: use
            for name, use in self._first_use.items()
            if not name.startswith("key counter") and use not in forgotten
        }

    def booted(self, journal: JournalReader) -> None:
        """Everything that people were told stands in the journal that the terminal found."""
        self.stored(journal.records())
        self._check_meant(journal)
        for ref, state in sorted(self._told):
            self.must((ref, state) in self._synced, f"{ref} was called {state}, and the journal has forgotten it")

    def compare_books(self, journal: JournalReader) -> None:
        """At any moment: the host's books and the journal may differ only by what is open or owed."""
        payments = {row.payment_ref: row for row in journal.payments()}
        debts = [debt for debt in journal.debts() if debt.is_open]
        owed = {debt.payment_ref for debt in debts}
        captured = self._captured()
        for ref, entries in captured.items():
            self._check_capture(ref, entries, payments.get(ref))
        for row in payments.values():
            self._check_approval(row, captured.get(row.payment_ref, []), row.payment_ref in owed)
        self._check_presentations(captured)
        self._check_debts(debts, payments)
        for ref in sorted(self._captured_before_restore):
            self.must(ref in captured, f"{ref} was paid and told so, and an older copy of the journal undid it")

    def over(self, journal: JournalReader, visits: Sequence[int]) -> None:
        """The day has ended and nothing fails any more: everything has ended and is paid once at most."""
        self.compare_books(journal)
        parked = {debt.payment_ref for debt in journal.open_debts() if debt.state == "parked"}
        for row in journal.payments():
            self.must(row.state in ENDED or row.payment_ref in parked, f"{row.payment_ref} is still {row.state}")
        for debt in journal.debts():
            self.must(debt.state != "open", f"{debt.debt} is still owed")
            # What a restored terminal sent with a key of its lost future is between the merchant and the acquirer.
            self.must(
                debt.state != "parked" or self._was_restored, f"{debt.debt} is parked, whatever the operator says"
            )
        self._check_evidence(journal.records(), journal.debts())
        if not self._was_restored:
            self._check_visits(journal, visits)
        journal.verify()

    def chained(self, rows: Iterable[tuple[int, bytes, bytes]]) -> None:
        """Number, stored bytes and digest of each entry: a chain of SHA-256 from 32 zeros on (DESIGN 5.1)."""
        head = bytes(32)
        for expected, (seq, body, digest) in enumerate(rows, 1):
            head = sha256(head + body).digest()
            self.must((seq, digest) == (expected, head), f"entry {seq} does not continue the chain")

    def hide_card_numbers(self, written: Iterable[tuple[str, bytes]]) -> None:
        """DESIGN F13: as text, or packed two digits to an octet."""
        for where, octets in written:
            for shapes in self._pan_shapes:
                self.must(shapes.search(octets) is None, f"a card number stands in {where}")

    def _captured(self) -> Mapping[str, list[Entry]]:
        captured: dict[str, list[Entry]] = defaultdict(list)
        with self._books.transaction() as books:
            for entry in books.entries(captured_only=True):
                captured[entry.payment_ref].append(entry)
        return captured

    def captured_refs(self) -> set[str]:
        """Payments that the host has captured, as its clerk would say on the telephone."""
        return set(self._captured())

    def _booked_refs(self) -> set[str]:
        with self._books.transaction() as books:
            return {entry.payment_ref for entry in books.entries(captured_only=False)}

    def _check_capture(self, ref: str, entries: Sequence[Entry], row: PaymentRow | None) -> None:
        self.must(len(entries) == 1, f"the host captured {ref} {len(entries)} times")
        if ref in self._lost_to_restore:
            return
        if row is None:
            self.must(False, f"the host captured {ref}, and the terminal knows nothing of it")
            return
        self.must(row.state in MAY_BE_CAPTURED, f"the host captured {ref}, the terminal calls it {row.state}")
        minor = entries[0].captured_minor
        self.must(minor == row.amount_minor, f"the host captured {minor} of {ref}, shown were {row.amount_minor}")

    def _check_approval(self, row: PaymentRow, entries: Sequence[Entry], is_owed: bool) -> None:
        if row.state == "approved":
            self.must(bool(entries), f"{row.payment_ref} is approved, and the host has nothing of it")
        if row.state in {"approved_offline", "deferred"}:
            self.must(bool(entries) or is_owed, f"{row.payment_ref} is {row.state}, and nobody owes it to the host")
        if row.state == "reversing":
            self.must(is_owed, f"{row.payment_ref} will be undone, and nobody owes it to the host")
        if row.state == "reversed":
            self.must(not entries, f"{row.payment_ref} is called reversed, and the host has it captured")

    def _check_debts(self, debts: Sequence[DebtRow], payments: Mapping[str, PaymentRow]) -> None:
        """Each over what its payment is, and in all no more than the merchant takes the risk for (DESIGN 5.10)."""
        for debt in debts:
            minor = payments[debt.payment_ref].amount_minor
            self.must(debt.amount_minor == minor, f"{debt.debt} is over {debt.amount_minor}, its payment over {minor}")
        for row, limits in self._limits.items():
            out = [debt for debt in debts if debt.row == row]
            cards = Counter(debt.token for debt in out)
            self.must(len(out) <= limits.count, f"{len(out)} of {row} stand out, more than may")
            self.must(
                max(cards.values(), default=0) <= limits.per_card_count, f"one card stands out too often in {row}"
            )
            total_minor = sum(debt.amount_minor for debt in out)
            self.must(total_minor <= limits.total_minor, f"{total_minor} of {row} stand out, more than may")
            most_minor = max((debt.amount_minor for debt in out), default=0)
            self.must(most_minor <= limits.per_payment_minor, f"{most_minor} stand out in one {row}, more than may")

    def _check_presentations(self, captured: Mapping[str, Sequence[Entry]]) -> None:
        taps: dict[object, str] = {}
        for ref, entries in captured.items():
            for entry in entries:
                tap = (entry.account_id, entry.sequence, entry.atc)
                self.must(taps.setdefault(tap, ref) == ref, f"one tap paid for {ref} and for {taps[tap]}")

    def _check_evidence(self, records: Iterable[Record], debts: Iterable[DebtRow]) -> None:
        proven = set()
        for entry in (record.entry for record in records):
            if isinstance(entry, e.DebtClosed) and entry.evidence_digest:
                proven.add(entry.debt)
            if isinstance(entry, e.Disposed):
                proven.add(entry.target)
        for debt in debts:
            self.must(debt.state != "closed" or debt.debt in proven, f"{debt.debt} was closed without evidence")

    def _check_visits(self, journal: JournalReader, visits: Sequence[int]) -> None:
        """A customer pays at most once, however often the register asked."""
        paid: dict[str, int] = defaultdict(int)
        captured = self._captured()
        for row in journal.payments():
            paid[row.client_ref] += sum(entry.captured_minor for entry in captured.get(row.payment_ref, []))
        for number, amount_minor in enumerate(visits):
            taken = paid[f"order {number}"]
            self.must(taken in {0, amount_minor}, f"customer {number} owed {amount_minor} and paid {taken}")

    def _check_meant(self, journal: JournalReader) -> None:
        """Whatever the host has booked, the journal meant to send (DESIGN 5.1)."""
        meant = {(act.batch, act.stan, act.payment_ref) for act in journal.transactions()}
        with self._books.transaction() as books:
            booked = [entry for entry in books.entries(captured_only=False)]
        for entry in booked:
            if entry.key.message_class is MessageClass.FINANCIAL and entry.payment_ref not in self._lost_to_restore:
                key = (entry.key.batch, entry.key.stan, entry.payment_ref)
                self.must(key in meant, f"the host booked {entry.payment_ref} under a STAN the journal does not know")


def _any_of(words: Sequence[bytes]) -> re.Pattern[bytes]:
    """One pass over the octets finds any of `words`: what they have in common is looked for first."""
    common = words[0]
    while not all(word.startswith(common) for word in words):
        common = common[:-1]
    return re.compile(re.escape(common) + b"(?:" + b"|".join(re.escape(word[len(common) :]) for word in words) + b")")
