"""The host's time, kept beside the journal for a program that is started again while the machine runs on.

Comes in: a moment the clock trusts. Goes out: the same moment, if the machine was not booted since.
Strategy: the monotonic count means the same within one boot only, which the kernel names. The file is replaced whole
and not synced: after a power cut it belongs to another boot and is of no use anyway. One that says nothing sensible is
no moment.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated

import msgspec

from taptill.clock import Moment, Timestamp, Trust
from taptill.machine_time import boot_id

FILE_OCTETS_MAX = 1_000
_LATEST_UNIX_MS = 4_102_444_800_000  # 2100-01-01: what lies beyond was never a host's time

_Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]


class _Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    boot_id: str
    monotonic_us: _Count
    unix_ms: Annotated[int, msgspec.Meta(ge=0, lt=_LATEST_UNIX_MS)]
    trust: Trust


class MomentFile:
    """A MomentKeeper. `boot` names the boot the moments are of; without a name nothing is kept."""

    def __init__(self, path: Path, boot: str | None = None) -> None:
        self._path = path
        self._boot = boot_id() if boot is None else boot

    def recall(self) -> Moment | None:
        try:
            with self._path.open("rb") as file:
                kept = msgspec.json.decode(file.read(FILE_OCTETS_MAX), type=_Kept)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None
        if not self._boot or kept.boot_id != self._boot:
            return None
        return Moment(Timestamp(kept.unix_ms, kept.trust), kept.monotonic_us)

    def keep(self, moment: Moment) -> None:
        if not self._boot:
            return
        kept = _Kept(self._boot, moment.monotonic_us, moment.at.unix_ms, moment.at.trust)
        fresh = self._path.with_name(self._path.name + ".new")
        with contextlib.suppress(OSError):
            fresh.write_bytes(msgspec.json.encode(kept))
            os.replace(fresh, self._path)
