"""A recorded tap: the commands and responses somebody wrote down, played back as a card.

Comes in: a transcript document (`apdus` with `c` and `r` in hex, or `cards` holding several of them). Goes out: a
`Recording`, and a `RecordedCard` that answers like the card did.
Strategy: a command that differs from the recorded one only in its data (another unpredictable number) gets the recorded
answer, and the difference is noted; an empty `c` answers any command in its turn; all else gets `not_found_sw`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from taptill.card.apdu import HEADER_OCTETS, MalformedApdu, split_command
from taptill.card.reader import Presentation, RawResponse
from taptill.card.replay.recorded_time import elapsed_us
from taptill.errors import TapTillError

NOT_FOUND_SW = "6A82"
GENERATE_AC, GET_RESPONSE, SELECT = 0xAE, 0xC0, 0xA4
_SW1_MORE_DATA = 0x61
_NAMES_OF_A_CARD = ("name", "id", "case", "title")


class TranscriptRefused(TapTillError):
    """A document that holds no recorded commands, or a case it does not have."""

    code = 1204


@dataclass(frozen=True, slots=True)
class Exchange:
    """One command (empty: any) and its response with SW1 SW2; `elapsed_us` 0 where nobody took the time."""

    command: bytes = field(repr=False)
    response: bytes = field(repr=False)
    elapsed_us: int = 0


@dataclass(frozen=True, slots=True)
class Recording:
    """One recorded card, and what the document says around it: of the card alone, where it says so, else of all. The
    last `made_up` exchanges were never recorded."""

    case_id: str
    exchanges: tuple[Exchange, ...]
    not_found: bytes
    document: Mapping[str, object] = field(repr=False)
    made_up: int = 0


@dataclass(frozen=True, slots=True)
class Differing:
    """A command of ours that said something else than the recorded one; `place` counts the recorded from 1."""

    place: int
    sent: bytes = field(repr=False)
    recorded: bytes = field(repr=False)


def case_ids(document: Mapping[str, object]) -> tuple[str, ...]:
    """The names of the recorded cards in the document, in its order; empty when it holds none."""
    return tuple(_recorded(document))


def load_recording(document: Mapping[str, object], case_id: str | None = None) -> Recording:
    """The recorded card of that name, or the first one. Raises TranscriptRefused."""
    where = "transcript"
    recorded = _recorded(document)
    if not recorded:
        raise TranscriptRefused("it holds no recorded commands (`apdus` or `cards`)", where=where)
    name = next(iter(recorded)) if case_id is None else case_id
    if name not in recorded:
        raise TranscriptRefused(f"it has no case {name!r}", where=where, next_step=f"one of {', '.join(recorded)}")
    entries, said = recorded[name]
    exchanges = tuple(_exchange(entry, f"{where} {name}, command {at}") for at, entry in enumerate(entries, 1))
    around = {**document, **said}
    return Recording(name, exchanges, hex_octets(around.get("not_found_sw", NOT_FOUND_SW), where), around)


def hex_octets(text: object, where: str) -> bytes:
    """Raises TranscriptRefused for what is no hex."""
    try:
        return bytes.fromhex(text if isinstance(text, str) else "?")
    except ValueError as broken:
        raise TranscriptRefused("not in hex", where=where) from broken


def joined(exchanges: Iterable[Exchange]) -> tuple[Exchange, ...]:
    """As the card meant it: what GET RESPONSE fetched follows what it continues (ISO/IEC 7816-4, 5.6)."""
    whole: list[Exchange] = []
    for each in exchanges:
        if (
            each.command[1:2] == bytes([GET_RESPONSE])
            and whole
            and whole[-1].response[-2:-1] == bytes([_SW1_MORE_DATA])
        ):
            before = whole.pop()
            each = replace(before, response=before.response[:-2] + each.response)
        whole.append(each)
    return tuple(whole)


def _recorded(document: Mapping[str, object]) -> dict[str, tuple[list[object], Mapping[str, object]]]:
    """By name: the list of commands, and what is said of this card alone."""
    found: dict[str, tuple[list[object], Mapping[str, object]]] = {}
    for name, card in _cards(document):
        said: Mapping[str, object] = card if isinstance(card, Mapping) else {}
        content = said.get("apdus") if said else card
        if isinstance(content, list):
            named = next((str(said[key]) for key in _NAMES_OF_A_CARD if isinstance(said.get(key), str)), name)
            found[named if named not in found else f"{named} ({name})"] = content, said
    return found


def _cards(document: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    if isinstance(document.get("apdus"), list):
        yield "apdus", document["apdus"]
    cards = document.get("cards")
    if isinstance(cards, Mapping):
        yield from ((str(name), card) for name, card in cards.items())
    elif isinstance(cards, list):
        yield from ((str(number), card) for number, card in enumerate(cards, 1))


def _exchange(entry: object, where: str) -> Exchange:
    if not isinstance(entry, Mapping):
        raise TranscriptRefused("not an object with `c` and `r`", where=where)
    command, response = hex_octets(entry.get("c"), where), hex_octets(entry.get("r"), where)
    return Exchange(command, response, elapsed_us(entry.get("t_send"), entry.get("t_recv"), command, response))


class RecordedCard:
    """A `CardReader` with the recorded card on it. `differing` names where our commands differed from recorded ones,
    `unknown` those
    of ours that were not recorded, and `made_up` those that something made up answered."""

    url = "transcript:"

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._next = 0
        self.differing: list[Differing] = []
        self.unknown: list[bytes] = []
        self.made_up: list[bytes] = []

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
            self.unknown.append(command)
            return RawResponse(self._recording.not_found, 0)
        exchange = self._recording.exchanges[at]
        if at >= len(self._recording.exchanges) - self._recording.made_up:
            self.made_up.append(command)
            return RawResponse(exchange.response, exchange.elapsed_us)
        self._next = at + 1
        if exchange.command and _said(exchange.command) != _said(command):
            self.differing.append(Differing(at + 1, command, exchange.command))
        return RawResponse(exchange.response, exchange.elapsed_us)

    def _find(self, command: bytes) -> int | None:
        """What comes next if it will do; then ahead before behind, and exact before alike before "any command" before
        a cryptogram of another kind. An "any command" entry that was passed over has had its turn."""
        exchanges = self._recording.exchanges
        if self._next < len(exchanges) and _answers(command, exchanges[self._next].command):
            return self._next
        ahead, behind = range(self._next, len(exchanges)), range(self._next)
        exact = (_same, _alike)
        for places, judges in ((ahead, (*exact, _any)), (behind, exact), (ahead, (_also_a_cryptogram,))):
            for judge in judges:
                for at in places:
                    if judge(command, exchanges[at].command):
                        return at
        return None


def _answers(command: bytes, recorded: bytes) -> bool:
    return _any(command, recorded) or _alike(command, recorded)


def _any(command: bytes, recorded: bytes) -> bool:
    return not recorded


def _same(command: bytes, recorded: bytes) -> bool:
    return command == recorded


def _alike(command: bytes, recorded: bytes) -> bool:
    class_octets = 1 if command[1:2] == bytes([GET_RESPONSE]) else 0  # goes out in either class (EMV Book 1, 9.3.1.3)
    if command[class_octets:HEADER_OCTETS] != recorded[class_octets:HEADER_OCTETS]:
        return False
    return command[1] != SELECT or _data(command) == _data(recorded)


def _also_a_cryptogram(command: bytes, recorded: bytes) -> bool:
    """GENERATE AC with another reference control parameter: the card made one cryptogram, and this is it."""
    return command[:2] == recorded[:2] and command[1] == GENERATE_AC


def _said(command: bytes) -> bytes:
    """Header and data, without Le: writers of transcripts leave it out."""
    return command[:HEADER_OCTETS] + _data(command)


def _data(command: bytes) -> bytes:
    try:
        return split_command(command).data
    except MalformedApdu:
        return command[HEADER_OCTETS:]
