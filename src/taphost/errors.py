"""What broke at the host.

Strategy: a declined or refused message is a return value; these exceptions mean that something broke. The host may not
borrow the terminal's errors, so it has a base of its own with the same three facts. Texts never hold a card number.
"""

from __future__ import annotations


class TapHostError(Exception):
    """Base of all declared errors of the host, codes 8xxx."""

    code = 8000

    def __init__(self, what: str, *, where: str, next_step: str = "") -> None:
        super().__init__(f"{where}: {what}" + (f" ({next_step})" if next_step else ""))
        self.what = what
        self.where = where
        self.next_step = next_step


class HostConfigError(TapHostError):
    """The configuration is unreadable, or names something unknown, wrong or missing."""

    code = 8001


class UnreadableMessage(TapHostError):
    """Octets that cannot even be answered: no message, or none that names the key of its answer."""

    code = 8002


class StoreError(TapHostError):
    """The database is of another version, or does not promise what durable money needs."""

    code = 8003
