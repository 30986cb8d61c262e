"""The few bits of the contactless interface unit's registers that reader software reads or sets.

Comes in: addresses and values of ReadRegister and WriteRegister. Goes out: the same values back, and whether the
modulation they describe is one that a card of type A, or of type B, understands.
"""

from __future__ import annotations

TX_MODE, RX_MODE = 0x6302, 0x6303
MANUAL_RECEIVE = 0x630D
FIFO_DATA = 0x6339
BIT_FRAMING = 0x633D

CRC_ON = 0x80
SPEED_AND_FRAMING = 0x73
FRAMING_B = 0x03
PARITY_OFF = 0x10
LAST_BITS = 0x07
SENS_REQ = 0x26


class Registers:
    """Everything is memory; only the registers named above have a meaning here."""

    def __init__(self) -> None:
        self._values: dict[int, int] = {}

    def read(self, address: int) -> int:
        return self._values.get(address, 0)

    def write(self, address: int, value: int) -> None:
        self._values[address] = value

    def prepare_type_a(self) -> None:
        """What the firmware sets before it looks for type A cards."""
        self._values |= {TX_MODE: CRC_ON, RX_MODE: CRC_ON, MANUAL_RECEIVE: 0, BIT_FRAMING: 0}

    def prepare_type_b(self) -> None:
        self._values |= {TX_MODE: CRC_ON | FRAMING_B, RX_MODE: CRC_ON | FRAMING_B, MANUAL_RECEIVE: 0, BIT_FRAMING: 0}

    def note_listing(self, found: bool) -> None:
        """An unanswered request still lies in the FIFO; nfcpy looks for it."""
        self._values[FIFO_DATA] = 0 if found else SENS_REQ

    def speaks_type_a(self) -> bool:
        """106 kbit/s type A with CRC, parity and whole bytes."""
        return (
            self.read(TX_MODE) & (CRC_ON | SPEED_AND_FRAMING) == CRC_ON
            and not self.read(MANUAL_RECEIVE) & PARITY_OFF
            and not self.read(BIT_FRAMING) & LAST_BITS
        )

    def speaks_type_b(self) -> bool:
        """106 kbit/s type B with CRC."""
        return self.read(TX_MODE) & (CRC_ON | SPEED_AND_FRAMING) == CRC_ON | FRAMING_B

    def speaks_short_frames_a(self) -> bool:
        """Seven bits without CRC: REQA and WUPA, sent by hand."""
        return (
            self.read(TX_MODE) & (CRC_ON | SPEED_AND_FRAMING) == 0
            and self.read(RX_MODE) & CRC_ON == 0
            and self.read(BIT_FRAMING) & LAST_BITS == LAST_BITS
        )
