"""Cards of the fast kernels, and applications, that contradict themselves or speak for somebody else."""

from __future__ import annotations

import pytest
from tests.card.conftest import Tap
from tests.card.visa_card import PAN, VISA, VisaCard, visa_keys

from taptill.card.outcome import CardRead, OutcomeKind

VISA_SALE = {"aid": VISA, "kernel_id": 3, "ttq": bytes.fromhex("26004080")}


def held(tap: Tap, card: VisaCard, **changes: object) -> CardRead:
    return tap(card, visa_keys(), **(VISA_SALE | changes))[0]


def said(read: CardRead) -> tuple[OutcomeKind, str]:
    return read.outcome.kind, read.outcome.reason


def test_an_approval_its_own_verification_results_do_not_know_is_refused(tap: Tap) -> None:
    turned = VisaCard("ARQC", fdda=1, changes={0x9F27: "40"})
    assert said(held(tap, turned)) == (OutcomeKind.END_APPLICATION, "card-data-malformed")
    assert held(tap, VisaCard("TC", fdda=1, changes={0x9F27: "40"})).outcome.kind is OutcomeKind.APPROVED


def test_application_data_of_another_format_tell_no_cryptogram_type(tap: Tap) -> None:
    """9F10 with 1F in front has its CVR elsewhere; what stands at our place there means nothing."""
    other: dict[int, str | None] = {0x9F10: "1F220100" + "90" + "00" * 27}
    assert said(held(tap, VisaCard("TC", fdda=1, changes=other))) == (OutcomeKind.END_APPLICATION, "no-cryptogram")
    named = other | {0x9F27: "40"}
    assert held(tap, VisaCard("TC", fdda=1, changes=named)).outcome.kind is OutcomeKind.APPROVED


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (0x9F26, "11" * 7),
        (0x9F26, "11" * 255),
        (0x9F36, "01"),
        (0x82, "2000FF"),
        (0x9F6C, "00"),
        (0x5F34, "0101"),
        (0x9F10, "06011103900000" + "00" * 26),
        (0x9F27, "4040"),
    ],
)
def test_a_data_object_of_an_impossible_length_is_refused(tap: Tap, tag: int, value: str) -> None:
    read = held(tap, VisaCard("TC", fdda=1, changes={tag: value}))
    assert said(read) == (OutcomeKind.END_APPLICATION, "card-data-malformed")


@pytest.mark.parametrize("track_2", ["47617390", "", None])
def test_a_broken_track_2_is_not_replaced_by_the_number_alone(tap: Tap, track_2: str | None) -> None:
    card = VisaCard("TC", fdda=1, changes={0x57: track_2})
    assert said(held(tap, card)) == (OutcomeKind.END_APPLICATION, "data-missing-57")


def test_an_empty_type_of_cryptogram_is_told_as_one_left_out(tap: Tap) -> None:
    read = held(tap, VisaCard("TC", fdda=1, changes={0x9F27: ""}))
    assert (read.outcome.kind, read.data[0x9F27]) == (OutcomeKind.APPROVED, b"\x40")


def test_the_number_charged_is_the_number_certified(tap: Tap) -> None:
    other = f"{PAN[:-1]}8"
    both: dict[int, str | None] = {0x57: f"{other}D391220111438825820F"}
    read = held(tap, VisaCard("TC", fdda=1, changes=both, record={0x5A: other}))
    assert said(read) == (OutcomeKind.DECLINED, "oda-failed")
    assert read.oda.reason == "icc-certificate-not-of-this-card"


def test_a_reader_without_qualifiers_takes_nothing_offline_that_must_go_online(tap: Tap) -> None:
    for ttq in (b"", b"\x26"):
        assert held(tap, VisaCard("TC", fdda=1), ttq=ttq, offline_allowed=False).outcome.kind is OutcomeKind.DECLINED


def test_an_application_may_not_answer_under_another_schemes_name(tap: Tap) -> None:
    """Its name picks the CA keys."""

    class Renamed(VisaCard):
        def _fci(self) -> bytes:
            return super()._fci().replace(b"\x84\x07" + VISA, b"\x84\x07" + bytes.fromhex("A0000003330101"))

    keys = visa_keys(bytes.fromhex("A000000333"))
    read, commands = tap(Renamed("TC", fdda=1), keys, **VISA_SALE)
    assert said(read) == (OutcomeKind.END_APPLICATION, "application-malformed")
    assert [command[1] for command in commands] == [0xA4, 0xA4]


def test_nothing_that_holds_the_number_or_is_not_the_cards_to_say_goes_on(tap: Tap) -> None:
    """A certificate gives its card's number to everybody who has the public keys (EMV Book 2, Table 14)."""
    lies: dict[int, str | None] = {0x8A: "5931", 0x84: "A0000003330101", 0x9B: "FFFF", 0x9F02: "000000000001"}
    read = held(tap, VisaCard("TC", fdda=1, changes=lies))
    assert read.outcome.kind is OutcomeKind.APPROVED
    assert not {0x9F46, 0x8A, 0x9B, 0x5A, 0x57} & set(read.data)
    assert (read.data[0x84], read.data[0x9F02].hex()) == (VISA, "000000000100")
