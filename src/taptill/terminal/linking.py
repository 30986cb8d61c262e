"""Sign-on, echo, and whether the host is worth asking.

Comes in: how exchanges ended, timers. Goes out: sign-on and echo questions, a new batch, the host's time.
Strategy: every answer closes the breaker, proof of absence opens it, a paused echo probe is all that leaves while it
is open. A host that has seen a later STAN than ours means that our journal is a restored copy: a new batch is opened
before any sale, and what is still open in the old one is never undone by ourselves (DESIGN 5.4, 5.6).
"""

from __future__ import annotations

from dataclasses import replace

from taptill.clock import Timestamp, Trust
from taptill.credential.keystore import KeyStoreError
from taptill.host.breaker import Breaker
from taptill.host.compose import RequestFacts, compose
from taptill.host.exchange import ExchangeResult, HostReply, HostRequest, NotSent, Replied, Silent, Verdict
from taptill.journal import entries as e
from taptill.journal.port import Pending
from taptill.terminal.asking import resume_inquiries
from taptill.terminal.desk import KEYS_AHEAD, Desk
from taptill.terminal.effects import Append, Effect, FollowClock, SetTimer
from taptill.terminal.owing import KEY_REFUSED, forward, host_is_back

PROBE_TIMER = "probe"
CLOCK_STEP_MS_MAX = 10 * 365 * 86_400_000


def question(desk: Desk) -> list[Effect]:
    """A sign-on while there is none, else an echo; one at a time."""
    if desk.link_question or not desk.can_store:
        return []
    row = "echo" if desk.signed_on else "sign_on"
    try:
        counter = desk.take_key_counter()
    except KeyStoreError as error:
        return desk.storage_failed(error, PROBE_TIMER)
    desk.reserve_keys(KEYS_AHEAD)
    desk.link_question = row
    stan = desk.take_stan()
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
    if desk.journal_is_newest is None and not isinstance(result, NotSent):
        desk.link_stans.add(request.key.stan)
    if isinstance(result, Replied) and request.row == "sign_on" and result.reply.verdict is Verdict.APPROVED:
        return _signed_on(desk, request, result.reply)
    return []


def _signed_on(desk: Desk, request: HostRequest, reply: HostReply) -> list[Effect]:
    batch, reason = _batch_wanted(desk, request, reply)
    desk.signed_on = True
    desk.link_stans.clear()
    effects: list[Effect] = []
    if desk.journal_is_newest is None:
        desk.journal_is_newest = reply.stan_high is not None and not reason
    if reply.clock_unix_ms is not None and _is_believable(desk, reply.clock_unix_ms):
        effects.append(FollowClock(Timestamp(reply.clock_unix_ms, Trust.HOST)))
    if reason:
        desk.counters = replace(desk.counters, batch=batch, next_stan=1)
        entry = e.BatchOpened(**desk.stamp(), batch=batch, next_stan=1, reason=reason)
        effects.append(Append((Pending(entry),)))
    return [*effects, *resume_inquiries(desk), *host_is_back(desk)]


def _is_believable(desk: Desk, unix_ms: int) -> bool:
    """One wild time would stand in the journal as the floor of all later ones. It may be ours that is wild: where
    nobody vouches for that, the host's is judged by the last one that somebody did."""
    now = desk.clock.now()
    if abs(unix_ms - now.unix_ms) < CLOCK_STEP_MS_MAX:
        return True
    vouched_ms = desk.journal.vouched_time_ms() if now.trust < Trust.NTP else 0
    return vouched_ms > 0 and abs(unix_ms - vouched_ms) < CLOCK_STEP_MS_MAX


def _batch_wanted(desk: Desk, request: HostRequest, reply: HostReply) -> tuple[int, str]:
    """A batch in which the host has seen nothing that we do not know of."""
    ours = desk.counters.batch
    theirs = reply.batch if reply.batch is not None else ours
    seen = reply.stan_high
    if theirs > ours:
        unused = seen == 0
        return theirs if unused else theirs + 1, f"host is in batch {theirs}, ours was {ours}"
    if theirs == ours and seen is not None and not _is_ours(desk, request, seen):
        return ours + 1, f"host has seen STAN {seen}, ours was {request.key.stan}"
    return ours, ""


def _is_ours(desk: Desk, request: HostRequest, seen: int) -> bool:
    """The host leaves the present sign-on out. Before the first one of this start nothing else than earlier tries of it
    can have reached the host, however many were made while it was away; later, anything up to our last STAN can."""
    if desk.journal_is_newest is None:
        return seen < desk.first_stan or seen in desk.link_stans - {request.key.stan}
    return seen < desk.counters.next_stan


def note_result(desk: Desk, request: HostRequest, result: ExchangeResult) -> list[Effect]:
    """Every exchange teaches the breaker; a sign-on that was refused teaches it as well."""
    was_open = desk.breaker.open
    desk.breaker = _taught(desk, request, result)
    if desk.breaker.open:
        desk.signed_on = False
        return [SetTimer(PROBE_TIMER, desk.breaker.pause_ms)]
    if not desk.signed_on:
        return [SetTimer(PROBE_TIMER, 0)]
    idle = SetTimer(PROBE_TIMER, desk.config.host.echo_idle_ms)
    return [idle, *host_is_back(desk)] if was_open else [idle]


def send_now(desk: Desk) -> list[Effect]:
    """Every wait ends: an absent host is probed at once, what backs off may leave. What is parked stays parked."""
    for name in desk.debts:
        desk.debts.queue.forgive(name)
    desk.never_left.clear()
    if desk.breaker.open or not desk.signed_on:
        return [SetTimer(PROBE_TIMER, 0)]
    return forward(desk)


def _taught(desk: Desk, request: HostRequest, result: ExchangeResult) -> Breaker:
    jitter = desk.entropy.octets(1)[0]
    match result:
        case NotSent(reason):
            return desk.breaker.not_sent(reason, jitter)
        case Silent(reason):
            # A host that chokes on the questions about one payment is no lost host.
            about = request.payment_ref or f"{request.key.batch} {request.key.stan}"
            return desk.breaker.silent(f"{request.row} {about}", reason, jitter)
        case Replied(reply):
            return _taught_by_answer(desk, request, reply, jitter)


def _taught_by_answer(desk: Desk, request: HostRequest, reply: HostReply, jitter: int) -> Breaker:
    if reply.code == KEY_REFUSED:
        desk.skip_key_counters()
    if request.row == "sign_on" and reply.verdict is not Verdict.APPROVED:
        reason = f"sign-on refused: {reply.code}"
        busy = reply.verdict is Verdict.TRY_LATER
        return desk.breaker.not_sent(reason, jitter) if busy else desk.breaker.sign_on_refused(reason, jitter)
    if reply.verdict is Verdict.SIGN_ON_FIRST:
        desk.signed_on = False
    return desk.breaker.answered()
