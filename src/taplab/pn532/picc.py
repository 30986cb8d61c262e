"""The card's half of ISO/IEC 14443-3, type A: what stands between the air and its blocks.

Comes in: requests, and frames without CRC. Goes out: the card's frames with the time it needed, or nothing, as a real
card stays silent to what is not meant for its state.
Strategy: states OFF, IDLE, READY, ACTIVE, PROTOCOL, HALT. SEL_RES says what the card is: a phone that also offers
peer-to-peer, or a memory card that has no blocks at all.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol

from taplab.pn532.picc_blocks import AirAnswer, AnsweringCard, CardBlocks
from taptill.card.adapters.activation import believe_ats

SAK_ISO_DEP = 0x20
ATQA_BY_UID_OCTETS = {4: b"\x00\x04", 7: b"\x00\x44", 10: b"\x00\x84"}
PPS_START = 0xD0


class ContactlessCard(AnsweringCard, Protocol):
    """A card of type A. `uid` has 4, 7 or 10 bytes; `ats` its length byte first, nothing where RATS gets no answer."""

    @property
    def ats(self) -> bytes: ...


class State(Enum):
    OFF = auto()
    IDLE = auto()
    READY = auto()
    ACTIVE = auto()
    PROTOCOL = auto()
    HALT = auto()


class Picc:
    """One card of type A in one field."""

    def __init__(self, card: ContactlessCard, sak: int = SAK_ISO_DEP) -> None:
        self.card = card
        self.sak = sak
        self.state = State.OFF
        self._blocks: CardBlocks | None = None
        self._pps_allowed = False

    @property
    def atqa(self) -> bytes:
        """In the order the PN532 reports it."""
        return ATQA_BY_UID_OCTETS[len(self.card.uid)]

    def power(self, on: bool) -> None:
        if not on:
            self.state = State.OFF
            self._end_protocol()
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
        return self._block(frame) if self.state is State.PROTOCOL else None

    def _activate(self, frame: bytes) -> AirAnswer | None:
        if frame[0] == 0xE0 and len(frame) == 2 and self.sak & SAK_ISO_DEP and self.card.ats:
            said = believe_ats(self.card.ats)
            self._blocks = CardBlocks(self.card, said, cid=frame[1] & 0x0F, fsdi=frame[1] >> 4)
            self._pps_start = PPS_START | frame[1] & 0x0F
            self._pps_allowed = True
            self.state = State.PROTOCOL
            return AirAnswer(self.card.ats, guard_us=said.guard_us)
        self.state = State.HALT if frame == b"\x50\x00" else State.IDLE
        return None

    def _block(self, frame: bytes) -> AirAnswer | None:
        if self._pps_allowed and frame[0] == self._pps_start:
            self._pps_allowed = False
            return AirAnswer(frame[:1])
        if self._blocks is None:
            return None
        blocks = self._blocks
        answer = blocks.receive(frame)
        if answer is not None:
            self._pps_allowed = False
        if blocks.ended and self.state is State.PROTOCOL:
            self.state = State.HALT
        return answer

    def _end_protocol(self) -> None:
        if self._blocks is not None:
            self._blocks.ended = True
            self._blocks = None
