"""Webhooks: receivers are told of every change of a payment's state, signed, at least once.

Comes in: the journal, read beside its writer, and the loop's word that something happened. Goes out: HTTP requests,
and how they stand. Strategy: a thread per receiver with a reader of its own, so that nobody waits for anybody; whatever
goes wrong is logged, shown in the health and tried again with growing pauses; no sale ever notices (DESIGN 5.7, 5.18).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from taptill.clock import Clock, Timestamp, Trust
from taptill.entropy import Entropy
from taptill.errors import TapTillError
from taptill.journal.forwarding import JITTER_OCTETS
from taptill.journal.notice_queue import NoticeQueue
from taptill.journal.notice_store import NoticeRow, NoticeStore
from taptill.journal.notices import NOTICE_AGE_MS_MAX, Cursor, Notice, NoticeMaker, holds
from taptill.journal.port import JournalReader
from taptill.terminal.effects import Tell
from taptill.terminal.notice_desk import NoticesHealth, NoticeView
from taptill.ui.webhook_post import Posted, Poster, Verdict, read_secret, signature

log = logging.getLogger("taptill")

LOOK_S = 10.0  # besides being woken: the time passes, and so do notices
RETRY_MIN_S = 1.0
RETRY_MAX_S = 60.0
QUEUED_MAX = 10_000  # for one receiver; then the oldest expire
THREAD_ENDED = "its thread has ended; start the terminal again"

Hear = Callable[[Tell], None]


class OwnReader(JournalReader, Protocol):
    """A reader of the journal that nobody else uses."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Source:
    """What there is to tell, and to whom. `reached` is where telling begins for a receiver nobody knows."""

    terminal_id: str
    receivers: tuple[str, ...]  # URLs
    open_journal: Callable[[], OwnReader]
    reached: Cursor
    listening: Callable[[Hear], AbstractContextManager[None]]


