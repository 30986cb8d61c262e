"""Which notice a receiver gets next.

Comes in: notices as they are queued, how tries of them ended, and the time. Goes out: the next one, or when to look
again. Strategy: one receiver, one queue, so that one that hangs holds up no other. Notices of one payment go in order,
one at a time; across payments the oldest goes first. A receiver that does not answer is left alone as a whole, one that
stumbles over a single notice still gets those of other payments. Back-off doubles up to a ceiling, with jitter.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush

from taptill.journal.forwarding import BackOff, back_off
from taptill.journal.notices import Notice


class NoticeQueue:
    """Queued notices only. A payment waits in one of two heaps, by the age of its first notice or by time; what is out
    of date in a heap is passed over when it comes to the top."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[Notice]] = {}
        self._ready: list[tuple[int, str]] = []  # seq of the first notice, payment
        self._waiting: list[tuple[int, str]] = []  # monotonic time, payment
        self._back_offs: dict[str, BackOff] = {}
        self._receiver: BackOff | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, notice: Notice) -> None:
        """Later than every other of its payment."""
        line = self._lines.setdefault(notice.payment_ref, deque())
        line.append(notice)
        self._count += 1
        if len(line) == 1:
            self._call(notice.payment_ref)

    def drop(self, notice: Notice) -> None:
        """It is not queued any more: the next one of its payment may go."""
        line = self._lines.get(notice.payment_ref, deque())
        if notice not in line:
            return
        line.remove(notice)
        self._count -= 1
        self._back_offs.pop(notice.payment_ref, None)
        if line:
            self._call(notice.payment_ref)
        else:
            del self._lines[notice.payment_ref]

    def next(self, now_us: int) -> Notice | None:
        """The one that may leave now. It stays queued until it is dropped or has failed."""
        if self._receiver is not None and self._receiver.not_before_us > now_us:
            return None
        while self._waiting and self._waiting[0][0] <= now_us:
            self._call(heappop(self._waiting)[1])
        while self._ready:
            seq, payment_ref = self._ready[0]
            if self._may_leave(seq, payment_ref, now_us):
                return self._lines[payment_ref][0]
            heappop(self._ready)
        return None

    def answered(self) -> None:
        """The receiver is there."""
        self._receiver = None

    def receiver_failed(self, now_us: int, jitter: bytes) -> None:
        """Nothing it can do for any notice."""
        self._receiver = back_off(self._receiver, now_us, jitter)

    def notice_failed(self, notice: Notice, now_us: int, jitter: bytes) -> None:
        """It answers, but cannot take this one now."""
        waiting = back_off(self._back_offs.get(notice.payment_ref), now_us, jitter)
        self._back_offs[notice.payment_ref] = waiting
        heappush(self._waiting, (waiting.not_before_us, notice.payment_ref))

    def look_again_us(self) -> int | None:
        """When the next may leave, None if nothing is queued."""
        if not self._count:
            return None
        first = self._receiver.not_before_us if self._receiver else 0
        return first if self._ready else max(first, self._waiting[0][0])

    def _call(self, payment_ref: str) -> None:
        if payment_ref in self._lines:
            heappush(self._ready, (self._lines[payment_ref][0].seq, payment_ref))

    def _may_leave(self, seq: int, payment_ref: str, now_us: int) -> bool:
        line, waiting = self._lines.get(payment_ref), self._back_offs.get(payment_ref)
        return line is not None and line[0].seq == seq and (waiting is None or waiting.not_before_us <= now_us)
