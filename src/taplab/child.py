"""A program of ours as a process of its own, as it runs in a shop.

Comes in: a command. Goes out: the JSON line it prints once it is ready; its log in a file. Strategy: the real program
on real sockets, so it can also be killed without a word.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

from taptill.errors import TapTillError

READY_WAIT_S = 30.0
STOP_WAIT_S = 10.0


class ChildFailed(TapTillError):
    """A program of the lab did not come up; its last words are in the text."""

    code = 6102


class Program(Protocol):
    """One of ours as a process: started, asked to end, or killed without a word."""

    def start(self) -> dict[str, str]:
        """What it said when it was ready. Raises ChildFailed."""

    def stop(self) -> None: ...

    def kill(self) -> None: ...


class Child:
    """Started by `start`, ended by `stop` (asked) or `kill` (power cut)."""

    def __init__(self, name: str, module: str, arguments: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        start = f"import sys; from {module} import main; sys.exit(main())"
        self._command = [sys.executable, "-c", start, *arguments]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> dict[str, str]:
        """What it said when it was ready. Raises ChildFailed."""
        with self.log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=log, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
            )
        lines: SimpleQueue[str] = SimpleQueue()
        threading.Thread(target=self._read, args=(self._process, lines), daemon=True).start()
        try:
            line = lines.get(timeout=READY_WAIT_S)
        except Empty:
            line = ""
        if not line:
            self.kill()
            raise ChildFailed(f"did not start: {self._last_words()}", where=self.name, next_step=f"read {self.log}")
        ready: dict[str, str] = json.loads(line)
        return ready

    @staticmethod
    def _read(process: subprocess.Popen[str], lines: SimpleQueue[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put("")

    def _last_words(self) -> str:
        return " / ".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-3:])

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Asks it to end, and kills it when it does not."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """SIGKILL: what a power cut leaves of a process."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
