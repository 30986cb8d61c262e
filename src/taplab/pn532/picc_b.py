"""The card's half of ISO/IEC 14443-3, type B.

Comes in: frames without CRC: REQB and WUPB, ATTRIB, HLTB, then blocks. Goes out: ATQB, the answer to ATTRIB, and what
the block protocol says; nothing to what is not meant for the card's state.
Strategy: states OFF, IDLE, READY, PROTOCOL, HALT. A card answers requests for every application family or for its own;
slots are not played through, two cards are told apart by their PUPI.
"""

from __future__ import annotations

from taplab.pn532.held_cards import TypeBCard
from taplab.pn532.picc import State
from taplab.pn532.picc_blocks import AirAnswer, CardBlocks
from taptill.card.adapters.activation import parse_atqb

APF, ATTRIB, HLTB = 0x05, 0x1D, 0x50
WAKE_UP = 0x08  # in PARAM of the request
PUPI_OCTETS = 4
ATTRIB_OCTETS = 9  # without higher layer data


class PiccB:
    """One card of type B in one field."""

    def __init__(self, card: TypeBCard) -> None:
        self.card = card
        self.state = State.OFF
        self._blocks: CardBlocks | None = None

    @property
    def atqb(self) -> bytes:
        return self.card.atqb

    def power(self, on: bool) -> None:
        if not on:
            self.state = State.OFF
            if self._blocks is not None:
                self._blocks.ended = True
            self._blocks = None
        elif self.state is State.OFF:
            self.card.reset()
            self.state = State.IDLE

    def request(self, family: int, wake: bool) -> bool:
        """REQB, or WUPB with `wake`, for an application family; True if the card answers."""
        listens = self.state in (State.IDLE, State.READY) or (wake and self.state is State.HALT)
        if not listens or not self._is_of(family):
            return False
        self.state = State.READY
        return True

    def receive(self, frame: bytes) -> AirAnswer | None:
        """One frame of the reader; None is silence."""
        if not frame:
            return None
        if self.state is State.PROTOCOL:
            return self._block(frame)
        if frame[0] == APF and len(frame) == 3:
            return AirAnswer(self.atqb) if self.request(frame[1], bool(frame[2] & WAKE_UP)) else None
        meant = self.state is State.READY and frame[1 : 1 + PUPI_OCTETS] == self.card.uid
        if meant and frame[0] == ATTRIB and len(frame) >= ATTRIB_OCTETS:
            return self._attribute(frame)
        if meant and frame[0] == HLTB:
            self.state = State.HALT
            return AirAnswer(b"\x00")
        return None

    def _attribute(self, frame: bytes) -> AirAnswer:
        said = parse_atqb(self.atqb)
        cid = frame[8] & 0x0F
        self._blocks = CardBlocks(self.card, said, cid, fsdi=frame[6] & 0x0F)
        self.state = State.PROTOCOL
        return AirAnswer(bytes([cid]), guard_us=said.guard_us)

    def _block(self, frame: bytes) -> AirAnswer | None:
        blocks = self._blocks
        answer = blocks.receive(frame) if blocks is not None else None
        if blocks is not None and blocks.ended and self.state is State.PROTOCOL:
            self.state = State.HALT
        return answer

    def _is_of(self, family: int) -> bool:
        """AFI: 0 is everybody, X0 all of family X, XY one sub-family (ISO/IEC 14443-3, 7.7.3)."""
        own = self.atqb[5]
        return family in (0, own) or (family & 0x0F == 0 and family & 0xF0 == own & 0xF0)
