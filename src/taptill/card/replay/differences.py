"""Which of our commands said something else than the recorded ones.

Comes in: the recorded card after our kernel, and what was observed of the recording. Goes out: sentences.
Strategy: a command's data is taken apart by the list that asked for it, so that a sentence names the data object.
"""

from __future__ import annotations

from collections.abc import Iterator

from taptill.card.apdu import CommandApdu, MalformedApdu, split_command
from taptill.card.apdu_names import command_title
from taptill.card.dol import MalformedDol, split_dol
from taptill.card.replay.observation import CDOL1, COMPUTE_CHECKSUM, GPO, PDOL, UDOL, Observed
from taptill.card.replay.recording import GENERATE_AC, Differing, RecordedCard
from taptill.card.tlv import MalformedTlv, find, parse_tlv
from taptill.card.tlv_names import shown_value

_LISTS = {GPO: PDOL, GENERATE_AC: CDOL1, COMPUTE_CHECKSUM: UDOL}


def command_differences(card: RecordedCard, observed: Observed) -> Iterator[str]:
    """A sentence per data object that differed, per command whose data has no list, per command nobody recorded."""
    for command in card.made_up:
        yield f"{command_title(split_command(command))}: not in the recording, its answer is made up"
    for command in card.unknown:
        yield f"{command_title(split_command(command))}: not in the recording"
    for each in card.differing:
        try:
            yield from _one(each, split_command(each.sent), split_command(each.recorded), observed)
        except MalformedApdu:
            yield f"command {each.place}: recorded as no command"


def _one(each: Differing, sent: CommandApdu, recorded: CommandApdu, observed: Observed) -> Iterator[str]:
    where = f"command {each.place}, {command_title(sent)}"
    if (sent.p1, sent.p2) != (recorded.p1, recorded.p2):
        yield f"{where}: recorded with P1 {recorded.p1:02X}, P2 {recorded.p2:02X}"
    if sent.data == recorded.data:
        return
    ours, theirs = _by_tag(sent, observed), _by_tag(recorded, observed)
    if ours is None or theirs is None:
        yield f"{where}: {len(sent.data)} bytes of data sent, other {len(recorded.data)} recorded"
        return
    for tag, value in theirs.items():
        if ours.get(tag) != value:
            yield f"{where}: {tag:X} sent {shown_value(tag, ours.get(tag, b''))}, recorded {shown_value(tag, value)}"


def _by_tag(command: CommandApdu, observed: Observed) -> dict[int, bytes] | None:
    asked = observed.data.get(_LISTS.get(command.ins, 0))
    try:
        values = find(parse_tlv(command.data), 0x83) if command.ins == GPO else command.data
        return split_dol(asked, values) if asked and values is not None else None
    except (MalformedDol, MalformedTlv):
        return None
