"""A command's way to the terminal that runs: the local API, as any cash register uses it.

Comes in: a configuration, or the address that `taptill run` printed. Goes out: JSON, or an error that says what to do.
Strategy: plain HTTP on loopback with a deadline; a refusal of the terminal is told in the terminal's own words.
"""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from taptill.errors import ConfigError, TapTillError

ANSWER_WAIT_S = 15.0


class NoTerminal(TapTillError):
    """Nobody answers at the terminal's address."""

    code = 7004


class TerminalRefused(TapTillError):
    """The terminal answered and does not do it."""

    code = 7005


class TerminalClient:
    """One running terminal. `url` wins over the configuration's `ecr_listen`, which may leave the port to the system.
    Raises ConfigError when neither names a port."""

    def __init__(self, ecr_listen: str, url: str = "") -> None:
        try:
            place = urlsplit(url or f"http://{ecr_listen}")
            self._host, self._port = place.hostname or "", place.port or 0
        except ValueError as error:
            raise ConfigError(str(error), where="--url") from error
        if not self._port:
            said = "its port is left to the system" if not url else f"{url!r} names no port"
            raise ConfigError(said, where="ecr_listen", next_step="name it with --url, as taptill run printed it")
        self.url = f"http://{self._host}:{self._port}"

    def get(self, path: str) -> Any:
        """Raises NoTerminal, TerminalRefused."""
        return self._call("GET", path, None)

    def post(self, path: str, body: object = None) -> Any:
        """Raises NoTerminal, TerminalRefused."""
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: object) -> Any:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_WAIT_S)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            document = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            what = f"no terminal answers: {error}"
            raise NoTerminal(what, where=self.url, next_step="start it: taptill run") from error
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise _refused(document, f"{method} {path}")
        return document


def _refused(document: Any, where: str) -> TerminalRefused:
    error = document.get("error", {}) if isinstance(document, dict) else {}
    what, code = error.get("what", "it gave no reason"), error.get("code", "")
    return TerminalRefused(f"{what} [{code}]", where=where, next_step=error.get("next_step", ""))