class WebhookWorker:
    """One receiver. A worker of the loop's; `health` may be asked from any thread."""

    def __init__(
        self,
        url: str,
        secret_file: Path,
        source: Source,
        notices: NoticeStore,
        clock: Clock,
        entropy: Entropy,
        poster: Poster | None = None,
    ) -> None:
        self.url = url
        self.name = shown(url)
        self._secret_file = secret_file
        self._source = source
        self._reached = source.reached
        self._notices = notices
        self._clock = clock
        self._entropy = entropy
        self._poster = poster or Poster(url)
        self._queue = NoticeQueue()
        self._given_up: Mapping[str, int] = {}  # replaced whole: other threads read it meanwhile
        self._fault = ""
        self._well = False  # got to sending since it last began
        self._tidy_at_us = 0
        self._awake = threading.Event()
        self._stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, name=f"webhook {self.name}", daemon=True)

    def stop(self) -> None:
        self._stopped.set()
        self._awake.set()
        self._poster.cut()

    def health(self) -> NoticesHealth:
        ended = self.thread.ident is not None and not self.thread.is_alive() and not self._stopped.is_set()
        fault = THREAD_ENDED if ended else self._fault
        return NoticesHealth(
            queued=len(self._queue),
            expired=self._given_up.get("expired", 0),
            refused=self._given_up.get("refused", 0),
            last_error=f"{self.name}: {fault}" if fault else "",
        )

    def _run(self) -> None:
        with self._source.listening(lambda news: self._awake.set()):
            self._keep_telling()

    def _keep_telling(self) -> None:
        pause_s = RETRY_MIN_S
        while not self._stopped.is_set():
            self._well = False
            try:
                self._tell_all()
            except TapTillError as error:
                self._note(str(error))
            except Exception as error:
                log.exception("webhook %s: a fault of this program", self.name)
                self._note(f"a fault of this program: {error!r}")
            pause_s = RETRY_MIN_S if self._well else min(pause_s * 2, RETRY_MAX_S)
            self._stopped.wait(pause_s)

    def _note(self, fault: str) -> None:
        if fault != self._fault:
            log.warning("webhook %s: %s", self.name, fault)
        self._fault = fault

    def _tell_all(self) -> None:
        """Until it is stopped. Raises TapTillError."""
        secret = read_secret(self._secret_file)
        journal = self._source.open_journal()
        try:
            maker = NoticeMaker(journal, self._source.terminal_id, self._begin(journal))
            self._queue = NoticeQueue()
            for notice in self._notices.queued(self.url):
                self._queue.put(notice)
            self._fault = ""
            while not self._stopped.is_set():
                self._awake.clear()
                self._collect(maker)
                if self._clock.monotonic_us() >= self._tidy_at_us:
                    self._tidy()
                self._send_or_wait(secret)
                self._well = True
        finally:
            journal.close()

    def _begin(self, journal: JournalReader) -> Cursor:
        if left := self._notices.leave(self._source.receivers, self._clock.now().unix_ms):
            log.warning("webhook: %d notices were queued for receivers that are not configured any more", left)
        kept = self._notices.cursor(self.url)
        if kept is not None and not holds(journal, kept):
            self._notices.refuse("it speaks of another journal")
            kept = None
        if self._notices.set_aside:
            log.warning("webhook %s: %s", self.name, self._notices.set_aside)
        if kept is None:
            log.info("webhook %s: nothing before journal entry %d is told", self.name, self._reached.seq + 1)
            self._notices.queue(self.url, [], self._reached, [])
            return self._reached
        return kept

    def _collect(self, maker: NoticeMaker) -> None:
        more = True
        while more and not self._stopped.is_set():
            before = maker.cursor
            made, more = maker.next_piece()
            if maker.cursor != before:
                self._notices.queue(self.url, made, maker.cursor, [_expiry(notice) for notice in made])
                self._reached = maker.cursor
            for notice in made:
                self._queue.put(notice)

    def _tidy(self) -> None:
        now = self._clock.now()
        over = list[Notice]()
        if now.trust > Trust.GUESS:
            self._notices.forget_ended(now.unix_ms - NOTICE_AGE_MS_MAX)
            over += self._notices.expire(self.url, now.unix_ms, NOTICE_AGE_MS_MAX)
        if len(self._queue) > QUEUED_MAX:
            over += self._notices.expire_beyond(self.url, QUEUED_MAX, now.unix_ms)
        for notice in over:
            log.warning("webhook %s: notice %d expired", self.name, notice.seq)
            self._queue.drop(notice)
        self._tidy_at_us = self._clock.monotonic_us() + int(LOOK_S * 1_000_000)
        self._given_up = self._notices.count_ended(self.url, now.unix_ms - NOTICE_AGE_MS_MAX)

    def _send_or_wait(self, secret: bytes) -> None:
        now_us = self._clock.monotonic_us()
        notice = self._queue.next(now_us)
        if notice is None:
            again_us = self._queue.look_again_us()
            wait_s = LOOK_S if again_us is None else min(LOOK_S, max(0, again_us - now_us) / 1_000_000)
            self._awake.wait(wait_s)
            return
        posted = self._poster.post(notice.body, signature(secret, self._clock.now().unix_ms, notice.body))
        if not self._stopped.is_set():  # what was cut off is no answer
            self._settle(notice, posted)

    def _settle(self, notice: Notice, posted: Posted) -> None:
        now_us, jitter = self._clock.monotonic_us(), self._entropy.octets(JITTER_OCTETS)
        if posted.verdict is Verdict.ABSENT:
            self._queue.receiver_failed(now_us, jitter)
        else:
            self._queue.answered()
        if posted.verdict in {Verdict.TAKEN, Verdict.REFUSED}:
            state = "sent" if posted.verdict is Verdict.TAKEN else "refused"
            self._notices.ended(self.url, notice.seq, state, posted.result, self._clock.now().unix_ms)
            self._queue.drop(notice)
            self._tidy_at_us = 0 if state == "refused" else self._tidy_at_us
        else:
            self._notices.tried(self.url, notice.seq, posted.result)
            if posted.verdict is Verdict.NOT_NOW:
                self._queue.notice_failed(notice, now_us, jitter)
        self._note("" if posted.verdict is Verdict.TAKEN else posted.result)


class WebhookDesk:
    """All receivers, as the faces ask for them. A NoticeDesk."""

    def __init__(self, workers: Sequence[WebhookWorker], notices: NoticeStore, clock: Clock) -> None:
        self._workers = tuple(workers)
        self._notices = notices
        self._clock = clock

    def health(self) -> NoticesHealth:
        each = [worker.health() for worker in self._workers]
        return NoticesHealth(
            queued=sum(one["queued"] for one in each),
            expired=sum(one["expired"] for one in each),
            refused=sum(one["refused"] for one in each),
            last_error="; ".join(one["last_error"] for one in each if one["last_error"]),
        )

    def newest(self, count_max: int) -> list[NoticeView]:
        now = self._clock.now()
        return [_view(row, now) for row in self._notices.newest(count_max)]


def shown(url: str) -> str:
    """Without the query, which may hold a password."""
    return url.partition("?")[0]


def _expiry(notice: Notice) -> int | None:
    return notice.at_ms + NOTICE_AGE_MS_MAX if notice.trust > Trust.GUESS else None


def _view(row: NoticeRow, now: Timestamp) -> NoticeView:
    return NoticeView(
        id=str(row.notice.seq),
        receiver=shown(row.receiver),
        payment_ref=row.notice.payment_ref,
        payment_state=row.notice.state,
        state=row.state,
        attempts=row.attempts,
        last_result=row.last_result,
        at_ms=row.notice.at_ms,
        age_ms=max(0, now.unix_ms - row.notice.at_ms),
    )
