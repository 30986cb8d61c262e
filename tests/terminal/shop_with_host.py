"""The shop of `shop.py` with a real acquirer behind it, and a world that can fail.

Comes in: a folder and a seed. Goes out: both sides' books, `story` (what happened, a sentence each) and `broken` (rules
seen broken on the way). Strategy: entries queue for their sync as in the journal's worker, so that effects, events and
power cuts fall between an entry and its sync; every question to the host meets a fate.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import Enum
from pathlib import Path
from random import Random

from msgspec.structs import replace as with_fields
from tests.terminal.shop import READER, Shop, tapped

from taphost.acquirer import Acquirer
from taphost.config import CardAccount, HostConfig, Issuer, Merchant, Terminal
from taphost.issuer import application_cryptogram, cryptogram_input, derive_card_key, derive_session_key
from taphost.memory_store import MemoryStore
from taptill.card.outcome import CardNumber, CardRead, CryptogramType, OutcomeKind
from taptill.card.sensitive import SensitiveBytes
from taptill.credential.adapters.file_keystore import write_keystore
from taptill.credential.dukpt import derive_initial_key
from taptill.host.exchange import ExchangeResult, HostRequest, NotSent, Replied, Silent
from taptill.host.link import ExchangeEnded, LateAnswer
from taptill.host.read_reply import read_reply
from taptill.journal import entries as e
from taptill.journal.port import Pending, Record
from taptill.journal.wire import wire_digest
from taptill.receipt.facts import ReceiptFacts
from taptill.terminal.effects import Answer, Ask, Effect, Print, Tell
from taptill.terminal.events import CardDone, Event, Recorded, Started

KEY_SET, BDK, ISSUER_KEY = bytes.fromhex("0000000100000001"), bytes(range(16)), bytes(range(16, 32))
RICH, PARTLY, BLOCKED, STRANGER = (f"622800010000{number}" for number in range(1117, 1121))
HOST = HostConfig(
    bdk=BDK.hex(),
    account_key=bytes(16).hex(),
    merchants=(Merchant(id="898310000000001"),),
    terminals=(Terminal(id="10000001", merchant="898310000000001", key_set=KEY_SET.hex()),),
    issuers=(Issuer(prefix="622800", key=ISSUER_KEY.hex()),),
    accounts=(
        CardAccount(pan=RICH, credit_minor=10**9, expiry="3012"),
        CardAccount(pan=PARTLY, credit_minor=500, expiry="3012", partial=True),
        CardAccount(pan=BLOCKED, credit_minor=10**9, expiry="3012", blocked=True),
    ),
)
DEBT_ROWS = ("reversal", "offline_advice", "deferred_advice")
FINANCIAL_ROWS = ("sale", "offline_advice", "deferred_advice")
SHOWN_WITHOUT_ENTRY = ("armed", "reading")
CRYPTOGRAMS = {OutcomeKind.APPROVED: CryptogramType.TC, OutcomeKind.ONLINE_REQUEST: CryptogramType.ARQC}
DECIDED = {CryptogramType.AAC: 0x00, CryptogramType.TC: 0x10, CryptogramType.ARQC: 0x20}  # as the CVR says it


class PowerCut(Exception):
    """What was not synced never was."""


class Fate(Enum):
    """What becomes of a question to the host."""

    ANSWERED = "is answered"
    REQUEST_LOST = "is lost on its way"
    REQUEST_LATE = "takes long on its way"
    REPLY_LOST = "is decided, its reply is lost"
    REPLY_LATE = "is decided, its reply takes long"
    NOT_SENT = "cannot leave"
    BUSY = "is refused by a busy host"
    OPEN = "has no answer yet"


class ShopWithHost(Shop):
    """A counter, its acquirer, and all that can go wrong between and around them."""

    def __init__(self, directory: Path, seed: int) -> None:
        super().__init__(directory, host=self._meet_fate)
        write_keystore(directory / "keys.json", KEY_SET, derive_initial_key(BDK, KEY_SET), bytes(32))
        self.answers = defaultdict(lambda: Answer(0, None, "not answered yet"))
        self.random = Random(seed)
        self.story: list[str] = []
        self.broken: list[str] = []
        self.fates: dict[str, tuple[Fate, ...]] = {}  # by row; a row that stands not here is answered
        self.power_fails_at_sync = 0  # counted down; below 1 it does not
        self.books = MemoryStore()
        self._acquirer = Acquirer(HOST, self.books, lambda: self.clock.now().unix_ms)
        self._taps: Counter[str] = Counter()
        self._unsynced: deque[tuple[Pending, ...]] = deque()
        self._under_way: list[HostRequest | LateAnswer] = []
        self._synced: set[object] = set()  # wires and (payment, state) that the terminal knows to be on the disk
        self._first_use: dict[str, object] = {}

    def tell(self, sentence: str) -> None:
        self.story.append(f"{self.clock.now_us / 1e6:9.3f} s  {sentence}")

    def open(self) -> None:
        """The host may approve a part of a sale, so that the till has one to undo."""
        super().open()
        sale = with_fields(self.desk.profile.row("sale"), terminal_part="601")
        self.desk.profile = with_fields(self.desk.profile, rows=self.desk.profile.rows | {"sale": sale})

    def survive(self, action: Callable[[], None]) -> None:
        """`action`, and a start if the power fails meanwhile, during which it may fail again."""
        try:
            action()
        except PowerCut:
            self.tell("the power fails, and comes back")
            self.power_cut()
            self.power_fails_at_sync = self.random.choice((0, 0, 0, 1, 2))
            self.survive(self.open)

    def power_cut(self) -> None:
        """Requests stay under way; replies came for a connection that is no more."""
        requests = [item for item in self._under_way if isinstance(item, HostRequest)]
        self._under_way = [*requests, *self.unanswered]
        self._unsynced.clear()
        super().power_cut()

    def post(self, event: Event) -> None:
        if isinstance(event, Started):
            self._note_synced(self.journal.records())
        self._events.append(event)
        self._work()

    def _work(self) -> None:
        """Events and syncs, each in their order, the two in any."""
        while self._events or (self._unsynced and not self.disk_slow):
            if self._unsynced and not self.disk_slow and (not self._events or self.random.random() < 0.5):
                self._sync(self._unsynced.popleft())
                continue
            event = self._events.popleft()
            if isinstance(event, Recorded):
                self._note_synced(event.records)
            for effect in self.till.handle(event):
                self._perform(effect)

    def _append(self, pending: tuple[Pending, ...]) -> None:
        self._unsynced.append(pending)

    def _sync(self, pending: tuple[Pending, ...]) -> None:
        self.power_fails_at_sync -= 1
        if self.power_fails_at_sync == 0:
            if not self.disk_full and self.random.random() < 0.5:  # it got there, and nobody learnt of it
                self.journal.append(pending)
            raise PowerCut
        for entry in (item.entry for item in pending):
            of = f" of {entry.payment_ref}, {entry.state}," if isinstance(entry, e.PaymentEntry) else ""
            self.tell(f"{type(entry).__name__}{of} is {'refused by' if self.disk_full else 'on'} the disk")
        super()._append(pending)

    def disk_catches_up(self) -> None:
        self.disk_slow = False
        self._work()

    def _note_synced(self, records: Iterable[Record]) -> None:
        for entry in (record.entry for record in records):
            if isinstance(entry, e.PaymentEntry):
                self._synced.add((entry.payment_ref, entry.state))
            if isinstance(entry, e.ExchangeIntended | e.DebtOwed):
                self._synced.add(entry.wire_digest)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Tell(payment_ref=ref, state=state) | Print(facts=ReceiptFacts(payment_ref=ref, state=state)):
                self.tell(f"{'the counter shows' if isinstance(effect, Tell) else 'a slip says'} {ref} {state}")
                if state not in SHOWN_WITHOUT_ENTRY:
                    self._must((ref, state) in self._synced, f"{ref} was called {state} before that was synced")
            case Ask(request=request):
                self._check_request(request)
        super()._perform(effect)

    def _check_request(self, request: HostRequest) -> None:
        row, ref, wire = request.row, request.payment_ref, request.wire
        self._must(ref is None or wire_digest(wire) in self._synced, f"{row} of {ref} left before its entry was synced")
        uses: dict[str, object] = {f"key counter {request.key_counter}": wire}
        if row in DEBT_ROWS:
            uses[f"{row} of {ref}"] = wire
        if row in FINANCIAL_ROWS:
            uses[f"batch {request.key.batch} STAN {request.key.stan}"] = ref
        for name, use in uses.items():
            self._must(self._first_use.setdefault(name, use) == use, f"{name} was used for two different things")

    def _must(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.broken.append(otherwise)
            self.tell(f"BROKEN: {otherwise}")

    def _meet_fate(self, request: HostRequest) -> ExchangeResult | None:
        fate = self.random.choice(self.fates.get(request.row, (Fate.ANSWERED,)))
        self.tell(f"{request.row} of {request.payment_ref or 'the link'}, STAN {request.key.stan}, {fate.value}")
        match fate:
            case Fate.ANSWERED:
                return self._ask_host(request, self._acquirer.answer)
            case Fate.BUSY:
                return self._ask_host(request, self._acquirer.busy)
            case Fate.NOT_SENT:
                return NotSent("unreachable")
            case Fate.OPEN:
                return None
            case Fate.REQUEST_LATE:
                self._under_way.append(request)
            case Fate.REPLY_LOST:
                self._ask_host(request, self._acquirer.answer)
            case Fate.REPLY_LATE:
                self._reply_late(request)
        return Silent("timeout")

    def _ask_host(self, request: HostRequest, host: Callable[[bytes], bytes]) -> Replied | Silent:
        result = read_reply(self.desk.profile, request, host(request.wire), self.desk.keys)
        self.tell(f"the host says {result.reply.code if isinstance(result, Replied) else result}")
        return result

    def _reply_late(self, request: HostRequest) -> None:
        result = self._ask_host(request, self._acquirer.answer)
        if isinstance(result, Replied):
            self._under_way.append(LateAnswer(request, result.reply))

    def network_delivers(self, share: float) -> None:
        """About this share of what is under way arrives, and open questions meet the fate of the day."""
        for item in [item for item in self._under_way if self.random.random() < share]:
            self._under_way.remove(item)
            if isinstance(item, HostRequest):
                self.tell(f"late, {item.row} of {item.payment_ref} reaches the host")
                self._reply_late(item)
            else:
                self.tell(f"late, the reply to {item.request.row} of {item.request.payment_ref} arrives")
                self.post(item)
        unanswered, self.unanswered = self.unanswered, []
        for request in unanswered:
            self.post(ExchangeEnded(request, self._meet_fate(request) or Silent("timeout")))

    def finish_reading(self, pan: str, kind: OutcomeKind) -> None:
        """The card of the last reading comes to an end: TC where it approves, ARQC where it asks, else AAC."""
        run = self.ran[-1]
        self._taps[pan] += 1
        self.tell(f"card ..{pan[-4:]} for {run.payment_ref} ends in {kind.value}")
        self.post(CardDone(READER, run.payment_ref, _card(pan, self._taps[pan], kind, run.request.amount.minor)))


def _card(pan: str, atc: int, kind: OutcomeKind, amount_minor: int) -> CardRead:
    """The `atc`-th tap of a card of the host's issuer."""
    cryptogram_type = CRYPTOGRAMS.get(kind, CryptogramType.AAC)
    read, decided = tapped(kind, cryptogram_type), DECIDED[cryptogram_type]
    data = dict(read.data) | {
        0x9F02: bytes.fromhex(f"{amount_minor:012d}"),
        0x9F36: atc.to_bytes(2, "big"),
        0x9F10: bytes([7, 1, 1, 3, decided, 0, 0, 1]),
        0x9F27: bytes([decided << 2]),
    }
    key = derive_session_key(derive_card_key(ISSUER_KEY, pan, "01"), data[0x9F36])
    data[0x9F26] = application_cryptogram(key, cryptogram_input(data))
    track2 = SensitiveBytes(f"{pan}D30122011".encode())
    return replace(read, number=CardNumber(SensitiveBytes(pan.encode()), track2, "01", "3012"), data=data)
