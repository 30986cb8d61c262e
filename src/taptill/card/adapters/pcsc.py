"""A contactless reader that the PC/SC service drives, such as an ACR122: `pcsc:NAME`, NAME a part of the reader's name.

Comes in: a URL. Goes out: a `CardReader`.
Strategy: no monitor thread of the library's Python layer; it dies silently when a reader is unplugged (pyscard issues
82 and 128). An own context and an own loop of looks; any error that is not the card's drops the context, and `open`
makes a new one, also on a service that was restarted. A connect may "succeed" on a card that has just left (pyscard
issue 63), so presence is proved by an exchange with the reader before a card is reported. PC/SC tells of one card only;
a reader that is known to tell more is asked for a second one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from taptill.card.adapters import acr122
from taptill.card.adapters.pcsc_atr import kind_of
from taptill.card.adapters.pcsc_calls import (
    STATE_UNAWARE,
    CallOverdue,
    DeadlineThread,
    PcscContext,
    ReaderState,
    ScardFailure,
)
from taptill.card.reader import CardLost, Presentation, RawResponse, ReaderLost
from taptill.clock import Clock
from taptill.errors import ConfigError

Result = TypeVar("Result")

SCHEME = "pcsc:"
OPEN_WAIT_MS = 3000
CLOSE_WAIT_MS = 500
GRACE_MS = 300  # by which a call of the library may exceed the timeout; the port allows 500
CALL_WAIT_MS_MIN = 50  # for what has to be tidied up after that
LOOK_AGAIN_MS = 50  # a card that is there and cannot be talked to yet
CROWD_PERIOD_MS = 200  # how often several cards are counted again
HEARTBEAT_MS = 1000  # the longest wait without asking the service anything
# A service that has just found a reader calls it empty until its first look, and looks every 400 ms.
EMPTY_FOR_SURE_MS = 900

GET_UID = bytes.fromhex("FFCA000000")  # PC/SC Part 3, 3.2.2.1.3; answered by the reader, not by the card
GET_ATS = bytes.fromhex("FFCA010000")  # refused for type B
SW_OK = b"\x90\x00"
STATUS_WORD_OCTETS = 2  # less than that is how some drivers say that the card has gone

_ANY_CARD = -1  # reported before the reader was lost: events are counted anew, so only an empty field ends it


class PcscReader:
    """`open` raises PcscMissing where pyscard is not installed. Where the service listens is the library's to know: it
    reads PCSCLITE_CSOCK_NAME at the first call of the process."""

    def __init__(self, url: str, clock: Clock) -> None:
        if not url.startswith(SCHEME):
            raise ConfigError(f"{url!r} is no PC/SC reader", where="reader", next_step="write it like pcsc:ACR122")
        self.url = url
        self._wanted = url.removeprefix(SCHEME)
        self._clock = clock
        self._context: PcscContext | None = None
        self._calls: DeadlineThread | None = None
        self._name = ""
        self._is_open = False
        self._connected = False
        self._reported: int | None = None  # card events at the last presentation, None once that card has left
        self._empty_since_us: int | None = None
        self._crowd: Presentation | None = None  # the last presentation, while it is a collision
        self._is_prepared = False

    def open(self) -> None:
        self.close()
        self._establish(self._in(OPEN_WAIT_MS))
        self._is_open = True

    def wait_for_card(self, timeout_ms: int) -> Presentation | None:
        until_us = self._in(timeout_ms)
        self._establish_again(until_us)
        known, wait_ms = STATE_UNAWARE, 0
        while True:
            state = self._look(known, wait_ms, until_us)
            self._note_empty(state)
            is_new = state.card_is_present and self._reported not in (state.card_events, _ANY_CARD)
            presentation = self._activate(until_us) if is_new else self._count_again(until_us)
            if presentation is not None:
                return presentation
            left_ms = self._left_ms(until_us)
            if left_ms <= 0:
                return None
            known, wait_ms = state.flags, min(left_ms, LOOK_AGAIN_MS if is_new else self._patience_ms())

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        until_us = self._in(timeout_ms)
        context = self._context
        if context is None or not self._connected:
            raise self._not_open() if not self._is_open else CardLost("no card is connected", where=self.url)
        if self._crowd is not None:
            raise CardLost("there is more than one card", where=self.url)
        try:
            octets, elapsed_us = self._run(lambda: context.transmit(command), until_us)
        except CallOverdue:
            self._abandon()
            raise CardLost(f"no answer within {timeout_ms} ms", where=self.url) from None
        except ScardFailure as failure:
            self._drop_card(until_us)
            if context.is_about_the_card(failure):
                self._look(STATE_UNAWARE, 0, until_us)  # the reader may be what is gone
                raise CardLost(str(failure), where=self.url) from failure
            raise self._lost(str(failure)) from failure
        if len(octets) < STATUS_WORD_OCTETS:
            self._drop_card(until_us)
            raise CardLost(f"an answer of {len(octets)} bytes", where=self.url)
        return RawResponse(octets, elapsed_us)

    def wait_for_removal(self, timeout_ms: int) -> bool:
        until_us = self._in(timeout_ms)
        self._establish_again(until_us)
        known, wait_ms = STATE_UNAWARE, 0
        while True:
            state = self._look(known, wait_ms, until_us)
            another_came = self._reported not in (None, _ANY_CARD, state.card_events)
            if another_came or self._note_empty(state):
                self._drop_card(until_us)
                self._reported = self._crowd = None
                return True
            left_ms = self._left_ms(until_us)
            if left_ms <= 0:
                return False
            known, wait_ms = state.flags, min(left_ms, self._patience_ms())

    def close(self) -> None:
        self._give_up(CLOSE_WAIT_MS)

    def _activate(self, until_us: int) -> Presentation | None:
        """Connects, and proves that the card seen is the card connected; None when it is not, or not yet."""
        seen = self._look(STATE_UNAWARE, 0, until_us)  # a look that waited in vain has no ATR
        presentation = self._connect(seen, until_us)
        if presentation is None:
            return None
        now = self._look(STATE_UNAWARE, 0, until_us)
        is_the_same = now.card_events == seen.card_events and now.card_is_present
        if not is_the_same or not presentation.takes_apdus:
            self._drop_card(until_us)
        if not is_the_same:
            return None
        self._reported = now.card_events
        self._crowd = presentation if presentation.cards_in_field > 1 else None
        return presentation

    def _count_again(self, until_us: int) -> Presentation | None:
        """Several cards end as one that may be read, when the others are taken away."""
        context, crowd = self._context, self._crowd
        if context is None or crowd is None:
            return None
        if not self._connected:
            left = self._activate(until_us)
            return left if left is not None and left.cards_in_field == 1 else None
        try:
            if self._cards_in_field(context, until_us) > 1:
                return None
        except ScardFailure as failure:
            if not context.is_about_the_card(failure):
                raise self._lost(str(failure)) from failure
            self._drop_card(until_us)
            return None
        self._crowd = None
        return replace(crowd, cards_in_field=1)

    def _connect(self, seen: ReaderState, until_us: int) -> Presentation | None:
        context = self._context
        if context is None:
            raise self._not_open()
        self._drop_card(until_us)
        try:
            self._call(lambda: context.connect(self._name), until_us)
            self._connected = True
            told, _ = self._call(lambda: context.transmit(GET_UID), until_us)
            kind = kind_of(seen.atr, lambda: self._has_ats(context, until_us))
            count = self._cards_in_field(context, until_us) if kind.takes_apdus else 1
        except ScardFailure as failure:
            self._drop_card(until_us)
            is_passing = context.is_about_the_card(failure) or (
                context.is_about_sharing(failure) and self._left_ms(until_us) > 0
            )
            if is_passing:
                return None
            raise self._lost(str(failure)) from failure
        if len(told) < STATUS_WORD_OCTETS:
            self._drop_card(until_us)
            return None
        uid = told[:-2] if told[-2:] == SW_OK else b""
        return Presentation(uid, kind.technology, seen.atr, count, kind.takes_apdus)

    def _has_ats(self, context: PcscContext, until_us: int) -> bool:
        """Raises ScardFailure."""
        told, _ = self._call(lambda: context.transmit(GET_ATS), until_us)
        return told[-2:] == SW_OK and len(told) > STATUS_WORD_OCTETS

    def _cards_in_field(self, context: PcscContext, until_us: int) -> int:
        """Raises ScardFailure."""
        if acr122.NAME not in self._name:
            return 1

        def transmit(command: bytes) -> bytes:
            return self._call(lambda: context.transmit(command), until_us)[0]

        if not self._is_prepared:
            acr122.prepare(transmit)
            self._is_prepared = True
        return acr122.cards_in_field(transmit)

    def _look(self, known_flags: int, wait_ms: int, until_us: int) -> ReaderState:
        context = self._context
        if context is None:
            raise self._not_open()
        try:
            return self._call(lambda: context.look(self._name, known_flags, wait_ms), until_us)
        except ScardFailure as failure:
            raise self._lost(str(failure)) from failure

    def _establish(self, until_us: int) -> None:
        """A new context and the reader in it. Raises ReaderLost."""
        context = PcscContext(self._clock)
        self._context, self._calls = context, DeadlineThread(context.release)
        try:
            self._call(context.establish, until_us)
            names = self._call(context.reader_names, until_us)
        except ScardFailure as failure:
            raise self._lost(str(failure)) from failure
        matching = [name for name in names if self._wanted in name]
        if not matching:
            known = ", ".join(names) or "none"
            raise self._lost(f"no reader of this name; the service knows: {known}")
        self._name, self._is_prepared = matching[0], False

    def _establish_again(self, until_us: int) -> None:
        """After a call was left behind its context is lost, the reader may well be there."""
        if not self._is_open:
            raise self._not_open()
        if self._context is None:
            self._establish(until_us)

    def _call(self, call: Callable[[], Result], until_us: int) -> Result:
        """A call of which the reader owes an answer in time. Raises ReaderLost, ScardFailure."""
        try:
            return self._run(call, until_us)
        except CallOverdue:
            raise self._lost("the PC/SC service does not answer") from None

    def _run(self, call: Callable[[], Result], until_us: int) -> Result:
        if self._calls is None:
            raise self._not_open()
        return self._calls.run(call, max(self._left_ms(until_us) + GRACE_MS, CALL_WAIT_MS_MIN))

    def _drop_card(self, until_us: int) -> None:
        if self._connected and self._context is not None:
            self._connected = False
            self._call(self._context.disconnect, until_us)

    def _note_empty(self, state: ReaderState) -> bool:
        """Whether the field is empty; what was reported has then left."""
        if state.card_is_present:
            self._empty_since_us = None
            return False
        now_us = self._clock.monotonic_us()
        if self._empty_since_us is None:
            self._empty_since_us = now_us
        if self._reported == _ANY_CARD and now_us - self._empty_since_us < EMPTY_FOR_SURE_MS * 1000:
            return False
        self._reported = self._crowd = None
        return True

    def _patience_ms(self) -> int:
        """How long to wait for a change before looking again without one."""
        if self._crowd is not None:
            return CROWD_PERIOD_MS
        return LOOK_AGAIN_MS if self._reported == _ANY_CARD else HEARTBEAT_MS

    def _lost(self, what: str) -> ReaderLost:
        """Ends the context; to be raised."""
        self._give_up(0)
        return ReaderLost(what, where=self.url, next_step="plug the reader in, and look whether pcscd runs")

    def _not_open(self) -> ReaderLost:
        return ReaderLost("the reader is not open", where=self.url)

    def _give_up(self, wait_ms: int) -> None:
        """The next `open` starts anew; a card that was reported has to leave the field all the same."""
        if self._calls is not None:
            self._calls.stop(wait_ms)
        self._abandon()
        self._is_open = False
        self._empty_since_us = self._crowd = None
        if self._reported is not None:
            self._reported = _ANY_CARD

    def _abandon(self) -> None:
        """The thread gives the context back by itself, as soon as it is out of its call."""
        self._context, self._calls, self._connected = None, None, False

    def _in(self, wait_ms: int) -> int:
        return self._clock.monotonic_us() + wait_ms * 1000

    def _left_ms(self, until_us: int) -> int:
        return (until_us - self._clock.monotonic_us()) // 1000
