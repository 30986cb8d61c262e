"""The chip as a reader: the commands that find cards and talk to them (UM0701-02, 7.3).

Comes in: parameters of the In... commands. Goes out: their response data; `RfFault` carries a status of its own.
Strategy: at most two targets of one type at 106 kbit/s, numbered from 1, one active at a time: the chip deselects the
first before it activates the second, and forgets all when it looks again. Other bit rates and codings find nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from taplab.pn532.field import Modulation, RfField
from taplab.pn532.iso_dep import RATS, STATUS_TIMEOUT, IsoDep, RfFault
from taplab.pn532.picc import SAK_ISO_DEP, Picc
from taplab.pn532.picc_b import PiccB
from taplab.pn532.registers import Registers
from taptill.card.adapters.activation import believe_ats, parse_atqb

TARGETS_MAX = 2
TYPE_A_106, TYPE_B_106 = 0x00, 0x03
CASCADE_TAG = 0x88
RATS_TIMEOUT_US = 5_000  # FWT at activation is 65536/fc, ISO/IEC 14443-4, 5.6.1.2
REQA, WUPA, HLTA = b"\x26", b"\x52", b"\x50\x00"
ATTRIB_SIZES = b"\x00\x05\x01"  # default timing, FSDI 5 at 106 kbit/s, ISO/IEC 14443-4
FIRST_CID = 1  # of type B

STATUS_OK = 0x00
STATUS_BIT_COLLISION = 0x06
STATUS_WRONG_CONTEXT = 0x27
STATUS_MORE = 0x40  # MI, beside the status, and beside Tg in a command

# InAutoPoll types that find a card: any at 106 kbit/s, and those of ISO/IEC 14443-4.
CODING_BY_POLL_TYPE = {0x00: TYPE_A_106, 0x20: TYPE_A_106, 0x03: TYPE_B_106, 0x23: TYPE_B_106}
POLL_TYPE_BY_CODING = {TYPE_A_106: 0x20, TYPE_B_106: 0x23}
ANY_FAMILY = b"\x00"


@dataclass(slots=True)
class Target:
    """One card the chip has listed; `protocol` is there after an automatic RATS, or ATTRIB."""

    picc: Picc | PiccB
    data: bytes
    protocol: IsoDep | None
    active: bool = True


class Initiator:
    """Settings are written by the chip's configuration commands."""

    def __init__(self, field: RfField, registers: Registers) -> None:
        self._field = field
        self._registers = registers
        self._type_b = partial(field.transceive, modulation=Modulation.B)
        self.targets: dict[int, Target] = {}
        self.automatic_rats = True
        self.retry_timeout_us: int | None = 51_200  # RFConfiguration item 2; None waits for ever
        self.listing_retries = 0xFF  # MxRtyPassiveActivation; 0xFF asks for ever
        self.broken_with: int | None = None  # the status of every InDataExchange, for a chip that is unwell

    def field_off(self) -> None:
        self._field.switch(False)
        self.targets.clear()

    def list_passive(self, targets_max: int, coding: int, wanted: bytes) -> list[bytes]:
        """Target data of the cards found now, an empty list if none. `wanted`: a UID of type A, the AFI of type B."""
        self.targets.clear()
        self._field.switch(True)
        if coding not in POLL_TYPE_BY_CODING:
            return []
        for number in range(1, min(targets_max, TARGETS_MAX) + 1):
            found = self._find_a(number, wanted) if coding == TYPE_A_106 else self._find_b(number, wanted[0])
            if found is None:
                break
            self.targets[number] = found
        return [target.data for target in self.targets.values()]

    def poll(self, types: bytes) -> bytes:
        """One round of InAutoPoll: its response data, without any target `00`."""
        for coding in dict.fromkeys(CODING_BY_POLL_TYPE[kind] for kind in types if kind in CODING_BY_POLL_TYPE):
            found = self.list_passive(1, coding, b"" if coding == TYPE_A_106 else ANY_FAMILY)
            if found:
                return bytes([1, POLL_TYPE_BY_CODING[coding], len(found[0])]) + found[0]
        return b"\x00"

    def data_exchange(self, tg: int, data: bytes) -> bytes:
        """Status byte, perhaps with MI, and the card's data. Raises RfFault."""
        if self.broken_with is not None:
            raise RfFault(self.broken_with)
        target = self._active(tg & 0x07)
        if target.protocol is None:
            return self.communicate_thru(data)
        answer, more = target.protocol.exchange(data, bool(tg & STATUS_MORE))
        return bytes([STATUS_MORE if more else STATUS_OK]) + answer

    def communicate_thru(self, frame: bytes) -> bytes:
        """A raw frame, and what came back. Raises RfFault."""
        answer, timeout_us = None, self.retry_timeout_us or 0
        if self._field.on and self._registers.speaks_type_a():
            answer = self._field.transceive(frame, timeout_us)
        elif self._field.on and self._registers.speaks_type_b():
            answer = self._type_b(frame, timeout_us)
        elif self._field.on and self._registers.speaks_short_frames_a():
            answer = self._short_frame(frame)
        if answer is None:
            raise RfFault(STATUS_TIMEOUT)
        return bytes([STATUS_OK]) + answer

    def _short_frame(self, frame: bytes) -> bytes | None:
        """REQA or WUPA by hand: one ATQA, or what several make of it. Raises RfFault."""
        answering = self._field.request(wake=frame == WUPA) if frame in (REQA, WUPA) else []
        answers = {picc.atqa for picc in answering}
        if len(answers) > 1:
            raise RfFault(STATUS_BIT_COLLISION)
        return answers.pop() if answers else None

    def deselect(self, tg: int) -> None:
        """S(DESELECT), or HLTA without protocol: the card halts, the chip remembers it. 0 means all."""
        for target in self._chosen(tg):
            if target.active and target.protocol:
                target.protocol.deselect()
            elif target.active and isinstance(target.picc, Picc):
                self._field.transceive(HLTA, 0)
            target.active = False

    def release(self, tg: int) -> None:
        """As deselect, and the chip forgets the card."""
        self.deselect(tg)
        for number in [tg] if tg else list(self.targets):
            self.targets.pop(number, None)

    def select(self, tg: int) -> None:
        """Wake a deselected card up again. Raises RfFault."""
        target = self.targets.get(tg)
        if target is None:
            raise RfFault(STATUS_WRONG_CONTEXT)
        if target.active:
            return
        for other in self.targets:
            self.deselect(other)
        picc = target.picc
        if isinstance(picc, Picc) and picc in self._field.request(wake=True):
            self.targets[tg] = self._activate_a(tg, picc)
        elif isinstance(picc, PiccB) and picc in self._field.request_b(ANY_FAMILY[0], wake=True):
            self.targets[tg] = self._activate_b(tg, picc)
        else:
            raise RfFault(STATUS_TIMEOUT)

    def attention(self) -> int:
        """Diagnose 06: is the active card still there? A status byte."""
        active = next((target for target in self.targets.values() if target.active and target.protocol), None)
        if active is None or active.protocol is None:
            return STATUS_WRONG_CONTEXT
        return STATUS_OK if active.protocol.present() else STATUS_TIMEOUT

    def _find_a(self, number: int, uid: bytes) -> Target | None:
        """The first card that answers within the retries; a card still selected needs a second request. One without
        protocol that was found before would answer again: it is halted meanwhile."""
        self._registers.prepare_type_a()
        earlier = [target.picc for target in self.targets.values() if not target.protocol]
        for _ in earlier:
            self._field.transceive(HLTA, 0)
        wanted: list[Picc] = []
        for _ in range(self._requests()):
            wanted = [picc for picc in self._field.request() if uid in (b"", picc.card.uid, cascaded(picc.card.uid))]
            if wanted:
                break
        self._registers.note_listing(bool(self.targets or wanted))
        if wanted:
            self.deselect(0)
            return self._activate_a(number, wanted[0])
        for picc in self._field.request(wake=True) if earlier else []:
            self._field.select(picc)
        return None

    def _find_b(self, number: int, family: int) -> Target | None:
        self._registers.prepare_type_b()
        earlier = [target.picc for target in self.targets.values()]
        for _ in range(self._requests()):
            if answering := [picc for picc in self._field.request_b(family) if picc not in earlier]:
                self.deselect(0)
                return self._activate_b(number, answering[0])
        return None

    def _requests(self) -> int:
        return 1 + (1 if self.listing_retries == 0xFF else self.listing_retries)

    def _activate_a(self, number: int, picc: Picc) -> Target:
        self._field.select(picc)
        uid = picc.card.uid
        data = bytes([number]) + picc.atqa + bytes([picc.sak, len(uid)]) + uid
        speaks = self.automatic_rats and picc.sak & SAK_ISO_DEP
        ats = self._field.transceive(RATS, RATS_TIMEOUT_US) if speaks else None
        if ats is None:
            return Target(picc, data, None)
        return Target(picc, data + ats, IsoDep(self._field.transceive, believe_ats(ats)))

    def _activate_b(self, number: int, picc: PiccB) -> Target:
        said = parse_atqb(picc.atqb)
        data = bytes([number]) + picc.atqb
        if not said.takes_apdus:
            return Target(picc, data + b"\x00", None)
        cid = FIRST_CID if said.takes_cid else 0
        attribute = b"\x1d" + picc.card.uid + ATTRIB_SIZES + bytes([cid])
        answer = self._type_b(attribute, RATS_TIMEOUT_US)
        if answer is None:
            return Target(picc, data + b"\x00", None)
        return Target(picc, data + bytes([len(answer)]) + answer, IsoDep(self._type_b, said, cid))

    def _active(self, tg: int) -> Target:
        target = self.targets.get(tg)
        if target is None or not target.active:
            raise RfFault(STATUS_WRONG_CONTEXT)
        return target

    def _chosen(self, tg: int) -> list[Target]:
        return [target for number, target in self.targets.items() if tg in (0, number)]


def cascaded(uid: bytes) -> bytes:
    """A UID as it goes over the air: with the cascade tag before each part but the last (ISO/IEC 14443-3, 6.5.4)."""
    tag = bytes([CASCADE_TAG])
    return {7: tag + uid, 10: tag + uid[:3] + tag + uid[3:]}.get(len(uid), uid)
