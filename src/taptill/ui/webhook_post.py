"""One HTTP POST to a receiver of webhooks.

Comes in: a body, its signature. Goes out: what became of it, as a value. Strategy: a connection of its own for each,
as payments are seconds apart; certificates are verified, redirects are not followed, and only the status is read. Each
step has a time-out and all of them together have a deadline, after which the connection is cut.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import os
import socket
import ssl
import stat
import threading
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

from taptill.errors import TapTillError

STEP_S = 5.0
POST_S_MAX = 10.0
SECRET_OCTETS_MIN, SECRET_OCTETS_MAX = 16, 1024
SIGNATURE_HEADER = "TapTill-Signature"
RESULT_CHARACTERS_MAX = 200
_OTHERS_MAY = 0o077
_NOT_THIS_ONE_NOW = frozenset({408, 425, 500, 501})  # about one request; 429, 502 and the like are about them all
_NOBODY_NOW = 429


class SecretUnusable(TapTillError):
    """Nothing can be signed, so nothing is sent."""

    code = 7006


class Verdict(Enum):
    TAKEN = "taken"
    REFUSED = "refused"  # it will not take it later either
    NOT_NOW = "not now"  # this one; others may pass
    ABSENT = "absent"  # no use trying another


@dataclass(frozen=True, slots=True)
class Posted:
    """`result` is for people: `HTTP 200`, `ConnectionRefusedError: …`."""

    verdict: Verdict
    result: str


def read_secret(path: Path) -> bytes:
    """The file's content without white space around it. Raises SecretUnusable."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            secret = file.read(SECRET_OCTETS_MAX + 1).strip()
    except OSError as error:
        raise SecretUnusable(error.strerror or "it cannot be read", where=str(path)) from error
    if mode & _OTHERS_MAY:
        raise SecretUnusable("others may read it", where=str(path), next_step=f"chmod 600 {path}")
    if not SECRET_OCTETS_MIN <= len(secret) <= SECRET_OCTETS_MAX:
        wanted = f"{SECRET_OCTETS_MIN} to {SECRET_OCTETS_MAX}"
        raise SecretUnusable(f"it holds {len(secret)} bytes, not {wanted}", where=str(path))
    return secret


def signature(secret: bytes, at_ms: int, body: bytes) -> str:
    """The header's value: HMAC-SHA256 over the time in decimal digits, a full stop and the body."""
    return f"t={at_ms},v1={hmac.new(secret, f'{at_ms}.'.encode() + body, hashlib.sha256).hexdigest()}"


class Poster:
    """For one receiver. `post` is called by one thread, `cut` by any."""

    def __init__(self, url: str, post_s_max: float = POST_S_MAX) -> None:
        place = urlsplit(url)
        self._host, self._port = str(place.hostname), place.port
        self._encrypted = place.scheme == "https"
        self._target = (place.path or "/") + (f"?{place.query}" if place.query else "")
        self._post_s_max = post_s_max
        self._connection: http.client.HTTPConnection | None = None

    def post(self, body: bytes, signed: str) -> Posted:
        """Ends within the deadline, but for a resolver of names that takes longer."""
        self._connection = connection = self._connect()
        end = threading.Timer(self._post_s_max, self.cut)
        end.daemon = True
        end.start()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": f"TapTill/{version('taptill')}",
            SIGNATURE_HEADER: signed,
            "Connection": "close",
        }
        try:
            connection.request("POST", self._target, body, headers)
            return judge(connection.getresponse())
        except (OSError, http.client.HTTPException, ValueError) as error:
            told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            return Posted(Verdict.ABSENT, told[:RESULT_CHARACTERS_MAX])
        finally:
            end.cancel()
            self._connection = None
            connection.close()

    def cut(self) -> None:
        """Whatever is under way ends now, as if the receiver had gone."""
        sock = getattr(self._connection, "sock", None)
        if sock is not None:
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # of the TCP connection, under TLS too

    def _connect(self) -> http.client.HTTPConnection:
        if not self._encrypted:
            return http.client.HTTPConnection(self._host, self._port, timeout=STEP_S)
        context = ssl.create_default_context()  # verifies certificate and name
        return http.client.HTTPSConnection(self._host, self._port, timeout=STEP_S, context=context)


def judge(response: http.client.HTTPResponse) -> Posted:
    """2xx is taken and a 4xx that speaks of the request is final; everything else may be better later."""
    status = response.status
    told = f"HTTP {status}"
    if 200 <= status < 300:
        return Posted(Verdict.TAKEN, told)
    if 300 <= status < 400:
        return Posted(Verdict.ABSENT, f"{told}: redirects are not followed")
    if status in _NOT_THIS_ONE_NOW:
        return Posted(Verdict.NOT_NOW, told)
    if 400 <= status < 500 and status != _NOBODY_NOW:
        return Posted(Verdict.REFUSED, told)
    return Posted(Verdict.ABSENT, told)
