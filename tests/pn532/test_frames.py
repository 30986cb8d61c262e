"""The framer against published frames, nfcpy's own builder's bytes, and noise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taptill.card.adapters.pn532_frames import PAYLOAD_OCTETS_MAX, Damaged, Event, Frame, Framer, Signal, frame

payloads = st.binary(min_size=1, max_size=PAYLOAD_OCTETS_MAX)
noise = st.binary(max_size=40).filter(lambda octets: b"\x00\xff" not in octets)


def read_whole(octets: bytes) -> list[Event]:
    return Framer().feed(octets)


def read_byte_by_byte(octets: bytes) -> list[Event]:
    framer = Framer()
    return [event for octet in octets for event in framer.feed(bytes([octet]))]


@pytest.mark.parametrize(
    ("payload", "published"),
    [
        ("d402", "0000ff02fed4022a00"),  # GetFirmwareVersion as nfcpy and libnfc send it
        ("d4140100", "0000ff04fcd41401001700"),  # SAMConfiguration
        ("d50332010607", "0000ff06fad50332010607e800"),  # UM0701-02: the answer of firmware 1.6
        ("7f", "0000ff01ff7f8100"),  # the error frame
    ],
)
def test_published_frames_are_built_and_read(payload: str, published: str) -> None:
    assert frame(bytes.fromhex(payload)).hex() == published
    assert read_whole(bytes.fromhex(published)) == [Frame(bytes.fromhex(payload))]


def test_more_than_255_bytes_make_an_extended_frame() -> None:
    payload = bytes([0xD4, 0x00]) + bytes(254)
    built = frame(payload)
    assert built[:8].hex() == "0000ffffff0100ff"
    assert read_whole(built) == [Frame(payload)]


@pytest.mark.parametrize("length", [0, PAYLOAD_OCTETS_MAX + 1])
def test_a_payload_the_chip_cannot_hold_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"not {length}"):
        frame(bytes(length))


@given(st.lists(st.one_of(payloads.map(Frame), st.sampled_from(Signal)), max_size=5), st.lists(noise, max_size=6))
def test_frames_survive_any_cut_and_noise_between_them(events: list[Frame | Signal], noises: list[bytes]) -> None:
    line = b""
    for index, event in enumerate(events):
        between = noises[index] if index < len(noises) else b""
        line += between + (event.value if isinstance(event, Signal) else frame(event.payload))
    assert read_whole(line) == events
    assert read_byte_by_byte(line) == events


@given(st.binary(max_size=400))
def test_noise_is_read_the_same_whole_and_byte_by_byte(octets: bytes) -> None:
    assert read_whole(octets) == read_byte_by_byte(octets)


@given(payloads, st.data())
def test_a_changed_payload_byte_is_seen_and_the_next_frame_read(payload: bytes, data: st.DataObject) -> None:
    built = bytearray(frame(payload))
    at = data.draw(st.integers(len(built) - 2 - len(payload), len(built) - 2))
    built[at] ^= data.draw(st.integers(1, 255))
    events = read_whole(bytes(built) + frame(b"\xd5\x03"))
    assert events == [Damaged("the data checksum is wrong"), Frame(b"\xd5\x03")]


@given(payloads)
def test_a_changed_length_does_not_hide_the_next_frame(payload: bytes) -> None:
    built = bytearray(frame(payload.replace(b"\x00", b"\x01")))
    built[3] ^= 0x01
    assert Frame(b"\xd5\x03") in read_whole(bytes(built) + frame(b"\xd5\x03"))


def test_a_false_start_code_before_a_frame_costs_nothing() -> None:
    assert read_whole(bytes.fromhex("00ff1234") + frame(b"\xd5\x03")) == [Frame(b"\xd5\x03")]


def test_an_unfinished_frame_can_be_forgotten() -> None:
    framer = Framer()
    assert framer.feed(frame(b"\xd5\x03")[:-3]) == []
    framer.reset()
    assert framer.feed(frame(b"\xd5\x05")) == [Frame(b"\xd5\x05")]
