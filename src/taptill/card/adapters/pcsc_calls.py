"""PC/SC calls that cannot hang their caller, and one connection to the PC/SC service.

Comes in: a reader's name and command bytes. Goes out: states, response bytes, or `ScardFailure` with its code.
Strategy: calls of the library block without a deadline of their own, so a thread makes them; past the deadline the
thread is left behind with its context, and gives the context back when the library returns to it. The service counts
the cards that come and go, so a removal between two looks is seen (pcsc-lite: upper half of dwEventState).
"""

from __future__ import annotations

import importlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Generic, TypeVar

from taptill.clock import Clock
from taptill.errors import ConfigError

Result = TypeVar("Result")

STATE_UNAWARE = 0
_STATE_CHANGED, _STATE_UNKNOWN, _STATE_UNAVAILABLE = 0x0002, 0x0004, 0x0008
_STATE_PRESENT, _STATE_MUTE = 0x0020, 0x0200
_EVENTS_SHIFT = 16


class PcscMissing(ConfigError):
    """The Python binding or the system's PC/SC library is not installed."""

    code = 6003


class ScardFailure(Exception):
    """A PC/SC call came back with an error. Stays inside the adapter, which says what it means for card or reader."""

    def __init__(self, call: str, code: int, text: str) -> None:
        super().__init__(f"{call}: {text.strip()} ({code:#010x})")
        self.code = code


class CallOverdue(Exception):
    """A PC/SC call was left behind at its deadline. Stays inside the adapter."""


@dataclass(frozen=True, slots=True)
class ReaderState:
    """What the service says of a reader. `flags` are handed in at the next look, which waits for a change from them."""

    flags: int
    atr: bytes = b""

    @property
    def card_is_present(self) -> bool:
        return bool(self.flags & _STATE_PRESENT) and not self.flags & _STATE_MUTE

    @property
    def card_events(self) -> int:
        """How many cards came and went since the service found the reader, modulo 65,536."""
        return self.flags >> _EVENTS_SHIFT


@dataclass(frozen=True, slots=True)
class _Job(Generic[Result]):
    call: Callable[[], Result]
    outcome: queue.SimpleQueue[tuple[Result | None, BaseException | None]]


class DeadlineThread:
    """Runs one call after the other. It ends when it is stopped, or after a call that was overdue, whenever that one
    returns; `at_the_end` is its last call."""

    def __init__(self, at_the_end: Callable[[], None]) -> None:
        self._jobs: queue.SimpleQueue[_Job[object] | None] = queue.SimpleQueue()
        self._at_the_end = at_the_end
        self._thread = threading.Thread(target=self._work, name="pcsc", daemon=True)
        self._thread.start()

    def run(self, call: Callable[[], Result], wait_ms: int) -> Result:
        """Raises CallOverdue, and whatever the call raises."""
        outcome: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()
        self._jobs.put(_Job(call, outcome))  # type: ignore[arg-type]  # each job keeps its own type to itself
        try:
            result, error = outcome.get(timeout=max(0, wait_ms) / 1000)
        except queue.Empty:
            self._jobs.put(None)
            raise CallOverdue from None
        if error is not None:
            raise error
        return result  # type: ignore[return-value]  # None only where Result is None

    def stop(self, wait_ms: int = 0) -> None:
        """Lets the thread end, and waits for that so long at most."""
        self._jobs.put(None)
        self._thread.join(wait_ms / 1000)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job.outcome.put((job.call(), None))
            except BaseException as error:
                job.outcome.put((None, error))
        self._at_the_end()


