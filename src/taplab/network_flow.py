"""One connection through the lab's network: two flows, each a queue of chunks that wait for their time.

Comes in: what was read, and when it may be passed on. Goes out: what to send, where a stream ends, where it is cut.
Strategy: no waiting and no reading here; `network` owns the sockets' events and the faults.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Literal

WAITING_BYTES_MAX = 1 << 20  # held back per direction before the sender feels it
SETTLED_AFTER_MS = 250  # a connection this long quiet has finished greeting: what comes next is a request
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Mark(Enum):
    """What can stand in a queue beside bytes."""

    END = "the sender has finished"
    CUT = "cut the connection here"


Towards = Literal["server", "client"]


@dataclass(slots=True)
class Cut:
    towards: Towards
    bytes_left: int


class Flow:
    """One direction of a connection: what was read and waits for its time to be passed on."""

    def __init__(self, source: socket.socket, sink: socket.socket, towards: Towards) -> None:
        self.source = source
        self.sink = sink
        self.towards: Towards = towards
        self.waiting: deque[tuple[float, bytes | Mark]] = deque()
        self.waiting_bytes = 0
        self.ended = False  # the source sent its end
        self.done = False  # and the sink was told
        self.blocked = False  # the sink's buffer is full

    def put(self, due: float, what: bytes | Mark) -> None:
        self.waiting.append((due, what))
        if isinstance(what, bytes):
            self.waiting_bytes += len(what)

    def wants_more(self) -> bool:
        return not self.ended and self.waiting_bytes < WAITING_BYTES_MAX

    def passed(self, count: int) -> None:
        """`count` bytes of the first chunk are through."""
        due, chunk = self.waiting.popleft()
        self.waiting_bytes -= count
        if isinstance(chunk, bytes) and count < len(chunk):
            self.waiting.appendleft((due, chunk[count:]))


class Connection:
    """A client, the host behind it, and the two flows between them."""

    def __init__(self, client: socket.socket, server: socket.socket, now: float) -> None:
        self.sockets = (client, server)
        self.flows = (Flow(client, server, "server"), Flow(server, client, "client"))
        self.answered = False  # the host has said something
        self.settled = False  # and a request came after a pause: greetings are over
        self.active_at = now
        self.losing_until: float | None = None

    def note(self, flow: Flow, now: float) -> None:
        """Bytes were read: a client's bytes after a pause settle the connection."""
        if flow.towards == "client":
            self.answered = True
        elif self.answered and now - self.active_at >= SETTLED_AFTER_MS / 1000:
            self.settled = True
        self.active_at = now


def reset(sock: socket.socket) -> None:
    """Close as a dying router does: the peer sees a reset and what was on its way is dropped."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    sock.close()
