"""The network between a terminal and its host, with the faults that networks of shops have.

Comes in: the address of a host, and orders given while traffic runs. Goes out: a loopback port that passes bytes both
ways, below TLS, and fails as ordered: down, silent, slow, cut at a byte, or one reply lost after the host has acted.
Strategy: one thread owns every socket; an order is run by that thread and has happened when its method returns. The
port stays ours while the network is down, so a terminal finds it again. Cuts are resets, as a dying router makes them.
"""

from __future__ import annotations

import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable
from enum import Enum
from types import TracebackType
from typing import Self

from taplab.network_flow import Connection, Cut, Flow, Mark, reset
from taptill.errors import TapTillError

CHUNK_BYTES_MAX = 65_536
CONNECT_WAIT_S = 2.0
ORDER_WAIT_S = 10.0
IDLE_WAIT_S = 60.0
REPLY_OVER_AFTER_MS = 60  # a reply has ended when nothing more of it came for so long


class NetworkStopped(TapTillError):
    """An order came after the lab's network was closed, or the network did not carry it out in time."""


class _State(Enum):
    UP = "up"
    DOWN = "down"
    BLACKHOLE = "blackhole"


def _claim_port() -> socket.socket:
    """A free loopback port, bound but not listening: nobody else is given it while the network is down."""
    claim = socket.socket()
    claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    claim.bind(("127.0.0.1", 0))
    return claim


