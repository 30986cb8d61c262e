"""What broke, where, who must act and what to do next.

Comes in: nothing. Goes out: the one base class of every exception TapTill raises on purpose.
Strategy: declined, try again and unknown are return values; an exception means something broke, and its type says
whose fault it is. Texts never hold a card number or a key.
"""

from __future__ import annotations

from enum import Enum


class Who(Enum):
    """Who has to act before things get better."""

    CUSTOMER = "customer"
    MERCHANT = "merchant"
    TECHNICIAN = "technician"


class TapTillError(Exception):
    """Base of all declared errors. `code` is stable and grouped by stage: 1xxx card, 2xxx credential, 3xxx host,
    4xxx journal, 5xxx receipt, 6xxx configuration, 7xxx local interfaces."""

    code = 9000
    who = Who.TECHNICIAN

    def __init__(self, what: str, *, where: str, next_step: str = "") -> None:
        super().__init__(f"{where}: {what}" + (f" ({next_step})" if next_step else ""))
        self.what = what
        self.where = where
        self.next_step = next_step


class ConfigError(TapTillError):
    """The configuration names something unknown, or something it needs is missing."""

    code = 6001
