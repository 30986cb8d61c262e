"""The entry point against EMVCo's type-approval cases, as libpay's suite recorded them: every file, by format.

Judged per run, whole and in order: field, polls, every command with what the kernel is told, UI requests, final
outcomes with all their parameters, restarts. Left out is what differs from run to run (9F37, date, time, counter) and
what the format does not tell (9F1E, 9F09 of the origin).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from taptill.amount.money import Currency, Money
from taptill.card.apdu import CommandApdu, ResponseApdu, split_command
from taptill.card.dialogue import Dialogue, Selection
from taptill.card.entry_point import Configuration
from taptill.card.outcome import (
    AlternateInterface,
    CardRead,
    Cvm,
    MessageId,
    OnlineResponse,
    Outcome,
    OutcomeKind,
    Start,
    UiRequest,
    UiStatus,
)
from taptill.card.parameters import Combination, TapRequest
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.reader import CardLost, Presentation
from taptill.card.tlv import encode_tlv, parse_tlv, read_length, read_tag, walk
from taptill.card.transaction import (
    AskSale,
    AwaitCard,
    AwaitRemoval,
    Field,
    FieldOff,
    FieldOn,
    FinalOutcome,
    Result,
    Show,
    Transmit,
    run_transaction,
)

Case = dict[str, Any]
# The numbers of `enums` in the file.
KINDS = (
    None,
    OutcomeKind.SELECT_NEXT,
    OutcomeKind.TRY_AGAIN,
    OutcomeKind.APPROVED,
    OutcomeKind.DECLINED,
    OutcomeKind.ONLINE_REQUEST,
    OutcomeKind.TRY_ANOTHER_INTERFACE,
    OutcomeKind.END_APPLICATION,
)
STARTS = {0x0A: Start.A, 0x0B: Start.B, 0x0C: Start.C, 0x0D: Start.D}
CVMS = (Cvm.NOT_APPLICABLE, Cvm.ONLINE_PIN, Cvm.CONSUMER_DEVICE, Cvm.SIGNATURE, Cvm.NONE)
ONLINE_RESPONSES = (None, OnlineResponse.EMV_DATA, OnlineResponse.ANY)
INTERFACES = (None, *AlternateInterface)
QUALIFIERS = ("", "amount", "balance")
TENTHS_MS = 100
NOT_JUDGED = {0x9F37, 0x9A, 0x9F21, 0x9F41, 0x9F1E, 0x9F09}
POLLED: dict[str, Presentation | Field] = {
    "card": Presentation(b"", "A"),
    "none": Field.EMPTY,
    "collision": Field.COLLISION,
}
NOT_OURS = {"start", "restart", "txn_end"}  # marks of the recorder; their places follow from what stands around them


def type_approval(document: Case) -> Iterator[tuple[str, Case]]:
    for test in document.get("tests", []):
        for number, case in enumerate(test["cases"], 1):
            for turn, run in enumerate(case.get("runs", []), 1):
                settings = {each.get("index", at): each for at, each in enumerate(document["terminal_settings"])}
                known = case.get("terminal_setting")  # a case that names none has to go with one of them
                terminals = list(settings.values()) if known is None else [settings[known]]
                yield f"{test['id']}-{number}-{turn}", {"terminals": terminals, "run": run}


class TestKernel:
    """The file's `test_kernel`: GPO with what the PDOL asks for; template 77 is the outcome."""

    name = "test"
    __test__ = False

    def __init__(self, terminal_data: Mapping[int, bytes]) -> None:
        self._terminal_data = terminal_data

    def run(self, selection: Selection, request: TapRequest, ca_keys: CaKeyStore) -> Dialogue:
        knows = self._knows(selection, request)
        data = b"".join(
            fitted(tag, knows.get(tag, b""), length) for tag, length in entries(selection.fci.get(0x9F38, b""))
        )
        response = yield CommandApdu(0x80, 0xA8, 0, 0, data, 0, "GPO")
        told = shallow(shallow(response.data)[0x77])
        outcome = outcome_of(told[0xD4], told.get(0xD5), told.get(0xD6))
        return CardRead(outcome, selection.aid, data={tag: told[tag] for tag in (0x91, 0x71, 0x72) if tag in told})

    def _knows(self, selection: Selection, request: TapRequest) -> dict[int, bytes]:
        fci = {tlv.tag: tlv.value for tlv in walk(parse_tlv(selection.fci_octets))}
        return {
            **shallow(selection.online_response),
            **self._terminal_data,
            0x9F06: selection.aid,
            **fci,
            0xD1: bytes([indicators_of(selection), selection.restart << 7]),
            0xD2: bytes([next(number for number, start in STARTS.items() if start is selection.start)]),
            0xD3: selection.select_sw.to_bytes(2, "big"),
            0x9F66: selection.prepared.ttq or bytes(4),
            0x9F2A: number_octets(selection.prepared.combination.kernel_id),
            0x9F02: bytes.fromhex(f"{request.amount.minor:012d}"),
            0x9F03: bytes.fromhex(f"{request.amount_other.minor:012d}"),
            0x9C: bytes([request.transaction_type]),
        }


