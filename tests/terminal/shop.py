"""A shop in one process on a clock of its own: the real till, the real journal file, the real key store.

Only the two ends are scripted: what cards come to (`CardRead`s) and how the host answers. Effects are performed inline,
so that a story reads as a list of what people did, and time passes when the story says so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from taptill.card.outcome import (
    CardNumber,
    CardRead,
    CryptogramType,
    Oda,
    OdaMethod,
    OdaVerdict,
    Outcome,
    OutcomeKind,
)
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.reader import Presentation
from taptill.card.sensitive import SensitiveBytes
from taptill.clock import Timestamp, Trust
from taptill.credential.adapters.file_keystore import FileKeyStore, write_keystore
from taptill.errors import TapTillError
from taptill.host.breaker import Breaker
from taptill.host.exchange import ExchangeResult, HostReply, HostRequest, NotSent, Replied, Silent, Verdict
from taptill.host.link import ExchangeEnded
from taptill.host.profile import AES_PROFILE, load_profile
from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.port import Pending, SpaceGone
from taptill.terminal.config import HostConfig, Identity, OutageLimits, TerminalConfig
from taptill.terminal.desk import Desk
from taptill.terminal.effects import (
    Answer,
    Append,
    Ask,
    Effect,
    FollowClock,
    Listen,
    Print,
    RunKernel,
    SetTimer,
    StopListening,
    StopTimer,
    Tell,
)
from taptill.terminal.events import (
    ArmRequested,
    CancelRequested,
    CardDone,
    CardSeen,
    Event,
    NotRecorded,
    Recorded,
    Started,
    Tick,
)
from taptill.terminal.till import Till

READER = "pcsc:story"
PAN = b"6228000100001117"
NOON_MS = 1_800_000_000_000

LIMITS = OutageLimits(per_payment_minor=20_000, per_card_count=2, count=5, total_minor=50_000, age_hours=24)
CONFIG = TerminalConfig(
    identity=Identity(terminal_id="10000001", merchant_id="898310000000001", merchant_name="Story shop"),
    host=HostConfig(endpoints=["tls://x:1"], server_name="x", ca="", certificate="", key=""),
    journal="journal.sqlite",
    readers=[READER],
    keystore="file:keys.json",
    offline=LIMITS,
    deferred=LIMITS,
)

HostScript = Callable[[HostRequest], ExchangeResult | None]


class StoryClock:
    """Time that passes only in `Shop.pass_time`."""

    def __init__(self) -> None:
        self.now_us = 0
        self.trust = Trust.RTC

    def monotonic_us(self) -> int:
        return self.now_us

    def now(self) -> Timestamp:
        return Timestamp(NOON_MS + self.now_us // 1000, self.trust)


class CountingEntropy:
    """Different octets at every call, the same in every run."""

    def __init__(self, calls: int = 0) -> None:
        self.calls = calls

    def octets(self, count: int) -> bytes:
        self.calls += 1
        return self.calls.to_bytes(4, "big").rjust(count, b"\x5a")[-count:]


def reply(request: HostRequest, code: str = "00", verdict: Verdict = Verdict.APPROVED, **more: object) -> Replied:
    """An authenticated answer to `request`."""
    fields: dict[str, object] = {"row": request.row, "code": code, "verdict": verdict, "stan": request.key.stan}
    fields |= {"auth_code": "123456", "rrn": "000000000042"} if verdict is Verdict.APPROVED else {}
    if more.get("original_state") == "approved":
        fields |= {"original_code": "00", "amount_minor": 1250}
    return Replied(HostReply(**(fields | more)), b"evidence")  # type: ignore[arg-type]


def good_host(request: HostRequest) -> ExchangeResult:
    """Approves everything, finds nothing in a status query, and has seen nothing beyond this journal."""
    if request.row == "sign_on":
        return reply(request, stan_high=0)
    if request.row == "status_query":
        return reply(request, original_state="not found")
    return reply(request)


def silent_host(request: HostRequest) -> ExchangeResult:
    return Silent("timeout")


def absent_host(request: HostRequest) -> ExchangeResult:
    return NotSent("unreachable")


def tapped(kind: OutcomeKind, cryptogram: CryptogramType | None = CryptogramType.ARQC, reason: str = "") -> CardRead:
    """What a kernel came to, with a card number in it."""
    passed = Oda(OdaMethod.FDDA, OdaVerdict.PASSED)
    return CardRead(
        outcome=Outcome(kind, reason=reason),
        aid=bytes.fromhex("A000000333010102"),
        kernel="C-7",
        label="UnionPay Credit",
        number=CardNumber(SensitiveBytes(PAN), SensitiveBytes(PAN + b"D30122011"), "01", "3012"),
        data=CARD_DATA,
        oda=passed if kind is OutcomeKind.APPROVED else Oda(),
        cryptogram_type=cryptogram,
    )


CARD_DATA = {
    int(tag, 16): bytes.fromhex(value)
    for tag, value in {
        "9F26": "0102030405060708",
        "9F27": "80",
        "9F10": "07010103A00000010A010000000000",
        "9F37": "01020304",
        "9F36": "0001",
        "95": "0000000000",
        "9A": "270115",
        "9C": "00",
        "9F02": "000000001250",
        "5F2A": "0156",
        "82": "7C00",
        "9F1A": "0156",
        "9F03": "000000000000",
        "9F33": "E0E9C8",
    }.items()
}


@dataclass
class Shop:
    """The counter: `arm`, `tap`, `pass_time`, `restart`, `power_cut`, and what was told, printed, asked and stored."""

    directory: Path
    host: HostScript = good_host
    config: TerminalConfig = CONFIG
    clock: StoryClock = field(default_factory=StoryClock)
    told: list[Tell] = field(default_factory=list)
    printed: list[Print] = field(default_factory=list)
    asked: list[HostRequest] = field(default_factory=list)
    timeouts_ms: list[int] = field(default_factory=list)  # of each that was asked
    answers: dict[int, Answer] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    ran: list[RunKernel] = field(default_factory=list)
    followed: list[Timestamp] = field(default_factory=list)
    disk_full: bool = False  # it takes nothing at all and does not say why
    disk_takes_ms: int = 0  # what the writer measures
    trials: int = 0  # how often the disk was tried with nothing to store
    disk_slow: bool = False  # what was written is reported only by `disk_catches_up`
    _tickets: int = 0
    _timers: dict[str, int] = field(default_factory=dict)
    _events: deque[Event] = field(default_factory=deque)
    _late_writes: list[Recorded] = field(default_factory=list)
    unanswered: list[HostRequest] = field(default_factory=list)

    def open(self) -> None:
        keystore = self.directory / "keys.json"
        if not keystore.exists():
            write_keystore(keystore, bytes.fromhex("0000000100000001"), bytes(range(16)), bytes(range(32)))
        self.journal = SqliteJournal.open(self.directory / "journal.sqlite")
        self.desk = Desk(
            config=self.config,
            profile=load_profile(AES_PROFILE.read_text(encoding="utf-8")),
            keys=FileKeyStore(keystore),
            ca_keys=CaKeyStore(),
            combinations=(),
            clock=self.clock,
            entropy=CountingEntropy(),
            journal=self.journal,
            counters=self.journal.counters(),
            breaker=Breaker(CONFIG.host.probe_pause_min_ms, CONFIG.host.probe_pause_max_ms),
        )
        self.till = Till(self.desk)
        self.post(Started())

    def power_cut(self) -> None:
        """Everything in memory is gone; what was on its way is not answered any more."""
        self._timers.clear()
        self._events.clear()
        self._late_writes.clear()
        self.unanswered.clear()
        self.journal.close()

    def restart(self) -> None:
        self.power_cut()
        self.open()

    def post(self, event: Event) -> None:
        self._events.append(event)
        while self._events:
            for effect in self.till.handle(self._events.popleft()):
                self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Append(pending):
                self._append(pending)
            case Ask(request, timeout_ms):
                self.log.append(f"sent {request.row}")
                self.asked.append(request)
                self.timeouts_ms.append(timeout_ms)
                self._answer_question(request)
            case Tell():
                self.log.append(f"told {effect.state}")
                self.told.append(effect)
            case Print():
                self.log.append(f"printed {effect.facts.state}")
                self.printed.append(effect)
            case Answer():
                self.answers[effect.ticket] = effect
            case RunKernel():
                self.ran.append(effect)
            case SetTimer(name, delay_ms):
                self._timers[name] = self.clock.now_us + delay_ms * 1000
            case StopTimer(name):
                self._timers.pop(name, None)
            case FollowClock(at):
                self.followed.append(at)
            case Listen() | StopListening():
                pass

    def _append(self, pending: tuple[Pending, ...]) -> None:
        self.trials += not pending
        if self.disk_full:
            self._events.append(NotRecorded(pending, "disk full"))
            return
        try:
            records = self.journal.append(pending)
        except SpaceGone as error:
            self._events.append(NotRecorded(pending, str(error), space_gone=True))
            return
        except TapTillError as error:
            raise AssertionError(f"the till wrote what the journal refuses: {error}") from error
        self.log += [f"stored {type(record.entry).__name__}" for record in records]
        written = Recorded(pending, records, self.disk_takes_ms)
        if self.disk_slow:
            self._late_writes.append(written)
        else:
            self._events.append(written)

    def disk_catches_up(self) -> None:
        """All that was written is reported now."""
        self.disk_slow = False
        late, self._late_writes = self._late_writes, []
        for written in late:
            self.post(written)

    def _answer_question(self, request: HostRequest) -> None:
        result = self.host(request)
        if result is None:
            self.unanswered.append(request)
        else:
            self._events.append(ExchangeEnded(request, result))

    def answer_now(self, result: Callable[[HostRequest], ExchangeResult]) -> None:
        """The oldest question the host script left open is answered."""
        request = self.unanswered.pop(0)
        self.post(ExchangeEnded(request, result(request)))

    def pass_time(self, milliseconds: int) -> None:
        """Timers that run out on the way tick in their order."""
        end_us = self.clock.now_us + milliseconds * 1000
        while due := [(at, name) for name, at in self._timers.items() if at <= end_us]:
            at, name = min(due)
            del self._timers[name]
            self.clock.now_us = max(self.clock.now_us, at)
            self.post(Tick(name))
        self.clock.now_us = end_us

    def arm(self, amount_minor: int = 1250, client_ref: str = "", digest: str = "d", key: str = "") -> Answer:
        self._tickets += 1
        ref = client_ref or f"order-{self._tickets}"
        self.post(ArmRequested(self._tickets, key or f"key-{self._tickets}", ref, amount_minor, "CNY", digest))
        return self.answers[self._tickets]

    def cancel(self, payment_ref: str) -> Answer | None:
        self._tickets += 1
        self.post(CancelRequested(self._tickets, payment_ref))
        return self.answers.get(self._tickets)

    def hold_card(self, cards_in_field: int = 1, takes_apdus: bool = True) -> None:
        seen = Presentation(b"\x08\x01\x02\x03", "A", cards_in_field=cards_in_field, takes_apdus=takes_apdus)
        self.post(CardSeen(READER, seen))

    def tap(self, card: CardRead) -> None:
        self.hold_card()
        self.post(CardDone(READER, self.ran[-1].payment_ref, card))

    def sell(self, card: CardRead | None = None, amount_minor: int = 1250) -> str:
        """Arm and tap; the payment's reference."""
        answer = self.arm(amount_minor)
        assert answer.refusal is None, answer.refusal
        assert answer.payment_ref is not None
        self.tap(card or tapped(OutcomeKind.ONLINE_REQUEST))
        return answer.payment_ref

    def state(self, payment_ref: str) -> str:
        """As journaled."""
        row = self.journal.payment(payment_ref)
        assert row is not None
        return row.state

    def lose_host(self) -> None:
        """The host goes away and the terminal has noticed."""
        self.host = absent_host
        self.pass_time(CONFIG.host.echo_idle_ms + 1)
        assert self.desk.breaker.open
