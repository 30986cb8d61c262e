"""The socket: TLS 1.3 with client certificates, frames of two length bytes and a message.

Comes in: connections. Goes out: one answer per message, in any order.
Strategy: the event loop reads and writes; all judging happens in one storage thread, so messages are decided one after
the other. Its queue is bounded: what comes on top is told "busy" at once and dropped. A connection that sends something
unreadable is closed with a line in the log; a message whose storage fails gets no answer at all, which is the truth.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

from taphost.acquirer import Acquirer
from taphost.config import Tls
from taphost.errors import HostConfigError, UnreadableMessage

LENGTH_OCTETS = 2
FRAME_OCTETS_MAX = 4096
QUEUE_MESSAGES_MAX = 64
CONNECTIONS_MAX = 256
HANDSHAKE_TIMEOUT_S = 10
FRAME_TIMEOUT_S = 30
IDLE_TIMEOUT_S = 900
STOP_TIMEOUT_S = 5

log = logging.getLogger("taphost")


class HostServer:
    """`queue_messages_max` messages may wait for the storage thread; 0 makes a host that is always busy."""

    def __init__(self, acquirer: Acquirer, tls: Tls, queue_messages_max: int = QUEUE_MESSAGES_MAX) -> None:
        self._acquirer = acquirer
        self._tls = tls_context(tls)
        self._queue_messages_max = queue_messages_max
        self._waiting = 0
        self._storage = ThreadPoolExecutor(max_workers=1, thread_name_prefix="taphost-storage")
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listens; port 0 takes a free one. Gives the address. Raises OSError."""
        self._server = await asyncio.start_server(
            self._accept,
            host,
            port,
            ssl=self._tls,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S,
            ssl_shutdown_timeout=STOP_TIMEOUT_S,
        )
        address = self._server.sockets[0].getsockname()
        return str(address[0]), int(address[1])

    async def stop(self) -> None:
        """Takes no more messages, lets the storage thread finish what it began, closes every connection."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await asyncio.get_running_loop().run_in_executor(None, self._storage.shutdown)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._connections) >= CONNECTIONS_MAX:
            writer.transport.abort()
            return
        self._connections.add(task)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            log.debug("a connection was closed because the host stops")
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Reads frames until the peer goes, falls silent or sends something unreadable."""
        connection: socket.socket = writer.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.TaskGroup() as answers:
                while (body := await _read_frame(reader)) is not None:
                    answers.create_task(self._answer(body, writer))
        except* UnreadableMessage as group:
            log.warning("connection closed: %s", group.exceptions[0])
        except* (OSError, TimeoutError) as group:
            log.info("connection lost: %s", type(group.exceptions[0]).__name__)
        except* Exception:
            log.exception("connection closed, a message was not answered")

    async def _answer(self, body: bytes, writer: asyncio.StreamWriter) -> None:
        if self._waiting >= self._queue_messages_max:
            reply = self._acquirer.busy(body)
        else:
            self._waiting += 1
            try:
                reply = await asyncio.get_running_loop().run_in_executor(self._storage, self._acquirer.answer, body)
            finally:
                self._waiting -= 1
        writer.write(len(reply).to_bytes(LENGTH_OCTETS, "big") + reply)
        await writer.drain()


async def _read_frame(reader: asyncio.StreamReader) -> bytes | None:
    """The next body, None where the peer ended. Raises UnreadableMessage for a length that no message has."""
    try:
        async with asyncio.timeout(IDLE_TIMEOUT_S):
            length = int.from_bytes(await reader.readexactly(LENGTH_OCTETS), "big")
        if not 0 < length <= FRAME_OCTETS_MAX:
            raise UnreadableMessage(f"a frame of {length} bytes", where="frame length")
        async with asyncio.timeout(FRAME_TIMEOUT_S):
            return await reader.readexactly(length)
    except asyncio.IncompleteReadError:
        return None


def tls_context(tls: Tls) -> ssl.SSLContext:
    """Raises HostConfigError for files that are no certificate and key."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        context.load_verify_locations(tls.client_ca)
    except (OSError, ssl.SSLError) as error:
        raise HostConfigError(f"TLS files are unusable: {type(error).__name__}", where="configuration, tls") from error
    return context
