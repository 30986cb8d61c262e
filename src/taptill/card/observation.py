"""What a recorded tap proves, without a kernel: walked command by command, as a bystander.

Comes in: the exchanges of a recording. Goes out: `Observed`, the data objects and what signatures cover.
Strategy: for schemes whose kernel is not built in, and for contact transcripts, the records and the offline proofs can
still be judged. Nothing here decides about a sale.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from taptill.card.apdu import SW_OK, CommandApdu, MalformedApdu
from taptill.card.certificates import Refused
from taptill.card.dol import MalformedDol, split_dol
from taptill.card.offline_authentication import AuthenticatedRecord
from taptill.card.payment_data import gpo_objects
from taptill.card.recording import Exchange, split_command
from taptill.card.records import parse_afl
from taptill.card.tlv import MalformedTlv, Tlv, find, flatten, parse_tlv

_SELECT, _GPO, _READ_RECORD, _GENERATE_AC, _INTERNAL_AUTHENTICATE, _COMPUTE_CHECKSUM = (
    0xA4,
    0xA8,
    0xB2,
    0xAE,
    0x88,
    0x2A,
)
_DIRECTORY_NAMES = (b"1PAY.SYS.DDF01", b"2PAY.SYS.DDF01")


@dataclass(slots=True)
class Observed:
    """One application of a recorded card, filled as the exchanges go by."""

    aid: bytes = b""
    label: str = ""
    data: dict[int, bytes] = field(default_factory=dict, repr=False)
    sent: dict[int, bytes] = field(default_factory=dict, repr=False)
    pdol_values: bytes = b""
    cdol_values: bytes = b""
    ddol_values: bytes | None = None
    gpo: tuple[Tlv, ...] = field(default=(), repr=False)
    generate_ac: tuple[Tlv, ...] = field(default=(), repr=False)
    dynamic_signature: bytes = b""
    checksum_computed: bool = False
    records: dict[tuple[int, int], bytes] = field(default_factory=dict, repr=False)

    def authenticated_records(self) -> tuple[AuthenticatedRecord, ...] | Refused:
        """The records the AFL counts into offline data authentication."""
        places = parse_afl(self.data.get(0x94, b""))
        if isinstance(places, Refused):
            return places
        found = []
        for place in places:
            if place.authenticated:
                octets = self.records.get((place.sfi, place.number))
                if octets is None:
                    return Refused("record-not-recorded")
                found.append(AuthenticatedRecord(place.sfi, octets))
        return tuple(found)


def observe(exchanges: Iterable[Exchange]) -> Observed:
    """The first application that got as far as its options, else the last one selected."""
    applications = [Observed()]
    for exchange in exchanges:
        if exchange.response[-2:] != SW_OK.to_bytes(2, "big"):
            continue
        try:
            _take(exchange, applications)
        except (MalformedTlv, MalformedDol, MalformedApdu):
            continue  # logs and proprietary answers are no TLV, and prove nothing
    return next((each for each in applications if each.gpo), applications[-1])


def _take(exchange: Exchange, applications: list[Observed]) -> None:
    response = exchange.response[:-2]
    command = split_command(exchange.command) if exchange.command else _guess(response, applications[-1])
    here = applications[-1]
    if command.ins == _SELECT:
        _take_selection(command, response, applications)
    elif command.ins == _GPO:
        _take_options(command, response, here)
    elif command.ins == _READ_RECORD:
        here.records[(command.p2 >> 3, command.p1)] = response
        _keep(here, parse_tlv(response, "record"))
    elif command.ins == _GENERATE_AC and not here.generate_ac:
        _take_cryptogram(command, response, here)
    elif command.ins == _INTERNAL_AUTHENTICATE:
        here.ddol_values = command.data
        templates = parse_tlv(response, "INTERNAL AUTHENTICATE")
        here.dynamic_signature = find(templates, 0x9F4B) or find(templates, 0x80) or b""
    elif command.ins == _COMPUTE_CHECKSUM:
        here.checksum_computed = True
        _keep(here, parse_tlv(response, "checksum"))


def _guess(response: bytes, here: Observed) -> CommandApdu:
    """An "any command" entry: what was asked is told from what was answered."""
    if response[:1] in (b"\x77", b"\x80") and not here.gpo:
        return CommandApdu(0x80, _GPO, 0, 0)
    return CommandApdu(0x00, _READ_RECORD if response[:1] == b"\x70" else 0xCA, 0, 0)


def _take_selection(command: CommandApdu, response: bytes, applications: list[Observed]) -> None:
    if command.data in _DIRECTORY_NAMES:
        return
    fci = flatten(parse_tlv(response, "FCI"))
    label = fci.get(0x50, b"").decode("ascii", "replace").strip()
    applications.append(Observed(fci.get(0x84) or command.data, label, fci))


def _take_options(command: CommandApdu, response: bytes, here: Observed) -> None:
    objects = gpo_objects(response)
    if isinstance(objects, Refused):
        return
    here.gpo = objects
    _keep(here, objects)
    here.pdol_values = find(parse_tlv(command.data, "GPO"), 0x83) or b""
    if here.data.get(0x9F38):
        here.sent.update(split_dol(here.data[0x9F38], here.pdol_values, "PDOL"))


def _take_cryptogram(command: CommandApdu, response: bytes, here: Observed) -> None:
    templates = parse_tlv(response, "GENERATE AC")
    here.cdol_values = command.data
    if templates and templates[0].tag == 0x80:
        value = templates[0].value  # EMV Book 3, 6.5.5.4: CID, ATC, AC and, if there, IAD
        parts = ((0x9F27, value[:1]), (0x9F36, value[1:3]), (0x9F26, value[3:11]), (0x9F10, value[11:]))
        here.generate_ac = tuple(Tlv(tag, part) for tag, part in parts if part)
    elif templates:
        here.generate_ac = templates[0].children
    _keep(here, here.generate_ac)
    if here.data.get(0x8C):
        for tag, value in split_dol(here.data[0x8C], command.data, "CDOL1").items():
            here.sent.setdefault(tag, value)


def _keep(here: Observed, tlvs: tuple[Tlv, ...]) -> None:
    for tag, value in flatten(tlvs).items():
        here.data.setdefault(tag, value)
