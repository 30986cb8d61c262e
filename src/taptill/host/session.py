"""Many questions over one connection, sans-io.

Comes in: questions with deadlines, what the connection does, bytes, the time. Goes out: steps: what the connection
shall do (`Connect`, `SendBytes`, `Close`) and what the asker is told (`ExchangeEnded`, `LateAnswer`, `LinkChanged`).
Strategy: a question is `NotSent` as long as its bytes were never handed out, and `Silent` from then on. Nothing is sent
twice from here: what silence means is decided by the money rules. After a silent question the connection is dropped, so
that the next question does not go into a half-open one, and the next endpoint is tried first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from taptill.credential.keystore import KeyStore
from taptill.host.codec import MalformedMessage
from taptill.host.exchange import ExchangeResult, HostRequest, MatchKey, NotSent, Replied, Silent
from taptill.host.framing import BrokenFrame, FrameReader, frame
from taptill.host.link import ExchangeEnded, LateAnswer, LinkChanged, LinkEvent
from taptill.host.profile import Profile
from taptill.host.read_reply import read_reply, reply_key

OPEN_QUESTIONS_MAX = 64
LOST_QUESTIONS_MAX = 256


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a connection; `connection_made` or `connection_lost` has to follow."""

    endpoint: str


@dataclass(frozen=True, slots=True)
class SendBytes:
    octets: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Drop the connection, or the attempt; no `connection_lost` is expected for it."""

    reason: str


Step = Connect | SendBytes | Close | LinkEvent


class _Phase(Enum):
    IDLE = "idle"
    CONNECTING = "connecting"
    UP = "up"


@dataclass(slots=True)
class _Question:
    request: HostRequest
    deadline_us: int
    handed_out: bool = False


class HostSession:
    """One session per host, over all its connections. Every method returns the steps to take, in order."""

    def __init__(self, profile: Profile, keys: KeyStore, endpoints: Sequence[str]) -> None:
        self._profile = profile
        self._keys = keys
        self._endpoints = tuple(endpoints)
        self._at = 0  # the endpoint in use, or to be tried first
        self._failed_in_row = 0
        self._phase = _Phase.IDLE
        self._connect_deadline_us = 0
        self._draining = False  # a question was lost on this connection: nothing new goes over it
        self._reader = FrameReader()
        self._open: dict[MatchKey, _Question] = {}
        self._lost: OrderedDict[MatchKey, tuple[HostRequest, int]] = OrderedDict()

    def ask(self, request: HostRequest, now_us: int, deadline_us: int) -> list[Step]:
        """`deadline_us` covers connecting too."""
        if request.key in self._open:
            # The bytes under way are the same debt's or the same sale's: this asking proves nothing about them.
            return [ExchangeEnded(request, Silent("the same question is open"))]
        if len(self._open) >= OPEN_QUESTIONS_MAX:
            return [ExchangeEnded(request, NotSent("too many open questions"))]
        if self._phase is _Phase.IDLE:
            self._failed_in_row = 0
        self._open[request.key] = _Question(request, deadline_us)
        return self._proceed(now_us)

    def connection_made(self, now_us: int) -> list[Step]:
        self._phase = _Phase.UP
        self._failed_in_row = 0
        self._draining = False
        self._reader = FrameReader()
        return [LinkChanged(True, self._endpoint), *self._proceed(now_us)]

    def connection_lost(self, reason: str, now_us: int) -> list[Step]:
        """The connection broke, or could not be made."""
        if self._phase is _Phase.CONNECTING:
            return self._connect_failed(reason, now_us)
        return self._down(reason, Silent(f"link lost: {reason}"), now_us) if self._phase is _Phase.UP else []

    def receive_data(self, octets: bytes, now_us: int) -> list[Step]:
        """Bytes of the present connection."""
        steps: list[Step] = []
        self._forget_lost(now_us)
        try:
            while bodies := self._reader.receive_data(octets):
                octets = b""
                for body in bodies:
                    steps += self._answered(body, now_us)
        except (BrokenFrame, MalformedMessage) as error:
            # No byte behind this one can be trusted to begin a message.
            reason = f"malformed: {error.where}"
            return [*steps, Close(reason), *self._down(reason, Silent(reason), now_us)]
        return [*steps, *self._proceed(now_us)]

    def tick(self, now_us: int) -> list[Step]:
        """Call it at `next_tick_us` at the latest."""
        overdue = [question for question in self._open.values() if now_us >= question.deadline_us]
        steps: list[Step] = [self._time_out(question, now_us) for question in overdue]
        if self._phase is _Phase.CONNECTING and now_us >= self._connect_deadline_us:
            steps += [Close("connect timeout"), *self._connect_failed("connect timeout", now_us)]
        return [*steps, *self._proceed(now_us)]

    def next_tick_us(self) -> int | None:
        """The next moment something has to happen without the network, None if there is none."""
        moments = [question.deadline_us for question in self._open.values()]
        if self._phase is _Phase.CONNECTING:
            moments.append(self._connect_deadline_us)
        return min(moments, default=None)

    def close(self, now_us: int) -> list[Step]:
        """Ends every question: what was handed out is silent, the rest was not sent."""
        steps: list[Step] = [] if self._phase is _Phase.IDLE else [Close("closed")]
        was_up = self._phase is _Phase.UP
        self._phase = _Phase.IDLE
        if was_up:
            steps.append(LinkChanged(False, self._endpoint, "closed"))
        for question in list(self._open.values()):
            steps.append(self._end_without_answer(question, Silent("closed"), NotSent("closed"), now_us))
        return steps

    @property
    def _endpoint(self) -> str:
        return self._endpoints[self._at]

    def _proceed(self, now_us: int) -> list[Step]:
        """Whatever the present phase allows the open questions."""
        waiting = [question for question in self._open.values() if not question.handed_out]
        if self._phase is _Phase.UP and self._draining and len(waiting) == len(self._open):
            self._phase = _Phase.IDLE
            reason = "a question was not answered"
            return [Close(reason), LinkChanged(False, self._endpoint, reason), *self._next_endpoint(now_us)]
        if not waiting:
            return []
        if self._phase is _Phase.IDLE:
            return self._connect(now_us)
        if self._phase is _Phase.CONNECTING or self._draining:
            return []
        return [self._hand_out(question) for question in waiting]

    def _hand_out(self, question: _Question) -> SendBytes:
        question.handed_out = True
        self._lost.pop(question.request.key, None)
        return SendBytes(frame(question.request.wire))

    def _connect(self, now_us: int) -> list[Step]:
        self._phase = _Phase.CONNECTING
        self._connect_deadline_us = now_us + self._profile.connect_timeout_ms * 1000
        return [Connect(self._endpoint)]

    def _next_endpoint(self, now_us: int) -> list[Step]:
        self._at = (self._at + 1) % len(self._endpoints)
        return self._proceed(now_us)

    def _connect_failed(self, reason: str, now_us: int) -> list[Step]:
        """Try the next endpoint; when each has failed once, nobody can be reached."""
        self._phase = _Phase.IDLE
        steps: list[Step] = [LinkChanged(False, self._endpoint, reason)]
        self._failed_in_row += 1
        if self._failed_in_row >= len(self._endpoints):
            self._failed_in_row = 0
            steps += [self._end(question, NotSent(reason)) for question in list(self._open.values())]
        return steps + self._next_endpoint(now_us)

    def _down(self, reason: str, result: Silent, now_us: int) -> list[Step]:
        """The connection is gone: what was handed out is silent, the rest goes over the next one."""
        self._phase = _Phase.IDLE
        steps: list[Step] = [LinkChanged(False, self._endpoint, reason)]
        under_way = [question for question in self._open.values() if question.handed_out]
        steps += [self._end_silent(question, result, now_us) for question in under_way]
        # An idle connection may be closed by a host in best health: that is no reason to leave it.
        return steps + (self._next_endpoint(now_us) if under_way else self._proceed(now_us))

    def _answered(self, body: bytes, now_us: int) -> list[Step]:
        key = reply_key(self._profile, body)
        question = self._open.get(key)
        if question is None or not question.handed_out:
            return self._answered_late(key, body)
        result = read_reply(self._profile, question.request, body, self._keys)
        if isinstance(result, Silent):
            self._draining = True
            return [self._end_silent(question, result, now_us)]
        return [self._end(question, result)]

    def _answered_late(self, key: MatchKey, body: bytes) -> list[Step]:
        """An answer to nothing that was asked, or to what was given up, is told at most as evidence."""
        lost = self._lost.get(key)
        if lost is None:
            return []
        result = read_reply(self._profile, lost[0], body, self._keys)
        if not isinstance(result, Replied):
            return []
        del self._lost[key]
        return [LateAnswer(lost[0], result.reply)]

    def _time_out(self, question: _Question, now_us: int) -> ExchangeEnded:
        if question.handed_out:
            self._draining = True
        return self._end_without_answer(question, Silent("timeout"), NotSent("no connection in time"), now_us)

    def _end_without_answer(self, question: _Question, if_sent: Silent, if_not: NotSent, now_us: int) -> ExchangeEnded:
        return self._end_silent(question, if_sent, now_us) if question.handed_out else self._end(question, if_not)

    def _end_silent(self, question: _Question, result: Silent, now_us: int) -> ExchangeEnded:
        request = question.request
        self._lost[request.key] = (request, now_us + self._profile.late_answer_ms * 1000)
        while len(self._lost) > LOST_QUESTIONS_MAX:
            self._lost.popitem(last=False)
        return self._end(question, result)

    def _end(self, question: _Question, result: ExchangeResult) -> ExchangeEnded:
        del self._open[question.request.key]
        return ExchangeEnded(question.request, result)

    def _forget_lost(self, now_us: int) -> None:
        for key in [key for key, (_, until_us) in self._lost.items() if now_us >= until_us]:
            del self._lost[key]
