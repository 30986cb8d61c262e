"""Mag-stripe mode, where it is turned on: the checksum command, and the track the issuer gets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.card.c2.conftest import Hold
from tests.card.c2.mchip_card import CHECKSUM, MchipCard

from taptill.amount.money import Money
from taptill.card.kernels.c2.mag_track import TrackLayout, filled, layout_of, numeric_number
from taptill.card.outcome import CardRead, Cvm, OutcomeKind
from taptill.card.refused import Refused
from taptill.card.tlv import encode_tlv

MAG_STRIPE_ON = {0xDF811B: "20", 0xDF811E: "10", 0xDF812C: "00"}
PAN = "5413339000001513"
ANSWER = {0x9F61: "A2C4", 0x9F36: "0203"}
RECORD = {0x9F65: "000E", 0x9F66: "0E70", 0x9F6B: f"{PAN}D49121019000990000000F", 0x9F67: "03", 0x9F69: "9F6A049F0206"}


class StripeCard(MchipCard):
    """A card with nothing but its mag-stripe record."""

    def records(self) -> tuple[bytes, bytes, bytes]:
        said = {tag: value for tag, value in (RECORD | self.changes).items() if value is not None}
        return encode_tlv(0x70, _objects(said)), b"", b""

    def _answer(self, ins: int, p1: int, p2: int, data: bytes) -> bytes:
        if ins == CHECKSUM and (p1, p2) == (0x8E, 0x80):
            said = {tag: value for tag, value in (ANSWER | self.answers).items() if value is not None}
            return encode_tlv(0x77, _objects(said)) + b"\x90\x00"
        return super()._answer(ins, p1, p2, data)


def _objects(said: dict[int, str]) -> bytes:
    return b"".join(encode_tlv(tag, bytes.fromhex(value)) for tag, value in said.items())


def stripe(**changes: object) -> StripeCard:
    card = StripeCard(aip="0000", afl="08010100")
    for name, value in changes.items():
        setattr(card, name, value)
    return card


def said(read: CardRead) -> tuple[OutcomeKind, str]:
    return read.outcome.kind, read.outcome.reason


def test_mag_stripe_mode_is_off_unless_it_is_turned_on(hold: Hold) -> None:
    card = stripe()
    assert said(hold(card)) == (OutcomeKind.END_APPLICATION, "magstripe-only")
    assert card.asked(CHECKSUM) == []


def test_the_track_is_filled_as_counted_by_hand(hold: Hold) -> None:
    card = stripe()
    read = hold(card, MAG_STRIPE_ON, unpredictable_number=bytes.fromhex("33BCA47D"))
    assert said(read) == (OutcomeKind.ONLINE_REQUEST, "")
    assert card.asked(CHECKSUM) == [bytes.fromhex("802A8E800A" + "00000893" + "000000000100" + "00")]
    # Places from the right: 1 to 3 checksum 41668, 4 to 6 number 868000893, 9 to 11 counter 515, 0 the number's digits.
    assert read.number is not None
    assert read.number.track2.reveal().decode() == f"{PAN}D4912101" + "9" + "515" + "99" + "893" + "668" + "3"
    assert (read.number.pan.reveal().decode(), read.number.expiry_yymm) == (PAN, "4912")
    assert read.cryptogram_type is None
    assert not {0x9F61, 0x9F6B, 0x57, 0x56} & set(read.data)


def test_a_device_that_verified_its_owner_says_so_in_the_last_digit(hold: Hold) -> None:
    phone = stripe(aip="0200", answers={0xDF4B: "001000"})
    read = hold(phone, MAG_STRIPE_ON, amount=Money(10_001))
    assert (said(read), read.outcome.cvm) == ((OutcomeKind.ONLINE_REQUEST, ""), Cvm.CONSUMER_DEVICE)
    assert read.number is not None
    assert read.number.track2.reveal().decode()[-1] == "8"
    assert read.data[0x9F7E] == b"\x03"


def test_a_device_that_did_not_is_not_taken_above_the_limit(hold: Hold) -> None:
    assert hold(stripe(aip="0200"), MAG_STRIPE_ON, amount=Money(10_001)).outcome.kind is OutcomeKind.DECLINED
    assert hold(stripe(aip="0200"), MAG_STRIPE_ON, amount=Money(10_000)).outcome.kind is OutcomeKind.ONLINE_REQUEST


@pytest.mark.parametrize(("setting", "cvm"), [("10", Cvm.SIGNATURE), ("00", Cvm.NONE), ("F0", Cvm.NOT_APPLICABLE)])
def test_above_the_limit_the_configured_verification_is_wanted(hold: Hold, setting: str, cvm: Cvm) -> None:
    read = hold(stripe(), MAG_STRIPE_ON | {0xDF811E: setting}, amount=Money(10_001))
    assert read.outcome.cvm is cvm
    read = hold(stripe(), MAG_STRIPE_ON | {0xDF811E: "20"}, amount=Money(10_001))
    assert said(read) == (OutcomeKind.DECLINED, "no-pin-pad")


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        (stripe(changes={0x9F6B: None}), "data-missing-9F6B"),
        (stripe(changes={0x9F65: None}), "data-missing-9F65"),
        (stripe(changes={0x9F66: None}), "data-missing-9F66"),
        (stripe(changes={0x9F67: None}), "data-missing-9F67"),
        (stripe(changes={0x9F67: "07"}), "card-data-malformed"),
        (stripe(changes={0x9F66: "FFFF", 0x9F67: "00"}), "card-data-malformed"),
        (stripe(changes={0x9F65: "8000"}), "card-data-malformed"),
        (stripe(changes={0x56: "42"}), "data-missing-9F62"),
        (stripe(answers={0x9F36: None}), "data-missing-9F36"),
        (stripe(answers={0x9F61: None}), "data-missing-9F61"),
        (stripe(answers=ANSWER | {0x9F61: "FF" * 2_000}), "card-data-malformed"),
        (stripe(answers=ANSWER | {0x9F61: "A2"}), "card-data-malformed"),
        (stripe(refuses={CHECKSUM: "6985"}), "cryptogram-refused-6985"),
        (stripe(refuses={CHECKSUM: "80009000"}), "card-data-malformed"),
    ],
)
def test_a_card_that_breaks_a_rule_ends_its_application(hold: Hold, card: StripeCard, reason: str) -> None:
    assert said(hold(card, MAG_STRIPE_ON)) == (OutcomeKind.END_APPLICATION, reason)


def test_a_phone_that_gives_no_checksum_says_why(hold: Hold) -> None:
    wants = stripe(answers={0x9F61: None, 0xDF4B: "000100"})
    assert said(hold(wants, MAG_STRIPE_ON)) == (OutcomeKind.TRY_AGAIN, "card-wants-its-owner")
    refuses = stripe(answers={0x9F61: None, 0xDF4B: "000000"})
    assert said(hold(refuses, MAG_STRIPE_ON)) == (OutcomeKind.DECLINED, "card-declined")


def test_an_emv_card_stays_in_emv_mode_and_its_mag_stripe_record_is_left_out(hold: Hold) -> None:
    card = MchipCard(afl="0801010008010301")
    read = hold(card, MAG_STRIPE_ON)
    assert read.kernel == "C-2"
    assert [command[2] for command in card.asked(0xB2)] == [1, 2, 3]
    other = MchipCard(afl="0801010008020301")
    hold(other)
    assert [command[2] for command in other.asked(0xB2)] == [1, 2, 3]


@given(
    text=st.text("0123456789", min_size=16, max_size=16),
    places=st.permutations(range(1, 16)),
    sizes=st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)),
    checksum=st.integers(0, 0xFFFF),
    number=st.integers(0, 0xFFFFFFFF),
    counter=st.integers(0, 0xFFFF),
)
def test_every_digit_stands_where_its_bit_says(
    text: str, places: list[int], sizes: tuple[int, int, int], checksum: int, number: int, counter: int
) -> None:
    of_checksum, of_number = sorted(places[: sizes[0]]), sorted(places[sizes[0] : sum(sizes)])
    layout = TrackLayout(sum(1 << at for at in of_checksum), sum(1 << at for at in of_number), sizes[2])
    digits = numeric_number(number.to_bytes(4, "big"), layout.number_digits).hex()
    track = filled(text, layout, checksum, digits, counter)
    assert isinstance(track, str)
    expected = dict(enumerate(reversed(text)))
    for values, where in ((checksum, of_checksum), (number, of_number[: sizes[1]]), (counter, of_number[sizes[1] :])):
        expected |= {at: str(values // 10**rank % 10) for rank, at in enumerate(where)}
    assert track == "".join(expected[at] for at in reversed(range(16)))


def test_a_layout_needs_all_of_its_data_objects() -> None:
    assert layout_of({0x9F65: b"\x0e"}, 0x9F65, 0x9F66, 0x9F67) == Refused("data-missing-9F66")
