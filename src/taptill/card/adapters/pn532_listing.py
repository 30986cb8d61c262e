"""The cards a PN532 has found: the response of InListPassiveTarget (UM0701-02, 7.3.5).

Comes in: response data. Goes out: `ListedCard` for each target, activated as far as the chip could.
Strategy: what is cut is the chip's fault and raises; what a card says of itself may be anything and is only believed
where it can be read.
"""

from __future__ import annotations

from dataclasses import dataclass

from taptill.card.adapters.activation import ATQB_FIRST, believe_ats, parse_atqb

SAK_ISO_DEP = 0x20
ATQB_OCTETS = 12
NUMBER_AND_SENS_RES_OCTETS = 3
R_NAK = b"\xb2"  # answered by a card in its protocol, without consequences (ISO/IEC 14443-4, 7.5.5 rules 11, 12)
R_NAK_CID_1 = b"\xba\x01"  # the chip gives cards of type B this number (libnfc, nfcpy)


@dataclass(frozen=True, slots=True)
class ListedCard:
    """`answer` is the ATS or ATQB. `presence_checks` are blocks of which it answers one; none outside a protocol."""

    technology: str
    uid: bytes
    answer: bytes
    guard_us: int
    takes_apdus: bool
    is_activated: bool
    presence_checks: tuple[bytes, ...]


def parse_listing_a(data: bytes) -> list[ListedCard]:
    """Per card its number, SENS_RES, SEL_RES, and UID and ATS with their length bytes. Raises ValueError where it is
    cut short. SEL_RES may offer more than ISO/IEC 14443-4, as phones do."""
    rest = _Rest(data)
    cards = []
    for number in rest.numbers():
        rest.take(NUMBER_AND_SENS_RES_OCTETS, f"the data of target {number}")
        sak = rest.take(1, f"the data of target {number}")[0]
        uid = rest.take(rest.take(1, f"the data of target {number}")[0], f"the data of target {number}")
        takes_apdus = bool(sak & SAK_ISO_DEP)
        ats = rest.take_up_to(max(1, rest.octets[0])) if takes_apdus and rest.octets else b""
        guard_us, checks = believe_ats(ats).guard_us, (R_NAK,) if ats else ()
        cards.append(ListedCard("A", uid, ats, guard_us, takes_apdus, bool(ats), checks))
    return cards


def parse_listing_b(data: bytes) -> list[ListedCard]:
    """Per card its number, ATQB, and the answer to ATTRIB with its length byte. Raises ValueError where it is cut
    short."""
    rest = _Rest(data)
    cards = []
    for number in rest.numbers():
        atqb = rest.take(1 + ATQB_OCTETS, f"the data of target {number}")[1:]
        attributed = rest.take(rest.take(1, f"the data of target {number}")[0], f"the ATTRIB answer of target {number}")
        said = parse_atqb(bytes([ATQB_FIRST]) + atqb[1:])
        checks = (R_NAK_CID_1, R_NAK) if attributed else ()
        cards.append(ListedCard("B", atqb[1:5], atqb, said.guard_us, said.takes_apdus, bool(attributed), checks))
    return cards


class _Rest:
    """What of a listing is not read yet."""

    def __init__(self, data: bytes) -> None:
        self.octets = data

    def numbers(self) -> range:
        return range(1, self.take(1, "the number of targets")[0] + 1)

    def take_up_to(self, count: int) -> bytes:
        """What a card's own length byte promises, which may be more than it sent."""
        taken, self.octets = self.octets[:count], self.octets[count:]
        return taken

    def take(self, count: int, what: str) -> bytes:
        if count > len(self.octets):
            raise ValueError(f"{what} in a listing: cut short")
        taken, self.octets = self.octets[:count], self.octets[count:]
        return taken
