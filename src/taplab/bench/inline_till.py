"""The product's till without its threads, to fill journals with what a terminal would have written.

Comes in: sales. Goes out: the entries the till wanted stored, with their message bytes. Strategy: what a worker would
do is done at once, and an entry counts as stored before it is: who calls puts many of them into one sync. Nothing is
timed here.
"""

from __future__ import annotations

import tomllib
from collections import deque
from pathlib import Path

import msgspec

from taplab.bench.taps import READER_URL, ManyTaps
from taplab.provision import LabFiles, provision, terminal_config
from taptill.clock import SystemClock, Timestamp, Trust
from taptill.credential.adapters.file_keystore import FileKeyStore
from taptill.entropy import SystemEntropy
from taptill.host.exchange import ExchangeResult, HostReply, HostRequest, NotSent, Replied, Verdict
from taptill.host.link import ExchangeEnded
from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.port import Pending, Record
from taptill.terminal.config import OutageLimits, TerminalConfig
from taptill.terminal.effects import Append, Ask, Effect, RunKernel
from taptill.terminal.events import ArmRequested, CardDone, CardSeen, Event, Recorded, Started
from taptill.terminal.till import Till
from taptill.terminal.wiring import BUILD_UNIX_MS, desk_of, read_profile, trusted_ca_keys

NOWHERE = "tls://127.0.0.1:1"
ENTRIES_PER_SYNC = 192
_NO_LIMIT = 10**9
_WIDE = OutageLimits(
    per_payment_minor=_NO_LIMIT, per_card_count=_NO_LIMIT, count=_NO_LIMIT, total_minor=_NO_LIMIT, age_hours=10_000
)


def open_shop(directory: Path) -> LabFiles:
    """Keys, certificates and configurations of a lab without readers."""
    files = provision(directory)
    point_at(files, NOWHERE)
    return files


def point_at(files: LabFiles, endpoint: str) -> None:
    """The terminal's configuration, with this host."""
    text = terminal_config(files, readers=[], printer="", endpoints=[endpoint], ecr_listen="127.0.0.1:0")
    files.terminal_config.write_text(text, encoding="utf-8")


def config_of(files: LabFiles) -> TerminalConfig:
    """As it stands there, with budgets for any number of debts."""
    document = tomllib.loads(files.terminal_config.read_text(encoding="utf-8"))
    config = msgspec.convert(document, TerminalConfig)
    return msgspec.structs.replace(config, offline=_WIDE, deferred=_WIDE)


class InlineTill:
    """With a host that approves, or without any. `taken` gives out what is to be stored."""

    def __init__(self, files: LabFiles, journal: SqliteJournal, *, host: bool) -> None:
        config, profile = config_of(files), read_profile("aes")
        clock = SystemClock(BUILD_UNIX_MS)
        clock.follow(Timestamp(clock.now().unix_ms, Trust.HOST))
        keys = FileKeyStore(files.keystore)
        ca_keys = trusted_ca_keys([files.ca_keys])
        self._till = Till(desk_of(config, profile, keys, ca_keys, clock, SystemEntropy(), journal))
        self._host = host
        self._events: deque[Event] = deque()
        self._pending: list[Pending] = []
        self._seq = journal.verify_recent().last_seq
        self._sales = 0
        self._run: RunKernel | None = None
        self._post(Started())

    def sell(self, amount_minor: int, taps: ManyTaps) -> None:
        self._sales += 1
        name = f"bench-{self._sales}"
        self._post(ArmRequested(self._sales, name, name, amount_minor, "CNY", name))
        self._post(CardSeen(READER_URL, taps.presentation()))
        run, self._run = self._run, None
        assert run is not None, "nobody waits for the card"
        self._post(CardDone(READER_URL, run.payment_ref, taps.read(run.request)))

    def taken(self) -> list[Pending]:
        taken, self._pending = self._pending, []
        return taken

    def _post(self, event: Event) -> None:
        self._events.append(event)
        while self._events:
            for effect in self._till.handle(self._events.popleft()):
                self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Append(pending):
                self._pending += pending
                records = [Record(self._seq + at, each.entry, b"") for at, each in enumerate(pending, 1)]
                self._seq += len(records)
                self._events.append(Recorded(pending, records))
            case Ask(request):
                self._events.append(ExchangeEnded(request, self._answer(request)))
            case RunKernel():
                self._run = effect
            case _:
                pass

    def _answer(self, request: HostRequest) -> ExchangeResult:
        if not self._host:
            return NotSent("no network")
        known = 0 if request.row == "sign_on" else None
        reply = HostReply(
            request.row, "00", Verdict.APPROVED, request.key.stan, auth_code="123456", rrn="1" * 12, stan_high=known
        )
        return Replied(reply, b"evidence")


def owe_advices(files: LabFiles, count: int) -> None:
    """The journal of a terminal that took `count` offline approvals while its host was away."""
    journal = SqliteJournal.open(files.journal)
    try:
        till = InlineTill(files, journal, host=False)
        taps = ManyTaps.offline(files)
        waiting = till.taken()
        for number in range(count):
            till.sell(1 + number % 90, taps)
            waiting += till.taken()
            if len(waiting) >= ENTRIES_PER_SYNC or number == count - 1:
                journal.append(waiting)
                waiting = []
        journal.checkpoint()
    finally:
        journal.close()


def one_sale(files: LabFiles, directory: Path) -> list[Pending]:
    """The three entries of an approved sale: armed, intended with its message, decided. Uses a journal of its own."""
    journal = SqliteJournal.open(directory / "one-sale.sqlite")
    try:
        till = InlineTill(files, journal, host=True)
        till.taken()
        till.sell(1250, ManyTaps.online(files))
        return till.taken()
    finally:
        journal.close()
