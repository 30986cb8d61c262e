"""What a type A card says of its protocol: the answer to select (ISO/IEC 14443-4, 5.2).

Comes in: ATS bytes, length byte first. Goes out: frame size, waiting time and options, the defaults where a byte is
left out.
"""

from __future__ import annotations

from dataclasses import dataclass

FRAME_SIZES = (16, 24, 32, 40, 48, 64, 96, 128, 256)  # FSCI and FSDI 0 to 8; above stands for 8
FSCI_DEFAULT = 2
FWI_DEFAULT = 4
CARRIER_HZ = 13_560_000


def frame_size(index: int) -> int:
    return FRAME_SIZES[min(index, len(FRAME_SIZES) - 1)]


@dataclass(frozen=True, slots=True)
class Ats:
    """`frame_octets_max` (FSC) counts prologue and CRC; `waiting_us` is FWT."""

    frame_octets_max: int
    waiting_us: int
    takes_cid: bool

    @classmethod
    def parse(cls, octets: bytes) -> Ats:
        """Raises ValueError where the length byte or the format byte T0 promises more than there is."""
        if not octets or octets[0] != len(octets):
            raise ValueError(f"the ATS length byte does not fit {len(octets)} bytes")
        t0 = octets[1] if len(octets) > 1 else FSCI_DEFAULT
        interface = iter(octets[2:])
        try:
            _ta, tb, tc = (next(interface) if t0 & bit else None for bit in (0x10, 0x20, 0x40))
        except RuntimeError as missing:  # a generator turns StopIteration into this
            raise ValueError("the ATS ends before the interface bytes its T0 names") from missing
        fwi = FWI_DEFAULT if tb is None else tb >> 4
        return cls(
            frame_octets_max=frame_size(t0 & 0x0F),
            waiting_us=4096 * 2 ** min(fwi, 14) * 1_000_000 // CARRIER_HZ,
            takes_cid=bool(tc is not None and tc & 0x02),
        )
