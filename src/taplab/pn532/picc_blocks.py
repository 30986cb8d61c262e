"""The card's half of the block protocol (ISO/IEC 14443-4), the same for type A and type B.

Comes in: blocks without CRC. Goes out: the card's blocks with the time it needed, or nothing, as a real card stays
silent to what is not meant for it.
Strategy: the rules of ISO/IEC 14443-4, 7.5.5 by their letters. A command that takes longer than the frame waiting time
is bridged with S(WTX).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from taptill.card.adapters.activation import Activation, frame_size

CRC_OCTETS = 2
WTXM_MAX = 59  # ISO/IEC 14443-4, 7.3

CHAINING = 0x10
CID_FOLLOWS = 0x08
NAD_FOLLOWS = 0x04


class CardAnswer(Protocol):
    """Response data with SW1 SW2; no octets at all is a card that stays mute."""

    @property
    def octets(self) -> bytes: ...

    @property
    def compute_ms(self) -> float: ...


class AnsweringCard(Protocol):
    """What is behind the antenna: a chip that answers APDUs."""

    @property
    def uid(self) -> bytes: ...

    def answer(self, command: bytes) -> CardAnswer: ...

    def reset(self) -> None: ...


@dataclass(frozen=True, slots=True)
class AirAnswer:
    """One frame of the card, how long it computed before it, and how long it hears nothing after it."""

    octets: bytes
    compute_us: int = 0
    guard_us: int = 0


class CardBlocks:
    """One activation, from RATS or ATTRIB to DESELECT or the end of power. `fsdi` is the reader's frame size index."""

    def __init__(self, card: AnsweringCard, said: Activation, cid: int, fsdi: int) -> None:
        self._card = card
        self._said = said
        self._cid = cid
        self._frame_octets_max = frame_size(fsdi)
        self._block_number = 1  # rule C
        self._command = b""
        self._unsent = b""
        self._last = AirAnswer(b"")
        self._compute_us = 0
        self.ended = False

    def receive(self, frame: bytes) -> AirAnswer | None:
        """One block of the reader; None is silence."""
        pcb, has_cid = frame[0], bool(frame[0] & CID_FOLLOWS)
        addressed = has_cid and self._said.takes_cid and len(frame) > 1 and frame[1] & 0x0F == self._cid
        too_long = len(frame) + CRC_OCTETS > self._said.frame_octets_max
        if self.ended or too_long or not (addressed or (not has_cid and self._cid == 0)):
            return None
        prologue = frame[1:2] if has_cid else b""
        body = frame[1 + len(prologue) :]
        if pcb & 0xE2 == 0x02 and not pcb & NAD_FOLLOWS:
            return self._information(pcb, prologue, body)
        if pcb & 0xE6 == 0xA2:
            return self._receive_ready(pcb, prologue)
        return self._supervisory(pcb, prologue, body)

    def _information(self, pcb: int, cid: bytes, inf: bytes) -> AirAnswer | None:
        self._block_number ^= 1  # rule D
        self._command += inf
        if pcb & CHAINING:
            return self._say(0xA2 | self._block_number, cid, b"")
        command, self._command = self._command, b""
        answer = self._card.answer(command)
        if not answer.octets or self.ended:
            return None
        self._unsent, self._compute_us = answer.octets, round(answer.compute_ms * 1000)
        return self._when_computed(cid, self._said.waiting_us)

    def _receive_ready(self, pcb: int, cid: bytes) -> AirAnswer | None:
        if pcb & 0x01 == self._block_number:
            return self._last if self._last.octets else None  # rule 11
        if pcb & 0x10:
            return AirAnswer(bytes([0xA2 | self._block_number | (CID_FOLLOWS if cid else 0)]) + cid)  # rule 12
        self._block_number ^= 1  # rule E
        return self._next_information(cid) if self._unsent else None

    def _supervisory(self, pcb: int, cid: bytes, body: bytes) -> AirAnswer | None:
        if pcb & 0xF7 == 0xC2:
            self.ended = True
            return AirAnswer(bytes([pcb]) + cid)
        if pcb & 0xF7 == 0xF2 and len(body) == 1 and self._unsent:
            return self._when_computed(cid, self._said.waiting_us * (body[0] & 0x3F))
        return None

    def _when_computed(self, cid: bytes, allowed_us: int) -> AirAnswer:
        """The answer if it is ready within the time allowed, else a request for more before it runs out."""
        if self._compute_us <= allowed_us:
            return self._next_information(cid)
        waited_us = allowed_us * 3 // 4
        self._compute_us -= waited_us
        extension = min(WTXM_MAX, -(-self._compute_us // self._said.waiting_us))
        return self._say(0xF2, cid, bytes([extension]), waited_us)

    def _next_information(self, cid: bytes) -> AirAnswer:
        room = self._frame_octets_max - CRC_OCTETS - 1 - len(cid)
        inf, self._unsent = self._unsent[:room], self._unsent[room:]
        compute_us, self._compute_us = self._compute_us, 0
        return self._say(0x02 | self._block_number | (CHAINING if self._unsent else 0), cid, inf, compute_us)

    def _say(self, pcb: int, cid: bytes, inf: bytes, compute_us: int = 0) -> AirAnswer:
        octets = bytes([pcb | (CID_FOLLOWS if cid else 0)]) + cid + inf
        self._last = AirAnswer(octets)
        return AirAnswer(octets, compute_us)
