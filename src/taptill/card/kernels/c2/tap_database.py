"""One tap's database: everything both sides said, as the states of EMV Book C-2 find it (4.1, TLV Database).

Comes in: the selected application, the sale, the configuration. Goes out: the tap's `CardRead`.
Strategy: the kernel is stateless, this is its memory for one dialogue. What the terminal knows and what the card said
stay apart, so that no card can set a data object of the terminal.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from taptill.card.aip import AIP_ON_DEVICE_CVM
from taptill.card.apdu import CommandApdu, ResponseApdu
from taptill.card.bits import Place, has_bit, with_bit
from taptill.card.dialogue import Selection
from taptill.card.dol import fill_dol
from taptill.card.kernels.c2 import tags
from taptill.card.kernels.c2.configuration import HOLD_UNIT_MS, Configuration
from taptill.card.kernels.c2.data_exchange import DataExchange, Exchanged
from taptill.card.outcome import CardNumber, CardRead, CryptogramType, Cvm, Oda, Outcome, OutcomeKind
from taptill.card.outcomes import end_application
from taptill.card.parameters import TapRequest
from taptill.card.payment_data import CryptogramAnswer, card_number, shown, wrong_form
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.proof.offline_authentication import AuthenticatedRecord
from taptill.card.refused import Refused
from taptill.card.rules import cvm_codes
from taptill.card.rules.tvr import NO_TSI, NO_TVR
from taptill.card.terminal_data import terminal_data
from taptill.card.tlv import Tlv
from taptill.card.torn import TornRecord

NAME = "C-2"

# What a state comes to: an outcome ends the tap, None goes on with the next state.
State = Generator[CommandApdu, ResponseApdu, Outcome | None]

_KNOWS_FIELD_OFF = (1, 0x04)  # 9F5D
COMBINED_REQUESTED = 0x10  # reference control parameter (DF8114): P1 of GENERATE AC
_REQUESTED = {CryptogramType.AAC: 0x00, CryptogramType.TC: 0x40, CryptogramType.ARQC: 0x80}
_SELLS = frozenset({OutcomeKind.APPROVED, OutcomeKind.ONLINE_REQUEST})
_CVMS = {
    cvm_codes.CONSUMER_DEVICE: Cvm.CONSUMER_DEVICE,
    cvm_codes.ONLINE_PIN: Cvm.ONLINE_PIN,
    cvm_codes.SIGNATURE: Cvm.SIGNATURE,
}


class Mode(Enum):
    """EMV Book C-2, S3.15 to S3.17."""

    EMV = "EMV"
    MAG_STRIPE = "mag-stripe"


@dataclass(slots=True)
class TapDatabase:
    """See the module. `requested` and `combined` are what GENERATE AC asked for, `answer` and `kind` what it brought;
    `answered`: the card has done its part, so that its number and data are of use."""

    selection: Selection
    request: TapRequest
    ca_keys: CaKeyStore = field(repr=False)
    configuration: Configuration
    exchange: Exchanged = field(repr=False)
    terminal: dict[int, bytes] = field(repr=False)
    card: dict[int, bytes] = field(repr=False)
    options: tuple[Tlv, ...] = field(default=(), repr=False)
    authenticated: tuple[AuthenticatedRecord, ...] = field(default=(), repr=False)
    pdol_values: bytes = field(default=b"", repr=False)
    cdol_values: bytes = field(default=b"", repr=False)
    relay_resistance: bytes = field(default=b"", repr=False)
    requested: CryptogramType = CryptogramType.AAC
    combined: bool = False
    answer: CryptogramAnswer = field(default_factory=CryptogramAnswer)
    kind: CryptogramType | None = None
    answered: bool = False
    oda: Oda = field(default_factory=Oda)
    tvr: bytes = NO_TVR
    tsi: bytes = NO_TSI
    torn_record: TornRecord | None = None
    recovered: bool = False

    @classmethod
    def begin(
        cls, selection: Selection, request: TapRequest, ca_keys: CaKeyStore, data_exchange: DataExchange
    ) -> TapDatabase:
        """S1: what is known before the first command. Raises ConfigError."""
        configuration = Configuration.of(selection.prepared.combination, request)
        terminal = {
            **terminal_data(request, selection.prepared),
            **configuration.for_card(),
            0x9F33: configuration.capabilities(),
        }
        exchange = Exchanged.begin(data_exchange, configuration.values)
        return cls(selection, request, ca_keys, configuration, exchange, terminal, dict(selection.fci))

    @property
    def amount_minor(self) -> int:
        return self.request.amount.minor

    @property
    def aip(self) -> bytes:
        return self.card.get(0x82, b"")

    @property
    def on_device_verification(self) -> bool:
        """Both sides know verification on the cardholder's own device."""
        return has_bit(self.aip, AIP_ON_DEVICE_CVM) and self.configuration.on_device_verification

    def find(self, place: Place) -> None:
        """Sets a bit of the TVR."""
        self.tvr = with_bit(self.tvr, place)

    def fill(self, dol: bytes, where: str) -> bytes:
        """A data object list, the terminal's own data first. Raises MalformedDol."""
        return fill_dol(dol, self.terminal, self.card, where=where)

    @property
    def reference_control(self) -> int:
        return _REQUESTED[self.requested] | (COMBINED_REQUESTED if self.combined else 0)

    @reference_control.setter
    def reference_control(self, value: int) -> None:
        self.requested = next(kind for kind, code in _REQUESTED.items() if code == value & 0xC0)
        self.combined = bool(value & COMBINED_REQUESTED)

    @property
    def cvm(self) -> Cvm:
        """What CVM selection came to, as its results (9F34) say; they are a torn transaction's when it is recovered."""
        results = self.terminal.get(0x9F34, b"")
        return _CVMS.get(results[0] & cvm_codes.METHOD, Cvm.NONE) if results else Cvm.NOT_APPLICABLE

    def _with_field_off(self, outcome: Outcome) -> Outcome:
        """S1.7: a device that knows its tap by the end of the field is given that end."""
        known = has_bit(self.card.get(tags.APPLICATION_CAPABILITIES, b""), _KNOWS_FIELD_OFF)
        if outcome.kind is OutcomeKind.SELECT_NEXT or not known:
            return outcome
        return replace(outcome, field_off_hold_ms=self.configuration.number(tags.HOLD_TIME) * HOLD_UNIT_MS)

    def number(self) -> CardNumber | Refused:
        return card_number(self.card)

    def learn(self, said: Mapping[int, bytes]) -> Refused | None:
        """Takes over what the card said now, unless it contradicts what it said before: a data object comes once (EMV
        Book C-2, 4.7), and no later answer may change the number, the keys or the lists the earlier ones gave."""
        twice = next((tag for tag, value in said.items() if self.card.get(tag, value) != value), None)
        if twice is not None:
            return Refused(f"data-twice-{twice:X}")
        self.card.update(said)
        return wrong_form(said)

    def read(self, outcome: Outcome) -> CardRead:
        """The tap for the stages below. 95 stays what the cryptogram covers; later findings are in `tvr`."""
        number = self.number() if self.answered else None
        if isinstance(number, Refused) and outcome.kind in _SELLS:
            outcome = end_application(number.reason)
        said = shown(self.terminal, self.card, self.selection.aid) if self.answered else {0x84: self.selection.aid}
        return CardRead(
            self._with_field_off(outcome),
            self.selection.aid,
            NAME,
            self.selection.label,
            number=None if isinstance(number, Refused) else number,
            data=said,
            oda=self.oda,
            tvr=self.tvr,
            tsi=self.tsi,
            cryptogram_type=self.kind,
            torn_record=self.torn_record,
            recovered=self.recovered,
        )
