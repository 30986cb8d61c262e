"""The HostLink port: questions go out, exactly one result comes back for each.

Strategy: nothing here blocks the asker. Results arrive through the `post` callable the link was built with, from the
link's own thread (or inline, in a simulated world).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from taptill.host.exchange import ExchangeResult, HostReply, HostRequest


@dataclass(frozen=True, slots=True)
class ExchangeEnded:
    """The one result of one `ask`."""

    request: HostRequest
    result: ExchangeResult


@dataclass(frozen=True, slots=True)
class LateAnswer:
    """An authenticated answer to a request that had already been reported as silent."""

    request: HostRequest
    reply: HostReply


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The connection came up (`endpoint` says which) or went down (`reason` says why)."""

    up: bool
    endpoint: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LinkBroken:
    """The link itself failed and will answer nothing any more: the program is wrong and has to start again."""

    reason: str


LinkEvent = ExchangeEnded | LateAnswer | LinkChanged | LinkBroken
PostLinkEvent = Callable[[LinkEvent], None]


class HostLink(Protocol):
    """Connects when asked, keeps the connection, multiplexes, fails over between endpoints."""

    def ask(self, request: HostRequest, timeout_ms: int) -> None:
        """Never blocks, never raises. The deadline starts now and covers connecting."""

    def close(self) -> None:
        """Ends every open question with its result and drops the connection."""