class LabNetwork:
    """Use as a context manager. Up from the start; `target` is connected to for each connection that is accepted.

    `delay_ms` may be set at any time and holds back each chunk, each way, from then on. Counters: `bytes_to_server`,
    `bytes_to_client` (passed on), `replies_lost` (swallowed).
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.delay_ms = 0
        self.bytes_to_server = 0
        self.bytes_to_client = 0
        self.replies_lost = 0
        self._claim = _claim_port()
        self.port: int = self._claim.getsockname()[1]
        self._listener = self._listen()
        self._state = _State.UP
        self._cut: Cut | None = None
        self._loss_ordered = False
        self._down_after_fault = False
        self._connections: list[Connection] = []
        self._selector = selectors.DefaultSelector()
        self._orders: queue.SimpleQueue[tuple[Callable[[], None], threading.Event]] = queue.SimpleQueue()
        self._bell, self._bell_rope = socket.socketpair()
        self._bell.setblocking(False)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"lab network {self.port}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    @property
    def url(self) -> str:
        return f"tls://127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    def up(self) -> None:
        """Listen and pass again; what a black hole held back is passed on now."""
        self._order(lambda: self._become(_State.UP))

    def down(self) -> None:
        """Reset every connection and refuse new ones."""
        self._order(lambda: self._become(_State.DOWN))

    def blackhole(self) -> None:
        """Connections are taken and kept, and nothing passes."""
        self._order(lambda: self._become(_State.BLACKHOLE))

    def lose_next_reply(self, *, then_down: bool = False) -> None:
        """The host acts and its reply gets lost: what it says next on a settled connection is swallowed, then that
        connection is reset. Settled: the host has spoken on it, and a request came after SETTLED_AFTER_MS of quiet; so
        a TLS greeting is never taken for a reply.
        """
        self._order(lambda: self._arm(None, loss=True, then_down=then_down))

    def cut_after(
        self, *, client_bytes: int | None = None, server_bytes: int | None = None, then_down: bool = False
    ) -> None:
        """Pass exactly so many more bytes of one side (counted from now, over all connections), then reset the
        connection they were on. With 0 the next byte that wants to pass is not passed."""
        if (client_bytes is None) == (server_bytes is None):
            raise ValueError("cut_after: name the bytes of exactly one side")
        cut = Cut("server", client_bytes) if client_bytes is not None else Cut("client", server_bytes or 0)
        self._order(lambda: self._arm(cut, loss=False, then_down=then_down))

    def close(self) -> None:
        """Reset everything and give the port back. Safe to call twice."""
        if self._thread.is_alive():
            self._order(self._stop)
            self._thread.join(ORDER_WAIT_S)

    def _order(self, act: Callable[[], None]) -> None:
        if not self._thread.is_alive():
            raise NetworkStopped("the network is closed", where=f"lab network {self.port}")
        happened = threading.Event()
        self._orders.put((act, happened))
        self._bell_rope.send(b"!")
        if not happened.wait(ORDER_WAIT_S):
            raise NetworkStopped(f"no answer in {ORDER_WAIT_S:.0f} s", where=f"lab network {self.port}")

    def _stop(self) -> None:
        self._stopping = True

    def _become(self, state: _State) -> None:
        if state is _State.DOWN and self._state is not _State.DOWN:
            self._unwatch(self._listener)
            self._listener.close()
            for connection in list(self._connections):
                self._drop(connection)
        elif state is not _State.DOWN and self._state is _State.DOWN:
            self._listener = self._listen()
        self._state = state

    def _listen(self) -> socket.socket:
        listener = socket.create_server(self.address)
        listener.setblocking(False)
        return listener

    def _arm(self, cut: Cut | None, *, loss: bool, then_down: bool) -> None:
        self._cut, self._loss_ordered, self._down_after_fault = cut, loss, then_down

    def _run(self) -> None:
        while not self._stopping:
            now = time.monotonic()
            for connection in list(self._connections):
                self._serve(connection, now)
            self._watch_all()
            for key, events in self._selector.select(self._wait_s()):
                key.data(events)
        for connection in list(self._connections):
            self._drop(connection)
        self._selector.close()
        for sock in (self._listener, self._claim, self._bell, self._bell_rope):
            sock.close()
        self._answer_orders()

    def _serve(self, connection: Connection, now: float) -> None:
        """End a loss whose reply is over; pass on what is due."""
        if connection.losing_until is not None and now >= connection.losing_until:
            self._fail(connection)
        elif self._state is _State.UP:
            try:
                for flow in connection.flows:
                    self._pass_on(connection, flow, now)
            except OSError:
                self._drop(connection)
            if all(flow.done for flow in connection.flows):
                self._drop(connection)

    def _pass_on(self, connection: Connection, flow: Flow, now: float) -> None:
        while flow.waiting and flow.waiting[0][0] <= now and connection in self._connections:
            what = flow.waiting[0][1]
            if what is Mark.CUT:
                self._fail(connection)
            elif what is Mark.END:
                flow.waiting.popleft()
                flow.done = True
                flow.sink.shutdown(socket.SHUT_WR)
            elif isinstance(what, bytes) and not self._send(connection, flow, what, now):
                return

    def _send(self, connection: Connection, flow: Flow, chunk: bytes, now: float) -> bool:
        try:
            count = flow.sink.send(chunk)
        except BlockingIOError:
            flow.blocked = True
            return False
        connection.active_at = now
        flow.passed(count)
        if flow.towards == "server":
            self.bytes_to_server += count
        else:
            self.bytes_to_client += count
        return True

    def _wait_s(self) -> float:
        """Until the next thing that is due."""
        dues = [c.losing_until for c in self._connections if c.losing_until is not None]
        if self._state is _State.UP:
            flows = [flow for connection in self._connections for flow in connection.flows]
            dues += [flow.waiting[0][0] for flow in flows if flow.waiting and not flow.blocked]
        return max(0.0, min(dues) - time.monotonic()) if dues else IDLE_WAIT_S

    def _watch_all(self) -> None:
        passing = self._state is _State.UP
        self._watch(self._bell, selectors.EVENT_READ, lambda _: self._answer_orders())
        if self._state is not _State.DOWN:
            # In a black hole the kernel still takes connections; they wait in the backlog.
            self._watch(self._listener, selectors.EVENT_READ if passing else 0, lambda _: self._accept())
        for connection in self._connections:
            out, back = connection.flows
            for inward, outward in ((out, back), (back, out)):
                wants = selectors.EVENT_READ if passing and inward.wants_more() else 0
                wants |= selectors.EVENT_WRITE if passing and outward.blocked else 0
                self._watch(inward.source, wants, self._ready(connection, inward, outward))

    def _watch(self, sock: socket.socket, wants: int, act: Callable[[int], None]) -> None:
        watched = self._selector.get_map().get(sock)
        if not wants:
            self._unwatch(sock)
        elif watched is None:
            self._selector.register(sock, wants, act)
        elif watched.events != wants:
            self._selector.modify(sock, wants, act)

    def _unwatch(self, sock: socket.socket) -> None:
        if sock in self._selector.get_map():
            self._selector.unregister(sock)

    def _ready(self, connection: Connection, inward: Flow, outward: Flow) -> Callable[[int], None]:
        def act(events: int) -> None:
            if events & selectors.EVENT_WRITE:
                outward.blocked = False
            if events & selectors.EVENT_READ and connection in self._connections:
                self._read(connection, inward)

        return act

    def _answer_orders(self) -> None:
        if not self._stopping:
            self._bell.recv(CHUNK_BYTES_MAX)
        while not self._orders.empty():
            act, happened = self._orders.get()
            act()
            happened.set()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            return  # gone again, or the listener was closed in this very round
        try:
            server = socket.create_connection(self.target, timeout=CONNECT_WAIT_S)
        except OSError:
            reset(client)
            return
        for sock in (client, server):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.append(Connection(client, server, time.monotonic()))

    def _read(self, connection: Connection, flow: Flow) -> None:
        if self._state is not _State.UP:
            return
        try:
            chunk = flow.source.recv(CHUNK_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            self._drop(connection)
            return
        now = time.monotonic()
        due = now + self.delay_ms / 1000
        if not chunk:
            flow.ended = True
            if connection.losing_until is None:
                flow.put(due, Mark.END)
            return
        connection.note(flow, now)
        if self._loses(connection, flow):
            connection.losing_until = now + REPLY_OVER_AFTER_MS / 1000
        else:
            self._put(flow, due, chunk)

    def _loses(self, connection: Connection, flow: Flow) -> bool:
        if flow.towards == "server":
            return False
        if self._loss_ordered and connection.settled:
            self._loss_ordered = False
            self.replies_lost += 1
            return True
        return connection.losing_until is not None

    def _put(self, flow: Flow, due: float, chunk: bytes) -> None:
        cut = self._cut
        if cut is None or cut.towards != flow.towards:
            flow.put(due, chunk)
        elif len(chunk) < cut.bytes_left:
            cut.bytes_left -= len(chunk)
            flow.put(due, chunk)
        else:
            self._cut = None
            flow.ended = True
            if cut.bytes_left:
                flow.put(due, chunk[: cut.bytes_left])
            flow.put(due, Mark.CUT)

    def _fail(self, connection: Connection) -> None:
        """The ordered fault has struck."""
        self._drop(connection)
        if self._down_after_fault:
            self._down_after_fault = False
            self._become(_State.DOWN)

    def _drop(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            for sock in connection.sockets:
                self._unwatch(sock)
                if all(flow.done for flow in connection.flows):
                    sock.close()
                else:
                    reset(sock)
