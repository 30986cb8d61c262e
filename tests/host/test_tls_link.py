"""The link over real sockets and real TLS, with a server of the standard library at the other end."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from taptill.clock import SystemClock
from taptill.credential.adapters.file_keystore import FileKeyStore
from taptill.errors import ConfigError
from taptill.host.adapters.tls import TlsFiles, TlsLink, parse_endpoint
from taptill.host.compose import RequestFacts, compose
from taptill.host.exchange import ExchangeResult, HostRequest, NotSent, Replied, Silent
from taptill.host.framing import frame
from taptill.host.link import ExchangeEnded, LinkChanged, LinkEvent
from taptill.host.profile import Profile

WAIT_S = 10.0


class MakeFacts(Protocol):
    def __call__(self, **changes: Any) -> RequestFacts: ...


class AnswerRequest(Protocol):
    def __call__(
        self, request_wire: bytes, code: str = "00", /, *, mti: str = "", mac: bytes | None = None, **changes: Any
    ) -> bytes: ...


class Certificates(Protocol):
    ca: Path
    host: Path
    terminal: Path
    stranger: Path


class LoopbackHost(Protocol):
    url: str
    port: int
    bodies: list[bytes]
    drop_after: bytes
    accepted: int


class StartHost(Protocol):
    def __call__(
        self, respond: Callable[[bytes], bytes | None], tls_1_2: bool = False, tickets: int = 2
    ) -> LoopbackHost: ...


class CountingClock(SystemClock):
    """The system's clock, and how often it was read."""

    def __init__(self) -> None:
        super().__init__(0)
        self.readings = 0

    def monotonic_us(self) -> int:
        self.readings += 1
        return super().monotonic_us()


class Terminal:
    """A link and what it posted."""

    def __init__(self, endpoints: list[str], files: TlsFiles, profile: Profile, keys: FileKeyStore) -> None:
        self.clock = CountingClock()
        self.events: queue.Queue[LinkEvent] = queue.Queue()
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.link = TlsLink(endpoints, files, profile, keys, self.clock, self.post)

    def post(self, event: LinkEvent) -> None:
        """Holds the link's thread up while `goes_on` is cleared."""
        self.events.put(event)
        self.goes_on.wait(WAIT_S)

    def next_event(self) -> LinkEvent:
        return self.events.get(timeout=WAIT_S)

    def result_of(self, request: HostRequest, timeout_ms: int = 5_000) -> ExchangeResult:
        """Asks, and waits for the one result."""
        self.link.ask(request, timeout_ms)
        return self.next_result()

    def next_result(self) -> ExchangeResult:
        while not isinstance(event := self.next_event(), ExchangeEnded):
            pass
        return event.result


class StartTerminal(Protocol):
    def __call__(self, *endpoints: str, certificate: str = "terminal", server_name: str = "host.test") -> Terminal: ...


@pytest.fixture
def start_terminal(certificates: Certificates, profile: Profile, keys: FileKeyStore) -> Iterator[StartTerminal]:
    started: list[Terminal] = []

    def start(*endpoints: str, certificate: str = "terminal", server_name: str = "host.test") -> Terminal:
        own: Path = getattr(certificates, certificate)
        files = TlsFiles(certificates.ca, own, own, server_name)
        started.append(Terminal(list(endpoints), files, profile, keys))
        return started[-1]

    yield start
    for terminal in started:
        terminal.link.close()


@pytest.fixture
def sale(profile: Profile, keys: FileKeyStore, facts: MakeFacts) -> HostRequest:
    return compose(profile, "sale", facts(), keys)


