"""A pcscd of our own, beside any other, with nothing but the virtual reader.

Comes in: nothing. Goes out: a running daemon, the socket its clients use, and the TCP ports of its two slots.
Strategy: pcscd takes a socket that is handed over as systemd would do it, so its fixed path is not needed; its other
files go into a private /run where the machine lets us have one. libpcsclite reads PCSCLITE_CSOCK_NAME once in a
process: one path is claimed per process, before the first PC/SC call, and every daemon started here listens there.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from taplab.pcsc.firmware import Firmware, PlainReader
from taplab.pcsc.vpcd import VirtualSlot
from taptill.errors import TapTillError

CLIENT_VARIABLE = "PCSCLITE_CSOCK_NAME"
READER_NAME = "Virtual PCD"
READER_NAMES = (f"{READER_NAME} 00 00", f"{READER_NAME} 00 01")
ACR122_NAME = "ACS ACR122U PICC Interface"

START_WAIT_S = 10.0
STOP_WAIT_S = 3.0
PROBE_WAIT_S = 5.0
LOOK_EVERY_S = 0.02
START_ATTEMPTS = 4
WAITING_CLIENTS_MAX = 16
PORTS = range(36_000, 48_000, 2)  # even first ports, below Linux's own choice for outgoing connections where possible

_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin")
_DRIVER_PATTERNS = ("lib/pcsc/drivers/serial/libifdvpcd.so*", "lib/*/pcsc/drivers/serial/libifdvpcd.so*")
# The listening socket comes as standard input and becomes descriptor 3, where sd_listen_fds(3) looks for it; exec keeps
# the process id that LISTEN_PID names.
_HAND_OVER = 'exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"'
_PRIVATE_RUN = "mount -t tmpfs none /run"


class PcscUnavailable(TapTillError):
    """This machine cannot run a pcscd of its own; the text says what is missing."""

    code = 6101


@cache
def claim_client_socket() -> Path:
    """The socket this process's PC/SC library will use, from its first call on. The folder goes with the process."""
    folder = Path(tempfile.mkdtemp(prefix="pcscd-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / "pcscd.comm"
    os.environ[CLIENT_VARIABLE] = str(path)
    return path


class OwnPcscd:
    """One daemon and its two slots. May be stopped and started again, on the same socket and the same ports; a card in
    a slot stays there meanwhile. One at a time per process."""

    def __init__(self, name: str = READER_NAME, firmware: Callable[[], Firmware] = PlainReader) -> None:
        self.socket_path = claim_client_socket()
        atexit.register(self.stop)
        self.slots = (VirtualSlot(0, firmware()), VirtualSlot(0, firmware()))
        self._name = name
        self._folder = self.socket_path.parent
        self._log = self._folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once clients are served; does nothing when they are already. Raises PcscUnavailable."""
        if self._process is not None:
            return
        driver, command = _driver(), [*_isolation(), _program("pcscd"), *_options(self._folder / "readers")]
        for _ in range(START_ATTEMPTS):
            first_port = self.slots[0].port if _are_free(self.slots[0].port) else _free_ports()
            self._write_reader_file(driver, first_port)
            self._spawn(command)
            if self._is_ready():
                for offset, slot in enumerate(self.slots):
                    slot.port = first_port + offset
                return
            self.stop()
        raise PcscUnavailable(
            f"pcscd did not come up: {self._last_words()}", where="pcscd", next_step="run it by hand: pcscd -f -d"
        )

    def stop(self) -> None:
        """As if its reader had been unplugged. Does nothing when it is not running."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        self.socket_path.unlink(missing_ok=True)

    @property
    def process_id(self) -> int | None:
        """None while it is stopped."""
        return None if self._process is None else self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for slot in self.slots:
            slot.remove()
        self.stop()

    def _write_reader_file(self, driver: Path, first_port: int) -> None:
        """reader.conf(5): one file for the driver, which opens two slots on consecutive ports."""
        readers = self._folder / "readers"
        readers.mkdir(exist_ok=True)
        lines = (
            f'FRIENDLYNAME "{self._name}"',
            f"DEVICENAME /dev/null:0x{first_port:04X}",
            f"LIBPATH {driver}",
            f"CHANNELID 0x{first_port:04X}",
        )
        (readers / "vpcd").write_text("\n".join(lines) + "\n", encoding="ascii")

    def _spawn(self, command: Sequence[str]) -> None:
        self.socket_path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening, self._log.open("wb") as log:
            listening.bind(str(self.socket_path))
            listening.listen(WAITING_CLIENTS_MAX)
            self._process = subprocess.Popen(command, stdin=listening.fileno(), stdout=log, stderr=subprocess.STDOUT)

    def _is_ready(self) -> bool:
        """The daemon says so in its log, after it has said that both slots listen."""
        deadline = time.monotonic() + START_WAIT_S
        while time.monotonic() < deadline and self._process is not None and self._process.poll() is None:
            said = self._log.read_text(encoding="utf-8", errors="replace")
            if "daemon ready" in said:
                return said.count("Waiting for virtual ICC on port") == len(self.slots)
            time.sleep(LOOK_EVERY_S)
        return False

    def _last_words(self) -> str:
        return " / ".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:])


