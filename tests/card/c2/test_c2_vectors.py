"""Recorded Mastercard taps: with the recorded terminal's settings our commands are the recorded ones, byte by byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.card.vector_keys import is_keyless, vector_stores

from taptill.amount.money import Money
from taptill.card.apdu import split_command
from taptill.card.dialogue import Selection
from taptill.card.dol import split_dol
from taptill.card.kernels.c2.configuration import Configuration
from taptill.card.kernels.c2.kernel import KernelC2
from taptill.card.outcome import CardRead, OdaVerdict, OutcomeKind
from taptill.card.parameters import Combination, TapRequest
from taptill.card.preprocessing import prepare
from taptill.card.read_card import drive
from taptill.card.reader import RawResponse
from taptill.card.replay.directory import kernel_of, recorded_applications, with_all_records
from taptill.card.replay.interface import Interface, recorded_interface
from taptill.card.replay.observation import DEFAULT_UDOL, Observed, accepted, observe
from taptill.card.replay.recording import (
    GENERATE_AC,
    Exchange,
    RecordedCard,
    Recording,
    TranscriptRefused,
    case_ids,
    joined,
    load_recording,
)
from taptill.card.replay.terminal import RecordedTerminal, recorded_terminal
from taptill.card.tlv import flatten, parse_tlv

Case = dict[str, Any]
MASTERCARD = bytes.fromhex("A000000004")
OUTCOMES = {0x00: OutcomeKind.DECLINED, 0x40: OutcomeKind.APPROVED, 0x80: OutcomeKind.ONLINE_REQUEST}
OF_A_KERNEL = {b"\xa8", b"\xb2", b"\xae", b"\x2a", b"\xea"}
OF_NO_SETTING = bytes.fromhex("1008001803")  # of the TVR (EMV Book 3, Annex C5; Book C-2, A.1.195)


@dataclass(frozen=True)
class Tap:
    """A recorded contactless Mastercard: what was said, and the terminal that said it."""

    recording: Recording
    observed: Observed
    terminal: RecordedTerminal
    proven: frozenset[str]

    def commands(self) -> list[bytes]:
        """Those recorded that a kernel sends."""
        recorded = self.recording.exchanges[: len(self.recording.exchanges) - self.recording.made_up]
        return [each.command for each in recorded if each.command[1:2] in OF_A_KERNEL]

    def fci(self) -> dict[int, bytes]:
        """What the application answered to its selection."""
        selected = (each for each in accepted(self.recording.exchanges) if each.command[1:2] == b"\xa4")
        answers = (flatten(parse_tlv(each.response[:-2])) for each in selected)
        return next(each for each in answers if each.get(0x84, self.observed.aid) == self.observed.aid)

    def changed(self, turned: Callable[[Exchange], bytes]) -> Tap:
        """The same tap with other responses."""
        exchanges = tuple(replace(each, response=turned(each)) for each in self.recording.exchanges)
        return replace(self, recording=replace(self.recording, exchanges=exchanges))


def mastercard_taps(document: Case) -> Iterator[tuple[str, Tap]]:
    for name in case_ids(document):
        try:
            recording = load_recording(document, name)
        except TranscriptRefused:
            continue
        recording = replace(recording, exchanges=joined(recording.exchanges))
        observed = observe(recording.exchanges)
        kernel_id = kernel_of(observed.aid, recorded_applications(recording.exchanges))
        interface = recorded_interface(recording.exchanges, observed, kernel_id)
        if kernel_id == 2 and interface is Interface.CONTACTLESS:
            recording = with_all_records(recording, observed)
            proven = recording.document.get("reverified_here")
            named = frozenset(map(str, proven)) if isinstance(proven, list) else frozenset()
            yield name, Tap(recording, observed, recorded_terminal(recording, observed), named)


def emv_taps(document: Case) -> Iterator[tuple[str, Tap]]:
    for name, tap in mastercard_taps(document):
        if tap.observed.cryptograms and not is_keyless(MASTERCARD, tap.observed.data.get(0x8F, b"")):
            yield name, tap


def mag_stripe_taps(document: Case) -> Iterator[tuple[str, Tap]]:
    yield from ((name, tap) for name, tap in mastercard_taps(document) if tap.observed.checksum_values is not None)


def cda_taps(document: Case) -> Iterator[tuple[str, Tap]]:
    """Those whose signature somebody has verified."""
    yield from ((name, tap) for name, tap in emv_taps(document) if {"cda", "tdh"} <= tap.proven)


class HeardCard(RecordedCard):
    """The recorded card, and what we said to it."""

    def __init__(self, recording: Recording) -> None:
        super().__init__(recording)
        self.heard: list[bytes] = []

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        made_up = len(self.made_up)
        response = super().transmit(command, timeout_ms)
        if len(self.made_up) == made_up:
            self.heard.append(command)
        return response


def run(tap: Tap, combination: Combination | None = None) -> tuple[CardRead, list[bytes]]:
    """What the kernel makes of it with each set of CA keys, at its best, and what it said."""
    combination = combination or tap.terminal.combination(tap.observed.aid, 2, tap.observed)
    request = tap.terminal.request
    found = []
    for ca_keys in vector_stores():
        card = HeardCard(tap.recording)
        selection = Selection(combination.aid, prepare(combination, request), tap.fci())
        found.append((drive(KernelC2().run(selection, request, ca_keys), card, 1000), card.heard))
    return max(found, key=lambda each: each[0].oda.verdict is OdaVerdict.PASSED)


def undeterminable(tag: int, told: bytes, recorded: bytes) -> bool:
    """What a recording shows of its terminal that no setting of ours can be: what its lists and its dice said, whether
    it knows relay resistance, and whether it leaves "apply the next rule" in the CVM results. Of what can be found in
    the card we find all that it found."""
    if tag == 0x95 and len(recorded) == len(OF_NO_SETTING):
        return not any(theirs & ~mask & ~ours for ours, theirs, mask in zip(told, recorded, OF_NO_SETTING, strict=True))
    return tag == 0x9F34 and told[:1] == bytes([recorded[0] | 0x40]) and told[1:] == recorded[1:]


@pytest.mark.vectors(folder="cards", cases=emv_taps)
def test_our_commands_are_the_recorded_ones(vector: Tap) -> None:
    _, heard = run(vector)
    wanted = vector.commands()
    ours, theirs = split_command(heard[-1]), split_command(wanted[-1])
    assert [each[:-1] for each in heard[:-1]] == [without_le(each) for each in wanted[:-1]]
    assert (ours.ins, ours.p2, len(ours.data)) == (theirs.ins, theirs.p2, len(theirs.data))
    told, recorded = (split_dol(vector.observed.data[0x8C], each.data) for each in (ours, theirs))
    # Of a card that does not sign for the sale we ask an online cryptogram where others asked a TC.
    signs_for_the_sale = set(recorded) >= {0x9F02, 0x5F2A, 0x9F37}
    careful = theirs.p1 & 0x3F | 0x80 if theirs.p1 & 0xC0 == 0x40 and not signs_for_the_sale else theirs.p1
    assert ours.p1 in (theirs.p1, careful)
    recorded |= vector.terminal.stated.items() & told.items()  # what the document says of its terminal counts first
    different = {tag: (told[tag], value) for tag, value in recorded.items() if told[tag] != value}
    assert [f"{tag:X}" for tag, both in different.items() if not undeterminable(tag, *both)] == []


def without_le(command: bytes) -> bytes:
    """Writers of transcripts leave it out, or write what the card asked for."""
    return replace(split_command(command), le=None).encode()


@pytest.mark.vectors(folder="cards", cases=cda_taps)
def test_the_recorded_signature_holds_over_what_we_sent(vector: Tap) -> None:
    read, heard = run(vector)
    ours, theirs = split_command(heard[-1]), split_command(vector.commands()[-1])
    if ours.p1 != theirs.p1:
        assert read.outcome.kind is not OutcomeKind.APPROVED
        return
    if ours.data != theirs.data:
        assert read.oda.verdict is OdaVerdict.FAILED
        assert read.oda.reason in ("transaction-data-differ", "signature-wrong")
        return
    assert (read.oda.verdict, read.oda.reason) == (OdaVerdict.PASSED, "")
    assert read.outcome.kind is OUTCOMES[vector.observed.data[0x9F27][0] & 0xC0]


@pytest.mark.vectors(folder="cards", cases=cda_taps)
def test_one_recorded_octet_changed_is_a_false_signature(vector: Tap) -> None:
    def turned(exchange: Exchange) -> bytes:
        if exchange.command[1] != GENERATE_AC:
            return exchange.response
        return exchange.response[:-3] + bytes([exchange.response[-3] ^ 1]) + exchange.response[-2:]

    read, heard = run(vector.changed(turned))
    assert read.outcome.kind is OutcomeKind.END_APPLICATION
    if split_command(heard[-1]).p1 == split_command(vector.commands()[-1]).p1:
        assert (read.oda.verdict, read.outcome.reason) == (OdaVerdict.FAILED, "oda-failed")


@pytest.mark.vectors(folder="cards", cases=mag_stripe_taps)
def test_a_mag_stripe_tap_goes_as_recorded_but_for_the_number(vector: Tap) -> None:
    read, heard = run(vector)
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.ONLINE_REQUEST, "")
    wanted = vector.commands()
    assert [each[:-1] for each in heard[:-1]] == [without_le(each) for each in wanted[:-1]]
    ours, theirs = split_command(heard[-1]), split_command(wanted[-1])
    assert (ours.ins, ours.p1, ours.p2) == (theirs.ins, theirs.p1, theirs.p2)
    # The origin may take the first digits of its number and more than the card's track has places for.
    asked = vector.observed.data.get(0x9F69, DEFAULT_UDOL)
    told, recorded = (split_dol(asked, command.data) for command in (ours, theirs))
    assert {tag for tag, value in recorded.items() if told[tag] != value} <= {0x9F6A}
    assert told[0x9F6A].hex().isdigit()
    assert read.number is not None
    track = read.number.track2.reveal().decode()
    assert track.startswith(vector.observed.data[0x9F6B].hex().upper().partition("D")[0])
    assert not {0x9F60, 0x9F61, 0x9F6B, 0x57} & set(read.data)


@pytest.mark.vectors(folder="cards", cases=mag_stripe_taps)
def test_without_mag_stripe_mode_that_card_is_turned_down(vector: Tap) -> None:
    read, _ = run(vector, Combination(vector.observed.aid, 2, b""))
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.END_APPLICATION, "magstripe-only")


def reader_settings(document: Case) -> Iterator[tuple[str, Case]]:
    for name, config in document.get("configs", {}).items():
        for kernel in config.get("kernel", []):
            if kernel.get("kernelId") == 2:
                yield from _layers(name, kernel)


def _layers(name: str, kernel: Case) -> Iterator[tuple[str, Case]]:
    base = kernel.get("config", []) + kernel.get("override", [])
    yield name, {"layers": [base]}
    for application in kernel.get("application", []):
        own = application.get("config", [])
        for transaction in application.get("transaction", []) or [{}]:
            kind = transaction.get("transactionType", "any")
            layers = [base, own, transaction.get("config", [])]
            yield f"{name}-{application['aid']}-{kind}", {"layers": layers}


@pytest.mark.vectors(folder="config", cases=reader_settings)
def test_foreign_reader_settings_are_taken_as_they_are(vector: Case) -> None:
    data: dict[int, bytes] = {}
    for layer in vector["layers"]:
        data |= {int(entry["tag"], 16): bytes.fromhex(entry["value"]) for entry in layer}
    request = TapRequest(Money(1), Money(0), 0, "190819", "000000", "056", bytes(4), True, True, pin_pad=True)
    configuration = Configuration.of(Combination(MASTERCARD, 2, b"", kernel_data=data), request)
    for tag, value in data.items():
        assert configuration.values.get(tag, b"") == value or not value
    assert not any(tag > 0xFFFF for tag in configuration.for_card())