class PcscContext:
    """One context and at most one connected card. Every method blocks as long as the library does, and raises
    ScardFailure."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._scard = _load_library()
        self._context: int | None = None
        self._card: int | None = None
        self._protocol = 0

    def establish(self) -> None:
        result, self._context = self._scard.SCardEstablishContext(self._scard.SCARD_SCOPE_USER)
        self._check("SCardEstablishContext", result)

    def reader_names(self) -> list[str]:
        result, names = self._scard.SCardListReaders(self._context, [])
        if result == self._scard.SCARD_E_NO_READERS_AVAILABLE:
            return []
        self._check("SCardListReaders", result)
        return list(names)

    def look(self, reader: str, known_flags: int, wait_ms: int) -> ReaderState:
        """The reader's state, as soon as it differs from `known_flags` or the wait is over."""
        result, states = self._scard.SCardGetStatusChange(self._context, wait_ms, [(reader, known_flags)])
        if result == self._scard.SCARD_E_TIMEOUT:
            return ReaderState(known_flags)
        self._check("SCardGetStatusChange", result)
        _, flags, atr = states[0]
        if flags & (_STATE_UNKNOWN | _STATE_UNAVAILABLE):
            self._check("SCardGetStatusChange", self._scard.SCARD_E_READER_UNAVAILABLE)
        return ReaderState(flags & ~_STATE_CHANGED, bytes(atr))

    def connect(self, reader: str) -> None:
        """Alone with the card: no other program of this machine may talk in between."""
        wanted = self._scard.SCARD_PROTOCOL_T0 | self._scard.SCARD_PROTOCOL_T1
        result, card, self._protocol = self._scard.SCardConnect(
            self._context, reader, self._scard.SCARD_SHARE_EXCLUSIVE, wanted
        )
        self._check("SCardConnect", result)
        self._card = card

    def transmit(self, command: bytes) -> tuple[bytes, int]:
        """Response bytes, and how long the library took, in microseconds."""
        begun_us = self._clock.monotonic_us()
        result, response = self._scard.SCardTransmit(self._card, self._protocol, list(command))
        elapsed_us = self._clock.monotonic_us() - begun_us
        self._check("SCardTransmit", result)
        return bytes(response), max(1, elapsed_us)

    def disconnect(self) -> None:
        """The card is left as it is. Asked to reset or power off a card that has just gone, pcscd 1.9.9 calls the slot
        empty without counting that as an event, and misses a card that is back before its next look. Never raises."""
        if self._card is not None:
            self._scard.SCardDisconnect(self._card, self._scard.SCARD_LEAVE_CARD)
            self._card = None

    def release(self) -> None:
        """Never raises."""
        self.disconnect()
        if self._context is not None:
            self._scard.SCardReleaseContext(self._context)
            self._context = None

    def is_about_the_card(self, failure: ScardFailure) -> bool:
        """Whether the library blames the card, not the reader or itself."""
        scard = self._scard
        return failure.code in (
            scard.SCARD_W_REMOVED_CARD,
            scard.SCARD_W_RESET_CARD,
            scard.SCARD_W_UNPOWERED_CARD,
            scard.SCARD_W_UNRESPONSIVE_CARD,
            scard.SCARD_W_UNSUPPORTED_CARD,
            scard.SCARD_E_NO_SMARTCARD,
            scard.SCARD_E_NOT_TRANSACTED,
            scard.SCARD_E_PROTO_MISMATCH,
            scard.SCARD_E_COMM_DATA_LOST,
        )

    def is_about_sharing(self, failure: ScardFailure) -> bool:
        return bool(failure.code == self._scard.SCARD_E_SHARING_VIOLATION)

    def _check(self, call: str, result: int) -> None:
        if result != self._scard.SCARD_S_SUCCESS:
            code = result & 0xFFFFFFFF
            raise ScardFailure(call, code, self._scard.SCardGetErrorMessage(result))


def _load_library() -> ModuleType:
    """Loaded at the first use: terminals with another reader do not have it. Raises PcscMissing."""
    try:
        return importlib.import_module("smartcard.scard")
    except ImportError as missing:
        raise PcscMissing(
            f"PC/SC cannot be used: {missing}",
            where="pcsc",
            next_step="apt install libpcsclite1 libpcsclite-dev swig gcc pcscd, then pip install 'taptill[pcsc]'",
        ) from missing
