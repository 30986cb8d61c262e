"""Frames whole, byte by byte, with a tail, and broken."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taptill.host.framing import FRAME_OCTETS_MAX, BrokenFrame, FrameReader, frame

TABLE = [
    ("0003414243", [b"ABC"]),
    ("000141000142", [b"A", b"B"]),
    ("0100" + "00" * 256, [bytes(256)]),  # both length bytes count
]


@pytest.mark.parametrize(("stream", "bodies"), TABLE)
def test_bodies_come_out_of_whole_frames(stream: str, bodies: list[bytes]) -> None:
    assert FrameReader().receive_data(bytes.fromhex(stream)) == bodies


@pytest.mark.parametrize(("stream", "bodies"), TABLE)
def test_bodies_come_out_byte_by_byte(stream: str, bodies: list[bytes]) -> None:
    reader = FrameReader()
    assert [body for octet in bytes.fromhex(stream) for body in reader.receive_data(bytes([octet]))] == bodies


@pytest.mark.parametrize("tail", ["00", "0005", "000541", "0005414243"])
def test_a_tail_waits_for_its_rest(tail: str) -> None:
    reader = FrameReader()
    assert reader.receive_data(bytes.fromhex("000141" + tail)) == [b"A"]
    assert reader.receive_data(bytes.fromhex("000541424344"[len(tail) :] + "45")) == [b"ABCDE"]


@pytest.mark.parametrize("stream", ["0000", "1001", "FFFF00"])
def test_a_length_no_message_has_breaks_the_stream(stream: str) -> None:
    with pytest.raises(BrokenFrame, match="offset 0"):
        FrameReader().receive_data(bytes.fromhex(stream))


def test_bodies_before_a_broken_frame_are_handed_out_first() -> None:
    reader = FrameReader()
    assert reader.receive_data(bytes.fromhex("0001410000")) == [b"A"]
    with pytest.raises(BrokenFrame, match="offset 3"):
        reader.receive_data(b"")


@pytest.mark.parametrize("length", [0, FRAME_OCTETS_MAX + 1])
def test_a_body_no_frame_takes_is_refused(length: int) -> None:
    with pytest.raises(BrokenFrame):
        frame(bytes(length))


@given(st.lists(st.binary(min_size=1, max_size=40)), st.data())
def test_any_cut_of_any_frames_gives_the_same_bodies(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frame(body) for body in bodies)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    reader, found = FrameReader(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += reader.receive_data(stream[start:end])
    assert found == bodies


@given(st.lists(st.binary(max_size=50)))
def test_arbitrary_bytes_give_bodies_or_a_broken_frame(chunks: list[bytes]) -> None:
    reader = FrameReader()
    with contextlib.suppress(BrokenFrame):
        for chunk in chunks:
            assert all(0 < len(body) <= FRAME_OCTETS_MAX for body in reader.receive_data(chunk))
