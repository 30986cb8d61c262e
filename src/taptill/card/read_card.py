"""One tap: the entry point with the kernels that are built in, and the loop that carries it to a reader.

Comes in: the sale, the combinations, the CA keys, a `CardReader` with a card on it. Goes out: `CardRead`.
Strategy: whatever a card does comes back as an outcome; only a broken reader raises. A tap has a bound on its commands,
a command on its follow-ups and octets, and every exchange has a deadline, so no card holds the terminal.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

from taptill.card.apdu import CommandApdu, MalformedApdu, ResponseApdu
from taptill.card.dialogue import Dialogue, Kernel
from taptill.card.entry_point import run_entry_point
from taptill.card.kernels.c2.kernel import KernelC2
from taptill.card.kernels.c3.kernel import KernelC3
from taptill.card.kernels.c7.kernel import KernelC7
from taptill.card.outcome import CardRead
from taptill.card.outcomes import end_application, try_again
from taptill.card.parameters import Combination, TapRequest
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.reader import CardLost, CardReader

KERNELS: Mapping[int, Kernel] = MappingProxyType({2: KernelC2(), 3: KernelC3(), 7: KernelC7()})
# The records one AFL may list (RECORDS_PER_TAP_MAX), and two dozen for what stands around them: directory, selections,
# options, relay resistance, GET DATA, cryptogram. Follow-ups are counted apart.
COMMANDS_PER_TAP_MAX = 64

TAP_US_MAX = 20_000_000  # what all answers of a tap may take; people give up long before
RESPONSE_OCTETS_MAX = 2_304  # of one command with all its follow-ups

EndT = TypeVar("EndT")  # what a dialogue returns

_GET_RESPONSE = 0xC0
_SW1_MORE_DATA = 0x61
_SW1_WRONG_LENGTH = 0x6C
_SW_CLASS_UNKNOWN = 0x6E00
_FOLLOW_UPS_MAX = 8  # GET RESPONSE after GET RESPONSE


def read_card(request: TapRequest, combinations: Sequence[Combination], ca_keys: CaKeyStore) -> Dialogue:
    """The dialogue of one tap with the kernels of this program. Raises nothing for anything a card can do."""
    return run_entry_point(request, combinations, KERNELS, ca_keys)


def drive(dialogue: Dialogue, reader: CardReader, timeout_ms: int) -> CardRead:
    """Runs the dialogue on the card that lies on the reader; `timeout_ms` bounds each exchange. Raises ReaderLost,
    MalformedApdu for a command that fits no APDU."""
    course = bounded(dialogue)
    try:
        command = next(course)
        while True:
            answer = ask(command, reader, timeout_ms)
            command = course.throw(answer) if isinstance(answer, CardLost) else course.send(answer)
    except StopIteration as finished:
        read: CardRead = finished.value
        return read
    finally:
        course.close()


def bounded(
    dialogue: Generator[CommandApdu, ResponseApdu, EndT],
) -> Generator[CommandApdu, ResponseApdu, EndT | CardRead]:
    """The dialogue, or the outcome that ends it when it takes too many commands or its answers too long. A `CardLost`
    goes in to the dialogue, and comes out where the dialogue does not catch it. Closed with it."""
    spent_us = 0
    try:
        command = next(dialogue)
        for _ in range(COMMANDS_PER_TAP_MAX):
            try:
                response = yield command
            except CardLost as lost:
                command = dialogue.throw(lost)
                continue
            spent_us += response.elapsed_us
            if spent_us > TAP_US_MAX:
                return CardRead(try_again("card-too-slow"))
            command = dialogue.send(response)
    except StopIteration as finished:
        end: EndT = finished.value
        return end
    finally:
        dialogue.close()
    return CardRead(end_application("too-many-commands"))


def ask(command: CommandApdu, reader: CardReader, timeout_ms: int) -> ResponseApdu | CardLost:
    """An answer that is none is a broken exchange like one that never came (EMV Book B, 3.3.3.7): the kernel learns of
    both in the same way. Raises ReaderLost, and MalformedApdu for a command of ours that is none: that is no fault of
    the card's."""
    command.encode()
    try:
        return exchange(command, reader, timeout_ms)
    except CardLost as lost:
        return lost
    except MalformedApdu as broken:
        return CardLost(broken.what, where=broken.where)


def exchange(command: CommandApdu, reader: CardReader, timeout_ms: int) -> ResponseApdu:
    """One command with its follow-ups: GET RESPONSE after 61xx, the right Le after 6Cxx (ISO/IEC 7816-4, 5.6). A card
    that never comes to an end is answered for with its last status word. Raises CardLost, ReaderLost, MalformedApdu."""
    data, elapsed_us = b"", 0
    asked: CommandApdu | None = command
    response = ResponseApdu(b"", 0)
    for _ in range(1 + _FOLLOW_UPS_MAX):
        if asked is None:
            break
        raw = reader.transmit(asked.encode(), timeout_ms)
        response = ResponseApdu.decode(raw.octets, raw.elapsed_us)
        elapsed_us += raw.elapsed_us
        if response.sw >> 8 != _SW1_WRONG_LENGTH:
            data += response.data
        if len(data) > RESPONSE_OCTETS_MAX:
            raise MalformedApdu(f"more than {RESPONSE_OCTETS_MAX} bytes", where="card response")
        asked = _follow_up(asked, response.sw)
    return ResponseApdu(data, response.sw, elapsed_us)


def _follow_up(asked: CommandApdu, sw: int) -> CommandApdu | None:
    """What the card has to be asked next; None when it has answered. GET RESPONSE goes out in the command's own class,
    and once more in class 00, the one EMV Book 1, 9.3.1.3 knows, where a card does not take the first."""
    sw1, sw2 = divmod(sw, 0x100)
    if sw1 == _SW1_MORE_DATA:
        return _get_response(asked.cla, sw2)
    if sw1 == _SW1_WRONG_LENGTH and asked.le != sw2:
        return replace(asked, le=sw2)
    if sw == _SW_CLASS_UNKNOWN and asked.ins == _GET_RESPONSE and asked.cla != 0x00:
        return _get_response(0x00, asked.le or 0)
    return None


def _get_response(cla: int, le: int) -> CommandApdu:
    return CommandApdu(cla, _GET_RESPONSE, 0x00, 0x00, b"", le, "GET RESPONSE")
