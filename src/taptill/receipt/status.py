"""What an ESC/POS printer says about itself.

Comes in: bytes from the printer, cut anywhere. Goes out: `PaperAnswer` (GS r 1, in the job's order) and `RealTime`
(DLE EOT, at once); automatic status blocks are passed over.
Strategy: the fixed bits tell the three apart, as Epson's manuals ask for: GS r has 0000...., DLE EOT 0..1..10, the
first of four automatic status bytes 0..1..00. XON, XOFF and letters some printers send on their own are none of them.
"""

from __future__ import annotations

from dataclasses import dataclass

ASK_PRINTER = b"\x10\x04\x01"
ASK_OFFLINE_CAUSE = b"\x10\x04\x02"
ASK_PAPER = b"\x10\x04\x04"

_OFFLINE = 0x08  # DLE EOT 1, bit 3
_COVER_OPEN = 0x04  # DLE EOT 2, bit 2
_STOPPED_FOR_PAPER = 0x20  # DLE EOT 2, bit 5
_ERROR = 0x40  # DLE EOT 2, bit 6
_ROLL_END = 0x60  # DLE EOT 4, bits 5 and 6
_GS_R_ROLL_END = 0x0C  # GS r 1, bits 2 and 3
_AUTOMATIC_REST = 3  # bytes after the first of an automatic status


@dataclass(frozen=True, slots=True)
class PaperAnswer:
    """The answer to GS r 1: everything sent before it has been processed."""

    paper_out: bool


@dataclass(frozen=True, slots=True)
class RealTime:
    """An answer to DLE EOT; which of the questions it belongs to is known by their order only."""

    octet: int


StatusAnswer = PaperAnswer | RealTime


@dataclass(frozen=True, slots=True)
class Readiness:
    """The three real-time answers read together."""

    paper_out: bool
    trouble: str  # "" when the printer can print


class StatusReader:
    """Bytes in, answers out."""

    def __init__(self) -> None:
        self._to_pass_over = 0

    def feed(self, octets: bytes) -> list[StatusAnswer]:
        """Every answer in `octets`; a byte that is no status (noise) is dropped."""
        answers: list[StatusAnswer] = []
        for octet in octets:
            if self._to_pass_over:
                self._to_pass_over -= 1
            elif octet & 0x93 == 0x12:
                answers.append(RealTime(octet))
            elif octet & 0x93 == 0x10:
                self._to_pass_over = _AUTOMATIC_REST
            elif octet & 0xF0 == 0x00:
                answers.append(PaperAnswer(octet & _GS_R_ROLL_END != 0))
        return answers


def readiness(printer: int, offline_cause: int, paper: int) -> Readiness:
    """DLE EOT 1, 2 and 4 as one judgement."""
    if paper & _ROLL_END or offline_cause & _STOPPED_FOR_PAPER:
        return Readiness(True, "the roll is empty")
    if offline_cause & _COVER_OPEN:
        return Readiness(False, "the cover is open")
    if offline_cause & _ERROR:
        return Readiness(False, "the printer reports an error")
    if printer & _OFFLINE:
        return Readiness(False, "the printer is offline")
    return Readiness(False, "")


def roll_ended(paper: int) -> bool:
    """DLE EOT 4 alone."""
    return paper & _ROLL_END != 0
