"""Where the state of notices is kept, as those who deliver them use it.

Comes in: notices as they are derived, how their deliveries ended. Goes out: what is queued, and how far each receiver
has been told. It may be lost without harm: telling then begins at the journal's end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from taptill.errors import TapTillError
from taptill.journal.notices import Cursor, Notice


class NoticesUnusable(TapTillError):
    """The state of notices cannot be read or written now. No sale notices."""

    code = 4010


@dataclass(frozen=True, slots=True)
class NoticeRow:
    """A notice and its delivery: `state` is queued, sent, expired or refused."""

    notice: Notice
    receiver: str
    state: str
    attempts: int
    last_result: str


class NoticeStore(Protocol):
    """Used by several threads. Every method raises NoticesUnusable."""

    @property
    def set_aside(self) -> str:
        """Why what was kept before could not be used, if so."""

    def cursor(self, receiver: str) -> Cursor | None:
        """How far it has been told; None for a receiver nobody knows."""

    def queue(
        self, receiver: str, notices: Sequence[Notice], cursor: Cursor, expire_at_ms: Sequence[int | None]
    ) -> None:
        """Notices and cursor, together or not at all. None where a notice has no trusted time: see `expire`."""

    def queued(self, receiver: str) -> Sequence[Notice]:
        """The oldest first."""

    def tried(self, receiver: str, seq: int, result: str) -> None:
        """It did not arrive, and stays queued."""

    def ended(self, receiver: str, seq: int, state: str, result: str, now_ms: int) -> None:
        """`state` is sent or refused."""

    def expire(self, receiver: str, now_ms: int, age_ms_max: int) -> Sequence[Notice]:
        """Those whose time is over. For a moment that is trusted: those without a time of their own age from here."""

    def expire_beyond(self, receiver: str, count_max: int, now_ms: int) -> Sequence[Notice]:
        """The oldest where more than `count_max` are queued."""

    def leave(self, receivers: Sequence[str], now_ms: int) -> int:
        """How many were queued for others than these: they expire, and nobody follows the journal for them."""

    def forget_ended(self, before_ms: int) -> None: ...

    def count_ended(self, receiver: str, since_ms: int) -> Mapping[str, int]:
        """By state, those that ended since then."""

    def newest(self, count_max: int) -> Sequence[NoticeRow]:
        """Of all receivers, the newest last."""

    def refuse(self, what: str) -> None:
        """Set all of it aside: it does not belong to this journal."""
