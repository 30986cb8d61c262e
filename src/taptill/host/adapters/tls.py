"""HostLink over TLS 1.3 with certificates on both sides.

Comes in: questions from any thread. Goes out: link events, through `post`, from this link's one thread.
Strategy: the session decides, the connection moves bytes, this thread waits in a selector for whichever comes first:
the socket, a question, a deadline. It sleeps when there is nothing to do. What came at once is handled in small steps,
and what an answer sets off leaves before the next one is looked at: a burst of answers must not become one of
questions. Names are resolved beside it, because a resolver may take longer than any deadline.
"""

from __future__ import annotations

import ipaddress
import os
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from taptill.clock import CheckingClock
from taptill.credential.keystore import KeyStore
from taptill.errors import ConfigError
from taptill.host.adapters.tls_connection import Address, ConnectionEvent, Lost, Made, Received, TlsConnection
from taptill.host.adapters.tls_dates import date_refusal, leave_dates_to_us, verified_chain
from taptill.host.exchange import HostRequest, NotSent
from taptill.host.link import ExchangeEnded, LinkBroken, PostLinkEvent
from taptill.host.profile import Profile
from taptill.host.session import Close, Connect, HostSession, SendBytes, Step

CLOSE_WAIT_S = 2.0
STEP_OCTETS = 256  # about one answer
STEP_PAUSE_S = 0.00005  # between steps the thread that asks gets its turn; the interpreter would let it wait for 5 ms


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files; `server_name` is what the host's certificate has to be for."""

    ca: Path
    certificate: Path
    key: Path
    server_name: str


@dataclass(frozen=True, slots=True)
class _Asked:
    request: HostRequest
    deadline_us: int


@dataclass(frozen=True, slots=True)
class _Resolved:
    endpoint: str
    addresses: tuple[Address, ...]
    reason: str = "no address"


