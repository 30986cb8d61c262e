"""The directory of a recorded card: which of its applications the recorded terminal went for, and with which kernel.

Comes in: the exchanges of a recording. Goes out: the applications selected, in order, and a recording that a kernel can
run on from end to end.
Strategy: a reader's log often begins at SELECT of an application, or leaves a record out. A kernel runs behind the
entry point and reads every record, so what must have been there is made up, and the report says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from taptill.card.aid import RID_OCTETS
from taptill.card.apdu import SW_OK, MalformedApdu, split_command
from taptill.card.records import parse_afl
from taptill.card.refused import Refused
from taptill.card.replay.observation import Observed
from taptill.card.replay.recording import SELECT, Exchange, Recording, joined
from taptill.card.selection import (
    ADF_NAME_OCTETS,
    ANY_KERNEL,
    DEFAULT_KERNELS,
    PPSE,
    DirectoryEntry,
    directory_entries,
    select_command,
)
from taptill.card.tlv import MalformedTlv, encode_tlv, parse_tlv

_DIRECTORY_NAMES_START = (b"1PAY", b"2PAY")
_SW_OK = SW_OK.to_bytes(2, "big")
_EMPTY_RECORD = encode_tlv(0x70, b"") + _SW_OK
PRIORITY_MAX = 15


@dataclass(frozen=True, slots=True)
class RecordedApplication:
    """An application the recorded terminal selected: its ADF name as the directory has it, the kernel it asks for, and
    whether the terminal added the extended selection."""

    adf_name: bytes
    kernel_id: int
    extended: bool = False


def recorded_applications(exchanges: Iterable[Exchange]) -> tuple[RecordedApplication, ...]:
    """In the order of their first SELECT, refused ones too. Raises nothing."""
    spoken = joined(exchanges)
    entries = _entries(spoken)
    names = dict.fromkeys(name for each in spoken if (name := _selected(each.command)))
    applications = (_application(name, entries) for name in names if not name.startswith(_DIRECTORY_NAMES_START))
    return tuple(dict.fromkeys(applications))


def kernel_of(aid: bytes, applications: Iterable[RecordedApplication]) -> int:
    """The kernel of the application with this DF name; ANY_KERNEL when none is known."""
    asked = (each.kernel_id for each in applications if aid.startswith(each.adf_name))
    return next((kernel for kernel in asked if kernel != ANY_KERNEL), _default_kernel(aid))


def with_directory(recording: Recording, applications: Sequence[RecordedApplication]) -> Recording:
    """The recording itself, or, where SELECT PPSE was not recorded, one that begins with a directory of what was."""
    asked = select_command(PPSE, "").encode()
    named = [each for each in applications if len(each.adf_name) in ADF_NAME_OCTETS][:PRIORITY_MAX]
    if not named or any(_selected(each.command) == PPSE for each in recording.exchanges):
        return recording
    entries = b"".join(_entry(each, priority) for priority, each in enumerate(named, 1))
    fci = encode_tlv(0x84, PPSE) + encode_tlv(0xA5, encode_tlv(0xBF0C, entries))
    made_up = Exchange(asked, encode_tlv(0x6F, fci) + _SW_OK)
    return replace(recording, exchanges=(*recording.exchanges, made_up), made_up=recording.made_up + 1)


def with_all_records(recording: Recording, observed: Observed) -> Recording:
    """A recorded terminal that went on to its cryptogram had read every record. One that the recording lacks is empty,
    unless offline data authentication counts it."""
    places = parse_afl(observed.data.get(0x94, b""))
    if isinstance(places, Refused) or not observed.cryptograms:
        return recording
    spoken = {each.command[:4] for each in recording.exchanges}
    lacking = [each.command().encode() for each in places if not each.authenticated]
    made_up = [Exchange(command, _EMPTY_RECORD) for command in lacking if command[:4] not in spoken]
    return replace(recording, exchanges=(*recording.exchanges, *made_up), made_up=recording.made_up + len(made_up))


def _entry(application: RecordedApplication, priority: int) -> bytes:
    return encode_tlv(0x61, encode_tlv(0x4F, application.adf_name) + encode_tlv(0x87, bytes([priority])))


def _entries(exchanges: Iterable[Exchange]) -> tuple[DirectoryEntry, ...]:
    for each in exchanges:
        if _selected(each.command) == PPSE and each.response[-2:] == _SW_OK:
            try:
                return directory_entries(parse_tlv(each.response[:-2], "PPSE"))
            except MalformedTlv:
                continue
    return ()


def _application(name: bytes, entries: Iterable[DirectoryEntry]) -> RecordedApplication:
    for entry in entries:
        if name in (entry.adf_name, entry.adf_name + entry.extended_selection):
            kernel_id = entry.kernel_id or _default_kernel(entry.adf_name)
            return RecordedApplication(entry.adf_name, kernel_id, name != entry.adf_name)
    return RecordedApplication(name, _default_kernel(name))


def _default_kernel(aid: bytes) -> int:
    return DEFAULT_KERNELS.get(aid[:RID_OCTETS], ANY_KERNEL)


def _selected(command: bytes) -> bytes:
    """The name of a SELECT by name, else nothing."""
    try:
        taken = split_command(command)
    except MalformedApdu:
        return b""
    return taken.data if taken.ins == SELECT and taken.p1 == 0x04 else b""
