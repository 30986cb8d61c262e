"""What a hostile card makes of a good answer.

Comes in: choices and the answer a good card would give. Goes out: another one. Strategy: most faults keep the shape and
spoil one thing, because what is no TLV at all never comes further than the parser: a data object is left out, doubled,
lengthened or given another value, and the templates around it are written anew so that only that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from taplab.fuzz.choices import Choices
from taptill.card.tlv import MalformedTlv, Tlv, encode_tag, encode_tlv, parse_tlv, walk

FAULTS_PER_ANSWER_MAX = 4

_STATUS_WORDS = tuple(
    bytes.fromhex(word)
    for word in (
        *("9000", "6985", "6984", "6986", "6A82", "6A83", "6A81", "6A88", "6700", "6E00", "6D00", "6F00", "6283"),
        *("6300", "63C0", "6100", "6110", "61FF", "6C00", "6C05", "6CFF", "0000", "FFFF", "9100", "6400", "6500"),
    )
)
# What kernels look for; a card may say any of it anywhere.
_TAGS = tuple(
    int(tag, 16)
    for tag in (
        *("57", "5A", "82", "94", "9F10", "9F26", "9F27", "9F36", "9F4B", "9F6C", "9F69", "9F38", "8C", "8D", "8E"),
        *("9F4A", "9F46", "9F47", "9F48", "90", "92", "9F32", "8F", "93", "9F49", "5F24", "5F25", "5F28", "5F30"),
        *("5F34", "9F07", "9F08", "9F0D", "9F0E", "9F0F", "9F42", "9F5D", "9F6E", "9F7C", "9F4C", "9F2A", "9F29"),
        *("4F", "50", "84", "87", "88", "5F2D", "9F11", "9F12", "9F5A", "9F50", "9F51", "9F54", "9F60", "9F61"),
        *("9F62", "9F63", "9F64", "9F65", "9F66", "9F67", "9F6B", "56", "95", "9A", "9C", "9F02", "9F37", "9F71"),
        *("80", "77", "70", "6F", "A5", "61", "BF0C", "73", "DF8129", "DF8104", "DF8306", "9F7D", "9F5E", "E0"),
    )
)
_INTERESTING = (
    b"",
    b"\x00",
    b"\xff",
    bytes(2),
    bytes(4),
    b"\xff" * 8,
    bytes(255),
    b"\x08\x01\xff\x00",
    b"\x9f\x02\x06",
)


def spoiled(choices: Choices, answer: bytes, others: Sequence[bytes]) -> bytes:
    """The answer with up to four faults; without choices it is as it was. `others`: what the card says elsewhere."""
    for _ in range(choices.below(FAULTS_PER_ANSWER_MAX + 1)):
        answer = choices.one_of(_FAULTS)(choices, answer, others)
    return answer


Fault = Callable[[Choices, bytes, Sequence[bytes]], bytes]


def _status_word(choices: Choices, answer: bytes, others: Sequence[bytes]) -> bytes:
    return (answer[:-2] if choices.below(2) else b"") + choices.one_of(_STATUS_WORDS)


def _any_octets(choices: Choices, answer: bytes, others: Sequence[bytes]) -> bytes:
    return choices.octets(choices.octet()) + (b"\x90\x00" if choices.below(2) else b"")


def _cut(choices: Choices, answer: bytes, others: Sequence[bytes]) -> bytes:
    kept = choices.below(len(answer) + 1)
    return answer[:kept] + (b"\x90\x00" if choices.below(2) else b"")


def _flip(choices: Choices, answer: bytes, others: Sequence[bytes]) -> bytes:
    if not answer:
        return answer
    at = choices.below(len(answer))
    return answer[:at] + bytes([answer[at] ^ (choices.octet() or 0xFF)]) + answer[at + 1 :]


def _another_answer(choices: Choices, answer: bytes, others: Sequence[bytes]) -> bytes:
    return choices.one_of(others) if others else answer


def _much_more(choices: Choices, answer: bytes, others: Sequence[bytes]) -> bytes:
    return answer[:-2] + bytes([choices.octet()]) * (choices.octet() * 16) + b"\x90\x00"


def _padding(choices: Choices, answer: bytes, others: Sequence[bytes]) -> bytes:
    zeros = bytes(choices.octet() % 16)
    return (answer[:-2] + zeros if choices.below(2) else zeros + answer[:-2]) + answer[-2:]


def _data_object(choices: Choices, answer: bytes, others: Sequence[bytes]) -> bytes:
    """One data object, anywhere in the tree, becomes another."""
    try:
        tlvs = parse_tlv(answer[:-2])
    except MalformedTlv:
        return _flip(choices, answer, others)
    if not tlvs:
        return answer
    at, change = choices.below(sum(1 for _ in walk(tlvs))), choices.one_of(_CHANGES)
    numbers = count()

    def written(tlv: Tlv) -> bytes:
        if next(numbers) == at:
            return change(choices, tlv)
        if tlv.children:
            return encode_tlv(tlv.tag, b"".join(written(child) for child in tlv.children))
        return encode_tlv(tlv.tag, tlv.value)

    return b"".join(written(tlv) for tlv in tlvs) + answer[-2:]


def _left_out(choices: Choices, tlv: Tlv) -> bytes:
    return b""


def _doubled(choices: Choices, tlv: Tlv) -> bytes:
    return encode_tlv(tlv.tag, tlv.value) * (2 + choices.octet() % 8)


def _said_otherwise(choices: Choices, tlv: Tlv) -> bytes:
    return encode_tlv(tlv.tag, tlv.value) + encode_tlv(tlv.tag, choices.octets(len(tlv.value)))


def _of_another_value(choices: Choices, tlv: Tlv) -> bytes:
    return encode_tlv(tlv.tag, choices.octets(choices.octet() % 40))


def _of_an_interesting_value(choices: Choices, tlv: Tlv) -> bytes:
    return encode_tlv(tlv.tag, choices.one_of(_INTERESTING))


def _one_octet_off(choices: Choices, tlv: Tlv) -> bytes:
    if not tlv.value:
        return encode_tlv(tlv.tag, b"\x00")
    at = choices.below(len(tlv.value))
    return encode_tlv(tlv.tag, tlv.value[:at] + bytes([choices.octet()]) + tlv.value[at + 1 :])


def _shorter(choices: Choices, tlv: Tlv) -> bytes:
    return encode_tlv(tlv.tag, tlv.value[: choices.below(len(tlv.value) + 1)])


def _longer(choices: Choices, tlv: Tlv) -> bytes:
    return encode_tlv(tlv.tag, tlv.value + choices.octets(choices.octet()))


def _under_another_tag(choices: Choices, tlv: Tlv) -> bytes:
    return encode_tlv(choices.one_of(_TAGS), tlv.value)


def _with_a_neighbour(choices: Choices, tlv: Tlv) -> bytes:
    neighbour = encode_tlv(choices.one_of(_TAGS), choices.octets(choices.octet() % 40))
    return encode_tlv(tlv.tag, tlv.value) + neighbour


def _of_a_lying_length(choices: Choices, tlv: Tlv) -> bytes:
    length = choices.one_of((b"\x80", b"\x81", b"\x7f", b"\x81\xff", b"\x84\xff\xff\xff\xff", b"\x85", b"\x00"))
    return encode_tag(tlv.tag) + length + tlv.value


def _deep_within(choices: Choices, tlv: Tlv) -> bytes:
    octets = encode_tlv(tlv.tag, tlv.value)
    for _ in range(choices.octet() % 40):
        octets = encode_tlv(0x70, octets)
    return octets


_FAULTS: tuple[Fault, ...] = (
    *(_data_object,) * 8,
    _status_word,
    _any_octets,
    _cut,
    _flip,
    _another_answer,
    _much_more,
    _padding,
)
_CHANGES = (
    _left_out,
    _doubled,
    _said_otherwise,
    _of_another_value,
    _of_an_interesting_value,
    _one_octet_off,
    _shorter,
    _longer,
    _under_another_tag,
    _with_a_neighbour,
    _of_a_lying_length,
    _deep_within,
)
