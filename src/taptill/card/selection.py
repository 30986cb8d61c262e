"""Which application of the card serves which combination of the reader (EMV Book B, 3.3.2 and 3.3.3).

Comes in: the PPSE's answer and the prepared combinations. Goes out: candidates, best first, and the SELECT commands.
Strategy: an entry that breaks a rule is skipped, never guessed at; an absent kernel identifier means the kernel of the
RID, because many cards leave it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from taptill.card.aid import RID_OCTETS
from taptill.card.apdu import CommandApdu
from taptill.card.dol import asks_for
from taptill.card.parameters import Combination
from taptill.card.preprocessing import Prepared
from taptill.card.tlv import Tlv, find, find_all

PPSE = b"2PAY.SYS.DDF01"
ADF_NAME_OCTETS = range(5, 17)
DF_NAME_MAX = 16
ANY_KERNEL = 0

# EMV Book B, Table 3-6: the kernel of a RID when the card names none.
DEFAULT_KERNELS = {
    bytes.fromhex("A000000003"): 3,
    bytes.fromhex("A000000004"): 2,
    bytes.fromhex("A000000025"): 4,
    bytes.fromhex("A000000065"): 5,
    bytes.fromhex("A000000152"): 6,
    bytes.fromhex("A000000324"): 6,
    bytes.fromhex("A000000333"): 7,
}
VISA_KERNEL = 3
VISA_LEGACY_KERNEL = 1
VISA_RID = bytes.fromhex("A000000003")
KERNEL_NAMES = {2: "Mastercard", 3: "Visa", 4: "American Express", 5: "JCB", 6: "Discover", 7: "UnionPay"}

KERNEL_IDENTIFIER_MAX = 8

_LOWEST_PRIORITY = 16
_PDOL, _TTQ = 0x9F38, 0x9F66


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """One 61 template of the PPSE."""

    adf_name: bytes
    label: str
    priority: int  # 1 is highest, 16 stands for none
    kernel_id: int  # ANY_KERNEL: the card does not mind
    extended_selection: bytes
    order: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """An entry of the card with a combination of the reader that serves it."""

    entry: DirectoryEntry
    prepared: Prepared

    def select_command(self) -> CommandApdu:
        """EMV Book B, 3.3.3.3 and 3.3.3.4."""
        name = self.entry.adf_name
        if self.prepared.combination.extended_selection and len(name + self.entry.extended_selection) <= DF_NAME_MAX:
            name += self.entry.extended_selection
        return select_command(name, "SELECT application")


def select_command(name: bytes, said: str) -> CommandApdu:
    """SELECT by DF name (EMV Book 1, 11.3)."""
    return CommandApdu(0x00, 0xA4, 0x04, 0x00, name, 0, said)


def directory_entries(fci: Iterable[Tlv]) -> tuple[DirectoryEntry, ...]:
    """The usable entries of the PPSE in the card's order (EMV Book B, 3.3.2.4 and 3.3.2.5)."""
    found = (_entry(template, order) for order, template in enumerate(find_all(fci, 0x61)))
    return tuple(entry for entry in found if entry is not None)


def candidates(entries: Sequence[DirectoryEntry], prepared: Iterable[Prepared]) -> tuple[Candidate, ...]:
    """Every match of an entry and an allowed combination, highest priority first, then in the card's order (EMV Book B,
    3.3.3.2). Where several combinations serve one entry, Book B lets the reader take any: the one configured first."""
    matches = [
        Candidate(entry, each)
        for each in prepared
        for entry in entries
        if not each.indicators.application_not_allowed and matches_entry(entry, each.combination)
    ]
    return tuple(sorted(matches, key=lambda each: (each.entry.priority, each.entry.order)))


def with_legacy_kernel(candidate: Candidate, fci: Mapping[int, bytes]) -> Candidate:
    """EMV Book B, 3.3.3.6: a Visa card that cannot be told the TTQ is one for Kernel 1."""
    combination = candidate.prepared.combination
    visa = candidate.entry.adf_name.startswith(VISA_RID) and combination.kernel_id == VISA_KERNEL
    if not visa or asks_for(fci.get(_PDOL, b""), _TTQ):
        return candidate
    legacy = replace(combination, kernel_id=VISA_LEGACY_KERNEL)
    return replace(candidate, prepared=replace(candidate.prepared, combination=legacy))


def matches_entry(entry: DirectoryEntry, combination: Combination) -> bool:
    """EMV Book B, 3.3.2.5, B and D: full or partial match of the name, and the kernel asked for."""
    same = entry.adf_name == combination.aid
    partial = combination.partial_match and entry.adf_name.startswith(combination.aid)
    return (same or partial) and entry.kernel_id in (ANY_KERNEL, combination.kernel_id)


def is_application_of(df_name: bytes, combination: Combination) -> bool:
    """Whether the application that answered is one the reader asked for: its name picks the CA keys, so it is not the
    card's to choose (EMV Book 1, 12.3.1 and 12.4)."""
    return df_name.startswith(combination.aid) and len(df_name) in ADF_NAME_OCTETS


def _entry(template: Tlv, order: int) -> DirectoryEntry | None:
    content = template.children
    name = find(content, 0x4F)
    if name is None or len(name) not in ADF_NAME_OCTETS:
        return None
    kernel_id = requested_kernel(find(content, 0x9F2A), name)
    if kernel_id is None:
        return None
    priority = (find(content, 0x87) or b"\x00")[0] & 0x0F
    label = (find(content, 0x50) or b"").decode("ascii", "replace").strip()
    return DirectoryEntry(name, label, priority or _LOWEST_PRIORITY, kernel_id, find(content, 0x9F29) or b"", order)


def requested_kernel(identifier: bytes | None, adf_name: bytes) -> int | None:
    """EMV Book B, 3.3.2.5: the kernel an entry asks for; ANY_KERNEL when it does not mind; None when the entry has to
    be skipped."""
    if not identifier:
        return DEFAULT_KERNELS.get(adf_name[:RID_OCTETS], ANY_KERNEL)
    if len(identifier) > KERNEL_IDENTIFIER_MAX:
        return None
    if identifier[0] & 0x80 == 0:
        return identifier[0]
    if len(identifier) < 3 or identifier[0] & 0x3F == 0:
        return None
    return int.from_bytes(identifier[:3], "big")
