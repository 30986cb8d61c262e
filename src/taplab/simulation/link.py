"""The terminal's end of the simulated network: a HostLink on virtual time.

Comes in: questions. Goes out: link events through `post`, each as a happening of its own.
Strategy: the product's own session decides, as behind `TlsLink`, and its steps are performed where they arise. All that
is planned here belongs to the terminal, so that a power cut drops it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from taplab.simulation.agenda import Agenda
from taplab.simulation.wires import TERMINAL, Connection, Wires
from taptill.credential.keystore import KeyStore
from taptill.host.exchange import HostRequest, NotSent
from taptill.host.link import ExchangeEnded, LinkEvent, PostLinkEvent
from taptill.host.profile import Profile
from taptill.host.session import Close, Connect, HostSession, SendBytes, Step

ENDPOINT = "tls://host.simulated:8583"


class SimLink:
    """One per boot of the terminal. `power` raises PowerCut; it is called where a frame's fault cuts the power."""

    def __init__(
        self,
        wires: Wires,
        profile: Profile,
        keys: KeyStore,
        agenda: Agenda,
        post: PostLinkEvent,
        power: Callable[[], None],
        endpoints: Sequence[str] = (ENDPOINT,),
    ) -> None:
        self._wires = wires
        self._agenda = agenda
        self._to_loop = post
        self._power = power
        self._session = HostSession(profile, keys, endpoints)
        self._connection: Connection | None = None
        self._steps: deque[Step] = deque()
        self._performing = False
        self._closed = False
        self._tick_at_us: int | None = None
        wires.terminal_died()  # whoever listened there before was an earlier boot

    def ask(self, request: HostRequest, timeout_ms: int) -> None:
        if self._closed:
            self._post(ExchangeEnded(request, NotSent("closed")))
            return
        now_us = self._agenda.now_us
        self._perform(self._session.ask(request, now_us, now_us + timeout_ms * 1000))

    def close(self) -> None:
        self._closed = True
        self._perform(self._session.close(self._agenda.now_us))

    def made(self) -> None:
        self._perform(self._session.connection_made(self._agenda.now_us))

    def received(self, octets: bytes) -> None:
        self._perform(self._session.receive_data(octets, self._agenda.now_us))

    def lost(self, reason: str) -> None:
        self._connection = None
        self._perform(self._session.connection_lost(reason, self._agenda.now_us))

    def power_fails(self) -> None:
        """Raises PowerCut."""
        self._power()

    def _perform(self, steps: Sequence[Step]) -> None:
        """In order, also when a step has consequences of its own: those come after all that were decided before."""
        self._steps.extend(steps)
        if self._performing:
            return
        self._performing = True
        try:
            while self._steps:
                self._take(self._steps.popleft())
        finally:
            self._performing = False
        self._plan_tick()

    def _take(self, step: Step) -> None:
        match step:
            case Connect():
                self._connection = self._wires.connect(self)
            case SendBytes(octets):
                if self._connection is not None:
                    self._wires.send(self._connection, octets)
            case Close():
                self._drop()
            case _:
                self._post(step)

    def _drop(self) -> None:
        if self._connection is not None:
            self._wires.close(self._connection)
            self._connection = None

    def _post(self, event: LinkEvent) -> None:
        self._agenda.after(0, partial(self._to_loop, event), owner=TERMINAL)

    def _plan_tick(self) -> None:
        """One plan at a time: one that comes too early plans the next."""
        due_us = self._session.next_tick_us()
        if due_us is not None and (self._tick_at_us is None or due_us < self._tick_at_us):
            self._tick_at_us = due_us
            self._agenda.after(due_us - self._agenda.now_us, self._tick, owner=TERMINAL)

    def _tick(self) -> None:
        now_us, due_us = self._agenda.now_us, self._session.next_tick_us()
        if self._tick_at_us is not None and self._tick_at_us <= now_us:
            self._tick_at_us = None
        self._perform(self._session.tick(now_us) if due_us is not None and due_us <= now_us else ())
