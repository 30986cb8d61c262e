"""The entry point on one card in the field: combination selection, the kernel, its outcome (EMV Book B, 3.3 to 3.5).

Comes in: the reader's configuration, how it was activated, what it kept. Goes out: one kernel outcome, or why there is
none, and what to keep. Strategy: one step is one kernel; `run_entry_point` repeats it for "select next" on one
presentation, transaction.py over as many presentations as it takes. What a card must not send ends its application.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from taptill.card.apdu import SW_OK, CommandApdu, MalformedApdu, ResponseApdu
from taptill.card.dialogue import Dialogue, Kernel, Selection
from taptill.card.dol import MalformedDol
from taptill.card.nothing_in_common import no_kernel, nothing_in_common
from taptill.card.outcome import CardRead, OutcomeKind, Start
from taptill.card.outcomes import end_application, no_application_left, select_next, try_again, try_another_interface
from taptill.card.parameters import Combination, TapRequest
from taptill.card.preprocessing import Prepared, copy_all, prepare_all
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.reader import CardLost
from taptill.card.selection import (
    PPSE,
    Candidate,
    DirectoryEntry,
    candidates,
    directory_entries,
    is_application_of,
    select_command,
    with_legacy_kernel,
)
from taptill.card.tlv import MalformedTlv, flatten, parse_tlv

CARD_ERRORS = (MalformedTlv, MalformedDol, MalformedApdu)
FCI_TEMPLATE = 0x6F
NOTHING_TRIED = CardRead(select_next("no-payment-application"))
AMOUNT_NOT_ALLOWED = CardRead(try_another_interface("amount-not-allowed", alternate=None))  # EMV Book B, 3.1.1.13


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the reader serves: combinations in its order of preference, kernels by number, CA keys."""

    combinations: Sequence[Combination]
    kernels: Mapping[int, Kernel]
    ca_keys: CaKeyStore


@dataclass(frozen=True, slots=True)
class Activation:
    """How the reader activates the entry point (EMV Book A, 8.1.1; EMV Book B, 2.2)."""

    request: TapRequest
    start: Start = Start.A
    restart: bool = False
    online_response: bytes = field(default=b"", repr=False)  # the issuer's data objects, as they came


