"""Serving the web faces from a thread of their own, on a loopback port that may be chosen by the system."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading

import uvicorn
from starlette.applications import Starlette

from taptill.errors import ConfigError

STOP_WAIT_S = 3.0
CONNECTIONS_MAX = 128


class _Server(uvicorn.Server):
    """Tells those who stream for ever that it is over, before they are cut off."""

    def __init__(self, config: uvicorn.Config, closing: asyncio.Event) -> None:
        super().__init__(config)
        self._closing = closing

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._closing.set()
        await super().shutdown(sockets)


class WebFaces:
    """Listening from the moment it is made; `port` is the one in use. `app.state.closing` is set when it ends."""

    def __init__(self, app: Starlette, listen: str) -> None:
        host, _, port = listen.rpartition(":")
        _refuse_other_than_loopback(host, listen)
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, int(port)))
            self._socket.listen()  # who connects before the server runs waits in the backlog
        except (OSError, OverflowError, ValueError) as error:
            raise ConfigError(f"cannot listen on {listen!r}: {error}", where="ecr_listen") from error
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            limit_concurrency=CONNECTIONS_MAX,
            timeout_graceful_shutdown=1,
        )
        app.state.closing = asyncio.Event()
        self._server = _Server(config, app.state.closing)
        self._thread = threading.Thread(target=self._run, name="web", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(STOP_WAIT_S)


def _refuse_other_than_loopback(host: str, listen: str) -> None:
    """These faces ask nobody who they are, so they are for programs of this machine."""
    try:
        if ipaddress.IPv4Address(host).is_loopback:
            return
    except ValueError:
        pass
    raise ConfigError(f"{listen!r} is no address of this machine's loopback", where="ecr_listen", next_step="127.0.0.1")
