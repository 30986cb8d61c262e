"""A recorded tap: the commands and responses somebody wrote down, played back as a card.

Comes in: a transcript document (`apdus` with `c` and `r` in hex, or `cards` holding several of them). Goes out: a
`Recording`, and a `RecordedCard` that answers like the card did.
Strategy: a command that differs from the recorded one only in its data (another unpredictable number) gets the recorded
answer, and the difference is noted; an empty `c` answers any command in its turn; all else gets `not_found_sw`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from taptill.card.apdu import CommandApdu, MalformedApdu
from taptill.card.reader import Presentation, RawResponse
from taptill.errors import TapTillError

NOT_FOUND_SW = "6A82"
_HEADER_OCTETS = 4
_SELECT = 0xA4


class TranscriptRefused(TapTillError):
    """A document that holds no recorded commands, or a case it does not have."""

    code = 1204


@dataclass(frozen=True, slots=True)
class Exchange:
    """One command (empty: any) and its response with SW1 SW2."""

    command: bytes = field(repr=False)
    response: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Recording:
    """One recorded card, and what the document says around it."""

    case_id: str
    exchanges: tuple[Exchange, ...]
    not_found: bytes
    document: Mapping[str, object] = field(repr=False)


def case_ids(document: Mapping[str, object]) -> tuple[str, ...]:
    """The names of the recorded cards in the document, in its order; empty when it holds none."""
    return tuple(name for name, _ in _recorded(document))


def load_recording(document: Mapping[str, object], case_id: str | None = None) -> Recording:
    """The recorded card of that name, or the first one. Raises TranscriptRefused."""
    where = "transcript"
    recorded = dict(_recorded(document))
    if not recorded:
        raise TranscriptRefused("it holds no recorded commands (`apdus` or `cards`)", where=where)
    name = next(iter(recorded)) if case_id is None else case_id
    if name not in recorded:
        raise TranscriptRefused(f"it has no case {name!r}", where=where, next_step=f"one of {', '.join(recorded)}")
    exchanges = tuple(_exchange(entry, f"{where} {name}, command {at}") for at, entry in enumerate(recorded[name], 1))
    not_found = document.get("not_found_sw", NOT_FOUND_SW)
    return Recording(name, exchanges, hex_octets(not_found, where), document)


def hex_octets(text: object, where: str) -> bytes:
    """Raises TranscriptRefused for what is no hex."""
    try:
        return bytes.fromhex(text if isinstance(text, str) else "?")
    except ValueError as broken:
        raise TranscriptRefused("not in hex", where=where) from broken


def _recorded(document: Mapping[str, object]) -> Iterator[tuple[str, list[object]]]:
    apdus, cards = document.get("apdus"), document.get("cards")
    if isinstance(apdus, list):
        yield "apdus", apdus
    named: Mapping[object, object] = {}
    if isinstance(cards, Mapping):
        named = cards
    elif isinstance(cards, list):
        named = dict(enumerate(cards, 1))
    for name, card in named.items():
        content = card.get("apdus") if isinstance(card, Mapping) else card
        if isinstance(content, list):
            yield str(card.get("name", name) if isinstance(card, Mapping) else name), content


def _exchange(entry: object, where: str) -> Exchange:
    if not isinstance(entry, Mapping):
        raise TranscriptRefused("not an object with `c` and `r`", where=where)
    return Exchange(hex_octets(entry.get("c"), where), hex_octets(entry.get("r"), where))


class RecordedCard:
    """A `CardReader` with the recorded card on it. `differences` names where our commands differed."""

    url = "transcript:"

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._next = 0
        self.differences: list[str] = []

    def open(self) -> None:
        """Nothing to open."""

    def close(self) -> None:
        """Nothing to close."""

    def wait_for_card(self, timeout_ms: int) -> Presentation | None:
        """The card is there."""
        return Presentation(b"", "?")

    def wait_for_removal(self, timeout_ms: int) -> bool:
        """The card is gone as soon as asked."""
        return True

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        """The recorded answer, or `not_found_sw`."""
        at = self._find(command)
        if at is None:
            return RawResponse(self._recording.not_found, 0)
        exchange = self._recording.exchanges[at]
        self._next = at + 1
        if exchange.command and _data(exchange.command) != _data(command):
            sent, recorded = command.hex().upper(), exchange.command.hex().upper()
            self.differences.append(f"command {at + 1}: sent {sent}, recorded {recorded}")
        return RawResponse(exchange.response, 0)

    def _find(self, command: bytes) -> int | None:
        """Ahead before behind, and exact before alike; "any command" entries only where their turn is."""
        exchanges = self._recording.exchanges
        ahead, behind = range(self._next, len(exchanges)), range(self._next)
        for places in (ahead, behind):
            for judge in (_same, _alike):
                for at in places:
                    if judge(command, exchanges[at].command):
                        return at
            for at in places:
                if not exchanges[at].command:
                    return at
        return None


def _same(command: bytes, recorded: bytes) -> bool:
    return command == recorded


def _alike(command: bytes, recorded: bytes) -> bool:
    if command[:_HEADER_OCTETS] != recorded[:_HEADER_OCTETS]:
        return False
    return command[1] != _SELECT or _data(command) == _data(recorded)


def split_command(command: bytes) -> CommandApdu:
    """Command octets taken apart (ISO/IEC 7816-4, 5.1, short form). Raises MalformedApdu."""
    if len(command) < _HEADER_OCTETS:
        raise MalformedApdu(f"{len(command)} bytes hold no header", where="command")
    cla, ins, p1, p2 = command[:_HEADER_OCTETS]
    body = command[_HEADER_OCTETS:]
    if len(body) <= 1:
        return CommandApdu(cla, ins, p1, p2, b"", body[0] if body else None)
    length = body[0]
    if len(body) not in (length + 1, length + 2):
        raise MalformedApdu(f"Lc says {length} bytes, {len(body) - 1} follow", where="command")
    return CommandApdu(cla, ins, p1, p2, body[1 : length + 1], body[length + 1] if len(body) > length + 1 else None)


def _data(command: bytes) -> bytes:
    try:
        return split_command(command).data
    except MalformedApdu:
        return command[_HEADER_OCTETS:]
