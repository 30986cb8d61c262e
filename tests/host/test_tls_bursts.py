"""Answers that come all at once: what each sets off leaves before the next one is looked at, and none is lost."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from taptill.clock import SystemClock
from taptill.credential.adapters.file_keystore import FileKeyStore
from taptill.host.adapters.tls import TlsFiles, TlsLink
from taptill.host.compose import RequestFacts, compose
from taptill.host.exchange import HostRequest, Replied
from taptill.host.framing import frame
from taptill.host.link import ExchangeEnded, LinkEvent
from taptill.host.profile import Profile

WAIT_S = 10.0
BURST = 8


class MakeFacts(Protocol):
    def __call__(self, **changes: Any) -> RequestFacts: ...


class AnswerRequest(Protocol):
    def __call__(self, request_wire: bytes, code: str = "00", /) -> bytes: ...


class Certificates(Protocol):
    ca: Path
    terminal: Path


class LoopbackHost(Protocol):
    url: str
    bodies: list[bytes]
    drop_after: bytes
    accepted: int


class StartHost(Protocol):
    def __call__(self, respond: Callable[[bytes], bytes | None]) -> LoopbackHost: ...


class BurstHost:
    """Says nothing before it was asked `BURST` times, and then answers all of them in one write."""

    def __init__(self, answer: AnswerRequest) -> None:
        self._answer = answer
        self._answers = b""
        self._asked = 0

    def respond(self, body: bytes) -> bytes:
        self._asked += 1
        self._answers += frame(self._answer(body))
        if self._asked % BURST:
            return b""
        answers, self._answers = self._answers, b""
        return answers


class Asker:
    """Each answer sets off the next question; `before_post` runs on the link's thread."""

    def __init__(self, make_link: Callable[[Callable[[LinkEvent], None]], TlsLink], later: list[HostRequest]) -> None:
        self.ended: list[ExchangeEnded] = []
        self.before_post: Callable[[], None] = lambda: None
        self._later = iter(later)
        self._told: queue.SimpleQueue[ExchangeEnded] = queue.SimpleQueue()
        self.link = make_link(self._post)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _post(self, event: LinkEvent) -> None:
        if isinstance(event, ExchangeEnded):
            self.before_post()
            self.ended.append(event)
            self._told.put(event)

    def _run(self) -> None:
        for request in self._later:
            self._told.get()
            self.link.ask(request, 5_000)

    def wait_for(self, count: int) -> None:
        until = time.monotonic() + WAIT_S
        while len(self.ended) < count and time.monotonic() < until:
            time.sleep(0.005)
        assert len(self.ended) >= count


@pytest.fixture
def requests(profile: Profile, keys: FileKeyStore, facts: MakeFacts) -> list[HostRequest]:
    return [compose(profile, "sale", facts(stan=stan), keys) for stan in range(1, 2 * BURST + 1)]


MakeAsker = Callable[[str, list[HostRequest]], Asker]


@pytest.fixture
def make_asker(certificates: Certificates, profile: Profile, keys: FileKeyStore) -> Iterator[MakeAsker]:
    made: list[Asker] = []

    def make(url: str, later: list[HostRequest]) -> Asker:
        files = TlsFiles(certificates.ca, certificates.terminal, certificates.terminal, "host.test")
        made.append(Asker(lambda post: TlsLink([url], files, profile, keys, SystemClock(0), post), later))
        return made[-1]

    yield make
    for asker in made:
        asker.link.close()


def test_what_an_answer_sets_off_leaves_before_the_last_answer_of_its_burst_is_looked_at(
    start_host: StartHost, make_asker: MakeAsker, requests: list[HostRequest], answer: AnswerRequest
) -> None:
    """Each answer is held up for a moment, in which the next question is asked."""
    host = start_host(BurstHost(answer).respond)
    asker = make_asker(host.url, requests[BURST:])
    arrived: list[int] = []

    def hold_up() -> None:
        time.sleep(0.03)
        arrived.append(len(host.bodies))

    asker.before_post = hold_up
    for request in requests[:BURST]:
        asker.link.ask(request, 5_000)
    asker.wait_for(BURST)
    assert BURST < arrived[BURST - 1] < 2 * BURST


def test_answers_of_a_burst_come_in_their_order_and_each_question_ends_once(
    start_host: StartHost, make_asker: MakeAsker, requests: list[HostRequest], answer: AnswerRequest
) -> None:
    host = start_host(BurstHost(answer).respond)
    asker = make_asker(host.url, requests[BURST:])
    for request in requests[:BURST]:
        asker.link.ask(request, 5_000)
    asker.wait_for(2 * BURST)
    assert [event.request.key.stan for event in asker.ended] == list(range(1, 2 * BURST + 1))
    assert all(isinstance(event.result, Replied) for event in asker.ended)
    assert host.accepted == 1


def test_a_burst_that_ends_the_connection_is_heard_and_what_it_sets_off_goes_over_the_next_one(
    start_host: StartHost, make_asker: MakeAsker, requests: list[HostRequest], answer: AnswerRequest
) -> None:
    """The link is held up until the line's end lies behind the answers it has read."""
    host = start_host(BurstHost(answer).respond)
    host.drop_after = requests[BURST - 1].wire
    asker = make_asker(host.url, requests[BURST:])
    asker.before_post = lambda: time.sleep(0.05)
    for request in requests[:BURST]:
        asker.link.ask(request, 5_000)
    asker.wait_for(BURST)
    heard = asker.ended[:BURST]
    assert [event.request for event in heard] == requests[:BURST]
    assert all(isinstance(event.result, Replied) for event in heard)
