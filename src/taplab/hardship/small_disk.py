"""A file system of a few MiB that another program can fill.

Comes in: an empty folder. Goes out: the same folder on a tmpfs of its own, until the `with` ends.
Strategy: the kernel itself says that nothing more fits; where nobody may mount, `MountForbidden` says so.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from taptill.errors import TapTillError

SIZE_MIB = 4
PAGE_OCTETS = 4096
MOUNT_WAIT_S = 10.0


class MountForbidden(TapTillError):
    """This machine does not let this user mount what the hardship needs."""

    code = 6105


class SmallDisk:
    """Use as a context manager; `fill` and `free` are the other program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._hog = folder / "log of another program"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=700", "taptill-small-disk", str(self.folder)]
        done = subprocess.run(mount, capture_output=True, text=True, timeout=MOUNT_WAIT_S, check=False)
        if done.returncode != 0:
            said = " ".join(done.stderr.split()) or "mount failed"
            raise MountForbidden(
                f"no small file system may be mounted here: {said}", where="hardship full", next_step="run it as root"
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        subprocess.run(["umount", "--lazy", str(self.folder)], timeout=MOUNT_WAIT_S, check=True)

    def fill(self) -> None:
        """Another program takes all that is left."""
        with open(self._hog, "ab", buffering=0) as file, suppress(OSError):
            while file.write(bytes(PAGE_OCTETS)):
                pass

    def free(self) -> None:
        """And gives it back."""
        self._hog.unlink(missing_ok=True)

    @property
    def free_octets(self) -> int:
        left = os.statvfs(self.folder)
        return left.f_bavail * left.f_frsize
