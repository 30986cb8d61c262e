"""How long things take on the wires and in the air, in microseconds.

Comes in: byte counts and what `Timing` switches on. Goes out: durations; nothing here waits.
Strategy: ISO/IEC 14443-3 type A at 106 kbit/s costs 9 bits of 9.44 us a byte and a frame delay of 1172/fc each way;
type B is counted the same, its guard times differ by some 100 us. A UART costs 10 bits a byte. How long the chip's own
firmware thinks is not published and counted as nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

AIR_BYTE_US = 85
CRC_OCTETS = 2
FRAME_DELAY_US = 86  # 1172/fc, ISO/IEC 14443-3, 6.2.1.1
FIELD_ON_GUARD_US = 5_000  # a card may take this long after the field came on, ISO/IEC 14443-3, 5
CARD_RESET_US = 5_100  # a card may live this long without field, EMV Contactless Book D, reset by the terminal
SHORT_FRAME_US = 76  # REQA or WUPA: 7 bits and the start bit
EMPTY_POLL_US = 5_000  # one request that nobody answers; an assumed figure, not measured
REQB_OCTETS, ATQB_OCTETS = 3, 12
UART_BITS_A_BYTE = 10


@dataclass(frozen=True, slots=True)
class Timing:
    """Which delays are kept. `OFF` answers at once, for tests; `REAL` keeps all."""

    uart: bool
    air: bool
    compute: bool

    OFF: ClassVar[Timing]
    REAL: ClassVar[Timing]


Timing.OFF = Timing(uart=False, air=False, compute=False)
Timing.REAL = Timing(uart=True, air=True, compute=True)


def uart_us(octets: int, baud: int) -> int:
    """How long so many bytes are on a serial line."""
    return octets * UART_BITS_A_BYTE * 1_000_000 // baud


def air_us(octets: int) -> int:
    """One standard frame with its CRC, and the delay before it."""
    return FRAME_DELAY_US + (octets + CRC_OCTETS) * AIR_BYTE_US


def anticollision_us(uid_octets: int) -> int:
    """REQA to SAK: ATQA, and per cascade level (4, 7 or 10 byte UID) one anticollision and one select."""
    levels = (uid_octets - 1) // 3
    request = SHORT_FRAME_US + FRAME_DELAY_US + 2 * AIR_BYTE_US
    level = 4 * FRAME_DELAY_US + (2 + 5 + 9 + 3) * AIR_BYTE_US
    return request + levels * level
