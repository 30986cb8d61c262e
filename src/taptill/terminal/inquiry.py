"""How long the host is asked about one UNKNOWN payment.

Comes in: the monotonic time and the waits of the configuration. Goes out: what is left, when to ask again.
Strategy: while its customer waits there is one deadline, and every question, pause and countdown ends at it. For a
payment of an earlier start nobody waits: questions go on, ever more rarely, until the host says something that counts,
or has told nothing in its answers for as long as a customer would have waited.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

QUESTION_MS_MIN = 1_000  # less time than this is no time to get an answer in
DOUBLINGS_MAX = 16


@dataclass(frozen=True, slots=True)
class Inquiry:
    """`deadline_us` is on the monotonic clock; `earlier` is True for a payment that a restart brought back, which has
    no deadline before its first answer that told nothing."""

    deadline_us: int = 0
    earlier: bool = False
    asked: int = 0

    def left_ms(self, now_us: int) -> int:
        """Rounded up; 0 from the deadline on."""
        return max(0, -((now_us - self.deadline_us) // 1_000))

    def seconds_left(self, now_us: int) -> int | None:
        """For the countdown, rounded up; None where nobody waits."""
        return None if self.earlier else -(-self.left_ms(now_us) // 1_000)

    def timeout_ms(self, now_us: int, most_ms: int) -> int:
        """Of a question that leaves now."""
        return most_ms if self.earlier else max(1, min(most_ms, self.left_ms(now_us)))

    def pause_ms(self, now_us: int, pause_ms: int, most_ms: int) -> int:
        """Until the next question, or the deadline."""
        if self.earlier:
            return min(most_ms, pause_ms << min(self.asked, DOUBLINGS_MAX))
        return min(pause_ms, self.left_ms(now_us))

    def asked_once_more(self) -> Inquiry:
        return replace(self, asked=self.asked + 1)

    def told_nothing(self, now_us: int, wait_ms: int) -> Inquiry:
        """The host answered, and it is as unknown as before."""
        return self if self.deadline_us else replace(self, deadline_us=now_us + wait_ms * 1_000)