class TlsLink:
    """Endpoints are `tls://host:port`, the first one preferred. Raises ConfigError for one that is not, or for
    certificate files that cannot be used."""

    def __init__(
        self,
        endpoints: Sequence[str],
        tls: TlsFiles,
        profile: Profile,
        keys: KeyStore,
        clock: CheckingClock,
        post: PostLinkEvent,
    ) -> None:
        self._places = {endpoint: parse_endpoint(endpoint) for endpoint in endpoints}
        if not self._places:
            raise ConfigError("no endpoint is named", where="host")
        self._context = _context(tls)
        self._server_name = tls.server_name
        self._clock = clock
        self._post = post
        self._session = HostSession(profile, keys, endpoints)
        self._connection: TlsConnection | None = None
        self._wanted = ""  # the endpoint whose name is being resolved
        self._steps: deque[Step] = deque()
        self._performing = False
        self._arrived: deque[ConnectionEvent] = deque()  # of the present connection, in small steps
        self._inbox: deque[_Asked | _Resolved] = deque()
        self._closing = False
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._wake_end, self._wait_end = socket.socketpair()
        for end in (self._wake_end, self._wait_end):
            end.setblocking(False)
        self._selector.register(self._wait_end, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="host-link", daemon=True)
        self._thread.start()

    def ask(self, request: HostRequest, timeout_ms: int) -> None:
        if not self._put(_Asked(request, self._clock.monotonic_us() + timeout_ms * 1000)):
            self._post(ExchangeEnded(request, NotSent("closed")))

    def close(self) -> None:
        with self._lock:
            self._closing = True
        self._wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_WAIT_S)

    def _put(self, item: _Asked | _Resolved) -> bool:
        with self._lock:
            if self._closing:
                return False
            self._inbox.append(item)
        self._wake()
        return True

    def _wake(self) -> None:
        try:
            self._wake_end.send(b"\0")
        except OSError:
            return  # full: the thread is about to wake anyway; closed: it is gone

    def _run(self) -> None:
        try:
            while self._arrived or not self._closing:
                self._flush()
                self._look()
                self._take_arrived()
                self._take_inbox()
                self._tick()
        except Exception as fault:
            self._post(LinkBroken(f"{type(fault).__name__}: {fault}"))
            raise
        finally:
            self._end()

    def _end(self) -> None:
        """Every question gets its result, also when this thread breaks."""
        with self._lock:
            self._closing = True
        self._perform(self._session.close(self._now_us()))
        while self._inbox:
            item = self._inbox.popleft()
            if isinstance(item, _Asked):
                self._post(ExchangeEnded(item.request, NotSent("closed")))
        self._selector.close()
        self._wait_end.close()
        self._wake_end.close()

    def _look(self) -> None:
        """Waits where nothing is to be done. Nothing is read as long as there is something to be handled."""
        if self._arrived:
            time.sleep(STEP_PAUSE_S)
        for key, _ in self._selector.select(0 if self._arrived else self._wait_s()):
            connection: TlsConnection | None = key.data
            if connection is None:
                self._wait_end.recv(4096)
            elif connection is self._connection and not self._arrived:
                self._arrives(connection.ready(self._now_us()))

    def _take_inbox(self) -> None:
        while self._inbox:
            item = self._inbox.popleft()
            if isinstance(item, _Asked):
                self._perform(self._session.ask(item.request, self._now_us(), item.deadline_us))
            elif item.endpoint == self._wanted:
                self._resolved(item)

    def _flush(self) -> None:
        """Bytes leave here only, between steps: a failure cannot overtake what came before it."""
        if self._connection is not None:
            self._arrives(self._connection.flush())

    def _tick(self) -> None:
        """A deadline is judged when all that came before it was handled."""
        if self._connection is not None:
            self._arrives(self._connection.tick(self._now_us()))
        if self._arrived:
            return
        due_us = self._session.next_tick_us()
        if due_us is not None and self._now_us() >= due_us:
            self._perform(self._session.tick(self._now_us()))

    def _wait_s(self) -> float | None:
        moments = [self._session.next_tick_us(), self._connection.next_tick_us() if self._connection else None]
        due_us = min((moment for moment in moments if moment is not None), default=None)
        return None if due_us is None else max(0, due_us - self._now_us()) / 1e6

    def _now_us(self) -> int:
        return self._clock.monotonic_us()

    def _perform(self, steps: Sequence[Step]) -> None:
        """In order, also when a step has consequences of its own: those come after all that were decided before."""
        self._steps.extend(steps)
        if self._performing:
            return
        self._performing = True
        try:
            while self._steps:
                self._take(self._steps.popleft())
        finally:
            self._performing = False

    def _take(self, step: Step) -> None:
        match step:
            case Connect(endpoint):
                self._connect(endpoint)
            case SendBytes(octets):
                if self._connection is not None:
                    self._connection.send(octets)
            case Close():
                self._drop()
            case _:
                self._post(step)

    def _arrives(self, events: Sequence[ConnectionEvent]) -> None:
        for event in events:
            if isinstance(event, Received):
                pieces = range(0, len(event.octets), STEP_OCTETS)
                self._arrived += [Received(event.octets[at : at + STEP_OCTETS]) for at in pieces]
            else:
                self._arrived.append(event)

    def _take_arrived(self) -> None:
        """One step of what came. Of a connection that is gone everything: no question goes into a dead one."""
        if self._arrived and not isinstance(self._arrived[-1], Lost):
            self._happened(self._arrived.popleft())
        while self._arrived and isinstance(self._arrived[-1], Lost):
            self._happened(self._arrived.popleft())

    def _happened(self, event: ConnectionEvent) -> None:
        now_us = self._now_us()
        match event:
            case Made():
                self._perform(self._session.connection_made(now_us))
            case Received(octets):
                self._perform(self._session.receive_data(octets, now_us))
            case Lost(reason):
                self._connection = None
                self._perform(self._session.connection_lost(reason, now_us))

    def _drop(self) -> None:
        """What it still had to say belongs to nothing."""
        self._wanted = ""
        self._arrived.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self, endpoint: str) -> None:
        host, port = self._places[endpoint]
        address = _literal(host, port)
        self._wanted = endpoint
        if address is not None:
            self._resolved(_Resolved(endpoint, (address,)))
            return
        threading.Thread(target=self._resolve, args=(endpoint, host, port), name="host-name", daemon=True).start()

    def _resolve(self, endpoint: str, host: str, port: int) -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            self._put(_Resolved(endpoint, tuple((family, address) for family, _, _, _, address in found)))
        except OSError as error:
            self._put(_Resolved(endpoint, (), f"name: {error.strerror}"))

    def _resolved(self, resolved: _Resolved) -> None:
        self._wanted = ""
        if not resolved.addresses:
            self._perform(self._session.connection_lost(resolved.reason, self._now_us()))
            return
        connection = TlsConnection(
            resolved.addresses,
            self._context,
            self._server_name,
            self._selector,
            lambda handshaken: self._refuse_dates(handshaken, resolved.endpoint),
        )
        self._connection = connection
        self._arrives(connection.start())

    def _refuse_dates(self, connection: ssl.SSLSocket, endpoint: str) -> str:
        trusted = self._context.get_ca_certs(binary_form=True)
        refusal = date_refusal(verified_chain(connection), trusted, self._clock.surely_past())
        return f"{refusal} ({endpoint})" if refusal else ""


def parse_endpoint(url: str) -> tuple[str, int]:
    """`tls://host:port` -> host and port. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or port is None or parts.scheme != "tls" or parts.path or parts.query:
        raise ConfigError(f"{url!r} is no endpoint", where="host", next_step="write it like tls://host.example:8583")
    return host, port


def _literal(host: str, port: int) -> Address | None:
    """The address if `host` is one, so that no resolver is asked."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return None
    return (socket.AF_INET, (host, port)) if version == 4 else (socket.AF_INET6, (host, port, 0, 0))


def _context(tls: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    leave_dates_to_us(context)
    for path in (tls.ca, tls.certificate, tls.key):
        if not os.access(path, os.R_OK):
            raise ConfigError("cannot be read", where=str(path))
    try:
        context.load_verify_locations(tls.ca)
        context.load_cert_chain(tls.certificate, tls.key, password="")
    except ssl.SSLError as error:
        raise ConfigError(f"not usable: {error.reason}", where=f"{tls.ca}, {tls.certificate}, {tls.key}") from None
    return context
