"""A program of ours that is started again and again: forked from a nursery that has imported it.

Comes in: the same as for `taplab.child.Child`. Goes out: a process that is ready in a fraction of a cold start.
Strategy: the first start makes the nursery, `stop` ends it too. Any thread may kill while another waits for the start.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from taplab.child import READY_WAIT_S, STOP_WAIT_S, ChildFailed
from taplab.hardship.nursery import ORDER

PID_WAIT_S = 0.05


class ForkedProgram:
    """Started by `start`, ended by `stop` (asked) or `kill` (power cut)."""

    def __init__(self, name: str, module: str, arguments: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._command = [sys.executable, "-m", "taplab.hardship.nursery", module, str(log), *arguments]
        self._nursery: subprocess.Popen[bytes] | None = None
        self._said: SimpleQueue[dict[str, str]] = SimpleQueue()
        self._pid = 0
        self._ended = threading.Event()
        self._ended.set()

    def start(self) -> dict[str, str]:
        """What it said when it was ready. Raises ChildFailed, also when it is killed meanwhile."""
        self.kill()
        nursery = self._nursery or self._make_nursery()
        assert nursery.stdin is not None
        self._said = SimpleQueue()
        self._ended.clear()
        nursery.stdin.write(ORDER)
        self._pid = int(self._hear()["pid"])
        ready = self._hear()
        if "ended" in ready:
            raise ChildFailed("ended before it was ready", where=self.name, next_step=f"read {self.log}")
        return ready

    def stop(self) -> None:
        """Asks it to end, and kills it when it does not; then the nursery ends as well."""
        self._signal(signal.SIGTERM)
        if not self._ended.wait(STOP_WAIT_S):
            self.kill()
        if self._nursery is not None and self._nursery.stdin is not None:
            self._nursery.stdin.close()
            self._nursery.wait(STOP_WAIT_S)
            self._nursery = None

    def kill(self) -> None:
        """SIGKILL; nothing of the program runs any more when this returns."""
        deadline = time.monotonic() + STOP_WAIT_S
        self._signal(signal.SIGKILL)
        while not self._ended.wait(PID_WAIT_S):  # it may be about to be forked by another thread's start
            self._signal(signal.SIGKILL)
            if time.monotonic() < deadline:
                continue
            raise ChildFailed("does not die", where=self.name, next_step="look whether its disk hangs")

    def _signal(self, number: int) -> None:
        if not self._ended.is_set() and self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, number)

    def _make_nursery(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            self._nursery = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0
            )
        threading.Thread(target=self._listen, args=(self._nursery,), daemon=True).start()
        return self._nursery

    def _listen(self, nursery: subprocess.Popen[bytes]) -> None:
        assert nursery.stdout is not None
        for line in nursery.stdout:
            try:
                said: dict[str, str] = json.loads(line)
            except ValueError:
                continue  # the end of a line that was cut off
            if "ended" in said:
                self._pid = 0
                self._ended.set()
            self._said.put(said)
        self._ended.set()

    def _hear(self) -> dict[str, str]:
        try:
            return self._said.get(timeout=READY_WAIT_S)
        except Empty:
            self.kill()
            raise ChildFailed("did not start", where=self.name, next_step=f"read {self.log}") from None
