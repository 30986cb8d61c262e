"""The entry point against EMVCo's type-approval cases, as libpay's suite recorded them: every file, by format.

Judged per run, up to the first outcome that ends or restarts the presentation: the SELECT commands in order, and the
TTQ and indicators the kernel is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from taptill.amount.money import Currency, Money
from taptill.card.apdu import CommandApdu, ResponseApdu
from taptill.card.ca_keys import CaKeyStore
from taptill.card.dialogue import Dialogue, Selection
from taptill.card.dol import split_dol
from taptill.card.entry_point import run_entry_point
from taptill.card.outcome import CardRead, Cvm, OutcomeKind
from taptill.card.outcomes import approved, select_next
from taptill.card.parameters import Combination, TapRequest
from taptill.card.recording import split_command
from taptill.card.tlv import encode_tlv, find, parse_tlv

Case = dict[str, Any]
SELECT_NEXT_IN_D4 = 1


def type_approval(document: Case) -> Iterator[tuple[str, Case]]:
    for test in document.get("tests", []):
        for number, case in enumerate(test["cases"], 1):
            for turn, run in enumerate(case.get("runs", []) if "terminal_setting" in case else [], 1):
                terminal = document["terminal_settings"][case["terminal_setting"]]
                yield f"{test['id']}-{number}-{turn}", {"terminal": terminal, "run": run}


class RecordedKernel:
    """Sends the PDOL it was told, and turns "select next" of the recorded answer into that outcome."""

    name = "test"

    def __init__(self) -> None:
        self.told: list[tuple[Selection, bytes]] = []

    def run(self, selection: Selection, request: TapRequest, ca_keys: CaKeyStore) -> Dialogue:
        pdol = selection.fci.get(0x9F38, b"")
        self.told.append((selection, pdol))
        response = yield CommandApdu(0x80, 0xA8, 0, 0, encode_tlv(0x83, b""), 0, "GPO")
        outcome = find(parse_tlv(response.data), 0xD4) or bytes(10)
        return CardRead(select_next("told") if outcome[0] == SELECT_NEXT_IN_D4 else approved(Cvm.NONE))


def combinations_of(terminal: Case, transaction_type: str) -> list[Combination]:
    found = []
    for group in terminal["combination_sets"]:
        if transaction_type not in group["txn_types"]:
            continue
        config = group["config"]
        for each in group["combinations"]:
            found.append(
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
                )
            )
    return found


def first_presentation(events: list[Case]) -> list[Case]:
    """The APDU events up to the first restart, new polling, link error or end."""
    apdus: list[Case] = []
    for event in events:
        over = event["ev"] in ("restart", "final_outcome", "txn_end") or "link_error" in event
        if over or (apdus and event["ev"] in ("poll", "field_on")):
            break
        if event["ev"] == "apdu":
            apdus.append(event)
    return apdus


def play(vector: Case, kernel: RecordedKernel) -> tuple[list[bytes], CardRead | None]:
    """Our commands, answered by the recording in its order; None where the recording ends first."""
    autorun = vector["terminal"].get("autorun", {})
    started = {"type": autorun.get("txn_type"), "amount_authorised": autorun.get("amount_authorised")}
    transaction = vector["run"].get("transaction", {**started, "amount_other": 0})
    units = Currency("000", "XXX", 0, "")
    request = TapRequest(
        amount=Money(transaction["amount_authorised"], units),
        amount_other=Money(transaction["amount_other"], units),
        transaction_type=int(transaction["type"], 16),
        date_yymmdd="160101",
        time_hhmmss="120000",
        country="276",
        unpredictable_number=bytes(4),
        online_possible=True,
        offline_allowed=True,
        pin_pad=True,
    )
    combinations = combinations_of(vector["terminal"], transaction["type"])
    kernels: Mapping[int, RecordedKernel] = {each.kernel_id: kernel for each in combinations}
    dialogue = run_entry_point(request, combinations, kernels, CaKeyStore())
    answers = iter(first_presentation(vector["run"]["events"]))
    sent: list[bytes] = []
    try:
        command = next(dialogue)
        for answer in answers:
            sent.append(command.encode())
            command = dialogue.send(ResponseApdu.decode(bytes.fromhex(answer["r"])))
    except StopIteration as finished:
        read: CardRead = finished.value
        return sent, read
    return sent, None


@pytest.mark.vectors(folder="entry-point", cases=type_approval)
def test_the_selects_and_what_the_kernel_is_told_are_as_recorded(vector: Case) -> None:
    kernel = RecordedKernel()
    sent, read = play(vector, kernel)
    recorded = [bytes.fromhex(event["c"]) for event in first_presentation(vector["run"]["events"])]
    selects = [command for command in recorded if command[1] == 0xA4]
    assert [command.hex() for command in sent if command[1] == 0xA4] == [command.hex() for command in selects]
    if read is not None and not kernel.told:
        ended = next(event["outcome"] for event in vector["run"]["events"] if event["ev"] == "final_outcome")
        assert ended_as(read) == (ended["outcome"], ended["ui_on_outcome"]["message_id"])
    if "autorun" in vector["terminal"]:
        return  # begins at Start B without pre-processing, which this terminal never does
    options = [split_command(command).data for command in recorded if command[1] == 0xA8]
    for (selection, pdol), data in zip(kernel.told, options, strict=True):
        told = split_dol(pdol, data)
        if 0x9F66 in told:
            assert selection.prepared.ttq.ljust(4, b"\x00").hex() == told[0x9F66].hex()
        if 0xD1 in told:
            assert indicators_of(selection) == told[0xD1][0]


def ended_as(read: CardRead) -> tuple[int, str]:
    """The outcome in the numbers of the origin, and the message."""
    numbers = {OutcomeKind.TRY_ANOTHER_INTERFACE: 6, OutcomeKind.END_APPLICATION: 7}
    ui = read.outcome.ui_on_outcome
    return numbers[read.outcome.kind], f"{ui.message:02X}" if ui else ""


def indicators_of(selection: Selection) -> int:
    said = selection.prepared.indicators
    return (
        said.floor_limit_exceeded << 7
        | said.application_not_allowed << 6
        | said.cvm_limit_exceeded << 5
        | said.status_check_requested << 4
        | said.zero_amount << 3
    )
