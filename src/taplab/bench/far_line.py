"""A line with a round trip, as a process of its own: the lab's network, and how long a round trip over it takes.

Comes in: where it leads to, the delay each way. Goes out: the port to connect to, and in the bench itself the measured
round trip. Strategy: the line delays and does not narrow: messages sent in one burst come back together, one round trip
later, in their order; `trip` looks whether that is so before anything is measured over it.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from taplab.child import Child
from taplab.network import LabNetwork
from taptill.errors import TapTillError

MESSAGE_OCTETS = 388  # of a message of a sale
BURST = 32
PINGS, BURSTS = 9, 3
ECHO_WAIT_S = 10.0


class LineNarrows(TapTillError):
    """The line holds messages back beyond its delay, or changes their order: nothing can be measured over it."""

    code = 6105


@dataclass(frozen=True, slots=True)
class Trip:
    """Measured, in seconds: one message alone, and the last of a burst."""

    alone_s: float
    burst_s: float


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="far_line", description=__doc__)
    parser.add_argument("--target", required=True, metavar="HOST:PORT")
    parser.add_argument("--delay-ms", type=int, required=True)
    options = parser.parse_args(arguments)
    name, _, port = options.target.rpartition(":")
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    with LabNetwork((name, int(port))) as line:
        line.delay_ms = options.delay_ms
        print(json.dumps({"listening": f"127.0.0.1:{line.port}"}), flush=True)
        stopped.wait()
    return 0


@contextmanager
def far_line(target: str, delay_ms: int, log: Path) -> Iterator[str]:
    """The address of a line to `target`."""
    child = Child("line", "taplab.bench.far_line", ["--target", target, "--delay-ms", str(delay_ms)], log)
    try:
        yield child.start()["listening"]
    finally:
        child.stop()


def trip(delay_ms: int, log: Path) -> Trip:
    """Over a line of this delay to an echo. Raises LineNarrows."""
    with _echo() as target, far_line(target, delay_ms, log) as address:
        name, _, port = address.rpartition(":")
        with socket.create_connection((name, int(port)), ECHO_WAIT_S) as line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            alone_s = median(_sent_and_back(line, 1) for _ in range(PINGS))
            burst_s = median(_sent_and_back(line, BURST) for _ in range(BURSTS))
    if burst_s > 1.5 * alone_s:
        raise LineNarrows(f"{BURST} messages take {burst_s:.3f} s, one takes {alone_s:.3f} s", where="bench line")
    return Trip(alone_s, burst_s)


def _sent_and_back(line: socket.socket, messages: int) -> float:
    """Raises LineNarrows when they come in another order."""
    sent = b"".join(bytes([number]) * MESSAGE_OCTETS for number in range(messages))
    began = time.perf_counter()
    for at in range(0, len(sent), MESSAGE_OCTETS):
        line.sendall(sent[at : at + MESSAGE_OCTETS])
    came = bytearray()
    while len(came) < len(sent):
        came += line.recv(1 << 16)
    taken_s = time.perf_counter() - began
    if bytes(came) != sent:
        raise LineNarrows("messages change their order", where="bench line")
    return taken_s


@contextmanager
def _echo() -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, suppress(OSError):  # the line is reset in the end
            while octets := connection.recv(1 << 16):
                connection.sendall(octets)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
