"""How notices stand, as faces show them. Whoever delivers them implements `NoticeDesk`; it may be nobody."""

from __future__ import annotations

from typing import Protocol, TypedDict


class NoticesHealth(TypedDict):
    """Over all receivers. While a request is under way what came meanwhile is not counted yet."""

    queued: int
    expired: int  # within the last 24 hours, as is `refused`
    refused: int
    last_error: str  # empty once a notice arrived again


class NoticeView(TypedDict):
    """`payment_state` is what is told, `state` how the telling stands: queued, sent, expired or refused."""

    id: str
    receiver: str
    payment_ref: str
    payment_state: str
    state: str
    attempts: int
    last_result: str
    at_ms: int
    age_ms: int


class NoticesView(TypedDict):
    """The newest last."""

    notices: list[NoticeView]


class NoticeDesk(Protocol):
    """Asked from any thread."""

    def health(self) -> NoticesHealth:
        """Never blocks, never raises."""

    def newest(self, count_max: int) -> list[NoticeView]:
        """The newest last. Raises TapTillError."""
