"""What `tlv` and `kernel` compare is comparable: the same octets, the same content, bytes on the air."""

from __future__ import annotations

from itertools import pairwise

import pytest
from pyemv import tlv as pyemv_tlv

from taplab.bench.kernel import airtime_us
from taplab.bench.tlv import MALFORMED, RECORD_OCTETS, bare_loop, record, refused
from taptill.card.reader import Presentation
from taptill.card.tlv import MalformedTlv, parse_tlv


def test_the_record_has_the_size_that_is_told_and_every_contender_finds_the_same_in_it() -> None:
    octets = record()
    assert len(octets) == RECORD_OCTETS
    ours = {tlv.tag: tlv.value for tlv in parse_tlv(octets)[0].children}
    template = bare_loop(octets, 0, len(octets))
    assert template == [(0x70, list(ours.items()))]
    assert pyemv_tlv.decode(octets, flatten=True) == {f"{tag:X}": value for tag, value in ours.items()}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_octets_are_refused_for_what_is_wrong_with_them(name: str) -> None:
    with pytest.raises(MalformedTlv):
        parse_tlv(bytes.fromhex(MALFORMED[name]))
    assert all(refused(parse_tlv).values())


def test_who_takes_everything_for_good_is_told() -> None:
    assert not any(refused(lambda octets: octets).values())


def test_airtime_is_what_another_count_of_the_same_tap_came_to() -> None:
    """A Visa tap of 3 APDUs and 341 octets, counted on its own before this was written: 43.6 ms."""
    sizes = [(20, 60), (13, 90), (41, 117)]
    exchanges = {bytes([number]) * command: bytes(answer) for number, (command, answer) in enumerate(sizes)}
    assert sum(map(sum, sizes)) == 341
    card = Presentation(bytes(7), "A", bytes.fromhex("0578807002"))
    assert airtime_us(card, exchanges) == pytest.approx(43_600, rel=0.06)


def test_a_long_answer_takes_another_block_and_its_acknowledgement() -> None:
    card = Presentation(bytes(7), "A", bytes.fromhex("0578807002"))
    times = [airtime_us(card, {b"\x00": b"\x00" * octets}) for octets in (252, 253, 254)]
    steps = [after - before for before, after in pairwise(times)]
    assert steps[0] == 85
    assert steps[1] > 500
