"""A receiver of webhooks on loopback that does as it is told: answers late, wrongly, in drips, or never.

Comes in: HTTP requests. Goes out: what was received, once its signature holds, judged without the product's code.
"""

from __future__ import annotations

import hmac
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

WAIT_S = 15.0
LOOK_S = 0.02
HANG = -1  # accepts, reads, and never answers
DRIP = -2  # answers with a status line that never ends


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """That somebody hung up is no news; a failed assertion shows in what was not received."""


class Receiver:
    """`with Receiver(secret) as receiver:`; `answers` are the statuses to give, the last one for ever."""

    def __init__(self, secret: bytes, answers: Sequence[int] = (200,), port: int = 0) -> None:
        self.secret = secret
        self.answers = list(answers)
        self.location = ""
        self.got: list[dict[str, Any]] = []  # every body, accepted or not
        self.paths: list[str] = []
        self._released = threading.Event()
        self._server = _Server(("127.0.0.1", port), _handler_of(self._take, self._released))
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}/hook?key=not-for-logs"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def encrypt(self, certificate: Path, key: Path) -> None:
        """From here on it speaks TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = self.url.replace("http:", "https:")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()

    def states(self, payment_ref: str = "") -> list[str]:
        """In the order received, repeats included."""
        return [str(body["state"]) for body in self.got if payment_ref in ("", body["payment_ref"])]

    def wait_for(self, count: int) -> None:
        """Until so many requests came."""
        wait_until(lambda: len(self.got) >= count)

    def _take(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, str]:
        self.paths.append(f"{handler.command} {handler.path}")
        match = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", handler.headers["TapTill-Signature"])
        assert match is not None
        wanted = hmac.digest(self.secret, match[1].encode("ascii") + b"." + body, "sha256").hex()
        assert match[2] == wanted, "anybody could have sent it"
        assert handler.headers["Content-Type"] == "application/json"
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.got.append(json.loads(body))
        return answer, self.location


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(LOOK_S)


def _handler_of(
    take: Callable[[BaseHTTPRequestHandler, bytes], tuple[int, str]], released: threading.Event
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, location = take(self, body)
            if status == HANG:
                released.wait(WAIT_S)
            elif status == DRIP:
                self._drip()
            else:
                self.send_response(status)
                if location:
                    self.send_header("Location", location)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def do_GET(self) -> None:
            take(self, b"")

        def _drip(self) -> None:
            for octet in b"HTTP/1.1 200 " + b"." * 1000:
                if released.wait(0.1):
                    return
                self.wfile.write(bytes([octet]))

        def log_message(self, format: str, *arguments: object) -> None:
            return

    return Handler
