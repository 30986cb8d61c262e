"""A block device that loses, when its power goes, every write that was not flushed.

Comes in: a folder for the rig, and where to mount. Goes out: an ext4 file system there, until the `with` ends; `cut`
takes its power, `power_on` brings it back with what was flushed.
Strategy: nbdkit keeps written blocks in its write-back cache until a flush; SIGKILL of it is the power cut. Above it
lie nbdfuse (the device as a file), a loop device and ext4, which replays its own journal at the next mount. Whatever
of this a machine lacks is said by `NoLosingDisk`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from taptill.errors import TapTillError

SIZE_MIB = 32
COMMAND_WAIT_S = 20.0
READY_WAIT_S = 10.0
LOOK_EVERY_S = 0.02
PROGRAMS = ("nbdkit", "nbdfuse", "fusermount3", "losetup", "mkfs.ext4", "mount", "umount")


class NoLosingDisk(TapTillError):
    """The rig cannot be set up on this machine: names what is missing."""

    code = 6106


class LosingDisk:
    """Use as a context manager; between `cut` and `power_on` nothing is mounted and every file on it has to be closed
    or its process dead."""

    def __init__(self, rig: Path, mount_point: Path) -> None:
        self.mount_point = mount_point
        self._rig = rig
        self._image = rig / "image"
        self._device = rig / "device"  # the folder nbdfuse shows the image in
        self._socket = rig / "nbd"
        self._loop = ""
        self._nbdkit: subprocess.Popen[bytes] | None = None
        self._nbdfuse: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        _refuse_missing()
        for folder in (self._rig, self._device, self.mount_point):
            folder.mkdir(parents=True, exist_ok=True)
        with open(self._image, "wb") as image:
            image.truncate(SIZE_MIB << 20)
        try:
            self._attach()
            _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", self._loop)
            self._mount()
        except BaseException:
            self.cut()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.cut()

    def cut(self) -> None:
        """The power goes. What of the rig is there is taken away, from the bottom up."""
        self.take_power()
        self.clear_away()

    def take_power(self) -> None:
        """Only that: whoever writes now meets a dead disk."""
        if self._nbdkit is not None:
            self._nbdkit.kill()
            self._nbdkit.wait(COMMAND_WAIT_S)
            self._nbdkit = None

    def clear_away(self) -> None:
        """After `take_power`, once nobody holds a file on it. Safe to call twice."""
        if os.path.ismount(self.mount_point):
            _run("umount", str(self.mount_point), otherwise=("umount", "--lazy", str(self.mount_point)))
        if self._loop:
            _run("losetup", "--detach", self._loop)
            self._loop = ""
        if self._nbdfuse is not None:
            _run("fusermount3", "-u", "-z", str(self._device))
            self._nbdfuse.wait(COMMAND_WAIT_S)
            self._nbdfuse = None
        self._socket.unlink(missing_ok=True)

    def power_on(self) -> None:
        """What was flushed is there again; ext4 replays its journal."""
        self._attach()
        self._mount()

    def _attach(self) -> None:
        command = ["nbdkit", "--foreground", "--exit-with-parent", "--unix", str(self._socket), "--filter=cache"]
        command += ["file", str(self._image), "cache=writeback"]
        log = open(self._rig / "log", "ab")  # noqa: SIM115
        with log:
            surroundings = os.environ | {"TMPDIR": str(self._rig)}
            self._nbdkit = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=surroundings)
            self._wait("nbdkit", self._nbdkit, self._socket.exists)
            shown = [str(self._device), f"nbd+unix:///?socket={self._socket}"]
            self._nbdfuse = subprocess.Popen(["nbdfuse", *shown], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        file = self._device / "nbd"
        self._wait("nbdfuse", self._nbdfuse, lambda: os.path.ismount(self._device) and file.exists())
        self._loop = _run("losetup", "--find", "--show", str(file))

    def _mount(self) -> None:
        _run("mount", "-t", "ext4", "-o", "noatime", self._loop, str(self.mount_point))

    def _wait(self, name: str, process: subprocess.Popen[bytes], is_there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_WAIT_S
        while not is_there():
            if process.poll() is not None or time.monotonic() > deadline:
                said = (self._rig / "log").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-2:]
                raise NoLosingDisk(f"{name}: {' / '.join(said) or 'not ready'}", where="hardship power")
            time.sleep(LOOK_EVERY_S)


def _refuse_missing() -> None:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        step = "apt-get install nbdkit libnbd-bin fuse3 e2fsprogs mount"
        raise NoLosingDisk(f"missing: {', '.join(missing)}", where="hardship power", next_step=step)
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not os.access(device, os.R_OK | os.W_OK):
            raise NoLosingDisk(f"{device} cannot be used", where="hardship power", next_step="run it as root")


def _run(*command: str, otherwise: tuple[str, ...] = ()) -> str:
    """What it printed. Raises NoLosingDisk with its complaint."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_WAIT_S, check=False)
    if done.returncode == 0:
        return done.stdout.strip()
    if otherwise:
        return _run(*otherwise)
    raise NoLosingDisk(f"{command[0]}: {' '.join(done.stderr.split())}", where="hardship power")