@pytest.fixture
def dead_endpoint() -> str:
    """A port of this machine at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"tls://127.0.0.1:{listener.getsockname()[1]}"


def test_a_sale_is_answered_over_one_kept_connection(
    start_host: StartHost, start_terminal: StartTerminal, sale: HostRequest, answer: AnswerRequest
) -> None:
    host = start_host(lambda body: frame(answer(body)))
    terminal = start_terminal(host.url)
    terminal.link.ask(sale, 5_000)
    assert terminal.next_event() == LinkChanged(True, host.url)
    assert isinstance(terminal.next_result(), Replied)
    assert isinstance(terminal.result_of(sale), Replied)
    assert host.bodies == [sale.wire, sale.wire]
    assert host.accepted == 1


def test_a_named_endpoint_is_resolved(
    start_host: StartHost, start_terminal: StartTerminal, sale: HostRequest, answer: AnswerRequest
) -> None:
    host = start_host(lambda body: frame(answer(body)))
    terminal = start_terminal(f"tls://localhost:{host.port}")
    assert isinstance(terminal.result_of(sale), Replied)


def test_a_name_nobody_has_is_not_sent(start_terminal: StartTerminal, sale: HostRequest) -> None:
    result = start_terminal("tls://no-such-host.invalid:1").result_of(sale)
    assert isinstance(result, NotSent)
    assert result.reason.startswith("name: ")


def test_a_refused_connection_is_not_sent(start_terminal: StartTerminal, sale: HostRequest, dead_endpoint: str) -> None:
    assert start_terminal(dead_endpoint).result_of(sale) == NotSent("Connection refused")


def test_the_second_site_takes_over(
    start_host: StartHost,
    start_terminal: StartTerminal,
    sale: HostRequest,
    answer: AnswerRequest,
    dead_endpoint: str,
) -> None:
    host = start_host(lambda body: frame(answer(body)))
    terminal = start_terminal(dead_endpoint, host.url)
    terminal.link.ask(sale, 5_000)
    assert terminal.next_event() == LinkChanged(False, dead_endpoint, "Connection refused")
    assert terminal.next_event() == LinkChanged(True, host.url)
    assert isinstance(terminal.next_result(), Replied)


def test_a_server_with_another_name_gets_no_byte(
    start_host: StartHost, start_terminal: StartTerminal, sale: HostRequest
) -> None:
    host = start_host(lambda body: b"")
    result = start_terminal(host.url, server_name="bank.test").result_of(sale)
    assert isinstance(result, NotSent)
    assert result.reason.startswith("tls: server certificate: Hostname mismatch")
    assert host.bodies == []


def test_a_server_of_another_authority_gets_no_byte(
    start_host: StartHost, certificates: Certificates, profile: Profile, keys: FileKeyStore, sale: HostRequest
) -> None:
    """The terminal trusts only the other authority."""
    host = start_host(lambda body: b"")
    files = TlsFiles(
        certificates.ca.with_name("other-ca.pem"), certificates.terminal, certificates.terminal, "host.test"
    )
    terminal = Terminal([host.url], files, profile, keys)
    try:
        result = terminal.result_of(sale)
    finally:
        terminal.link.close()
    assert isinstance(result, NotSent)
    assert result.reason.startswith("tls: server certificate: ")


def test_a_refused_client_certificate_is_not_sent_although_tls_1_3_tells_it_late(
    start_host: StartHost, start_terminal: StartTerminal, sale: HostRequest
) -> None:
    host = start_host(lambda body: b"")
    result = start_terminal(host.url, certificate="stranger").result_of(sale)
    assert isinstance(result, NotSent)
    assert "client certificate refused" in result.reason
    assert host.bodies == []


def test_a_server_that_is_silent_after_the_handshake_is_believed_after_a_moment(
    start_host: StartHost, start_terminal: StartTerminal, sale: HostRequest, answer: AnswerRequest
) -> None:
    """Without session tickets nothing tells whether our certificate was taken."""
    host = start_host(lambda body: frame(answer(body)), tickets=0)
    assert isinstance(start_terminal(host.url).result_of(sale), Replied)


def test_a_server_without_tls_1_3_gets_no_byte(
    start_host: StartHost, start_terminal: StartTerminal, sale: HostRequest
) -> None:
    host = start_host(lambda body: b"", tls_1_2=True)
    result = start_terminal(host.url).result_of(sale)
    assert isinstance(result, NotSent)
    assert result.reason.startswith("tls: ")
    assert host.bodies == []


def test_a_server_that_accepts_and_says_nothing_is_not_sent(start_terminal: StartTerminal, sale: HostRequest) -> None:
    """The TCP connection stands, TLS never does: the deadline of the question ends it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        terminal = start_terminal(f"tls://127.0.0.1:{listener.getsockname()[1]}")
        assert terminal.result_of(sale, 300) == NotSent("no connection in time")


def test_a_host_that_drops_the_line_after_reading_is_silence(
    start_host: StartHost, start_terminal: StartTerminal, sale: HostRequest
) -> None:
    host = start_host(lambda body: None)
    result = start_terminal(host.url).result_of(sale)
    assert result == Silent("link lost: closed by the host")
    assert host.bodies == [sale.wire]


def test_a_host_that_never_answers_is_silence_after_the_deadline(
    start_host: StartHost, start_terminal: StartTerminal, sale: HostRequest
) -> None:
    host = start_host(lambda body: b"")
    started = time.monotonic()
    assert start_terminal(host.url).result_of(sale, 400) == Silent("timeout")
    assert 0.39 <= time.monotonic() - started < 2


@pytest.mark.parametrize("cut", [1, 2, 3, 20, 60, -1])
def test_an_answer_cut_at_any_byte_is_silence(
    start_host: StartHost, start_terminal: StartTerminal, sale: HostRequest, answer: AnswerRequest, cut: int
) -> None:
    host = start_host(lambda body: frame(answer(body))[:cut])
    assert start_terminal(host.url).result_of(sale, 300) == Silent("timeout")


