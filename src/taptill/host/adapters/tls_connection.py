"""One TLS connection over a non-blocking socket, from the first address tried to the last byte.

Comes in: the addresses of one endpoint, a TLS context, readiness of the socket. Goes out: `Made`, `Received`, `Lost`.
Strategy: nothing blocks. In TLS 1.3 a server tells its opinion of our certificate after our handshake is over, so the
connection counts as made only when the server has spoken since, or has had time to: a refused certificate then costs
nobody an unknown payment.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

SERVER_VERDICT_WAIT_US = 150_000
RECEIVE_OCTETS_MAX = 16_384
KEEPALIVE_IDLE_S = 30
KEEPALIVE_INTERVAL_S = 10
KEEPALIVE_PROBES = 3
UNACKNOWLEDGED_MS_MAX = 20_000

Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Made:
    """Application bytes may flow."""


@dataclass(frozen=True, slots=True)
class Received:
    octets: bytes


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection broke or could not be made. It is closed already."""

    reason: str


ConnectionEvent = Made | Received | Lost


class _Phase(Enum):
    CONNECTING = "connecting"
    HANDSHAKING = "handshaking"
    SETTLING = "settling"
    UP = "up"
    CLOSED = "closed"


class TlsConnection:
    """Registers itself with `selector` under `self`; call `ready` when that fires, `tick` at `next_tick_us`."""

    def __init__(
        self,
        addresses: Sequence[Address],
        context: ssl.SSLContext,
        server_name: str,
        selector: selectors.BaseSelector,
        refuse: Callable[[ssl.SSLSocket], str],
    ) -> None:
        """`refuse` looks at the host after its certificate was verified: a reason, or empty."""
        self._addresses = list(addresses)
        self._context = context
        self._server_name = server_name
        self._selector = selector
        self._refuse = refuse
        self._socket: socket.socket | None = None
        self._tls: ssl.SSLSocket | None = None
        self._phase = _Phase.CLOSED
        self._outgoing = bytearray()
        self._settled_at_us: int | None = None

    def start(self) -> list[ConnectionEvent]:
        """Begins with the first address."""
        return self._try_next_address("no address")

    def send(self, octets: bytes) -> None:
        """Keeps the bytes until the next `flush`."""
        self._outgoing += octets

    def flush(self) -> list[ConnectionEvent]:
        """Writes what the socket takes now."""
        return self._guarded(self._write) if self._phase is _Phase.UP and self._outgoing else []

    def ready(self, now_us: int) -> list[ConnectionEvent]:
        """The socket can be read or written."""
        match self._phase:
            case _Phase.CONNECTING:
                return self._connected(now_us)
            case _Phase.HANDSHAKING:
                return self._guarded(lambda: self._shake_hands(now_us))
            case _Phase.SETTLING:
                return self._guarded(self._settle)
            case _Phase.UP:
                return self.flush() + (self._receive() if self._tls else [])
        return []

    def next_tick_us(self) -> int | None:
        return self._settled_at_us

    def tick(self, now_us: int) -> list[ConnectionEvent]:
        """A server that says nothing after the handshake has accepted it."""
        if self._settled_at_us is not None and now_us >= self._settled_at_us:
            return self._up()
        return []

    def close(self) -> None:
        """Never raises."""
        self._phase = _Phase.CLOSED
        self._settled_at_us = None
        for end in (self._tls, self._socket):
            if end is not None and end.fileno() >= 0:
                self._unregister(end)
                end.close()
        self._tls = self._socket = None

    def _try_next_address(self, reason: str) -> list[ConnectionEvent]:
        while self._addresses:
            try:
                self._begin_connecting(self._addresses.pop(0))
                return []
            except OSError as refused:  # no IPv6 here, no descriptor left: the next address may do better
                reason = refused.strerror or str(refused)
            self.close()
        self.close()
        return [Lost(reason)]

    def _begin_connecting(self, address: Address) -> None:
        """Raises OSError."""
        family, place = address
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        _tune(self._socket)
        result = self._socket.connect_ex(place)
        if result not in (0, errno.EINPROGRESS):
            raise OSError(result, os.strerror(result))
        self._phase = _Phase.CONNECTING
        self._selector.register(self._socket, selectors.EVENT_WRITE, self)

    def _connected(self, now_us: int) -> list[ConnectionEvent]:
        assert self._socket is not None
        failure = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failure:
            self.close()
            return self._try_next_address(os.strerror(failure))
        return self._guarded(lambda: self._begin_tls(now_us))

    def _begin_tls(self, now_us: int) -> list[ConnectionEvent]:
        assert self._socket is not None
        self._selector.unregister(self._socket)
        self._tls = self._context.wrap_socket(
            self._socket, server_hostname=self._server_name, do_handshake_on_connect=False
        )
        self._selector.register(self._tls, selectors.EVENT_READ, self)
        self._phase = _Phase.HANDSHAKING
        return self._shake_hands(now_us)

    def _shake_hands(self, now_us: int) -> list[ConnectionEvent]:
        assert self._tls is not None
        self._tls.do_handshake()
        refusal = self._refuse(self._tls)
        if refusal:
            self.close()
            return [Lost(f"tls: {refusal}")]
        self._watch(selectors.EVENT_READ)
        self._phase = _Phase.SETTLING
        self._settled_at_us = now_us + SERVER_VERDICT_WAIT_US
        return []

    def _settle(self) -> list[ConnectionEvent]:
        """Session tickets leave the read without data: the server has accepted us. An alert is raised by it."""
        received = self._receive()
        return received if any(isinstance(event, Lost) for event in received) else self._up() + received

    def _up(self) -> list[ConnectionEvent]:
        self._phase = _Phase.UP
        self._settled_at_us = None
        return [Made()]

    def _receive(self) -> list[ConnectionEvent]:
        assert self._tls is not None
        events: list[ConnectionEvent] = []
        while True:
            try:
                octets = self._tls.recv(RECEIVE_OCTETS_MAX)
            except ssl.SSLWantReadError:
                return events
            except (ssl.SSLError, OSError) as error:
                return [*events, *self._lose(error)]
            if not octets:
                return [*events, *self._lose(ConnectionResetError(0, "closed by the host"))]
            events.append(Received(octets))

    def _write(self) -> list[ConnectionEvent]:
        assert self._tls is not None
        while self._outgoing:
            sent = self._tls.send(self._outgoing)
            del self._outgoing[:sent]
        self._watch(selectors.EVENT_READ)
        return []

    def _guarded(self, work: Callable[[], list[ConnectionEvent]]) -> list[ConnectionEvent]:
        """TLS asks for either direction at any time; everything else it raises is the end."""
        try:
            return work()
        except ssl.SSLWantReadError:
            self._watch(selectors.EVENT_READ)
        except ssl.SSLWantWriteError:
            self._watch(selectors.EVENT_READ | selectors.EVENT_WRITE)
        except (ssl.SSLError, OSError) as error:
            return self._lose(error)
        return []

    def _lose(self, error: OSError) -> list[ConnectionEvent]:
        during = "" if self._phase is _Phase.UP else "tls: "
        self.close()
        return [Lost(during + describe_failure(error))]

    def _watch(self, events: int) -> None:
        if self._tls is not None:
            self._selector.modify(self._tls, events, self)

    def _unregister(self, end: socket.socket) -> None:
        if end in self._selector.get_map():
            self._selector.unregister(end)


def describe_failure(error: OSError) -> str:
    """What went wrong in words for a technician; nothing of the content of a message."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"server certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return "closed by the host"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "protocol error").replace("_", " ").lower()
        ours = "alert" in reason and ("certificate" in reason or "unknown ca" in reason)
        return f"client certificate refused: {reason}" if ours else reason
    return error.strerror or type(error).__name__


def _tune(end: socket.socket) -> None:
    """One small message must not wait for another, and a dead peer must be noticed without one."""
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS_MAX)
