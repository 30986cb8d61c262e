"""What is fuzzed, each by name.

Comes in: made-up octets. Goes out: nothing where all is well. Strategy: a target lets the declared errors of its part
pass and nothing else; what it raises is a crash. `story` tells people what an input did.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from taplab.fuzz.choices import Choices
from taplab.fuzz.good_cards import CARD_TIMEOUT_MS, SALES, GoodCard, GoodWorld
from taplab.fuzz.hostile_card import HostileCard, LawBroken
from taplab.fuzz.hostile_field import HostileField
from taplab.fuzz.laws import check_read
from taplab.fuzz.spoil import spoiled
from taptill.card.adapters.pn532_frames import PAYLOAD_OCTETS_MAX, Frame, Framer
from taptill.card.apdu_names import describe_apdu
from taptill.card.dol import MalformedDol, dol_length, fill_dol, parse_dol, split_dol
from taptill.card.entry_point import Configuration
from taptill.card.read_card import KERNELS, drive, read_card
from taptill.card.replay.replay import replay
from taptill.card.tlv import MalformedTlv, encode_tlvs, parse_tlv
from taptill.card.tlv_names import describe_tlv, render_tree
from taptill.errors import TapTillError
from taptill.host.codec import MalformedMessage, decode_message, decode_private_data, unwrap

OCTETS_MAX = 600
_PRESENTATIONS = 2

Run = Callable[[bytes, GoodWorld], list[str]]


@dataclass(frozen=True, slots=True)
class Target:
    """`run` gives out the story of its input. It raises what is a fault of this program."""

    what: str
    run: Run


def hold_hostile_card(octets: bytes, world: GoodWorld) -> list[str]:
    """A card before every kernel there is; a second presentation knows what the first one left torn."""
    choices = Choices(octets)
    good, sale, combinations = choices.one_of(world.cards), choices.one_of(SALES), choices.one_of(world.settings)
    card = HostileCard(good, choices)
    try:
        for _ in range(_PRESENTATIONS):
            card.exchanges = 0
            read = drive(read_card(sale, combinations, world.ca_keys), card, CARD_TIMEOUT_MS)
            card.story.append(f"= {read.outcome.kind.value} {read.outcome.reason} ({read.kernel})")
            check_read(read, sale)
            if read.torn_record is None:
                break
            sale = replace(sale, torn_records=(read.torn_record,))
    except Exception as fault:
        fault.add_note("\n".join(card.story))
        raise
    return card.story


def hold_hostile_cards(octets: bytes, world: GoodWorld) -> list[str]:
    """A whole transaction: fields that are empty, crowded or left, restarts, and what an issuer answers."""
    choices = Choices(octets)
    good, sale, combinations = choices.one_of(world.cards), choices.one_of(SALES), choices.one_of(world.settings)
    driver = HostileField(HostileCard(good, choices), sale, choices)
    try:
        driver.run(Configuration(combinations, KERNELS, world.ca_keys))
    except Exception as fault:
        fault.add_note("\n".join(driver.card.story))
        raise
    return driver.card.story


def parse_octets(octets: bytes, world: GoodWorld) -> list[str]:
    """Any octets as TLV: refused by name, or written again as they were meant."""
    try:
        tlvs = parse_tlv(octets, "fuzz")
        told = render_tree(describe_tlv(octets))
    except MalformedTlv as refusal:
        return [refusal.what]
    if parse_tlv(encode_tlvs(tlvs)) != tlvs:
        raise LawBroken("what was written is not what was read")
    return told.splitlines()


def fill_list(octets: bytes, world: GoodWorld) -> list[str]:
    """Any octets as a data object list: filled to the length it asks for, and taken apart again."""
    try:
        entries = parse_dol(octets)
        filled = fill_dol(octets, {0x9F02: bytes(6), 0x9F37: b"\x01\x02\x03\x04", 0x5A: b"\x62" * 10})
    except MalformedDol as refusal:
        return [refusal.what]
    if len(filled) != dol_length(entries) or sum(map(len, split_dol(octets, filled).values())) > len(filled):
        raise LawBroken("a list is not filled to its length")
    return [f"{entry.tag:X} {entry.length}" for entry in entries]


def describe_octets(octets: bytes, world: GoodWorld) -> list[str]:
    """Any octets as APDU, as `taptill decode` gets them."""
    try:
        return [describe_apdu(octets).title]
    except TapTillError as refusal:
        return [refusal.what]


def replay_recording(octets: bytes, world: GoodWorld) -> list[str]:
    """A recording of a card that was hostile, or of no card at all."""
    choices = Choices(octets)
    good = choices.one_of(world.cards)
    document = _recording(good, choices)
    try:
        report = replay(document, None, world.ca_keys)
    except TapTillError as refusal:
        return [refusal.what]
    return json.dumps(report.as_json(), default=str).splitlines()


def _recording(good: GoodCard, choices: Choices) -> dict[str, object]:
    others = tuple(good.by_header.values())
    apdus = [
        {"c": command.hex(), "r": (spoiled(choices, answer, others) if choices.below(2) else answer).hex()}
        for command, answer in good.by_command.items()
        if choices.below(8) != 7
    ]
    return {"apdus": apdus, "origin": "fuzz", "not_found_sw": "6A82"}


def feed_line(octets: bytes, world: GoodWorld) -> list[str]:
    """Anything on the reader's serial line, cut anywhere: the same frames come out whatever the cuts are."""
    choices = Choices(octets)
    sizes = [1 + choices.below(20) for _ in range(4)]
    line = choices.rest()
    at_once = Framer().feed(line)
    framer, by_parts, at = Framer(), [], 0
    while at < len(line):
        size = sizes[at % len(sizes)]
        by_parts += framer.feed(line[at : at + size])
        at += size
    if by_parts != at_once:
        raise LawBroken(f"{by_parts} in parts, {at_once} at once")
    if any(isinstance(event, Frame) and len(event.payload) > PAYLOAD_OCTETS_MAX for event in at_once):
        raise LawBroken("a frame longer than the longest")
    return [repr(event) for event in at_once]


def decode_reply(octets: bytes, world: GoodWorld) -> list[str]:
    """Anything from the host's line as a message and as its private data."""
    told: list[str] = []
    for decode in (unwrap, decode_message, decode_private_data):
        try:
            decode(octets)
            told.append(f"{decode.__name__}: taken")
        except MalformedMessage as refusal:
            told.append(f"{decode.__name__}: {refusal.what}")
    return told


TARGETS: Mapping[str, Target] = {
    "kernel": Target("hostile cards before every kernel", hold_hostile_card),
    "transaction": Target("hostile cards over whole transactions", hold_hostile_cards),
    "tlv": Target("octets as TLV", parse_octets),
    "dol": Target("octets as a data object list", fill_list),
    "apdu": Target("octets as APDU", describe_octets),
    "replay": Target("recordings of hostile cards", replay_recording),
    "pn532-frames": Target("noise on the reader's line", feed_line),
    "host-messages": Target("noise on the host's line", decode_reply),
}
