"""The shape of a conversation with a card, and of a kernel that leads it.

Comes in: nothing, these are shapes. Goes out: `Dialogue`, a generator that yields commands, is sent responses and
returns the tap's `CardRead`; the same one runs on a reader, on a transcript and in a fuzzer.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from taptill.card.apdu import SW_OK, CommandApdu, ResponseApdu
from taptill.card.outcome import CardRead, Start
from taptill.card.parameters import TapRequest
from taptill.card.preprocessing import Prepared
from taptill.card.proof.ca_keys import CaKeyStore

Dialogue = Generator[CommandApdu, ResponseApdu, CardRead]


@dataclass(frozen=True, slots=True)
class Selection:
    """The application finally selected: its DF name, its FCI flattened to data objects, its pre-processing, and how the
    entry point came to it (EMV Book B, 3.4.1). `online_response`: the issuer's data of a restart after it.
    `fci_octets`: the FCI as the card sent it."""

    aid: bytes
    prepared: Prepared
    fci: Mapping[int, bytes] = field(repr=False)
    label: str = ""
    start: Start = Start.A
    restart: bool = False
    select_sw: int = SW_OK
    online_response: bytes = field(default=b"", repr=False)
    fci_octets: bytes = field(default=b"", repr=False)


class Kernel(Protocol):
    """A scheme's way of reading a card. It raises MalformedTlv, MalformedDol or MalformedApdu for what a card must not
    send; everything else a card can do is an outcome. A card that leaves is thrown into the dialogue as `CardLost`: a
    kernel that must know (torn transactions) catches it, the entry point makes a "try again" of it."""

    name: str

    def run(self, selection: Selection, request: TapRequest, ca_keys: CaKeyStore) -> Dialogue:
        """From GET PROCESSING OPTIONS to the outcome."""
