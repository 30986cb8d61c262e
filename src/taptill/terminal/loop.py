"""The one loop that decides, and the workers that block on its behalf.

Comes in: events posted by faces, readers, journal, link and timers. Goes out: effects, performed by whoever owns the
device. Strategy: one thread runs the till; the journal's writer, each reader and the printer have a thread of their
own that only posts events; the host link brings its own. Nothing else touches the till or the journal.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Mapping, Sequence

from taptill.clock import FollowingClock
from taptill.errors import TapTillError
from taptill.host.link import HostLink, LinkBroken
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
from taptill.terminal.events import Event, ProgramFault, StartAgain, Started, Tick
from taptill.terminal.till import Till
from taptill.terminal.workers import JournalDesk, PrinterDesk, ReaderDesk, Worker

STOP_WAIT_S = 5.0


class TerminalStopped(TapTillError):
    """The loop ended because something that cannot happen did."""

    code = 9002


class StartNeeded(TerminalStopped):
    """The disk left the journal in doubt: whoever started the terminal starts it again, and it recovers."""

    code = 9003


class Timers:
    """Named deadlines on the monotonic clock."""

    def __init__(self, clock: FollowingClock) -> None:
        self._clock = clock
        self._due_us: dict[str, int] = {}

    def set(self, name: str, delay_ms: int) -> None:
        self._due_us[name] = self._clock.monotonic_us() + delay_ms * 1_000

    def stop(self, name: str) -> None:
        self._due_us.pop(name, None)

    def next_us(self) -> int | None:
        """The monotonic time of the next one."""
        return min(self._due_us.values(), default=None)

    def due(self) -> list[str]:
        now_us = self._clock.monotonic_us()
        names = sorted((at, name) for name, at in self._due_us.items() if at <= now_us)
        for _, name in names:
            del self._due_us[name]
        return [name for _, name in names]


class Loop:
    """Owns the till. `post` may be called from any thread; `tell` and `answer` are called on the loop's thread."""

    def __init__(
        self,
        till: Till,
        clock: FollowingClock,
        tell: Callable[[Tell], None],
        answer: Callable[[Answer], None],
    ) -> None:
        self._till = till
        self._clock = clock
        self._tell = tell
        self._answer = answer
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._timers = Timers(clock)
        self._journal: JournalDesk
        self._printer: PrinterDesk | None = None
        self._readers: Mapping[str, ReaderDesk] = {}
        self._link: HostLink

    def attach(
        self,
        journal: JournalDesk,
        link: HostLink,
        readers: Sequence[ReaderDesk],
        printer: PrinterDesk | None,
    ) -> None:
        """The devices post into this loop, so they are made after it."""
        self._journal, self._link, self._printer = journal, link, printer
        self._readers = {reader.url: reader for reader in readers}

    def post(self, event: Event) -> None:
        self._events.put(event)

    def stop(self) -> None:
        self._events.put(None)

    def run(self, workers: Sequence[Worker]) -> None:
        """Until `stop`. Workers are started first and stopped last. Raises TerminalStopped when the program itself is
        at fault: what is in memory cannot be trusted then, and the journal is what a restart begins from."""
        for worker in workers:
            worker.thread.start()
        try:
            self.handle(Started())
            while self._next():
                pass
        finally:
            self._link.close()
            for worker in workers:
                worker.stop()
            for worker in workers:
                worker.thread.join(STOP_WAIT_S)

    def _next(self) -> bool:
        due_us = self._timers.next_us()
        wait_s = None if due_us is None else max(0, due_us - self._clock.monotonic_us()) / 1_000_000
        try:
            event = self._events.get(timeout=wait_s)
        except queue.Empty:
            self.tick()
            return True
        if event is None:
            return False
        self.handle(event)
        self.tick()
        return True

    def handle(self, event: Event) -> None:
        """One event and all its effects. Raises TerminalStopped."""
        if isinstance(event, StartAgain):
            raise StartNeeded(event.reason, where="terminal", next_step="start it again, it recovers by itself")
        if isinstance(event, ProgramFault | LinkBroken):
            raise TerminalStopped(event.reason, where="terminal", next_step="start it again, it recovers by itself")
        for effect in self._till.handle(event):
            self.perform(effect)

    def tick(self) -> None:
        """Every timer that has run out."""
        for name in self._timers.due():
            self.handle(Tick(name))

    def next_tick_us(self) -> int | None:
        """The monotonic time at which `tick` has something to do."""
        return self._timers.next_us()

    def perform(self, effect: Effect) -> None:  # noqa: C901 one line per effect
        match effect:
            case Append(pending):
                self._journal.append(pending)
            case Ask(request, timeout_ms):
                self._link.ask(request, timeout_ms)
            case Listen(payment_ref):
                for reader in self._readers.values():
                    reader.listen(payment_ref)
            case StopListening():
                for reader in self._readers.values():
                    reader.stop_listening()
            case RunKernel():
                for url, reader in self._readers.items():
                    if url == effect.reader:
                        reader.run_kernel(effect)
                    else:
                        reader.stop_listening()
            case Tell():
                self._tell(effect)
            case Answer():
                self._answer(effect)
            case Print(facts, language):
                if self._printer is not None:
                    self._printer.print(facts, language)
            case SetTimer(name, delay_ms):
                self._timers.set(name, delay_ms)
            case StopTimer(name):
                self._timers.stop(name)
            case FollowClock(at):
                self._clock.follow(at)
