"""A tap of every lab card, written down and replayed without a word about the reader, comes out as it was."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

import pytest

from taplab.card import Scheme, load_card, packaged_cards
from taptill.amount.money import Money
from taptill.card.outcome import CardRead
from taptill.card.parameters import Combination, TapRequest
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.read_card import drive, read_card
from taptill.card.reader import Presentation, RawResponse
from taptill.card.reader_parameters import parse_reader_parameters
from taptill.card.replay.observation import observe
from taptill.card.replay.recording import load_recording
from taptill.card.replay.replay import replay
from taptill.card.replay.report import OUTCOME_WORDS
from taptill.entropy import SystemEntropy

ENTROPY = SystemEntropy()


class RecordingReader:
    """A `CardReader` with a lab card on it that writes everything down."""

    url = "lab:"

    def __init__(self, name: str, scheme: Scheme) -> None:
        self._card = load_card(name, scheme, ENTROPY)
        self.apdus: list[dict[str, str]] = []

    def open(self) -> None: ...

    def close(self) -> None: ...

    def wait_for_card(self, timeout_ms: int) -> Presentation | None:
        return Presentation(b"", "A")

    def wait_for_removal(self, timeout_ms: int) -> bool:
        return True

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        octets = self._card.answer(command).octets
        self.apdus.append({"c": command.hex(), "r": octets.hex()})
        return RawResponse(octets, 5_000)


@pytest.fixture(scope="module")
def scheme() -> Scheme:
    return Scheme.generate(ENTROPY)


@pytest.fixture(scope="module")
def combinations() -> list[Combination]:
    text = (resources.files("taptill.card") / "reader_parameters.toml").read_text(encoding="utf-8")
    return [replace(each.combination, cvm_limit_minor=100_000) for each in parse_reader_parameters(text)]


def said(read: CardRead) -> tuple[str, ...]:
    kind = OUTCOME_WORDS.get(read.outcome.kind, read.outcome.kind.value)
    return (
        kind,
        read.outcome.reason,
        read.outcome.cvm.value,
        read.oda.verdict.value,
        read.tvr.hex().upper(),
        read.kernel,
    )


def tap(
    name: str, scheme: Scheme, combinations: list[Combination], amount_minor: int, offline: bool
) -> tuple[CardRead, list[dict[str, str]]]:
    """What the card and the terminal came to, and what they said."""
    request = TapRequest(
        amount=Money(amount_minor),
        amount_other=Money(0),
        transaction_type=0x00,
        date_yymmdd="261122",
        time_hhmmss="120000",
        country="156",
        unpredictable_number=ENTROPY.octets(4),
        online_possible=True,
        offline_allowed=offline,
        fresh_numbers=tuple(ENTROPY.octets(4) for _ in range(3)),
    )
    reader = RecordingReader(name, scheme)
    read = drive(read_card(request, combinations, CaKeyStore.of(scheme.ca_keys())), reader, 1_000)
    return read, reader.apdus


@pytest.mark.parametrize("offline", [True, False], ids=["offline", "online"])
@pytest.mark.parametrize("amount_minor", [100, 150_000])
@pytest.mark.parametrize("name", list(packaged_cards()))
def test_a_tap_of_a_lab_card_replays_as_it_was(
    name: str, amount_minor: int, offline: bool, scheme: Scheme, combinations: list[Combination]
) -> None:
    read, apdus = tap(name, scheme, combinations, amount_minor, offline)
    report = replay({"apdus": apdus}, None, CaKeyStore.of(scheme.ca_keys()))
    again = (report.outcome, report.reason, report.cvm, report.oda.verdict.value, report.tvr, report.kernel)
    assert again == said(read)
    assert report.differing == ()


@pytest.mark.parametrize(
    ("name", "outcome", "reason"),
    [
        ("offline_funds", "approved", "judged-over-the-recorded-commands"),
        ("visa_offline", "approved", "judged-over-the-recorded-commands"),
        ("mastercard_credit", "online", "judged-over-the-recorded-commands"),
        ("bad_certificate", "declined", "oda-failed"),
        ("expired", "declined", "expired"),
    ],
)
def test_a_signature_is_judged_over_the_recorded_number_whatever_the_kernel_is_told(
    name: str, outcome: str, reason: str, scheme: Scheme, combinations: list[Combination]
) -> None:
    _, apdus = tap(name, scheme, combinations, 100, offline=True)
    document = {"apdus": apdus, "terminal": {"9F37": "00000000"}}
    report = replay(document, None, CaKeyStore.of(scheme.ca_keys()))
    assert (report.outcome, report.reason) == (outcome, reason)
    assert any("9F37 sent 00000000" in text for text in report.differing)
    assert outcome == "declined" or not int(report.tvr, 16) & 0x0C00000000


def test_relay_resistance_replays_with_the_recorded_numbers(scheme: Scheme, combinations: list[Combination]) -> None:
    measuring = [
        replace(each, kernel_data={**each.kernel_data, 0xDF811B: b"\xb0"}) if each.kernel_id == 2 else each
        for each in combinations
    ]
    read, apdus = tap("mastercard_relay", scheme, measuring, 100, offline=False)
    assert any(apdu["c"].startswith("80ea") for apdu in apdus)
    report = replay({"apdus": apdus}, None, CaKeyStore.of(scheme.ca_keys()))
    assert (report.outcome, report.proofs["tdh"], report.differing) == ("online", "passed", ())
    assert report.tvr == read.tvr.hex().upper()
    at = next(at for at, apdu in enumerate(apdus) if apdu["c"].startswith("80ea"))
    apdus[at]["r"] = "800a" + "00000000" + apdus[at]["r"][12:]
    other = replay({"apdus": apdus}, None, CaKeyStore.of(scheme.ca_keys()))
    assert other.proofs["tdh"] == "relay-resistance-data-differ"


def test_a_proof_holds_by_itself_and_the_day_counts_in_the_verdict(
    scheme: Scheme, combinations: list[Combination]
) -> None:
    _, apdus = tap("visa_offline", scheme, combinations, 100, offline=True)
    ca_keys = CaKeyStore.of(scheme.ca_keys())
    late = replay({"apdus": apdus, "terminal": {"date": "491231"}}, None, ca_keys)
    assert set(late.proofs.values()) == {"passed"}
    assert (late.oda.verdict.value, late.outcome) == ("failed", "declined")


def test_a_signature_in_a_second_cryptogram_covers_the_values_of_both(
    scheme: Scheme, combinations: list[Combination]
) -> None:
    """What is hashed is one string, so that a card's only GENERATE AC may be told as two."""
    _, apdus = tap("mastercard_credit", scheme, combinations, 100, offline=False)
    at = next(at for at, apdu in enumerate(apdus) if apdu["c"].startswith("80ae"))
    values = bytes.fromhex(apdus[at]["c"])[5:-1]
    parts = (values[:20], values[20:])
    first, second = (f"80AE9000{len(part):02X}{part.hex()}00" for part in parts)
    told = [*apdus[:at], {"c": first, "r": "800B8000010001020304050607" + "9000"}, {**apdus[at], "c": second}]
    number = observe(load_recording({"apdus": apdus}).exchanges).sent[0x9F37]
    document = {"apdus": told, "terminal": {"9F37": number.hex()}}
    report = replay(document, None, CaKeyStore.of(scheme.ca_keys()))
    assert (report.proofs["cda"], report.proofs["tdh"]) == ("passed", "passed")


def test_where_we_ask_for_another_cryptogram_the_recorded_one_still_counts(
    scheme: Scheme, combinations: list[Combination]
) -> None:
    read, apdus = tap("mastercard_offline", scheme, combinations, 100, offline=True)
    assert read.outcome.kind.value == "approved"
    document = {"apdus": apdus, "terminal": {"DF8122": "FFFFFFFFFF"}}
    report = replay(document, None, CaKeyStore.of(scheme.ca_keys()))
    assert (report.outcome, report.reason) == ("approved", "judged-over-the-recorded-commands")
    assert (report.cryptogram_type, report.oda.verdict.value) == (read.cryptogram_type, "passed")
    assert any("recorded with P1 50" in text for text in report.differing)
    assert replay(document, None, CaKeyStore()).outcome == "end application"
