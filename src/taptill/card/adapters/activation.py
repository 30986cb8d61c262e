"""What a card says of its protocol when it is activated (ISO/IEC 14443-3, 7.9 and 14443-4, 5.2).

Comes in: an ATS (type A) with its length byte first, or an ATQB (type B) with its 50 first. Goes out: frame size,
waiting time, guard time and options.
Strategy: every part of an ATS may be left out, and each is read where T0 says that it stands, never at a fixed place;
what is left out has the standard's default. Values reserved for future use mean what the standard tells a reader to
take them for.
"""

from __future__ import annotations

from dataclasses import dataclass

CARRIER_HZ = 13_560_000
FRAME_SIZES = (16, 24, 32, 40, 48, 64, 96, 128, 256)  # FSCI and FSDI 0 to 8; above stands for 8
FSCI_DEFAULT = 2
FWI_DEFAULT = 4
SFGI_DEFAULT = 0
INDEX_RESERVED = 15  # of FWI and SFGI: taken for the default
TA, TB, TC = 0x10, 0x20, 0x40  # bits of T0

ATQB_FIRST = 0x50
ATQB_OCTETS = (12, 13)  # basic, extended (ISO/IEC 14443-3, 7.9.1)


@dataclass(frozen=True, slots=True)
class Activation:
    """`frame_octets_max` (FSC) counts prologue and CRC; `waiting_us` is FWT, `guard_us` SFGT: how long the card must be
    left alone after its activation. `takes_apdus`: the card speaks ISO/IEC 14443-4."""

    frame_octets_max: int
    waiting_us: int
    guard_us: int
    takes_cid: bool
    takes_apdus: bool = True


def parse_ats(octets: bytes) -> Activation:
    """Raises ValueError where the length byte or the format byte T0 promises more than there is."""
    if not octets or octets[0] != len(octets):
        raise ValueError(f"the ATS length byte does not fit {len(octets)} bytes")
    t0 = octets[1] if len(octets) > 1 else FSCI_DEFAULT
    named = [bit for bit in (TA, TB, TC) if t0 & bit]
    if len(octets) < 2 + len(named) and named:
        raise ValueError("the ATS ends before the interface bytes its T0 names")
    interface = dict(zip(named, octets[2:], strict=False))
    fwi, sfgi = divmod(interface.get(TB, FWI_DEFAULT << 4 | SFGI_DEFAULT), 16)
    return Activation(
        frame_octets_max=frame_size(t0 & 0x0F),
        waiting_us=waiting_us(fwi),
        guard_us=guard_us(sfgi),
        takes_cid=bool(interface.get(TC, 0) & 0x02),
    )


def believe_ats(octets: bytes) -> Activation:
    """As `parse_ats`, with the defaults where a card's own words make no sense."""
    try:
        return parse_ats(octets)
    except ValueError:
        return parse_ats(b"\x01")


def parse_atqb(octets: bytes) -> Activation:
    """Raises ValueError for what is no ATQB."""
    if len(octets) not in ATQB_OCTETS or octets[0] != ATQB_FIRST:
        raise ValueError(f"{len(octets)} bytes that are no ATQB")
    sizes, timing = octets[10], octets[11]
    return Activation(
        frame_octets_max=frame_size(sizes >> 4),
        waiting_us=waiting_us(timing >> 4),
        guard_us=guard_us(octets[12] >> 4 if len(octets) > 12 else SFGI_DEFAULT),
        takes_cid=bool(timing & 0x01),
        takes_apdus=sizes & 0x09 == 0x01,  # bit 4 is reserved, bit 1 is ISO/IEC 14443-4
    )


def frame_size(index: int) -> int:
    """Octets a frame may have, CRC included."""
    return FRAME_SIZES[min(index, len(FRAME_SIZES) - 1)]


def waiting_us(fwi: int) -> int:
    """FWT: 4096/fc doubled FWI times; 302 us to 4.95 s (ISO/IEC 14443-4, 7.2)."""
    return _doubled_us(FWI_DEFAULT if fwi == INDEX_RESERVED else fwi)


def guard_us(sfgi: int) -> int:
    """SFGT: as FWT; 0 needs none beyond the frame delay (ISO/IEC 14443-4, 5.2.5)."""
    return 0 if sfgi in (0, INDEX_RESERVED) else _doubled_us(sfgi)


def _doubled_us(index: int) -> int:
    return (4096 << index) * 1_000_000 // CARRIER_HZ
