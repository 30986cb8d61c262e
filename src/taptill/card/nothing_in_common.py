"""Why a card has nothing for this reader, with the name of what it has, so that a cashier can be told.

Comes in: the card's directory, the prepared combinations, the kernels there are. Goes out: a "select next" with a
reason. Strategy: the card's first application speaks for it.
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from taptill.card.aid import RID_OCTETS
from taptill.card.outcome import CardRead
from taptill.card.outcomes import select_next
from taptill.card.preprocessing import Prepared
from taptill.card.selection import ANY_KERNEL, DEFAULT_KERNELS, KERNEL_NAMES, DirectoryEntry, matches_entry

NO_KERNEL = "no-kernel"


def nothing_in_common(
    entries: Sequence[DirectoryEntry], prepared: Sequence[Prepared], kernels: Container[int]
) -> CardRead:
    """For a directory without a candidate."""
    if not entries:
        return CardRead(select_next("no-payment-application"))
    first = min(entries, key=lambda entry: (entry.priority, entry.order))
    if any(matches_entry(first, each.combination) for each in prepared):
        return CardRead(select_next("amount-not-allowed"), first.adf_name, label=first.label)
    kernel_id = first.kernel_id or DEFAULT_KERNELS.get(first.adf_name[:RID_OCTETS], ANY_KERNEL)
    if kernel_id != ANY_KERNEL and kernel_id not in kernels:
        return no_kernel(first, kernel_id)
    return CardRead(
        select_next("scheme-not-accepted"), first.adf_name, "none: nothing is configured for it", first.label
    )


def no_kernel(entry: DirectoryEntry, kernel_id: int) -> CardRead:
    """For an application whose kernel this program does not have. The reason names the scheme where it is known."""
    scheme = KERNEL_NAMES.get(kernel_id)
    reason = f"{NO_KERNEL}: {scheme}" if scheme else NO_KERNEL
    kernel = f"C-{kernel_id} ({scheme})" if scheme else f"kernel {kernel_id:X}"
    return CardRead(select_next(reason), entry.adf_name, f"none: {kernel} is not built in", entry.label)
