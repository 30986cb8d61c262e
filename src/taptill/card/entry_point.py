"""The entry point: from a card in the field to a kernel and its outcome (EMV Book B).

Comes in: the sale, the reader's combinations, the kernels there are, the CA keys. Goes out: the tap's `CardRead`.
Strategy: EMV Book B, 3.1 to 3.5, as one dialogue. What a card must not send ends its application with a reason, and
"select next" goes on with the next candidate; presenting the card again is the caller's affair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from taptill.card.apdu import SW_OK, MalformedApdu, ResponseApdu
from taptill.card.ca_keys import CaKeyStore
from taptill.card.dialogue import Dialogue, Kernel, Selection
from taptill.card.dol import MalformedDol
from taptill.card.outcome import CardRead, OutcomeKind
from taptill.card.outcomes import end_application, select_next, try_again, try_another_interface
from taptill.card.parameters import Combination, TapRequest
from taptill.card.preprocessing import Prepared, prepare
from taptill.card.reader import CardLost
from taptill.card.selection import (
    KERNEL_NAMES,
    PPSE,
    Candidate,
    DirectoryEntry,
    candidates,
    directory_entries,
    select_command,
)
from taptill.card.tlv import MalformedTlv, flatten, parse_tlv

CARD_ERRORS = (MalformedTlv, MalformedDol, MalformedApdu)
FCI_TEMPLATE = 0x6F


def run_entry_point(
    request: TapRequest, combinations: Sequence[Combination], kernels: Mapping[int, Kernel], ca_keys: CaKeyStore
) -> Dialogue:
    """One presentation of one card. Raises nothing for anything a card can do."""
    try:
        return (yield from _present(request, combinations, kernels, ca_keys))
    except CardLost:
        return CardRead(try_again("card-lost"))  # EMV Book B, 3.3.3.7 and 3.5.1.2


def _present(
    request: TapRequest, combinations: Sequence[Combination], kernels: Mapping[int, Kernel], ca_keys: CaKeyStore
) -> Dialogue:
    prepared = [prepare(combination, request) for combination in combinations]
    if all(each.indicators.application_not_allowed for each in prepared):
        return CardRead(try_another_interface("amount-not-allowed"))  # EMV Book B, 3.1.1.13
    response = yield select_command(PPSE, "SELECT PPSE")
    entries = _directory(response)
    found = candidates(entries, prepared)
    refusal = _nothing_in_common(entries, prepared)
    for candidate in found:
        kernel = kernels.get(candidate.prepared.combination.kernel_id)
        if kernel is None:
            refusal = _no_kernel(candidate)
            continue
        read = yield from _try(candidate, kernel, request, ca_keys)
        if read.outcome.kind is not OutcomeKind.SELECT_NEXT:
            return read
        refusal = read
    return replace(refusal, outcome=end_application(refusal.outcome.reason))  # EMV Book B, 3.3.2.7


def _try(candidate: Candidate, kernel: Kernel, request: TapRequest, ca_keys: CaKeyStore) -> Dialogue:
    """Final selection of one candidate and its kernel (EMV Book B, 3.3.3 and 3.4)."""
    name, label = candidate.entry.adf_name, candidate.entry.label
    response = yield candidate.select_command()
    selection = _selection(response, candidate)
    if selection is None:
        reason = f"application-refused-{response.sw:04X}" if response.sw != SW_OK else "application-malformed"
        return CardRead(select_next(reason), name, kernel.name, label)
    try:
        return (yield from kernel.run(selection, request, ca_keys))
    except CARD_ERRORS:
        return CardRead(end_application("card-data-malformed"), selection.aid, kernel.name, selection.label)


def _directory(response: ResponseApdu) -> tuple[DirectoryEntry, ...]:
    """EMV Book B, 3.3.2.3: a PPSE that is refused or malformed holds nothing."""
    if response.sw != SW_OK:
        return ()
    try:
        return directory_entries(parse_tlv(response.data, "PPSE"))
    except MalformedTlv:
        return ()


def _selection(response: ResponseApdu, candidate: Candidate) -> Selection | None:
    """EMV Book B, 3.3.3.5: an application that is refused or whose FCI is none is dropped."""
    if response.sw != SW_OK:
        return None
    try:
        fci = parse_tlv(response.data, "FCI")
    except MalformedTlv:
        return None
    if len(fci) != 1 or fci[0].tag != FCI_TEMPLATE:
        return None
    data = flatten(fci)
    label = data.get(0x50, b"").decode("ascii", "replace").strip() or candidate.entry.label
    return Selection(data.get(0x84) or candidate.entry.adf_name, candidate.prepared, data, label)


def _nothing_in_common(entries: Sequence[DirectoryEntry], prepared: Sequence[Prepared]) -> CardRead:
    """Why no candidate was found, with the card's first application so that a cashier can be told its name."""
    if not entries:
        return CardRead(select_next("no-payment-application"))
    first = entries[0]
    allowed = [each for each in prepared if not each.indicators.application_not_allowed]
    reason = "scheme-not-accepted" if len(allowed) == len(prepared) else "amount-not-allowed"
    return CardRead(select_next(reason), first.adf_name, _absent(first.kernel_id), first.label)


def _no_kernel(candidate: Candidate) -> CardRead:
    entry = candidate.entry
    return CardRead(
        select_next("no-kernel"), entry.adf_name, _absent(candidate.prepared.combination.kernel_id), entry.label
    )


def _absent(kernel_id: int) -> str:
    scheme = KERNEL_NAMES.get(kernel_id)
    return f"none: {f'C-{kernel_id} ({scheme})' if scheme else f'kernel {kernel_id:X}'} is not built in"
