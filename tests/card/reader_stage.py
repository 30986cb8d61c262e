"""A reader that never was: drives a transaction against a scripted card and writes down every act."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from taptill.amount.money import Currency, Money
from taptill.card.apdu import CommandApdu, MalformedApdu, ResponseApdu
from taptill.card.dialogue import Dialogue, Selection
from taptill.card.entry_point import Configuration
from taptill.card.outcome import CardRead, Cvm, MessageId, Outcome, UiStatus
from taptill.card.outcomes import approved
from taptill.card.parameters import Combination, TapRequest
from taptill.card.payment_data import get_processing_options
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.reader import CardLost, Presentation
from taptill.card.tlv import encode_tlv
from taptill.card.transaction import (
    Act,
    AskSale,
    AwaitCard,
    AwaitRemoval,
    Field,
    FinalOutcome,
    Result,
    Show,
    Transmit,
    run_transaction,
)

ONE_CARD = Presentation(b"", "A")
REFUSED = bytes.fromhex("6A82")
OK = b"\x90\x00"
UNITS = Currency("000", "XXX", 0, "")
SALE = TapRequest(
    amount=Money(100, UNITS),
    amount_other=Money(0, UNITS),
    transaction_type=0x00,
    date_yymmdd="261122",
    time_hhmmss="120000",
    country="156",
    unpredictable_number=bytes(4),
    online_possible=True,
    offline_allowed=True,
    pin_pad=True,
)

Answer = Callable[[bytes], bytes | Exception]


def entry(aid: str, kernel: str | None = None, priority: str = "01", extension: str = "") -> bytes:
    """One 61 template; `kernel` is the value of 9F2A in hex."""
    content = encode_tlv(0x4F, bytes.fromhex(aid)) + encode_tlv(0x50, b"APP")
    content += encode_tlv(0x87, bytes.fromhex(priority)) if priority else b""
    content += b"" if kernel is None else encode_tlv(0x9F2A, bytes.fromhex(kernel))
    content += encode_tlv(0x9F29, bytes.fromhex(extension)) if extension else b""
    return encode_tlv(0x61, content)


def ppse(*entries: bytes) -> bytes:
    directory = encode_tlv(0xA5, encode_tlv(0xBF0C, b"".join(entries)))
    return encode_tlv(0x6F, encode_tlv(0x84, b"2PAY.SYS.DDF01") + directory) + OK


def fci(name: bytes, pdol: str = "") -> bytes:
    options = encode_tlv(0x9F38, bytes.fromhex(pdol)) if pdol else b""
    return encode_tlv(0x6F, encode_tlv(0x84, name) + encode_tlv(0xA5, encode_tlv(0x50, b"APP") + options)) + OK


def card(*entries: bytes, pdol: str = "") -> Answer:
    """A card with this directory; every name that begins as SELECT asks is there."""

    def answer(command: bytes) -> bytes:
        name = command[5 : 5 + command[4]] if len(command) > 5 else b""
        if command[1] != 0xA4:
            return OK
        return ppse(*entries) if name == b"2PAY.SYS.DDF01" else fci(name, pdol)

    return answer


def combination(aid: str, kernel_id: int, **changes: object) -> Combination:
    return Combination(bytes.fromhex(aid), kernel_id, bytes.fromhex("26000080"), **changes)  # type: ignore[arg-type]


class ToldKernel:
    """Sends one GPO and ends as it is told, the last outcome again and again."""

    name = "told"

    def __init__(self, *outcomes: Outcome) -> None:
        self._outcomes = list(outcomes) or [approved(Cvm.NONE)]
        self.told: list[tuple[Selection, TapRequest]] = []

    def run(self, selection: Selection, request: TapRequest, ca_keys: CaKeyStore) -> Dialogue:
        self.told.append((selection, request))
        outcome = self._outcomes[0] if len(self._outcomes) == 1 else self._outcomes.pop(0)
        yield get_processing_options(b"")
        return CardRead(outcome, selection.aid, self.name)


class WaitingKernel(ToldKernel):
    """Keeps the dialogues it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.dialogues: list[Dialogue] = []

    def run(self, selection: Selection, request: TapRequest, ca_keys: CaKeyStore) -> Dialogue:
        self.dialogues.append(super().run(selection, request, ca_keys))
        return self.dialogues[-1]


@dataclass(slots=True)
class Played:
    """What a transaction did."""

    read: CardRead | None = None
    acts: list[Act] = field(default_factory=list)

    def selected(self) -> list[str]:
        """The names of the SELECT commands behind the PPSE, in hex."""
        return [each.data.hex().upper() for each in self.commands() if each.ins == 0xA4 and each.data[:1] != b"2"]

    def commands(self) -> list[CommandApdu]:
        return [act.command for act in self.acts if isinstance(act, Transmit)]

    def shown(self) -> list[tuple[MessageId, UiStatus]]:
        return [(act.ui.message, act.ui.status) for act in self.acts if isinstance(act, Show)]

    def of(self, *kinds: type[Act]) -> list[Act]:
        return [act for act in self.acts if isinstance(act, kinds)]

    def reason(self) -> str:
        return self.read.outcome.reason if self.read else "nobody"


def configuration(combinations: Iterable[Combination], kernel: ToldKernel, *without: int) -> Configuration:
    """One kernel for every number the combinations name, and for `without` none."""
    served = tuple(combinations)
    kernels = {each.kernel_id: kernel for each in served if each.kernel_id not in without}
    return Configuration(served, kernels, CaKeyStore())


def perform(
    reader: Configuration,
    answer: Answer,
    *,
    sale: TapRequest = SALE,
    autorun: bool = False,
    polls: Iterable[Presentation | Field] = (),
    issuer: Iterable[bytes | None] = (),
    sales: Iterable[TapRequest] = (),
    answer_us: int = 0,
) -> Played:
    """Drives the transaction to its end; polls beyond the scripted ones find one card."""
    played, polled, answers, fresh = Played(), iter(polls), iter(issuer), iter(sales)
    transaction = run_transaction(reader, sale, autorun)
    act = next(transaction)
    try:
        while True:
            played.acts.append(act)
            result = _result(act, answer, polled, answers, fresh, sale)
            result = replace(result, elapsed_us=answer_us) if isinstance(result, ResponseApdu) else result
            act = transaction.throw(result) if isinstance(result, Exception) else transaction.send(result)
    except StopIteration as finished:
        played.read = finished.value
        return played


def played_result(act: Act, answer: Answer) -> Result:
    """What one card on the reader says to an act, nothing going wrong."""
    result = _result(act, answer, iter(()), iter(()), iter(()), SALE)
    assert not isinstance(result, Exception)
    return result


def _result(
    act: Act,
    answer: Answer,
    polls: Iterator[Presentation | Field],
    issuer: Iterator[bytes | None],
    sales: Iterator[TapRequest],
    sale: TapRequest,
) -> Result | Exception:
    match act:
        case AwaitCard():
            return next(polls, ONE_CARD)
        case AskSale():
            return next(sales, sale)
        case FinalOutcome():
            return next(issuer, None)
        case AwaitRemoval():
            return True
        case Transmit(command):
            return _answered(answer(command.encode()))
    return None


def _answered(octets: bytes | Exception) -> ResponseApdu | Exception:
    if isinstance(octets, Exception):
        return octets
    try:
        return ResponseApdu.decode(octets)
    except MalformedApdu as cut:
        return CardLost(cut.what, where=cut.where)


def lost() -> CardLost:
    return CardLost("it left", where="test")
