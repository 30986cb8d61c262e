"""Data exchange between kernel and terminal while the card waits (EMV Book C-2, 3.6): DEK and DET as plain data.

Comes in: what the kernel has to tell or wants to know (`DataFromKernel`). Goes out: the terminal's data objects.
Strategy: whoever runs a terminal passes a `DataExchange` in; it answers at once, from what it knows, because a card in
the field cannot wait for anybody. Without one nothing is exchanged. Writing to the card (PUT DATA) is not built in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from taptill.card.kernels.c2 import tags
from taptill.card.tlv import read_tag

# EMV Book C-2, 5.5: what GET DATA may ask for, data storage left out.
GET_DATA_TAGS = frozenset({tags.OFFLINE_BALANCE, *range(0x9F70, 0x9F7A)})
STOP = b"\x00"


@dataclass(frozen=True, slots=True)
class DataFromKernel:
    """DEK: tags the kernel needs a value of, and data objects the terminal had asked to read."""

    needed: tuple[int, ...] = ()
    read: Mapping[int, bytes] = field(default_factory=dict, repr=False)


class DataExchange(Protocol):
    """The terminal's side. Must not block."""

    def answer(self, asked: DataFromKernel) -> Mapping[int, bytes]:
        """DET: data objects by tag, DF8112 (more tags to read) and DF8110 (proceed to first write) among them."""


class NoDataExchange:
    """The terminal has nothing to say."""

    def answer(self, asked: DataFromKernel) -> Mapping[int, bytes]:
        return {}


NO_DATA_EXCHANGE = NoDataExchange()


@dataclass(slots=True)
class Exchanged:
    """Tags To Read Yet and the proceed flag of one tap. `proceed` None: the terminal does not care (DF8110 absent)."""

    terminal: DataExchange = field(repr=False)
    to_read: list[int]
    proceed: bytes | None
    known: dict[int, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def begin(cls, terminal: DataExchange, configured: Mapping[int, bytes]) -> Exchanged:
        """S1: tags to read and the proceed flag may be configured."""
        return cls(
            terminal, tag_list(configured.get(tags.TAGS_TO_READ, b"")), configured.get(tags.PROCEED_TO_FIRST_WRITE)
        )

    def next_card_tag(self) -> int | None:
        """S3R1.1: the next tag that GET DATA can ask the card for; it is asked once."""
        tag = next((tag for tag in self.to_read if tag in GET_DATA_TAGS), None)
        if tag is not None:
            self.to_read.remove(tag)
        return tag

    def tell(self, card: Mapping[int, bytes], found: Mapping[int, bytes] | None = None, last: bool = False) -> None:
        """Sends what was asked for and is there by now; at the `last` telling (S456.21) what never came goes empty."""
        ready = {tag: card.get(tag, b"") for tag in self.to_read if last or card.get(tag)}
        self.to_read = [tag for tag in self.to_read if tag not in ready]
        ready |= found or {}
        needed = (tags.PROCEED_TO_FIRST_WRITE,) if self.proceed == b"" else ()
        if ready or needed:
            self._take(self.terminal.answer(DataFromKernel(needed, ready)))

    def may_write(self) -> bool:
        """S456.5 to S456.11: whether the first command that commits the card may go out. A terminal that says no is
        asked once more, and then its time is up (S6, time-out)."""
        for _ in range(2):
            if self.proceed not in (b"", STOP):
                return True
            self._take(self.terminal.answer(DataFromKernel((tags.PROCEED_TO_FIRST_WRITE,))))
        return self.proceed not in (b"", STOP)

    def _take(self, answer: Mapping[int, bytes]) -> None:
        self.to_read += tag_list(answer.get(tags.TAGS_TO_READ, b""))
        self.proceed = answer.get(tags.PROCEED_TO_FIRST_WRITE, self.proceed)
        self.known |= {tag: value for tag, value in answer.items() if tag not in _STEERING}


_STEERING = frozenset({tags.TAGS_TO_READ, tags.PROCEED_TO_FIRST_WRITE})


def tag_list(octets: bytes) -> list[int]:
    """The tags of a list without lengths (DF8112). Raises MalformedTlv."""
    found: list[int] = []
    at = 0
    while at < len(octets):
        tag, at = read_tag(octets, at, len(octets), "tag list")
        found.append(tag)
    return found
