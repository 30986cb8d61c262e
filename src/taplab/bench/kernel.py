"""`kernel`: what a whole tap costs the terminal's processor, beside the time the same tap is on the air.

Strategy: a card of the lab is read once and its answers kept; what is timed is the product's reading of them, from
SELECT PPSE to the outcome with certificates, signature and hash. The bar is a share of the airtime of these very bytes
at 106 kbit/s: the card and the wire take that long whatever the terminal does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from taplab.bench.inline_till import open_shop
from taplab.bench.measurement import Better, Figure, Plan, Result
from taplab.bench.rounds import Ready, in_turns
from taplab.bench.taps import CARD_TIMEOUT_MS, OFFLINE_CARD, ONLINE_CARD, ReadCard
from taplab.card.in_hand import SALE
from taplab.pn532.airtime import FIELD_ON_GUARD_US, air_us, anticollision_us
from taplab.provision import LabFiles
from taptill.card.outcome import CardRead, OdaVerdict, OutcomeKind
from taptill.card.read_card import drive, read_card
from taptill.card.reader import Presentation, RawResponse
from taptill.errors import TapTillError

BAR = 0.05
ROUNDS, TAPS_PER_ROUND = 25, 100
OFFLINE, ONLINE = "C-7, fDDA, offline", "C-7, online"

_BLOCK_OVERHEAD = 1  # PCB, ISO/IEC 14443-4, 7.1
_BLOCK_OCTETS = 253  # of 256 with PCB and CRC
_RATS_OCTETS = 2


class NotThatTap(TapTillError):
    """The lab's card did not do what is to be measured."""

    code = 6109


class KeptCard(ReadCard):
    """Answers as the card did the first time. A command that it was not given then is a fault of this program."""

    def __init__(self, name: str, files: LabFiles) -> None:
        super().__init__(name, files.scheme, files.ca_keys)
        self.kept: dict[bytes, bytes] = {}
        self.read(SALE)

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        if command not in self.kept:
            self.kept[command] = super().transmit(command, timeout_ms).octets
        return RawResponse(self.kept[command], 0)

    def read_again(self) -> CardRead:
        return drive(read_card(SALE, self._combinations, self._ca_keys), self, CARD_TIMEOUT_MS)


@dataclass(frozen=True, slots=True)
class Tap:
    """One kind of tap, ready to be repeated."""

    card: KeptCard
    airtime_us: int

    @property
    def octets(self) -> int:
        return sum(len(command) + len(answer) for command, answer in self.card.kept.items())


def measure(plan: Plan) -> Result:
    rounds, taps = plan.count(ROUNDS, quick=9), plan.count(TAPS_PER_ROUND)
    files = open_shop(plan.folder("kernel"))
    made = {OFFLINE: _tap(OFFLINE_CARD, files, _approved_by_fdda), ONLINE: _tap(ONLINE_CARD, files, _goes_online)}
    plan.progress(f"{rounds} rounds of {taps} taps")
    taken = in_turns({name: _ready(tap, taps) for name, tap in made.items()}, rounds)
    shares = {name: taken[name].best / taps * 1e6 / tap.airtime_us for name, tap in made.items()}
    contenders: dict[str, dict[str, Figure]] = {
        name: {
            "CPU us": round(taken[name].best / taps * 1e6),
            "airtime us": tap.airtime_us,
            "CPU to airtime": round(shares[name], 4),
            "APDUs": len(tap.card.kept),
            "octets": tap.octets,
        }
        for name, tap in made.items()
    }
    return Result(
        ratio=shares[OFFLINE],
        bar=BAR,
        better=Better.LOWER,
        contenders=contenders,
        notes=("airtime is activation and blocks at 106 kbit/s; what the card computes comes on top of it",),
    )


def airtime_us(presentation: Presentation, exchanges: dict[bytes, bytes]) -> int:
    """From field on to the last answer, frames of 256 octets (ISO/IEC 14443-3 and -4)."""
    activation = FIELD_ON_GUARD_US + anticollision_us(len(presentation.uid))
    activation += air_us(_RATS_OCTETS) + air_us(len(presentation.answer))
    return activation + sum(_blocks_us(command) + _blocks_us(answer) for command, answer in exchanges.items())


def _blocks_us(octets: bytes) -> int:
    """I-blocks, and an acknowledgement after each but the last."""
    sizes = [len(octets[at : at + _BLOCK_OCTETS]) for at in range(0, len(octets), _BLOCK_OCTETS)]
    return sum(air_us(_BLOCK_OVERHEAD + size) for size in sizes) + (len(sizes) - 1) * air_us(_BLOCK_OVERHEAD)


def _tap(name: str, files: LabFiles, is_meant: Callable[[CardRead], bool]) -> Tap:
    card = KeptCard(name, files)
    read = card.read_again()
    if not is_meant(read):
        raise NotThatTap(read.outcome.reason or read.outcome.kind.value, where=f"card {name}")
    presentation = card.wait_for_card(0)
    assert presentation is not None
    return Tap(card, airtime_us(presentation, card.kept))


def _approved_by_fdda(read: CardRead) -> bool:
    return read.outcome.kind is OutcomeKind.APPROVED and read.oda.verdict is OdaVerdict.PASSED


def _goes_online(read: CardRead) -> bool:
    return read.outcome.kind is OutcomeKind.ONLINE_REQUEST


def _ready(tap: Tap, taps: int) -> Ready:
    def run() -> None:
        for _ in range(taps):
            tap.card.read_again()

    return lambda: run
