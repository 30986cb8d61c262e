"""One tap: the entry point with the kernels that are built in, and the loop that carries it to a reader.

Comes in: the sale, the combinations, the CA keys, a `CardReader` with a card on it. Goes out: `CardRead`.
Strategy: whatever a card does comes back as an outcome; only a broken reader raises. A tap has a bound on its commands
and every exchange has a deadline, so no card holds the terminal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from taptill.card.apdu import CommandApdu, MalformedApdu, ResponseApdu
from taptill.card.ca_keys import CaKeyStore
from taptill.card.dialogue import Dialogue, Kernel
from taptill.card.entry_point import run_entry_point
from taptill.card.kernels.c7 import KernelC7
from taptill.card.outcome import CardRead
from taptill.card.outcomes import end_application, try_again
from taptill.card.parameters import Combination, TapRequest
from taptill.card.reader import CardLost, CardReader

KERNELS: Mapping[int, Kernel] = MappingProxyType({7: KernelC7()})
COMMANDS_PER_TAP_MAX = 64

_SW1_MORE_DATA = 0x61
_SW1_WRONG_LENGTH = 0x6C
_FOLLOW_UPS_MAX = 8  # GET RESPONSE after GET RESPONSE


def read_card(request: TapRequest, combinations: Sequence[Combination], ca_keys: CaKeyStore) -> Dialogue:
    """The dialogue of one tap with the kernels of this program. Raises nothing for anything a card can do."""
    return run_entry_point(request, combinations, KERNELS, ca_keys)


def drive(dialogue: Dialogue, reader: CardReader, timeout_ms: int) -> CardRead:
    """Runs the dialogue on the card that lies on the reader; `timeout_ms` bounds each exchange. Raises ReaderLost."""
    try:
        command = next(dialogue)
        for _ in range(COMMANDS_PER_TAP_MAX):
            command = _next_command(dialogue, command, reader, timeout_ms)
    except StopIteration as finished:
        read: CardRead = finished.value
        return read
    except MalformedApdu:
        return CardRead(try_again("card-answer-malformed"))
    finally:
        dialogue.close()
    return CardRead(end_application("too-many-commands"))


def _next_command(dialogue: Dialogue, command: CommandApdu, reader: CardReader, timeout_ms: int) -> CommandApdu:
    try:
        response = exchange(command, reader, timeout_ms)
    except CardLost as lost:
        return dialogue.throw(lost)
    return dialogue.send(response)


def exchange(command: CommandApdu, reader: CardReader, timeout_ms: int) -> ResponseApdu:
    """One command with its follow-ups: GET RESPONSE after 61xx, the right Le after 6Cxx (ISO/IEC 7816-4, 5.6). Raises
    CardLost, ReaderLost, MalformedApdu."""
    data, elapsed_us = b"", 0
    response = ResponseApdu(b"", 0)
    for _ in range(_FOLLOW_UPS_MAX):
        raw = reader.transmit(command.encode(), timeout_ms)
        response = ResponseApdu.decode(raw.octets, raw.elapsed_us)
        elapsed_us += raw.elapsed_us
        sw1, sw2 = divmod(response.sw, 0x100)
        if sw1 == _SW1_MORE_DATA:
            data += response.data
            command = CommandApdu(0x00, 0xC0, 0x00, 0x00, b"", sw2, "GET RESPONSE")
        elif sw1 == _SW1_WRONG_LENGTH and command.le != sw2:
            command = CommandApdu(command.cla, command.ins, command.p1, command.p2, command.data, sw2, command.name)
        else:
            break
    return ResponseApdu(data + response.data, response.sw, elapsed_us)
