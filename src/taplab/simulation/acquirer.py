"""The host's end of the simulated network: the real acquirer behind connections, one message at a time.

Comes in: bytes of connections, and what is to go wrong with the message in them. Goes out: answers, through the wires.
Strategy: the rules of `taphost/server.py` on virtual time: a length that no message has or an unreadable message closes
the connection, a partial frame is never looked at, one message is served after the other and committed before its
answer leaves. What waits in the queue of a host that restarts is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

from taphost.acquirer import Acquirer
from taphost.config import HostConfig
from taphost.errors import UnreadableMessage
from taphost.message_keys import MessageKeys
from taphost.store import Store
from taphost.wire import read_incoming, seal_reply
from taplab.simulation.agenda import MORNING_MS, Agenda
from taplab.simulation.schedule import Fault, Kind
from taplab.simulation.story import Story
from taplab.simulation.wires import Connection, Wires
from taptill.host.codec import decode_message, encode_message, mac_input, unwrap
from taptill.host.framing import LENGTH_OCTETS, BrokenFrame, FrameReader, frame

HOST = "host"  # owner of what is forgotten when the host restarts
HOST_US = 5_000
HOST_IDLE_US = 60_000_000
DUPLICATE_CODE = "94"
FORMAT_ERROR_CODE = "30"
_RESPONSE_CODE = 39


@dataclass(slots=True)
class _Peer:
    """One open connection as the host sees it."""

    wires: Wires
    connection: Connection
    heard_us: int
    reader: FrameReader = field(default_factory=FrameReader)


class SimHost:
    """A `HostEnd`. Its clock is right, whatever the terminal's does; `store` keeps the books over a restart."""

    def __init__(self, config: HostConfig, store: Store, agenda: Agenda, story: Story) -> None:
        self._acquirer = Acquirer(config, store, lambda: MORNING_MS + agenda.now_us // 1000)
        self._bdk = bytes.fromhex(config.bdk)
        self._agenda = agenda
        self._story = story
        self._peers: dict[int, _Peer] = {}
        self._free_at_us = 0
        self._poison: list[bytes] = []

    def accepted(self, wires: Wires, connection: Connection) -> None:
        peer = _Peer(wires, connection, self._agenda.now_us)
        self._peers[connection.number] = peer
        self._agenda.after(HOST_IDLE_US, partial(self._close_if_idle, peer), HOST)

    def received(self, wires: Wires, connection: Connection, octets: bytes, fault: Fault | None) -> None:
        peer = self._peers[connection.number]
        peer.heard_us = self._agenda.now_us
        try:
            while bodies := peer.reader.receive_data(octets):
                octets = b""
                for body in bodies:
                    self._accept(wires, connection, body, fault)
        except BrokenFrame as error:
            self._close(wires, connection, error.what)

    def received_apart(self, wires: Wires, connection: Connection, octets: bytes) -> None:
        self._accept(wires, connection, octets[LENGTH_OCTETS:], None)

    def lost(self, connection: Connection) -> None:
        self._peers.pop(connection.number, None)

    def poisoned(self) -> set[tuple[int, int]]:
        """Batch and STAN of the messages that are never answered."""
        return {(incoming.batch, incoming.stan) for incoming in map(read_incoming, self._poison)}

    def heal(self) -> None:
        """From now on every message is looked at."""
        self._poison.clear()

    def _accept(self, wires: Wires, connection: Connection, body: bytes, fault: Fault | None) -> None:
        """A whole message: refused at once, or in line."""
        kind = fault.kind if fault else None
        if kind is Kind.POISON:
            self._poison.append(body)
        if body in self._poison:
            return
        if kind in {Kind.BUSY, Kind.REFUSES}:
            self._answer_unread(wires, connection, body, kind is Kind.REFUSES)
        elif fault is not None and kind is Kind.SLOW_HOST:
            self._agenda.after(fault.value * 1000, partial(self._queue, wires, connection, body, None), HOST)
        else:
            self._queue(wires, connection, body, kind)

    def _queue(self, wires: Wires, connection: Connection, body: bytes, kind: Kind | None) -> None:
        self._free_at_us = max(self._free_at_us, self._agenda.now_us) + HOST_US
        serve = partial(self._serve, wires, connection, body, kind)
        self._agenda.after(self._free_at_us - self._agenda.now_us, serve, HOST)

    def _serve(self, wires: Wires, connection: Connection, body: bytes, kind: Kind | None) -> None:
        """Commits, then answers."""
        try:
            reply = self._acquirer.answer(body)
        except UnreadableMessage as error:
            self._close(wires, connection, error.what)
            return
        if kind is Kind.HOST_RESTART:
            self._restart()
        elif kind is not Kind.SILENT:
            wires.answer(
                connection, frame(self._recoded(body, reply, DUPLICATE_CODE) if kind is Kind.DUPLICATE else reply)
            )

    def _answer_unread(self, wires: Wires, connection: Connection, body: bytes, for_good: bool) -> None:
        """Without a place in line, and nothing is booked: busy, or never to be taken."""
        try:
            reply = self._acquirer.busy(body)
            wires.answer(connection, frame(self._recoded(body, reply, FORMAT_ERROR_CODE) if for_good else reply))
        except UnreadableMessage as error:
            self._close(wires, connection, error.what)

    def _recoded(self, body: bytes, reply: bytes, code: str) -> bytes:
        """The reply with another code and a genuine MAC."""
        incoming = read_incoming(body)
        message = decode_message(unwrap(reply).message)
        changed = replace(message, fields=dict(message.fields) | {_RESPONSE_CODE: code})
        return seal_reply(incoming, mac_input(encode_message(changed)), MessageKeys(self._bdk, incoming.private.ksn))

    def _restart(self) -> None:
        self._story.tell("the host restarts")
        self._agenda.forget(HOST)
        self._free_at_us = self._agenda.now_us
        for peer in tuple(self._peers.values()):
            self._close(peer.wires, peer.connection, "the host restarts")

    def _close_if_idle(self, peer: _Peer) -> None:
        if self._peers.get(peer.connection.number) is not peer:
            return
        left_us = peer.heard_us + HOST_IDLE_US - self._agenda.now_us
        if left_us > 0:
            self._agenda.after(left_us, partial(self._close_if_idle, peer), HOST)
        else:
            self._close(peer.wires, peer.connection, "nothing was heard for a minute")

    def _close(self, wires: Wires, connection: Connection, reason: str) -> None:
        if self._peers.pop(connection.number, None) is None:
            return
        if self._story.told:
            self._story.tell(f"the host closes connection {connection.number}: {reason}")
        wires.drop(connection)
