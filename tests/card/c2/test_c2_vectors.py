"""Recorded Mastercard taps: with the recorded terminal's settings our commands are the recorded ones, byte by byte."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any

import pytest

from taptill.amount.money import Currency, Money
from taptill.card.apdu import split_command
from taptill.card.ca_keys import CaKeyStore, parse_ca_keys
from taptill.card.dialogue import Selection
from taptill.card.dol import split_dol
from taptill.card.kernels.c2.configuration import Configuration
from taptill.card.kernels.c2.kernel import KernelC2
from taptill.card.outcome import CardRead, OdaVerdict, OutcomeKind
from taptill.card.parameters import Combination, TapRequest
from taptill.card.preprocessing import prepare
from taptill.card.read_card import drive
from taptill.card.reader import RawResponse
from taptill.card.replay.recording import RecordedCard, load_recording
from taptill.card.tlv import find, flatten, parse_tlv

Case = dict[str, Any]
MASTERCARD = bytes.fromhex("A000000004")
CONTACT_DIRECTORY = b"1PAY.SYS.DDF01".hex().upper()
OUTCOMES = {0x40: OutcomeKind.APPROVED, 0x80: OutcomeKind.ONLINE_REQUEST}
EVERYTHING = "FC509C8800"
READ_RECORD, EMPTY_RECORD = 0xB2, bytes.fromhex("70009000")
OURS_TO_FIND = frozenset({0x95, 0x9F34, 0x9F33})


def mastercard_taps(document: Case) -> Iterator[tuple[str, Case]]:
    apdus = document.get("apdus", [])
    selected = [apdu for apdu in apdus if apdu["c"].startswith("00A40400") and MASTERCARD.hex().upper() in apdu["c"]]
    if selected and not any(CONTACT_DIRECTORY in apdu["c"] for apdu in apdus) and not _second_cryptogram(apdus):
        yield "tap", document


def emv_taps(document: Case) -> Iterator[tuple[str, Case]]:
    yield from (tap for tap in mastercard_taps(document) if _recorded(document, "80AE"))


def mag_stripe_taps(document: Case) -> Iterator[tuple[str, Case]]:
    yield from (tap for tap in mastercard_taps(document) if _recorded(document, "802A8E80"))


def _second_cryptogram(apdus: list[Case]) -> bool:
    return len([apdu for apdu in apdus if apdu["c"].startswith("80AE")]) > 1


def _recorded(document: Case, header: str) -> tuple[bytes, bytes] | None:
    found = (apdu for apdu in document["apdus"] if apdu["c"].startswith(header))
    return next(((bytes.fromhex(apdu["c"]), bytes.fromhex(apdu["r"][:-4])) for apdu in found), None)


@dataclass(frozen=True)
class Recorded:
    """What was said in a recording, and how its terminal was set."""

    said: dict[int, bytes]
    sent: dict[int, bytes]
    control: int


def recorded(document: Case) -> Recorded:
    fci, options = _recorded(document, "00A4040007A000000004"), _recorded(document, "80A8")
    assert fci is not None
    assert options is not None
    said = flatten(parse_tlv(fci[1]))
    records = [bytes.fromhex(apdu["r"][:-4]) for apdu in document["apdus"] if apdu["c"].startswith("00B2")]
    for record in records:
        said |= flatten(parse_tlv(record))
    sent = split_dol(said.get(0x9F38, b""), find(parse_tlv(split_command(options[0]).data), 0x83) or b"")
    generate = _recorded(document, "80AE")
    if generate is None:
        return Recorded(said, sent, 0)
    command = split_command(generate[0])
    return Recorded(said, sent | split_dol(said[0x8C], command.data), command.p1)


def request_of(document: Case, sent: dict[int, bytes]) -> TapRequest:
    terminal = document.get("terminal", {})
    told = flatten(parse_tlv(bytes.fromhex(terminal.get("transaction_request_tlv", "")))) | sent
    number = told[0x5F2A].hex()[1:]
    currency = Currency(number, number, 2, "")
    return TapRequest(
        amount=Money(int(told[0x9F02].hex()), currency),
        amount_other=Money(int(told.get(0x9F03, b"\x00").hex()), currency),
        transaction_type=told[0x9C][0],
        date_yymmdd=told[0x9A].hex() if 0x9A in told else terminal["date"],
        time_hhmmss=told[0x9F21].hex() if 0x9F21 in told else terminal.get("time", "000000"),
        country=told.get(0x9F1A, b"\x00\x56").hex()[1:],
        unpredictable_number=told.get(0x9F37) or bytes.fromhex(terminal["unpredictable_number"]),
        online_possible=True,
        offline_allowed=True,
        terminal_type=told.get(0x9F35, b"\x22")[0],
        pin_pad=True,
    )


def combination_of(document: Case, tap: Recorded) -> Combination:
    """The recorded terminal knew mag-stripe mode where it left that mode's record out; what it sent and we do not find
    out by ourselves it was told by its configuration."""
    skipped = not any(apdu["c"].startswith("00B2010C") for apdu in document["apdus"])
    mag_stripe = _recorded(document, "802A8E80") is not None
    above_floor = len(tap.sent.get(0x95, b"")) == 5 and tap.sent[0x95][3] & 0x80
    settings = {
        0xDF811B: bytes([0x20 if skipped or mag_stripe else 0xA0]),
        0xDF8118: b"\x68",
        0xDF8119: b"\x68",
        0xDF811F: b"\x00" if mag_stripe else b"\x08",
        0xDF8120: bytes.fromhex(EVERYTHING),
        0xDF8121: bytes(5),
        0xDF8122: bytes.fromhex(EVERYTHING),
        0xDF8123: bytes(6) if above_floor else bytes.fromhex("999999999999"),
    }
    configured = {tag: value for tag, value in tap.sent.items() if tag not in OURS_TO_FIND}
    checksum = _recorded(document, "802A8E80")
    if checksum is not None:
        configured[0x9F7E] = split_dol(tap.said[0x9F69], split_command(checksum[0]).data).get(0x9F7E, b"\x01")
    aid = tap.said.get(0x84, MASTERCARD)
    return Combination(aid, 2, b"", kernel_data=configured | settings)


def published_keys() -> CaKeyStore:
    text = (resources.files("taptill.card") / "ca_keys_test.toml").read_text(encoding="utf-8")
    return CaKeyStore.of(parse_ca_keys(text))


class HeardCard(RecordedCard):
    """The recorded card, and what we said to it. A record nobody wrote down is empty: one recording leaves one out."""

    def __init__(self, document: Case) -> None:
        super().__init__(load_recording(document))
        self.recorded = {bytes.fromhex(apdu["c"]) for apdu in document["apdus"]}
        self.heard: list[bytes] = []

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        if command[1] == READ_RECORD and command not in self.recorded:
            return RawResponse(EMPTY_RECORD, 0)
        self.heard.append(command)
        return super().transmit(command, timeout_ms)


def run(document: Case) -> tuple[CardRead, list[bytes], Recorded]:
    tap = recorded(document)
    request, combination = request_of(document, tap.sent), combination_of(document, tap)
    card = HeardCard(document)
    selection = Selection(combination.aid, prepare(combination, request), fci_of(document))
    return drive(KernelC2().run(selection, request, published_keys()), card, 1000), card.heard, tap


def fci_of(document: Case) -> dict[int, bytes]:
    selected = _recorded(document, "00A4040007A000000004")
    assert selected is not None
    return flatten(parse_tlv(selected[1]))


def differing(sent: dict[int, bytes], ours: dict[int, bytes]) -> dict[int, str]:
    return {tag: ours[tag].hex() for tag, value in sent.items() if ours[tag] != value}


def after_selection(document: Case) -> list[bytes]:
    return [bytes.fromhex(apdu["c"]) for apdu in document["apdus"] if not apdu["c"].startswith("00A4")]


def undeterminable(tap: Recorded, told: dict[int, bytes]) -> dict[int, bytes]:
    """What a recording shows of its terminal that no setting of ours can be. One is older than relay resistance and
    sets neither of the two bits that every terminal since then sets one of; one leaves "apply the next rule" out of the
    CVM results, where the others leave it in."""
    found: dict[int, bytes] = {}
    if not tap.sent[0x95][4] & 0x03:
        found[0x95] = tap.sent[0x95][:4] + b"\x01"
    if 0x9F34 in tap.sent and told[0x9F34][0] == tap.sent[0x9F34][0] | 0x40:
        found[0x9F34] = told[0x9F34][:1] + tap.sent[0x9F34][1:]
    return found


def generate_ac_of(tap: Recorded, heard: list[bytes]) -> dict[int, bytes]:
    return split_dol(tap.said[0x8C], split_command(heard[-1]).data)


@pytest.mark.vectors(folder="cards", cases=emv_taps)
def test_our_commands_are_the_recorded_ones(vector: Case) -> None:
    _, heard, tap = run(vector)
    wanted = after_selection(vector)
    assert heard[:-1] == wanted[:-1]
    assert heard[-1][:5] == wanted[-1][:5]
    told = generate_ac_of(tap, heard)
    asked_for = {tag: tap.sent[tag] for tag in told}
    assert told == asked_for | undeterminable(tap, told)


@pytest.mark.vectors(folder="cards", cases=emv_taps)
def test_the_recorded_signature_holds_over_what_we_sent(vector: Case) -> None:
    read, heard, tap = run(vector)
    if not {"cda", "tdh"} <= set(vector.get("reverified_here", [])):
        pytest.skip("nobody verified this recording's signature")
    if any(tap.sent[tag] != value for tag, value in generate_ac_of(tap, heard).items()):
        assert (read.oda.verdict, read.oda.reason) == (OdaVerdict.FAILED, "transaction-data-differ")
        return
    assert (read.oda.verdict, read.oda.reason) == (OdaVerdict.PASSED, "")
    assert read.outcome.kind is OUTCOMES[tap.control & 0xC0]


@pytest.mark.vectors(folder="cards", cases=emv_taps)
def test_one_recorded_octet_changed_is_a_false_signature(vector: Case) -> None:
    if "cda" not in vector.get("reverified_here", []):
        pytest.skip("nobody verified this recording's signature")
    apdus = [dict(apdu) for apdu in vector["apdus"]]
    for apdu in apdus:
        if apdu["c"].startswith("80AE"):
            apdu["r"] = apdu["r"][:-6] + ("00" if apdu["r"][-6:-4] != "00" else "01") + apdu["r"][-4:]
    read, _, _ = run({**vector, "apdus": apdus})
    assert read.oda.verdict is OdaVerdict.FAILED
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.END_APPLICATION, "oda-failed")


@pytest.mark.vectors(folder="cards", cases=mag_stripe_taps)
def test_a_mag_stripe_tap_goes_as_recorded_but_for_the_number(vector: Case) -> None:
    read, heard, tap = run(vector)
    assert (read.outcome.kind, read.outcome.reason) == (OutcomeKind.ONLINE_REQUEST, "")
    wanted = after_selection(vector)
    assert heard[:-1] == wanted[:-1]
    ours, theirs = split_command(heard[-1]), split_command(wanted[-1])
    assert (ours.ins, ours.p1, ours.p2) == (theirs.ins, theirs.p1, theirs.p2)
    # The origin takes the first digits of its number and more than the card's track has places for.
    told, said = (split_dol(tap.said[0x9F69], command.data) for command in (ours, theirs))
    assert set(differing(said, told)) <= {0x9F6A}
    assert told[0x9F6A].hex().startswith("00000")
    assert read.number is not None
    track = read.number.track2.reveal().decode()
    assert track.startswith(tap.said[0x9F6B].hex().upper().partition("D")[0])
    assert not {0x9F60, 0x9F61, 0x9F6B, 0x57} & set(read.data)


@pytest.mark.vectors(folder="cards", cases=mag_stripe_taps)
def test_without_mag_stripe_mode_that_card_is_turned_down(vector: Case) -> None:
    tap = recorded(vector)
    request = request_of(vector, tap.sent)
    combination = Combination(tap.said.get(0x84, MASTERCARD), 2, b"")
    selection = Selection(combination.aid, prepare(combination, request), fci_of(vector))
    read = drive(KernelC2().run(selection, request, CaKeyStore()), RecordedCard(load_recording(vector)), 1000)
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