@dataclass(frozen=True, slots=True)
class Retained:
    """What is kept from one step to the next: the pre-processing, the candidates with the one in use first, its
    selection, and why the last one was dropped."""

    prepared: tuple[Prepared, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    selection: Selection | None = None
    refusal: CardRead = NOTHING_TRIED


@dataclass(frozen=True, slots=True)
class Step:
    """One outcome, and what was kept."""

    read: CardRead
    retained: Retained


StepDialogue = Generator[CommandApdu, ResponseApdu, Step]


def run_entry_point(
    request: TapRequest, combinations: Sequence[Combination], kernels: Mapping[int, Kernel], ca_keys: CaKeyStore
) -> Dialogue:
    """One presentation of one card from Start A. Raises nothing for anything a card can do."""
    configuration, activation = Configuration(combinations, kernels, ca_keys), Activation(request)
    retained = preprocessed(configuration, activation, Retained())
    if nothing_allowed(retained):
        return AMOUNT_NOT_ALLOWED
    at = Start.B
    try:
        while True:
            step = yield from run_step(configuration, activation, retained, at)
            if step.read.outcome.kind is not OutcomeKind.SELECT_NEXT:
                return step.read
            retained, at = next_candidate(step), Start.C
    except CardLost:
        return CardRead(try_again("card-lost"))  # EMV Book B, 3.3.3.7; presenting it again is the caller's affair


def preprocessed(configuration: Configuration, activation: Activation, retained: Retained) -> Retained:
    """EMV Book B, 3.1 at Start A; 3.2.1.1 at Start B; a restart at a later point keeps what there is."""
    if activation.start is Start.A:
        return replace(retained, prepared=prepare_all(configuration.combinations, activation.request))
    if activation.start is Start.B and not activation.restart:
        return replace(retained, prepared=copy_all(configuration.combinations, activation.request))
    return retained


def nothing_allowed(retained: Retained) -> bool:
    """EMV Book B, 3.1.1.13."""
    return all(each.indicators.application_not_allowed for each in retained.prepared)


def next_candidate(step: Step) -> Retained:
    """EMV Book B, 3.5.1.4: the combination that was selected is removed."""
    return replace(step.retained, candidates=step.retained.candidates[1:], selection=None, refusal=step.read)


def run_step(configuration: Configuration, activation: Activation, retained: Retained, at: Start) -> StepDialogue:
    """From `at` (B: a card has just come) to the outcome of one kernel, or to none being left. Raises CardLost when the
    card leaves before its kernel runs; the caller returns to Start B (EMV Book B, 3.3.3.7)."""
    if at is Start.D and retained.selection is not None:
        return (yield from _run_kernel(configuration, activation, retained, retained.selection))
    if at is Start.B and not _continues(activation, retained):
        retained = yield from _candidate_list(configuration, retained)
    while retained.candidates:
        read_or_selection = yield from _final_selection(configuration, retained.candidates[0])
        if isinstance(read_or_selection, Selection):
            return (yield from _run_kernel(configuration, activation, retained, read_or_selection))
        if activation.online_response:  # EMV Book B, 3.3.3.5: it was for this application alone
            return Step(_ended(read_or_selection), retained)
        retained = next_candidate(Step(read_or_selection, retained))
    return Step(_ended(retained.refusal), retained)


def _continues(activation: Activation, retained: Retained) -> bool:
    """EMV Book B, 3.3.2.1: with issuer data the application that asked for them is selected again."""
    return activation.start is Start.B and bool(activation.online_response) and bool(retained.candidates)


def _ended(refusal: CardRead) -> CardRead:
    return replace(refusal, outcome=no_application_left(refusal.outcome.reason))


def _candidate_list(configuration: Configuration, retained: Retained) -> Generator[CommandApdu, ResponseApdu, Retained]:
    """EMV Book B, 3.3.2.2 to 3.3.2.5."""
    entries = _directory((yield select_command(PPSE, "SELECT PPSE")))
    return replace(
        retained,
        candidates=candidates(entries, retained.prepared),
        selection=None,
        refusal=nothing_in_common(entries, retained.prepared, configuration.kernels),
    )


def _directory(response: ResponseApdu) -> tuple[DirectoryEntry, ...]:
    """EMV Book B, 3.3.2.3: a PPSE that is refused or malformed holds nothing."""
    if response.sw != SW_OK:
        return ()
    try:
        return directory_entries(parse_tlv(response.data, "PPSE"))
    except MalformedTlv:
        return ()


def _final_selection(
    configuration: Configuration, candidate: Candidate
) -> Generator[CommandApdu, ResponseApdu, Selection | CardRead]:
    """EMV Book B, 3.3.3.3 to 3.3.3.6: the selection, or why the candidate is dropped."""
    entry, kernel = candidate.entry, configuration.kernels.get(candidate.prepared.combination.kernel_id)
    if kernel is None:
        return no_kernel(entry, candidate.prepared.combination.kernel_id)
    response = yield candidate.select_command()
    fci = _fci(response)
    if fci is None:
        reason = f"application-refused-{response.sw:04X}" if response.sw != SW_OK else "application-malformed"
        return CardRead(select_next(reason), entry.adf_name, kernel.name, entry.label)
    name = fci.get(0x84) or entry.adf_name
    if not is_application_of(name, candidate.prepared.combination):
        return CardRead(select_next("application-malformed"), entry.adf_name, kernel.name, entry.label)
    candidate = with_legacy_kernel(candidate, fci)
    if candidate.prepared.combination.kernel_id not in configuration.kernels:
        return no_kernel(entry, candidate.prepared.combination.kernel_id)
    label = fci.get(0x50, b"").decode("ascii", "replace").strip() or entry.label
    return Selection(name, candidate.prepared, fci, label, select_sw=response.sw, fci_octets=response.data)


def _fci(response: ResponseApdu) -> Mapping[int, bytes] | None:
    """EMV Book B, 3.3.3.5: an application that is refused has none; nor has one whose answer is none."""
    if response.sw != SW_OK:
        return None
    try:
        fci = parse_tlv(response.data, "FCI")
    except MalformedTlv:
        return None
    return flatten(fci) if len(fci) == 1 and fci[0].tag == FCI_TEMPLATE else None


def _run_kernel(
    configuration: Configuration, activation: Activation, retained: Retained, selection: Selection
) -> StepDialogue:
    """EMV Book B, 3.4."""
    selection = replace(
        selection,
        start=activation.start,
        restart=activation.restart,
        online_response=activation.online_response,
    )
    kernel = configuration.kernels[selection.prepared.combination.kernel_id]
    try:
        read = yield from kernel.run(selection, activation.request, configuration.ca_keys)
    except CARD_ERRORS:
        read = CardRead(end_application("card-data-malformed"), selection.aid, kernel.name, selection.label)
    except CardLost:
        read = CardRead(try_again("card-lost"), selection.aid, kernel.name, selection.label)
    return Step(read, replace(retained, selection=selection))
