"""The Printer port.

Strategy: a printer fault never changes money (DESIGN 5.18), so it is a return value. A job is "printed" only when the
printer said so after the last byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class PrintVerdict(Enum):
    PRINTED = "printed"
    PAPER_OUT = "paper out"
    UNREACHABLE = "unreachable"
    NO_CONFIRMATION = "no confirmation"


@dataclass(frozen=True, slots=True)
class PrintResult:
    """`started`: bytes of the job reached the printer, so it may still come out by itself (paper refilled, cover
    closed). A job that has started and is not PRINTED is printed again only as a marked reprint."""

    verdict: PrintVerdict
    detail: str = ""
    started: bool = False


class Printer(Protocol):
    """One printer, used by one thread; no call blocks longer than 10 s; nothing raises for a printer's fault."""

    url: str

    def print(self, octets: bytes) -> PrintResult: ...
