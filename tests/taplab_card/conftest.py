"""What the card tests share: the lab's scheme, repeatable entropy, and a reader's side of a tap.

Comes in: a card. Goes out: the data objects it gave, by tag.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from taplab.card import Card, Scheme, load_card
from taptill.card.dol import fill_dol
from taptill.card.tlv import find_all, flatten, parse_tlv

PPSE = b"2PAY.SYS.DDF01"
NUMBERS = {"unionpay": "6228000100001109", "visa": "4761739001010010", "mastercard": "5413339000001513"}
TERMINAL = {
    0x9F66: bytes.fromhex("26000080"),  # qPBOC, online PIN and signature, fDDA version 01
    0x9F02: bytes.fromhex("000000002500"),
    0x9F03: bytes(6),
    0x9F1A: bytes.fromhex("0156"),
    0x95: bytes(5),
    0x5F2A: bytes.fromhex("0156"),
    0x9A: bytes.fromhex("260115"),
    0x9C: b"\x00",
    0x9F37: bytes.fromhex("2B29EBE4"),
    0x9F35: b"\x22",
}


class CountedEntropy:
    """Bytes that look chosen and come again in every run."""

    def __init__(self) -> None:
        self._next = 0

    def octets(self, count: int) -> bytes:
        self._next += 1
        return bytes((self._next * 37 + at) & 0xFF for at in range(count))


@dataclass
class Tap:
    """One presentation of `card`, with the terminal's data; `sent` and `got` fill up as it goes on."""

    card: Card
    sent: dict[int, bytes] = field(default_factory=lambda: dict(TERMINAL))
    got: dict[int, bytes] = field(default_factory=dict)
    records: dict[tuple[int, int], bytes] = field(default_factory=dict)
    answer: bytes = b""

    def command(self, header: str, data: bytes = b"") -> tuple[bytes, str]:
        body = bytes([len(data)]) + data if data else b""
        octets = self.card.answer(bytes.fromhex(header) + body + b"\x00").octets
        return octets[:-2], octets[-2:].hex()

    def select(self, place: int = 0) -> str:
        """The application in this place of the directory, forgetting what was got before."""
        ppse, _ = self.command("00A40400", PPSE)
        entry = find_all(parse_tlv(ppse), 0x61)[place]
        self.got = flatten(entry.children)
        answered, status = self.command("00A40400", self.got[0x4F])
        self.got |= flatten(parse_tlv(answered))
        return status

    def process(self) -> str:
        filled = fill_dol(self.got.get(0x9F38, b""), self.sent)
        self.answer, status = self.command("80A80000", bytes([0x83, len(filled)]) + filled)
        self.got |= flatten(parse_tlv(self.answer))
        return status

    def read(self) -> None:
        afl = self.got[0x94]
        for at in range(0, len(afl), 4):
            for number in range(afl[at + 1], afl[at + 2] + 1):
                record, status = self.command(f"00B2{number:02X}{afl[at] | 4:02X}")
                assert status == "9000"
                self.records[afl[at] >> 3, number] = record
                self.got |= flatten(parse_tlv(record))

    def generate(self, control: str) -> str:
        """GENERATE AC with this P1, over CDOL1."""
        filled = fill_dol(self.got[0x8C], self.sent)
        self.answer, status = self.command(f"80AE{control}00", filled)
        self.got |= flatten(parse_tlv(self.answer))
        return status

    def again(self) -> None:
        """Out of the field and back, up to the answer to GPO."""
        self.card.reset()
        assert self.select() == "9000"
        assert self.process() == "9000"


TapACard = Callable[..., Tap]
MakeCard = Callable[..., Card]


@pytest.fixture(scope="session")
def scheme() -> Scheme:
    return Scheme.generate(CountedEntropy())


@pytest.fixture
def entropy() -> CountedEntropy:
    return CountedEntropy()


@pytest.fixture
def make(scheme: Scheme, entropy: CountedEntropy, tmp_path: Path) -> MakeCard:
    """`make("visa", "[faults]", "wrong_signature = true")`: a card of this scheme with these lines in its file."""

    def write(scheme_name: str, *lines: str) -> Card:
        head = ['label = "made"', f'pan = "{NUMBERS[scheme_name]}"', 'expiry = "2031-12"', f'scheme = "{scheme_name}"']
        file = tmp_path / "made.toml"
        file.write_text("\n".join([*head, *lines]), encoding="utf-8")
        return load_card(file, scheme, entropy)

    return write


@pytest.fixture
def tap(scheme: Scheme, entropy: CountedEntropy) -> TapACard:
    """`tap("good_credit")`: a packaged card, or one at hand, with its first application selected."""

    def present(name: str | Card, **terminal: bytes) -> Tap:
        card = load_card(name, scheme, entropy) if isinstance(name, str) else name
        sent = TERMINAL | {int(tag[1:], 16): value for tag, value in terminal.items()}
        started = Tap(card, sent)
        assert started.select() == "9000"
        return started

    return present