def number_octets(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def entries(dol: bytes) -> Iterator[tuple[int, int]]:
    """Tags with their length octet, as EMV Book 3, 5.4 has it."""
    at = 0
    while at < len(dol):
        tag, at = read_tag(dol, at, len(dol), "DOL")
        yield tag, dol[at]
        at += 1


def shallow(octets: bytes) -> dict[int, bytes]:
    """Data objects with their templates closed: the test card's scripts hold no TLV."""
    found, at = {}, 0
    while at < len(octets):
        tag, at = read_tag(octets, at, len(octets), "TLV")
        length, at = read_length(octets, at, len(octets), "TLV", tag)
        found[tag] = octets[at : at + length]
        at += length
    return found


def fitted(tag: int, value: bytes, length: int) -> bytes:
    numeric = tag in (0x9F01, 0x9F15, 0x9F1A)
    return value.rjust(length, b"\x00") if numeric else value[:length].ljust(length, b"\x00")


def outcome_of(d4: bytes, d5: bytes | None, d6: bytes | None) -> Outcome:
    kind = KINDS[d4[0]]
    assert kind is not None
    return Outcome(
        kind,
        start=STARTS.get(d4[1]),
        online_response=ONLINE_RESPONSES[d4[2]],
        cvm=CVMS[d4[3]],
        alternate_interface=INTERFACES[d4[4]],
        receipt=bool(d4[5]),
        field_off_hold_ms=None if d4[6:8] == b"\xff\xff" else int.from_bytes(d4[6:8], "big") * TENTHS_MS,
        removal_timeout_ms=int.from_bytes(d4[8:10], "big") * TENTHS_MS,
        ui_on_outcome=ui_of(d5),
        ui_on_restart=ui_of(d6),
    )


def ui_of(octets: bytes | None) -> UiRequest | None:
    if octets is None:
        return None
    return UiRequest(
        MessageId(octets[0]),
        UiStatus(octets[1]),
        hold_ms=int.from_bytes(octets[2:4], "big") * TENTHS_MS,
        language_preference=octets[4:6].rstrip(b"\x00").decode("ascii"),
        value_qualifier=QUALIFIERS[octets[6]],
        value_minor=int(octets[7:13].hex()) if octets[6] else None,
        currency=octets[13:15].hex() if octets[6] else "",
    )


def recorded_ui(told: Case | None) -> UiRequest | None:
    """A UI request in the words of the trace; what it does not tell is nothing."""
    if told is None:
        return None
    qualifier = QUALIFIERS[told.get("value_qualifier", 0)]
    return UiRequest(
        MessageId(int(told["message_id"], 16)),
        UiStatus(told["status"]),
        hold_ms=told.get("hold_time", 0) * TENTHS_MS,
        language_preference=told.get("language_preference", ""),
        value_qualifier=qualifier,
        value_minor=int(told["value"]) if qualifier else None,
        currency=told["currency"] if qualifier else "",
    )


def recorded_outcome(told: Case) -> Outcome:
    """An outcome in the words of the trace."""
    kind = KINDS[told["outcome"]]
    assert kind is not None
    field_off = told["field_off_hold_time"] * TENTHS_MS if told.get("field_off_requested") else None
    return Outcome(
        kind,
        start=STARTS.get(int(told.get("start", "00"), 16)),
        online_response=ONLINE_RESPONSES[told.get("online_response_type", 0)],
        cvm=CVMS[told.get("cvm", 0)],
        alternate_interface=INTERFACES[told.get("alternate_interface", 0)],
        receipt=bool(told.get("receipt", 0)),
        field_off_hold_ms=field_off,
        removal_timeout_ms=told.get("removal_timeout", 0) * TENTHS_MS,
        ui_on_outcome=recorded_ui(told.get("ui_on_outcome")),
        ui_on_restart=recorded_ui(told.get("ui_on_restart")),
    )


def combinations_of(terminal: Case) -> list[Combination]:
    """In the order in which the origin prefers them where its cards leave the choice: Book B lets a reader take any of
    several combinations of one entry, the origin takes the one it read last, we the one configured first."""
    found = []
    for group in reversed(terminal["combination_sets"]):
        config = group["config"]
        first, *others = group["combinations"]
        found += [
            Combination(
                aid=bytes.fromhex(each["aid"]),
                kernel_id=int(each["kernel_id"], 16),
                ttq=bytes.fromhex(config.get("ttq", "")),
                transaction_limit_minor=config.get("reader_ctls_txn_limit"),
                floor_limit_minor=config.get("reader_ctls_floor_limit"),
                terminal_floor_limit_minor=config.get("terminal_floor_limit"),
                cvm_limit_minor=config.get("reader_cvm_reqd_limit"),
                zero_amount_allowed=config.get("zero_amount_allowed", True),
                status_check=config.get("status_check_support", False),
                extended_selection=config.get("ext_selection_support", False),
                transaction_types=frozenset(int(code, 16) for code in group["txn_types"]),
            )
            for each in (*others, first)
        ]
    return found


def sale_of(terminal: Case, run: Case) -> TapRequest:
    autorun = terminal.get("autorun", {})
    started = {"type": autorun.get("txn_type"), "amount_authorised": autorun.get("amount_authorised")}
    transaction = started if autorun else run["transaction"]
    units = Currency("000", "XXX", 0, "")
    return TapRequest(
        amount=Money(transaction["amount_authorised"], units),
        amount_other=Money(transaction.get("amount_other", 0), units),
        transaction_type=int(transaction["type"], 16),
        date_yymmdd="160101",
        time_hhmmss="120000",
        country="276",
        unpredictable_number=bytes(4),
        online_possible=True,
        offline_allowed=True,
        pin_pad=True,
    )


class Stage:
    """A reader with the recorded card: every act has to be the next event, whose answer it gets."""

    def __init__(self, events: list[Case], sale: TapRequest) -> None:
        self.left = [event for event in events if event["ev"] not in NOT_OURS]
        self._sale = sale
        self._pdol = b""
        self.delivered = 0

    def act(self, act: object) -> Result | CardLost:
        match act:
            case AskSale():
                return self._sale
            case AwaitRemoval():
                return True
        assert self.left, f"nothing more is recorded, but {act}"
        event = self.left.pop(0)
        match act:
            case Show(ui):
                assert (event["ev"], recorded_ui(event.get("ui"))) == ("ui_request", ui)
            case FieldOn():
                assert event["ev"] == "field_on"
            case FieldOff(hold_ms):
                assert event == {"ev": "field_off", "hold_time": hold_ms}
            case AwaitCard():
                return POLLED[event["result"]]
            case FinalOutcome(read):
                return self._deliver(read, event)
            case Transmit(command):
                return self._exchange(command, event)
        return None

    def _deliver(self, read: CardRead, event: Case) -> bytes | None:
        record = b"".join(encode_tlv(tag, value) for tag, value in read.data.items())
        told = event["outcome"]
        reason_free = Outcome(**{name: getattr(read.outcome, name) for name in COMPARED})
        assert event["ev"] == "final_outcome"
        assert (reason_free, record.hex().upper()) == (recorded_outcome(told), told.get("data_record", ""))
        self.delivered += 1
        return record or None

    def _exchange(self, command: CommandApdu, event: Case) -> ResponseApdu | CardLost:
        recorded = split_command(bytes.fromhex(event["c"]))
        assert command.encode()[:4].hex() == event["c"][:8].lower()
        assert self._judged(command) == self._judged(recorded)
        if "link_error" in event:
            return CardLost("as recorded", where="vector")
        response = ResponseApdu.decode(bytes.fromhex(event["r"]))
        if command.ins == 0xA4:
            self._pdol = next((tlv.value for tlv in walk(parse_tlv(response.data)) if tlv.tag == 0x9F38), b"")
        return response

    def _judged(self, command: CommandApdu) -> object:
        """SELECT whole; the data of GPO by tag, without what differs from run to run."""
        if command.ins != 0xA8:
            return command.data.hex()
        told, at = [], 0
        for tag, length in entries(self._pdol):
            told.append((f"{tag:X}", "" if tag in NOT_JUDGED else command.data[at : at + length].hex()))
            at += length
        assert at == len(command.data)
        return told


COMPARED = tuple(name for name in Outcome.__dataclass_fields__ if name != "reason")


def indicators_of(selection: Selection) -> int:
    said = selection.prepared.indicators
    return (
        said.floor_limit_exceeded << 7
        | said.application_not_allowed << 6
        | said.cvm_limit_exceeded << 5
        | said.status_check_requested << 4
        | said.zero_amount << 3
    )


def play(terminal: Case, run: Case) -> Stage:
    combinations = combinations_of(terminal)
    kernel = TestKernel({int(tag, 16): bytes.fromhex(value) for tag, value in terminal["terminal_data"].items()})
    kernels = {each.kernel_id: kernel for each in combinations}
    sale = sale_of(terminal, run)
    stage = Stage(run["events"], sale)
    transaction = run_transaction(Configuration(combinations, kernels, CaKeyStore()), sale, "autorun" in terminal)
    act = next(transaction)
    try:
        while True:
            result = stage.act(act)
            act = transaction.throw(result) if isinstance(result, CardLost) else transaction.send(result)
    except StopIteration:
        return stage


def differs(terminal: Case, run: Case) -> str:
    """What was not as recorded; nothing if all was."""
    try:
        stage = play(terminal, run)
        assert stage.left == []
        assert stage.delivered == 1 + sum(event["ev"] == "restart" for event in run["events"])
    except AssertionError as different:
        return str(different)
    return ""


@pytest.mark.vectors(folder="entry-point", cases=type_approval)
def test_a_run_is_as_recorded(vector: Case) -> None:
    differences = [differs(terminal, vector["run"]) for terminal in vector["terminals"]]
    assert "" in differences, "\n".join(differences)
