"""What a recorded tap proves, without a kernel: walked command by command, as a bystander.

Comes in: the exchanges of a recording. Goes out: `Observed`, the data objects and what signatures cover.
Strategy: for schemes whose kernel is not built in, and for contact transcripts, the records and the offline proofs can
still be judged. Nothing here decides about a sale.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from taptill.card.apdu import SW_OK, CommandApdu, MalformedApdu, split_command
from taptill.card.dol import MalformedDol, split_dol
from taptill.card.payment_data import gpo_objects
from taptill.card.proof.offline_authentication import AuthenticatedRecord
from taptill.card.records import parse_afl
from taptill.card.refused import Refused
from taptill.card.replay.recording import GENERATE_AC, SELECT, Exchange, joined
from taptill.card.selection import PPSE
from taptill.card.tlv import MalformedTlv, Tlv, find, flatten, parse_tlv

PSE = b"1PAY.SYS.DDF01"
GPO, READ_RECORD, INTERNAL_AUTHENTICATE, COMPUTE_CHECKSUM, RELAY_RESISTANCE = 0xA8, 0xB2, 0x88, 0x2A, 0xEA
GET_DATA = 0xCA
CDOL1, CDOL2, DDOL, PDOL, UDOL = 0x8C, 0x8D, 0x9F49, 0x9F38, 0x9F69
DEFAULT_UDOL = bytes.fromhex("9F6A04")  # EMV Book C-2, A.1.44

_ENTROPY_OCTETS = 4


@dataclass(frozen=True, slots=True)
class Cryptogram:
    """One GENERATE AC: what was asked for, with the values of its CDOL, and what came back."""

    reference_control: int
    values: bytes = field(repr=False)
    sent: Mapping[int, bytes] = field(repr=False)
    response: tuple[Tlv, ...] = field(repr=False)
    octets: bytes = field(default=b"", repr=False)  # the content of the response's template, as the card wrote it


@dataclass(slots=True)
class Observed:
    """One application of a recorded card, filled as the exchanges go by. Of a data object that comes twice, `data` and
    `sent` keep the first value."""

    aid: bytes = b""
    label: str = ""
    data: dict[int, bytes] = field(default_factory=dict, repr=False)
    sent: dict[int, bytes] = field(default_factory=dict, repr=False)
    pdol_values: bytes = b""
    ddol_values: bytes | None = None
    gpo: tuple[Tlv, ...] = field(default=(), repr=False)
    cryptograms: list[Cryptogram] = field(default_factory=list, repr=False)
    dynamic_signature: bytes = b""
    checksum_values: bytes | None = None
    entropies: list[bytes] = field(default_factory=list, repr=False)  # of each relay resistance attempt
    relay_resistance: bytes = b""  # what the last attempt exchanged, as CDA covers it
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
    """The first application that got as far as its options, else the last one selected. Raises nothing."""
    applications = [Observed()]
    for exchange in joined(exchanges):
        try:
            (_take if _is_accepted(exchange) else _take_refusal)(exchange, applications)
        except (MalformedTlv, MalformedDol, MalformedApdu):
            continue  # logs and proprietary answers are no TLV, and prove nothing
    return next((each for each in applications if each.gpo), applications[-1])


def accepted(exchanges: Iterable[Exchange]) -> Iterator[Exchange]:
    """Those that the card answered with 9000, continued ones whole."""
    return (each for each in joined(exchanges) if _is_accepted(each))


def _is_accepted(exchange: Exchange) -> bool:
    return exchange.response[-2:] == SW_OK.to_bytes(2, "big")


def _take(exchange: Exchange, applications: list[Observed]) -> None:
    response = exchange.response[:-2]
    command = split_command(exchange.command) if exchange.command else _guess(response, applications[-1])
    here = applications[-1]
    if command.ins == SELECT:
        _take_selection(command, response, applications)
    elif command.ins == GPO:
        _take_options(command, response, here)
    elif command.ins == READ_RECORD:
        here.records[(command.p2 >> 3, command.p1)] = response
        _keep(here, parse_tlv(response, "record"))
    elif command.ins == GENERATE_AC:
        _take_cryptogram(command, response, here)
    elif command.ins == INTERNAL_AUTHENTICATE:
        here.ddol_values = command.data
        templates = parse_tlv(response, "INTERNAL AUTHENTICATE")
        here.dynamic_signature = find(templates, 0x9F4B) or find(templates, 0x80) or b""
    elif command.ins == COMPUTE_CHECKSUM:
        here.checksum_values = command.data
        _keep(here, parse_tlv(response, "checksum"))
        for tag, value in split_dol(here.data.get(UDOL, DEFAULT_UDOL), command.data, "UDOL").items():
            here.sent.setdefault(tag, value)
    elif command.ins == RELAY_RESISTANCE:
        _take_relay_resistance(command, response, here)


def _take_refusal(exchange: Exchange, applications: list[Observed]) -> None:
    """What was sent with options that the card refused still tells of the reader and its sale."""
    command, here = split_command(exchange.command), applications[-1]
    if command.ins == GPO and here.data.get(PDOL) and not here.gpo:
        values = find(parse_tlv(command.data, "GPO"), 0x83) or b""
        here.sent.update(split_dol(here.data[PDOL], values, "PDOL"))


def _guess(response: bytes, here: Observed) -> CommandApdu:
    """An "any command" entry: what was asked is told from what was answered."""
    if response[:1] in (b"\x77", b"\x80") and not here.gpo:
        return CommandApdu(0x80, GPO, 0, 0)
    return CommandApdu(0x00, READ_RECORD if response[:1] == b"\x70" else GET_DATA, 0, 0)


def _take_selection(command: CommandApdu, response: bytes, applications: list[Observed]) -> None:
    if command.data in (PSE, PPSE):
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
    here.pdol_values = (find(parse_tlv(command.data, "GPO"), 0x83) or b"") if command.data else b""
    if here.data.get(PDOL):
        here.sent.update(split_dol(here.data[PDOL], here.pdol_values, "PDOL"))


def _take_cryptogram(command: CommandApdu, response: bytes, here: Observed) -> None:
    objects = cryptogram_objects(response)
    written = next((template.value for template in parse_tlv(response, "GENERATE AC")), b"")
    asked = here.data.get(CDOL2 if here.cryptograms else CDOL1, b"")
    try:
        sent = split_dol(asked, command.data, "CDOL") if asked else {}
    except MalformedDol:
        sent = {}  # the signature covers the values as they went, whatever they mean
    here.cryptograms.append(Cryptogram(command.p1, command.data, sent, objects, written))
    _keep(here, objects)
    for tag, value in sent.items():
        here.sent.setdefault(tag, value)


def cryptogram_objects(response: bytes) -> tuple[Tlv, ...]:
    """The data objects of a GENERATE AC response (EMV Book 3, 6.5.5.4): template 77, or CID, ATC, AC and, if there, IAD
    in 80. Raises MalformedTlv."""
    templates = parse_tlv(response, "GENERATE AC")
    if templates and templates[0].tag == 0x80:
        value = templates[0].value
        parts = ((0x9F27, value[:1]), (0x9F36, value[1:3]), (0x9F26, value[3:11]), (0x9F10, value[11:]))
        return tuple(Tlv(tag, part) for tag, part in parts if part)
    return templates[0].children if templates else ()


def _take_relay_resistance(command: CommandApdu, response: bytes, here: Observed) -> None:
    """EMV Book C-2, 5.3: an attempt that was repeated left nothing but its entropy."""
    if len(command.data) == _ENTROPY_OCTETS:
        here.entropies.append(command.data)
        here.relay_resistance = command.data + (find(parse_tlv(response, "relay resistance"), 0x80) or b"")


def _keep(here: Observed, tlvs: tuple[Tlv, ...]) -> None:
    for tag, value in flatten(tlvs).items():
        here.data.setdefault(tag, value)
