"""Frames for a story, and frames that somebody on the way has written.

Comes in: a whole frame, as it stands on the wire. Goes out: its name, or another frame in its place.
Strategy: what a forger can do without a key. The frame stays a frame, so that it is judged by what stands in it.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random
from string import ascii_letters, digits, punctuation

from taptill.errors import TapTillError
from taptill.host.codec import MAC_OCTETS, IsoMessage, decode_message, encode_message, unwrap, wrap
from taptill.host.framing import LENGTH_OCTETS, frame

FORGED_CODE, OTHER_FORGED_CODE = "05", "51"
NONSENSE_OCTETS_MAX = 300

_RESPONSE_CODE, _PROCESSING_CODE, _STAN, _TYPE_AND_BATCH = 39, 3, 11, 60
_PRINTABLE = ascii_letters + digits + punctuation + " "
_NAMES = {
    ("0200", "000000", "22"): "sale",
    ("0200", "000000", "36"): "offline advice",
    ("0200", "531000", "22"): "status query",
    ("0220", "000000", "30"): "deferred advice",
    ("0400", "000000", "22"): "reversal",
    ("0800", "", "00"): "sign-on",
    ("0820", "", "00"): "echo",
}


def name_frame(octets: bytes) -> str:
    """Such as `sale, STAN 17` or `answer 00 to sale, STAN 17`. Costs a decoding."""
    try:
        message = decode_message(unwrap(octets[LENGTH_OCTETS:]).message)
    except TapTillError:
        return f"{len(octets)} bytes that are no message"
    is_answer = message.mti[2] == "1"
    mti = f"{int(message.mti) - 10:04d}" if is_answer else message.mti
    what = _NAMES.get((mti, message.text(_PROCESSING_CODE), message.text(_TYPE_AND_BATCH)[:2]), mti)
    answer = f"answer {message.text(_RESPONSE_CODE)} to " if is_answer else ""
    return f"{answer}{what}, STAN {int(message.text(_STAN) or 0)}"


def with_wrong_mac(octets: bytes, bit: int) -> bytes:
    """One bit of the MAC, which ends every message, is another one."""
    place, mask = len(octets) - 1 - bit // 8 % MAC_OCTETS, 1 << bit % 8
    return octets[:place] + bytes([octets[place] ^ mask]) + octets[place + 1 :]


def with_forged_decline(octets: bytes) -> bytes:
    """The answer declines, under the MAC of the genuine one. Raises MalformedMessage for what is no answer."""
    wrapped = unwrap(octets[LENGTH_OCTETS:])
    message: IsoMessage = decode_message(wrapped.message)
    code = OTHER_FORGED_CODE if message.text(_RESPONSE_CODE) == FORGED_CODE else FORGED_CODE
    forged = encode_message(replace(message, fields=dict(message.fields) | {_RESPONSE_CODE: code}))
    return frame(wrap(wrapped.tpdu, wrapped.header, forged))


def nonsense(luck: Random) -> bytes:
    """A frame of printable characters that mean nothing."""
    return frame("".join(luck.choices(_PRINTABLE, k=luck.randint(1, NONSENSE_OCTETS_MAX))).encode("ascii"))