def _program(name: str) -> str:
    found = shutil.which(name, path=os.pathsep.join([*_SYSTEM_FOLDERS, os.environ.get("PATH", "")]))
    if found is None:
        raise PcscUnavailable(f"{name} is not installed", where="pcscd", next_step="apt install pcscd")
    return found


def _driver() -> Path:
    found = [path for pattern in _DRIVER_PATTERNS for path in sorted(Path("/usr").glob(pattern))]
    if not found:
        what = "the driver of the virtual reader is not installed"
        raise PcscUnavailable(what, where="vpcd", next_step="apt install vsmartcard-vpcd")
    return found[0]


def _options(readers: Path) -> list[str]:
    """Foreground, talking. Where pcscd asks polkit who may use cards, it is told not to: no session runs in a lab."""
    told = subprocess.run([_program("pcscd"), "--help"], capture_output=True, timeout=PROBE_WAIT_S, check=False)
    polkit = ["--disable-polkit"] if b"--disable-polkit" in told.stdout + told.stderr else []
    return ["--foreground", "--info", "--config", str(readers), *polkit]


@cache
def _isolation() -> tuple[str, ...]:
    """The command that gives pcscd its own /run and hands the socket over; without one, root may use the machine's.
    Raises PcscUnavailable."""
    is_root = os.geteuid() == 0
    unshare = shutil.which("unshare")
    if unshare is not None:
        enter = (unshare, "--mount", *(() if is_root else ("--map-root-user",)), "sh", "-c")
        probe = subprocess.run([*enter, _PRIVATE_RUN], capture_output=True, timeout=PROBE_WAIT_S, check=False)
        if probe.returncode == 0:
            return (*enter, f"{_PRIVATE_RUN} && {_HAND_OVER}", "sh")
    if is_root:
        return ("sh", "-c", _HAND_OVER, "sh")
    what = "pcscd writes to /run/pcscd, and this user may neither do that nor have a private /run"
    raise PcscUnavailable(what, where="pcscd", next_step="run as root, or allow unprivileged user namespaces")


def _free_ports() -> int:
    """The first of two consecutive free ports. Raises PcscUnavailable."""
    start = os.getpid() % len(PORTS)
    for step in range(len(PORTS)):
        first = PORTS[(start + step) % len(PORTS)]
        if _are_free(first):
            return first
    raise PcscUnavailable("no two consecutive TCP ports are free", where="vpcd")


def _are_free(first: int) -> bool:
    """The driver listens on all interfaces, so that is what has to be free."""
    if first == 0:
        return False
    try:
        for port in (first, first + 1):
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("", port))
    except OSError:
        return False
    return True
