"""The card's records: where the AFL says they are, and reading them (EMV Book 3, 6.5.11, 7.5 and 10.2).

Comes in: an AFL, and responses one by one. Goes out: READ RECORD commands, then the records and their data objects.
Strategy: the AFL is checked before the first command, so no card can make the terminal read for ever.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

from taptill.card.apdu import SW_OK, CommandApdu, ResponseApdu
from taptill.card.proof.offline_authentication import RECORD_TEMPLATE, AuthenticatedRecord
from taptill.card.refused import Refused
from taptill.card.tlv import Tlv, is_constructed, parse_tlv, walk

AFL_ENTRY_OCTETS = 4
SFI_MAX = 30
PAYMENT_SFI_MAX = 10  # EMV Book 3, 5.3.2.2: these records are one 70 template each
# At some 20 ms each they take most of a second, longer than anybody holds a card still; an AFL could list thousands.
RECORDS_PER_TAP_MAX = 40


@dataclass(frozen=True, slots=True)
class RecordPlace:
    """One record to read, and whether offline data authentication counts it."""

    sfi: int
    number: int
    authenticated: bool

    def command(self) -> CommandApdu:
        """READ RECORD."""
        name = f"READ RECORD {self.sfi}/{self.number}"
        return CommandApdu(0x00, 0xB2, self.number, self.sfi << 3 | 0x04, b"", 0, name)


@dataclass(frozen=True, slots=True)
class Records:
    """The data objects of all records, and those records that offline data authentication covers."""

    tlvs: tuple[Tlv, ...] = field(default=(), repr=False)
    authenticated: tuple[AuthenticatedRecord, ...] = field(default=(), repr=False)


def parse_afl(afl: bytes) -> tuple[RecordPlace, ...] | Refused:
    """EMV Book 3, 7.5: the records in order; refused when an entry makes no sense or there are too many."""
    if not afl or len(afl) % AFL_ENTRY_OCTETS:
        return Refused("afl-malformed")
    places: list[RecordPlace] = []
    for at in range(0, len(afl), AFL_ENTRY_OCTETS):
        first_octet, first, last, authenticated = afl[at : at + AFL_ENTRY_OCTETS]
        sfi = first_octet >> 3
        if first_octet & 0x07 or not 1 <= sfi <= SFI_MAX or not 1 <= first <= last:
            return Refused("afl-malformed")
        if authenticated > last - first + 1 or len(places) + last - first + 1 > RECORDS_PER_TAP_MAX:
            return Refused("afl-malformed")
        places += [RecordPlace(sfi, number, number < first + authenticated) for number in range(first, last + 1)]
    return tuple(places)


def read_records(afl: bytes) -> Generator[CommandApdu, ResponseApdu, Records | Refused]:
    """Reads what the AFL lists. Raises MalformedTlv for a record that is none."""
    places = parse_afl(afl)
    if isinstance(places, Refused):
        return places
    tlvs: list[Tlv] = []
    authenticated: list[AuthenticatedRecord] = []
    for place in places:
        response = yield place.command()
        if response.sw != SW_OK:
            return Refused("record-refused")
        if place.authenticated:
            authenticated.append(AuthenticatedRecord(place.sfi, response.data))
        if place.sfi <= PAYMENT_SFI_MAX:
            record = parse_tlv(response.data, f"record {place.number} of SFI {place.sfi}")
            if len(record) != 1 or record[0].tag != RECORD_TEMPLATE:
                return Refused("record-malformed")
            tlvs += record[0].children
    return Records(tuple(tlvs), tuple(authenticated))


def collect(*groups: tuple[Tlv, ...], once: bool = False) -> dict[int, bytes] | Refused:
    """All primitive data objects of a tap. EMV Book 3, 10.2: the same data object twice ends the transaction. It is let
    pass where both say the same, because UnionPay cards give 57 and 5F34 to GPO and in a record; `once` lets nothing
    pass, as EMV Book C-2 wants it."""
    data: dict[int, bytes] = {}
    for group in groups:
        for tlv in walk(group):
            if is_constructed(tlv.tag):
                continue
            if tlv.tag in data and (once or data[tlv.tag] != tlv.value):
                return Refused(f"data-twice-{tlv.tag:X}")
            data[tlv.tag] = tlv.value
    return data
