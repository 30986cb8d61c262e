"""Serving the web faces from a thread of their own, on a loopback port that may be chosen by the system."""

from __future__ import annotations

import socket
import threading

import uvicorn
from starlette.applications import Starlette

from taptill.errors import ConfigError

START_WAIT_S = 10.0
STOP_WAIT_S = 3.0


class WebFaces:
    """Listening from the moment it is made; `port` is the one in use."""

    def __init__(self, app: Starlette, listen: str) -> None:
        host, _, port = listen.rpartition(":")
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, int(port)))
            self._socket.listen()  # who connects before the server runs waits in the backlog
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot listen on {listen!r}: {error}", where="ecr_listen") from error
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(STOP_WAIT_S)
