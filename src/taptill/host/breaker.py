"""Is the host worth asking? A circuit breaker as a value.

Comes in: how exchanges ended, and the time. Goes out: open or closed, and when to probe next.
Strategy: one `NotSent` is proof that the host cannot be reached; silence needs two different questions in a row,
because a lost reply is not a lost host, and one message it chokes on is not one either. A host that refuses the
sign-on is there and of no use. While open, only a sign-on may go out, after a jittered, growing pause with a ceiling.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SILENCES_TO_OPEN = 2


@dataclass(frozen=True, slots=True)
class Breaker:
    """`pause_ms` is the wait before the next probe; 0 while closed."""

    pause_min_ms: int
    pause_max_ms: int
    open: bool = False
    silences: int = 0
    silent_about: str = ""
    pause_ms: int = 0
    reason: str = ""
    refused: bool = False

    def answered(self) -> Breaker:
        """Any authenticated answer closes it."""
        return Breaker(self.pause_min_ms, self.pause_max_ms)

    def not_sent(self, reason: str, jitter: int) -> Breaker:
        """No byte could leave. `jitter` 0..255 spreads the pause over its upper half."""
        return self._opened(reason, jitter)

    def silent(self, about: str, reason: str, jitter: int) -> Breaker:
        """A question was lost; `about` names it, and the same one again proves nothing new."""
        silences = self.silences + (about != self.silent_about)
        if silences < SILENCES_TO_OPEN and not self.open:
            return Breaker(self.pause_min_ms, self.pause_max_ms, silences=silences, silent_about=about)
        return self._opened(reason, jitter)

    def sign_on_refused(self, reason: str, jitter: int) -> Breaker:
        """The host answered and does not want this terminal now."""
        return replace(self._opened(reason, jitter), refused=True)

    def _opened(self, reason: str, jitter: int) -> Breaker:
        ceiling = min(self.pause_max_ms, max(self.pause_min_ms, self.pause_ms * 2))
        pause = ceiling - ceiling * (jitter & 0xFF) // 512
        return Breaker(self.pause_min_ms, self.pause_max_ms, open=True, pause_ms=max(pause, 1), reason=reason)