def test_the_next_question_goes_over_a_fresh_connection(
    start_host: StartHost,
    start_terminal: StartTerminal,
    profile: Profile,
    keys: FileKeyStore,
    facts: MakeFacts,
    answer: AnswerRequest,
) -> None:
    lost, asked = (compose(profile, "sale", facts(stan=stan), keys) for stan in (1, 2))
    host = start_host(lambda body: b"" if body == lost.wire else frame(answer(body)))
    terminal = start_terminal(host.url)
    assert terminal.result_of(lost, 300) == Silent("timeout")
    assert isinstance(terminal.result_of(asked), Replied)
    assert host.accepted == 2


def test_the_end_of_a_dropped_connection_does_not_end_the_next_one(
    start_host: StartHost,
    start_terminal: StartTerminal,
    profile: Profile,
    keys: FileKeyStore,
    facts: MakeFacts,
    answer: AnswerRequest,
) -> None:
    """The first question is lost, the second is answered together with the end of the line, the third is waiting. The
    link is held up meanwhile, so that it meets answer and end at once."""
    lost, slow, waiting = (compose(profile, "sale", facts(stan=stan), keys) for stan in (1, 2, 3))

    def respond(body: bytes) -> bytes:
        if body == slow.wire:
            time.sleep(0.3)
        return b"" if body == lost.wire else frame(answer(body))

    host = start_host(respond)
    host.drop_after = slow.wire
    terminal = start_terminal(host.url)
    terminal.link.ask(lost, 150)
    terminal.link.ask(slow, 5_000)
    assert terminal.next_event() == LinkChanged(True, host.url)
    terminal.goes_on.clear()
    assert terminal.next_result() == Silent("timeout")
    terminal.link.ask(waiting, 5_000)
    time.sleep(0.4)
    terminal.goes_on.set()
    assert isinstance(terminal.next_result(), Replied)
    assert isinstance(terminal.next_result(), Replied)


def test_many_questions_from_many_threads_all_end(
    start_host: StartHost,
    start_terminal: StartTerminal,
    profile: Profile,
    keys: FileKeyStore,
    facts: MakeFacts,
    answer: AnswerRequest,
) -> None:
    host = start_host(lambda body: frame(answer(body)))
    terminal = start_terminal(host.url)
    requests = [compose(profile, "sale", facts(stan=stan), keys) for stan in range(1, 41)]
    threads = [threading.Thread(target=terminal.link.ask, args=(request, 8_000)) for request in requests]
    for thread in threads:
        thread.start()
    results = [terminal.next_result() for _ in requests]
    assert all(isinstance(result, Replied) for result in results)
    assert sorted(host.bodies) == sorted(request.wire for request in requests)


def test_an_idle_link_sleeps_and_wakes_at_once(
    start_host: StartHost, start_terminal: StartTerminal, sale: HostRequest, answer: AnswerRequest
) -> None:
    host = start_host(lambda body: frame(answer(body)))
    terminal = start_terminal(host.url)
    terminal.result_of(sale)
    time.sleep(0.05)
    before = terminal.clock.readings
    time.sleep(0.4)
    assert terminal.clock.readings == before
    started = time.monotonic()
    assert isinstance(terminal.result_of(sale), Replied)
    assert time.monotonic() - started < 0.3


def test_closing_ends_what_is_open_and_refuses_what_comes_after(
    start_host: StartHost, start_terminal: StartTerminal, sale: HostRequest
) -> None:
    host = start_host(lambda body: b"")
    terminal = start_terminal(host.url)
    terminal.link.ask(sale, 5_000)
    while not host.bodies:
        time.sleep(0.01)
    terminal.link.close()
    assert terminal.next_result() == Silent("closed")
    assert terminal.result_of(sale) == NotSent("closed")
    assert "host-link" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    "url", ["", "host.test:8583", "tcp://host.test:8583", "tls://host.test", "tls://:8583", "tls://host.test:99999"]
)
def test_what_is_no_endpoint_is_refused_by_name(url: str) -> None:
    with pytest.raises(ConfigError, match="no endpoint"):
        parse_endpoint(url)


def test_an_endpoint_may_be_an_address_of_either_kind() -> None:
    assert parse_endpoint("tls://[::1]:8583") == ("::1", 8583)
    assert parse_endpoint("tls://127.0.0.1:8583") == ("127.0.0.1", 8583)


@pytest.mark.parametrize("broken", ["missing", "empty"])
def test_certificate_files_that_cannot_be_used_are_named(
    certificates: Certificates, profile: Profile, keys: FileKeyStore, tmp_path: Path, broken: str
) -> None:
    path = tmp_path / "client.pem"
    if broken == "empty":
        path.touch()
    with pytest.raises(ConfigError, match=r"client\.pem"):
        Terminal(["tls://127.0.0.1:1"], TlsFiles(certificates.ca, path, path, "host.test"), profile, keys)
