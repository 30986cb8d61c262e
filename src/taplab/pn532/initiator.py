"""The chip as a reader: the commands that find cards and talk to them (UM0701-02, 7.3).

Comes in: parameters of the In... commands. Goes out: their response data; `RfFault` carries a status of its own.
Strategy: at most two type A targets at 106 kbit/s, numbered from 1, one active at a time: the chip deselects the first
before it activates the second. Other bit rates and codings find nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

from taplab.pn532.ats import Ats
from taplab.pn532.field import RfField
from taplab.pn532.iso_dep import RATS, STATUS_TIMEOUT, IsoDep, RfFault
from taplab.pn532.picc import SAK_ISO_DEP, Picc
from taplab.pn532.registers import Registers

TARGETS_MAX = 2
TYPE_A_106 = 0x00
CASCADE_TAG = 0x88
RATS_TIMEOUT_US = 5_000  # FWT at activation is 65536/fc, ISO/IEC 14443-4, 5.6.1.2
HLTA = b"\x50\x00"

STATUS_OK = 0x00
STATUS_WRONG_PARAMETER = 0x10
STATUS_WRONG_CONTEXT = 0x27
STATUS_MORE = 0x40  # MI, beside the status, and beside Tg in a command

POLLED_AS_ISO_DEP = {0x00, 0x20}  # InAutoPoll types: any card at 106 kbit/s, ISO/IEC 14443-4A
POLL_TYPE_ISO_DEP = 0x20


@dataclass(slots=True)
class Target:
    """One card the chip has listed; `protocol` is there after an automatic RATS."""

    picc: Picc
    data: bytes
    protocol: IsoDep | None
    active: bool = True


class Initiator:
    """Settings are written by the chip's configuration commands."""

    def __init__(self, field: RfField, registers: Registers) -> None:
        self._field = field
        self._registers = registers
        self.targets: dict[int, Target] = {}
        self.automatic_rats = True
        self.retry_timeout_us: int | None = 51_200  # RFConfiguration item 2; None waits for ever
        self.listing_retries = 0xFF  # MxRtyPassiveActivation; 0xFF asks for ever
        self.broken_with: int | None = None  # the status of every InDataExchange, for a chip that is unwell

    def field_off(self) -> None:
        self._field.switch(False)
        self.targets.clear()

    def list_passive(self, targets_max: int, coding: int, uid: bytes) -> list[bytes]:
        """Target data of the cards found now, an empty list if none. Earlier targets are forgotten."""
        self.targets.clear()
        self._field.switch(True)
        if coding != TYPE_A_106:
            return []
        self._registers.prepare_type_a()
        for number in range(1, min(targets_max, TARGETS_MAX) + 1):
            picc = self._ask_for(uid)
            if picc is None:
                break
            self.deselect(0)
            self.targets[number] = self._activate(number, picc)
        self._registers.note_listing(bool(self.targets))
        return [target.data for target in self.targets.values()]

    def poll(self, types: bytes) -> bytes:
        """One round of InAutoPoll: its response data, without any target `00`."""
        if not POLLED_AS_ISO_DEP & set(types):
            return b"\x00"
        found = self.list_passive(1, TYPE_A_106, b"")
        return bytes([len(found)]) + b"".join(bytes([POLL_TYPE_ISO_DEP, len(data)]) + data for data in found)

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
        answer = None
        if self._field.on and self._registers.speaks_type_a():
            answer = self._field.transceive(frame, self.retry_timeout_us or 0)
        if answer is None:
            raise RfFault(STATUS_TIMEOUT)
        return bytes([STATUS_OK]) + answer

    def deselect(self, tg: int) -> None:
        """S(DESELECT), or HLTA without protocol: the card halts, the chip remembers it. 0 means all."""
        for target in self._chosen(tg):
            if target.active and target.protocol:
                target.protocol.deselect()
            elif target.active:
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
        if target.picc not in self._field.request(wake=True):
            raise RfFault(STATUS_TIMEOUT)
        self.targets[tg] = self._activate(tg, target.picc)

    def attention(self) -> int:
        """Diagnose 06: is the active card still there? A status byte."""
        active = next((target for target in self.targets.values() if target.active and target.protocol), None)
        if active is None or active.protocol is None:
            return STATUS_WRONG_CONTEXT
        return STATUS_OK if active.protocol.present() else STATUS_TIMEOUT

    def _ask_for(self, uid: bytes) -> Picc | None:
        """The first card that answers within the retries; a card still selected needs a second request."""
        retries = 1 if self.listing_retries == 0xFF else self.listing_retries
        for _ in range(1 + retries):
            wanted = [picc for picc in self._field.request() if uid in (b"", picc.card.uid, cascaded(picc.card.uid))]
            if wanted:
                return wanted[0]
        return None

    def _activate(self, number: int, picc: Picc) -> Target:
        self._field.select(picc)
        uid = picc.card.uid
        data = bytes([number]) + picc.atqa + bytes([SAK_ISO_DEP, len(uid)]) + uid
        ats = self._field.transceive(RATS, RATS_TIMEOUT_US) if self.automatic_rats else None
        if ats is None:
            return Target(picc, data, None)
        return Target(picc, data + ats, IsoDep(self._field.transceive, Ats.parse(ats)))

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
