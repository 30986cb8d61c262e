"""What of a recording must not be told: the numbers of its card and the name of who holds it.

Comes in: the exchanges of a recording. Goes out: a function over texts that hides them.
Strategy: tags that hold them are masked by their tag; but a card repeats its number in data objects of its issuer's
own, a terminal in what it sends, an origin in what it writes. So every number that any application of the card names
is hidden wherever it stands, as digits, packed, or as ASCII in hex.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from taptill.card.replay.observation import accepted
from taptill.card.replay.recording import Exchange
from taptill.card.sensitive import mask_pan
from taptill.card.tlv import MalformedTlv, Tlv, parse_tlv, walk

_NUMBERS, _TRACK_1 = {0x5A, 0x57, 0x9F6B}, 0x56
_NAMES = {0x5F20, 0x9F0B, 0x9F61}  # 9F61 is the number of the holder's identity card on UnionPay cards (JR/T 0025.5)
_NUMBER = re.compile(r"[0-9]{12,19}")
_TRACK_1_NUMBER = re.compile(rb"B([0-9]{12,19})\^")
_NAME_OCTETS_MIN = 4  # shorter ones are blanks, `/` or Mastercard's 9F61, and would hide half of every text


def masking(exchanges: Iterable[Exchange]) -> Callable[[str], str]:
    """A function that hides in a text what this card must not be known by. Raises nothing."""
    numbers, names = set[str](), set[bytes]()
    for tlv in _told(exchanges):
        numbers.update(_numbers(tlv))
        if tlv.tag in _NAMES and len(tlv.value.strip()) >= _NAME_OCTETS_MIN:
            names.add(tlv.value.strip())
    hidden = {number: mask_pan(number) for number in sorted(numbers, key=len, reverse=True)}
    hidden |= {number.encode().hex().upper(): "*" * len(number) for number in numbers}
    hidden |= {name.hex().upper(): "*" * len(name) for name in names}

    def masked(text: str) -> str:
        for shown, instead in hidden.items():
            text = text.replace(shown, instead)
        return text

    return masked


def _told(exchanges: Iterable[Exchange]) -> Iterator[Tlv]:
    for exchange in accepted(exchanges):
        try:
            yield from walk(parse_tlv(exchange.response[:-2]))
        except MalformedTlv:
            continue


def _numbers(tlv: Tlv) -> Iterator[str]:
    if tlv.tag in _NUMBERS:
        number = tlv.value.hex().upper().partition("D")[0].rstrip("F")
        if _NUMBER.fullmatch(number):
            yield number
    elif tlv.tag == _TRACK_1 and (found := _TRACK_1_NUMBER.match(tlv.value)):
        yield found[1].decode("ascii")
