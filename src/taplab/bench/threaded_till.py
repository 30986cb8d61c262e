"""The product's running terminal with one looker-on, in this process.

Comes in: a shop's files, the window its host grants, maybe a reader. Goes out: a terminal on its own threads: loop,
journal's writer, TLS link; put together as terminal/wiring does it, but for the window, which a profile names.
Strategy: who looks on is called on the loop's thread, before each event is handled and each effect performed, and has
to be quick.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec

from taplab.bench.inline_till import config_of
from taplab.provision import LabFiles
from taptill.clock import SystemClock
from taptill.credential.adapters.file_keystore import FileKeyStore
from taptill.entropy import SystemEntropy
from taptill.errors import TapTillError
from taptill.host.adapters.tls import TlsFiles, TlsLink
from taptill.journal.adapters.moment_file import MomentFile
from taptill.journal.adapters.sqlite import SqliteJournal, SqliteJournalReader
from taptill.journal.port import Pending, Record
from taptill.terminal.effects import Answer, Effect, Tell
from taptill.terminal.events import Event
from taptill.terminal.journal_worker import JournalWorker, JournalWriter
from taptill.terminal.loop import Loop
from taptill.terminal.till import Till
from taptill.terminal.wiring import BUILD_UNIX_MS, desk_of, read_profile, trusted_ca_keys
from taptill.terminal.workers import ReaderDesk

STOP_WAIT_S = 20.0


class TerminalHangs(TapTillError):
    """The terminal did not come to what was waited for."""

    code = 6106


def _nothing(_: object) -> None:
    """Nobody looks on."""


@dataclass(slots=True)
class LookOn:
    """What somebody wants to hear of; `commits` and `entries` count themselves."""

    event: Callable[[Event], None] = _nothing
    effect: Callable[[Effect], None] = _nothing
    commits: int = 0
    entries: int = field(default=0)

    def committed(self, pending: tuple[Pending, ...], records: Sequence[Record]) -> None:
        self.commits += 1
        self.entries += len(records)


class _WatchedLoop(Loop):
    def __init__(self, till: Till, clock: SystemClock, look_on: LookOn, tell: Callable[[Tell], None]) -> None:
        super().__init__(till, clock, tell, _ignore_answer)
        self._look_on = look_on

    def handle(self, event: Event) -> None:
        self._look_on.event(event)
        super().handle(event)

    def perform(self, effect: Effect) -> None:
        self._look_on.effect(effect)
        super().perform(effect)


def _ignore_answer(_: Answer) -> None:
    """Who armed looks at the effects."""


@contextmanager
def running_terminal(
    files: LabFiles, window: int, look_on: LookOn, readers: Sequence[ReaderDesk] = ()
) -> Iterator[Loop]:
    """Runs until the block ends. Raises TerminalHangs when it does not end."""
    config = config_of(files)
    profile = msgspec.structs.replace(read_profile(config.host.profile), window=window)
    journal = SqliteJournal.open(files.journal)
    reading = SqliteJournalReader.open(files.journal)
    clock = SystemClock(max(BUILD_UNIX_MS, journal.vouched_time_ms()), keeper=MomentFile(files.directory / "moment"))
    keys = FileKeyStore(files.keystore)
    desk = desk_of(config, profile, keys, trusted_ca_keys([files.ca_keys]), clock, SystemEntropy(), reading)
    loop = _WatchedLoop(Till(desk), clock, look_on, _nothing)
    host = config.host
    at = files.directory
    tls = TlsFiles(at / host.ca, at / host.certificate, at / host.key, host.server_name)
    link = TlsLink(host.endpoints, tls, profile, keys, clock, loop.post)
    writer = JournalWorker(JournalWriter(journal, loop.post, clock, look_on.committed))
    loop.attach(writer, link, readers, None)
    thread = threading.Thread(target=loop.run, args=([writer],), name="terminal", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.stop()
        thread.join(STOP_WAIT_S)
        if thread.is_alive():
            raise TerminalHangs(f"does not stop within {STOP_WAIT_S:.0f} s", where="bench terminal")
        reading.close()
        journal.close()
