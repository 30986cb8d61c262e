"""The card's half of ISO/IEC 14443-3 and -4, type A: what stands between the air and an APDU.

Comes in: requests, and frames without CRC. Goes out: the card's frames with the time it needed, or nothing, as a real
card stays silent to what is not meant for its state.
Strategy: states OFF, IDLE, READY, ACTIVE, PROTOCOL, HALT; in PROTOCOL the block rules of ISO/IEC 14443-4, 7.5.5 by
their letters. A command that takes longer than the frame waiting time is bridged with S(WTX).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from taplab.pn532.ats import Ats, frame_size

CRC_OCTETS = 2
WTXM_MAX = 59  # ISO/IEC 14443-4, 7.3
SAK_ISO_DEP = 0x20
ATQA_BY_UID_OCTETS = {4: b"\x00\x04", 7: b"\x00\x44", 10: b"\x00\x84"}

CHAINING = 0x10
CID_FOLLOWS = 0x08
NAD_FOLLOWS = 0x04


class CardAnswer(Protocol):
    """Response data with SW1 SW2; no octets at all is a card that stays mute."""

    @property
    def octets(self) -> bytes: ...

    @property
    def compute_ms(self) -> float: ...


class ContactlessCard(Protocol):
    """Whatever answers APDUs. `uid` has 4, 7 or 10 bytes, `ats` its length byte first."""

    @property
    def uid(self) -> bytes: ...

    @property
    def ats(self) -> bytes: ...

    def answer(self, command: bytes) -> CardAnswer: ...

    def reset(self) -> None: ...


class State(Enum):
    OFF = auto()
    IDLE = auto()
    READY = auto()
    ACTIVE = auto()
    PROTOCOL = auto()
    HALT = auto()


@dataclass(frozen=True, slots=True)
class AirAnswer:
    """One frame of the card, and how long the card computed before it."""

    octets: bytes
    compute_us: int = 0


class Picc:
    """One card in one field."""

    def __init__(self, card: ContactlessCard) -> None:
        self.card = card
        self.state = State.OFF
        self._ats = Ats.parse(card.ats)
        self._begin_protocol(rats_parameter=0)

    @property
    def atqa(self) -> bytes:
        """In the order the PN532 reports it."""
        return ATQA_BY_UID_OCTETS[len(self.card.uid)]

    def power(self, on: bool) -> None:
        if not on:
            self.state = State.OFF
        elif self.state is State.OFF:
            self.card.reset()
            self.state = State.IDLE

    def request(self, wake: bool) -> bool:
        """REQA, or WUPA with `wake`. True if the card answers; one that was busy forgets its activation instead,
        unless it is in PROTOCOL, where requests mean nothing (ISO/IEC 14443-3, 6.2)."""
        if self.state is State.IDLE or (wake and self.state is State.HALT):
            self.state = State.READY
            return True
        if self.state in (State.READY, State.ACTIVE):
            self.state = State.IDLE
        return False

    def select(self, uid: bytes) -> None:
        """The end of an anticollision that chose `uid`: every other card falls back."""
        if self.state is State.READY:
            self.state = State.ACTIVE if uid == self.card.uid else State.IDLE

    def receive(self, frame: bytes) -> AirAnswer | None:
        """One frame of the reader; None is silence."""
        if not frame:
            return None
        if self.state is State.ACTIVE:
            return self._activate(frame)
        if self.state is State.PROTOCOL and len(frame) + CRC_OCTETS <= self._ats.frame_octets_max:
            return self._block(frame)
        return None

    def _activate(self, frame: bytes) -> AirAnswer | None:
        if frame[0] == 0xE0 and len(frame) == 2:
            self._begin_protocol(frame[1])
            self.state = State.PROTOCOL
            return AirAnswer(self.card.ats)
        self.state = State.HALT if frame == b"\x50\x00" else State.IDLE
        return None

    def _begin_protocol(self, rats_parameter: int) -> None:
        self._cid = rats_parameter & 0x0F
        self._frame_octets_max = frame_size(rats_parameter >> 4)
        self._block_number = 1  # rule C
        self._command = b""
        self._unsent = b""
        self._last = AirAnswer(b"")
        self._compute_us = 0
        self._pps_allowed = True

    def _block(self, frame: bytes) -> AirAnswer | None:
        pcb, has_cid = frame[0], bool(frame[0] & CID_FOLLOWS)
        if self._pps_allowed and pcb == 0xD0 | self._cid:
            self._pps_allowed = False
            return AirAnswer(frame[:1])
        addressed = has_cid and self._ats.takes_cid and len(frame) > 1 and frame[1] & 0x0F == self._cid
        if not (addressed or (not has_cid and self._cid == 0)):
            return None
        self._pps_allowed = False
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
        answer = self.card.answer(command)
        if not answer.octets or self.state is not State.PROTOCOL:
            return None
        self._unsent, self._compute_us = answer.octets, round(answer.compute_ms * 1000)
        return self._when_computed(cid, self._ats.waiting_us)

    def _receive_ready(self, pcb: int, cid: bytes) -> AirAnswer | None:
        if pcb & 0x01 == self._block_number:
            return self._last if self._last.octets else None  # rule 11
        if pcb & 0x10:
            return AirAnswer(bytes([0xA2 | self._block_number | (CID_FOLLOWS if cid else 0)]) + cid)  # rule 12
        self._block_number ^= 1  # rule E
        return self._next_information(cid) if self._unsent else None

    def _supervisory(self, pcb: int, cid: bytes, body: bytes) -> AirAnswer | None:
        if pcb & 0xF7 == 0xC2:
            self.state = State.HALT
            return AirAnswer(bytes([pcb]) + cid)
        if pcb & 0xF7 == 0xF2 and len(body) == 1 and self._unsent:
            return self._when_computed(cid, self._ats.waiting_us * (body[0] & 0x3F))
        return None

    def _when_computed(self, cid: bytes, allowed_us: int) -> AirAnswer:
        """The answer if it is ready within the time allowed, else a request for more before it runs out."""
        if self._compute_us <= allowed_us:
            return self._next_information(cid)
        waited_us = allowed_us * 3 // 4
        self._compute_us -= waited_us
        extension = min(WTXM_MAX, -(-self._compute_us // self._ats.waiting_us))
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
