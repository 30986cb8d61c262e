"""Sign-on, echo, and whether the host is worth asking.

Comes in: how exchanges ended, timers. Goes out: sign-on and echo questions, a new batch, the host's time.
Strategy: every answer closes the breaker, proof of absence opens it, a paused echo probe is all that leaves while it
is open. A host that has seen a later STAN than ours means that our journal is a restored copy: a new batch is opened
before any sale (DESIGN 5.4).
"""

from __future__ import annotations

from dataclasses import replace

from taptill.clock import Timestamp, Trust
from taptill.host.compose import RequestFacts, compose
from taptill.host.exchange import ExchangeResult, HostReply, HostRequest, NotSent, Replied, Silent, Verdict
from taptill.journal import entries as e
from taptill.journal.port import Pending
from taptill.terminal.desk import Desk
from taptill.terminal.effects import Append, Effect, FollowClock, SetTimer
from taptill.terminal.owing import host_is_back

PROBE_TIMER = "probe"


def question(desk: Desk) -> list[Effect]:
    """A sign-on while there is none, else an echo; one at a time."""
    if desk.link_question or desk.storage_fault:
        return []
    row = "echo" if desk.signed_on else "sign_on"
    desk.link_question = row
    stan, counter = desk.take_stan(), desk.take_key_counter()
    facts = RequestFacts(
        terminal_id=desk.config.identity.terminal_id,
        merchant_id=desk.config.identity.merchant_id,
        stan=stan,
        batch=desk.counters.batch,
        key_counter=counter,
        local_time=f"{desk.local_time():%Y%m%d%H%M%S}",
    )
    desk.outbox[row] = compose(desk.profile, row, facts, desk.keys)
    entry = e.LinkIntended(**desk.stamp(), row=row, stan=stan, batch=desk.counters.batch, key_counter=counter)
    return [Append((Pending(entry),))]


def question_ended(desk: Desk, request: HostRequest, result: ExchangeResult) -> list[Effect]:
    desk.link_question = ""
    if isinstance(result, Replied) and request.row == "sign_on":
        return _signed_on(desk, request, result.reply)
    return []


def _signed_on(desk: Desk, request: HostRequest, reply: HostReply) -> list[Effect]:
    if reply.verdict is not Verdict.APPROVED:
        return []
    desk.signed_on = True
    effects: list[Effect] = []
    if reply.clock_unix_ms is not None:
        effects.append(FollowClock(Timestamp(reply.clock_unix_ms, Trust.HOST)))
    batch, reason = _batch_wanted(desk, request, reply)
    if reason:
        desk.counters = replace(desk.counters, batch=batch, next_stan=1)
        entry = e.BatchOpened(**desk.stamp(), batch=batch, next_stan=1, reason=reason)
        effects.append(Append((Pending(entry),)))
    return [*effects, *host_is_back(desk)]


def _batch_wanted(desk: Desk, request: HostRequest, reply: HostReply) -> tuple[int, str]:
    ours = desk.counters.batch
    theirs = reply.batch if reply.batch is not None else ours
    if theirs > ours:
        return theirs, "host is in a later batch"
    # The host leaves this very sign-on out, so every STAN it has seen in this batch lies below.
    if theirs == ours and reply.stan_high is not None and reply.stan_high >= request.key.stan:
        return ours + 1, f"host has seen STAN {reply.stan_high}, ours was {request.key.stan}"
    return ours, ""


def note_result(desk: Desk, result: ExchangeResult) -> list[Effect]:
    """Every exchange teaches the breaker."""
    was_open = desk.breaker.open
    jitter = desk.entropy.octets(1)[0]
    match result:
        case Replied():
            desk.breaker = desk.breaker.answered()
        case NotSent(reason):
            desk.breaker = desk.breaker.not_sent(reason, jitter)
        case Silent(reason):
            desk.breaker = desk.breaker.silent(reason, jitter)
    if desk.breaker.open:
        desk.signed_on = False
        return [SetTimer(PROBE_TIMER, desk.breaker.pause_ms)]
    if not desk.signed_on:
        return [SetTimer(PROBE_TIMER, 0)]
    idle = SetTimer(PROBE_TIMER, desk.config.host.echo_idle_ms)
    return [idle, *host_is_back(desk)] if was_open else [idle]
