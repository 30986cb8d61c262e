"""The second copy of the journal, written on a thread of its own.

Comes in: what the journal has stored. Goes out: the same entries in the copy, `fault` and `behind` for whoever looks.
Strategy: the writer only leaves entries in a bounded queue; whatever happens to the copy's medium, no sale waits.
Digests are compared after each append. After any trouble, and after a queue that ran over, the copy is brought level
anew, at growing intervals for as long as it takes.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from taptill.errors import TapTillError
from taptill.journal.adapters.copy_file import device_of, open_level, refuse_same_medium
from taptill.journal.adapters.sqlite import SqliteJournal
from taptill.journal.copying import KEEP, CopyRefused
from taptill.journal.port import JournalError, Pending, Record

log = logging.getLogger("taptill")

GROUPS_WAITING_MAX = 1_000
LOG_PAGES = 1_000
IDLE_S = 1.0  # then the copy's log is emptied, and with it the last trace of envelopes
RETRY_MIN_S = 1.0
RETRY_MAX_S = 60.0

_Group = tuple[Sequence[Pending], Sequence[Record]]


class JournalCopier:
    """A worker. `follow` is called by the journal's writer; `fault` and `behind` may be read from any thread."""

    def __init__(self, journal: Path, copy: Path, medium_of: Callable[[Path], int] = device_of) -> None:
        self.fault = ""
        self._journal = journal
        self._copy = copy
        self._medium_of = medium_of
        self._journal_seq = 0
        self._copy_seq = 0
        self._log_filled = False
        self._waiting: queue.Queue[_Group] = queue.Queue(GROUPS_WAITING_MAX)
        self._ran_over = threading.Event()
        self._stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, name="journal copy", daemon=True)

    @property
    def behind(self) -> int:
        """Entries that the journal has stored since this start and the copy is not known to hold."""
        return max(0, self._journal_seq - self._copy_seq)

    def follow(self, pending: Sequence[Pending], records: Sequence[Record]) -> None:
        """Never blocks."""
        if not records:
            return
        self._journal_seq = records[-1].seq
        try:
            self._waiting.put_nowait((pending, records))
        except queue.Full:
            self._ran_over.set()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        pause_s = RETRY_MIN_S
        while not self._stopped.is_set():
            try:
                self._keep_level()
            except Exception as error:
                self._tell(error)
            pause_s = RETRY_MIN_S if not self.fault else min(pause_s * 2, RETRY_MAX_S)
            self._stopped.wait(pause_s)

    def _tell(self, error: Exception) -> None:
        told = str(error) if isinstance(error, TapTillError) else f"a fault of this program: {error!r}"
        if told != self.fault:
            log.warning("journal copy: %s", told)
        self.fault = told

    def _keep_level(self) -> None:
        """Until it is stopped. Raises JournalError."""
        self._forget_waiting()
        copy = self._open()
        try:
            self._copy_seq = copy.verify_recent().last_seq
            self.fault = ""
            while self._follow_next(copy) or not self._stopped.is_set():
                if self._ran_over.is_set():
                    raise JournalError("it cannot keep up, a whole copy follows", where=str(self._copy))
        finally:
            copy.close()

    def _forget_waiting(self) -> None:
        """What waits was stored before this moment, and will be in the journal when the copy is compared with it."""
        self._ran_over.clear()
        while not self._waiting.empty():
            self._waiting.get_nowait()

    def _open(self) -> SqliteJournal:
        try:
            media = (self._medium_of(self._journal.parent), self._medium_of(self._copy.parent))
        except OSError as error:
            raise JournalError(str(error), where=str(self._copy), next_step="is the medium there?") from error
        refuse_same_medium(*media, self._copy)
        return open_level(self._journal, self._copy)

    def _follow_next(self, copy: SqliteJournal) -> bool:
        """False when for a while nothing came. Raises CopyRefused, JournalError."""
        try:
            pending, records = self._waiting.get(timeout=IDLE_S)
        except queue.Empty:
            if self._log_filled:
                copy.checkpoint()
            self._log_filled = False
            return False
        if records[-1].seq > self._copy_seq:  # else the whole copy has it
            self._append(copy, pending, records)
        return True

    def _append(self, copy: SqliteJournal, pending: Sequence[Pending], records: Sequence[Record]) -> None:
        self._log_filled = True
        written = copy.append(pending)
        for ours, theirs in zip(records, written, strict=True):
            if (ours.seq, ours.digest) != (theirs.seq, theirs.digest):
                where = f"{self._copy}: journal entry {theirs.seq}"
                raise CopyRefused("the same entry became other bytes", where=where, next_step=KEEP)
        self._copy_seq = records[-1].seq
        if copy.log_pages >= LOG_PAGES:
            copy.shorten_log()
