"""What a transcript says should come out of it, against what does.

Comes in: a recording with its document, and what the replay came to. Goes out: a sentence per expectation missed.
Strategy: `outcome`, `reverified_here` and `origin_field_55` are compared whole; `origin_expected_decode` is a dump for
people, of which only the lines that give a data object in hex can be judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from taptill.card.apdu import CommandApdu, MalformedApdu, split_command
from taptill.card.dol import MalformedDol, split_dol
from taptill.card.payment_data import gpo_objects
from taptill.card.proof.offline_authentication import DEFAULT_DDOL
from taptill.card.refused import Refused
from taptill.card.replay.observation import (
    CDOL1,
    CDOL2,
    COMPUTE_CHECKSUM,
    DDOL,
    DEFAULT_UDOL,
    GPO,
    INTERNAL_AUTHENTICATE,
    PDOL,
    UDOL,
    accepted,
    cryptogram_objects,
)
from taptill.card.replay.proofs import PASSED, PROOFS
from taptill.card.replay.recording import GENERATE_AC, Exchange, Recording
from taptill.card.tlv import MalformedTlv, Tlv, find, parse_tlv, walk
from taptill.card.tlv_names import shown_value

# A line of a decoded dump: `    9F36 (application transaction counter): 0035`, long values as `9081F87A...4955`.
_DECODED = re.compile(r"\s+([0-9A-F]{2}|[0-9A-F]{4}|[0-9A-F]{6}) \([^\n]*?\): ?([0-9A-F]+)(?:\.\.\.([0-9A-F]+))?")


def missed_expectations(
    recording: Recording,
    outcome: str,
    tags: Mapping[int, bytes],
    proofs: Mapping[str, str],
    field_55: Mapping[int, bytes],
) -> Iterator[str]:
    """Where the document says what should come out, and something else did."""
    document = recording.document
    expected = document.get("outcome")
    if isinstance(expected, str) and expected != outcome:
        yield f"outcome {outcome}, recorded {expected}"
    named = document.get("reverified_here")
    for proof in named if isinstance(named, list) else ():
        if proof in PROOFS and proofs.get(proof) != PASSED:
            yield f"{proof}: {proofs.get(proof, 'not in the recording')}"
    for tag, value in field_55.items():
        if tags.get(tag) != value:
            ours = shown_value(tag, tags[tag]) if tag in tags else "nothing"
            yield f"field 55, {tag:X}: {ours}, recorded {shown_value(tag, value)}"
    yield from _decoded_otherwise(recording)


def _decoded_otherwise(recording: Recording) -> Iterator[str]:
    """`origin_expected_decode`, where a line gives a data object in hex: it has to be one that we find too. Values that
    the origin put into words, and lists whose entries it names, are not compared."""
    text = recording.document.get("origin_expected_decode")
    if not isinstance(text, str):
        return
    found = _all_values(recording)
    for line in text.splitlines():
        decoded = _DECODED.fullmatch(line.rstrip())
        values = found.get(int(decoded[1], 16)) if decoded else None
        if decoded and values and not any(_shown_as(value, decoded[2], decoded[3]) for value in values):
            yield f"{decoded[1]}: the origin decodes another value than the {len(values)} found here"


def _shown_as(value: bytes, start: str, end: str | None) -> bool:
    """Whether a dump may show the value so: in hex, long ones cut in their middle, as text, or as a number."""
    shown = value.hex().upper()
    if end is not None:
        return shown.startswith(start) and shown.endswith(end)
    return start in (shown, value.decode("ascii", "replace"), str(int.from_bytes(value, "big")))


def _all_values(recording: Recording) -> dict[int, set[bytes]]:
    """Every value of every data object that either side said."""
    found: dict[int, set[bytes]] = {}
    lists = {DDOL: DEFAULT_DDOL, UDOL: DEFAULT_UDOL}
    asking = {GPO: [PDOL], GENERATE_AC: [CDOL1, CDOL2], INTERNAL_AUTHENTICATE: [DDOL], COMPUTE_CHECKSUM: [UDOL]}
    for exchange in accepted(recording.exchanges):
        try:
            command = split_command(exchange.command) if exchange.command else CommandApdu(0, 0, 0, 0)
            tlvs = _told(command, exchange)
            asked = asking[command.ins].pop(0) if asking.get(command.ins) else 0
            sent = _sent(command, lists.get(asked, b""))
        except (MalformedApdu, MalformedTlv, MalformedDol):
            continue
        lists.update({tlv.tag: tlv.value for tlv in walk(tlvs)})
        for tag, value in (*((tlv.tag, tlv.value) for tlv in walk(tlvs)), *sent.items()):
            found.setdefault(tag, set()).add(value)
    return found


def _told(command: CommandApdu, exchange: Exchange) -> tuple[Tlv, ...]:
    """The data objects of a response, with those that format 1 leaves without tags."""
    response = exchange.response[:-2]
    tlvs = parse_tlv(response)
    if command.ins == GENERATE_AC:
        return tlvs + cryptogram_objects(response)
    options = gpo_objects(response) if command.ins == GPO else ()
    return tlvs if isinstance(options, Refused) else tlvs + options


def _sent(command: CommandApdu, asked: bytes) -> dict[int, bytes]:
    if not asked:
        return {}
    values = find(parse_tlv(command.data), 0x83) if command.ins == GPO else command.data
    return split_dol(asked, values or b"")
