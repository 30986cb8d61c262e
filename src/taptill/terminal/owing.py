"""Debts: what is owed to the host is repeated byte for byte until an authenticated final answer closes it.

Comes in: the desk, and how a delivery ended. Goes out: questions that may leave, and entries that close, try or park.
Strategy: order within a payment, none across; a network failure never counts against a debt; a semantic refusal parks
it for an operator and blocks nobody else's (DESIGN 5.7, 5.8). Debts wait while the breaker is open.
"""

from __future__ import annotations

import hashlib

from taptill.host.exchange import ExchangeResult, HostReply, HostRequest, MatchKey, NotSent, Replied, Verdict
from taptill.journal import entries as e
from taptill.journal.forwarding import JITTER_OCTETS
from taptill.journal.port import DebtRow, Pending
from taptill.terminal.desk import Desk
from taptill.terminal.effects import Append, Ask, Effect, SetTimer

FORWARD_TIMER = "forward"
DEBTS_IN_FLIGHT_MAX = 32  # a new sale waits for no more debts than these, whatever window the host grants
ANSWERS_UNSYNCED_MAX = 64  # as many as the journal's writer puts into one sync

# To a new message: sign on and ask again. A debt keeps its bytes and its key: refused twice it is refused for good, as
# where a restored journal sold with a key of its lost future.
KEY_REFUSED = "A0"

_RETRIES = {Verdict.TRY_LATER, Verdict.IN_DOUBT, Verdict.SIGN_ON_FIRST}


def forward(desk: Desk) -> list[Effect]:
    """Every debt that may leave now, the oldest first, up to the profile's window. None leaves while a customer waits
    for the host: a sale is held up by those in flight only."""
    if desk.breaker.open or not desk.signed_on or not desk.can_store or desk.sale_is_under_way():
        return []
    queue, now_us = desk.debts.queue, desk.clock.monotonic_us()
    room = min(desk.profile.window, DEBTS_IN_FLIGHT_MAX) - len(queue.in_flight)
    room = min(room, ANSWERS_UNSYNCED_MAX - len(queue.answered))
    timeout_ms = desk.config.host.reply_timeout_ms
    effects: list[Effect] = [Ask(request_of(desk, debt), timeout_ms) for debt in queue.take(room, now_us)]
    look_again_us = queue.look_again_us()
    if look_again_us is not None:
        effects.append(SetTimer(FORWARD_TIMER, max(0, look_again_us - now_us) // 1000 + 1))
    return effects


def request_of(desk: Desk, debt: DebtRow) -> HostRequest:
    """The stored bytes as a question again, to be sent as they are."""
    assert debt.wire is not None, "an open debt keeps its bytes"
    reply_mti = desk.profile.row(debt.row).reply_mti
    key = MatchKey(desk.config.identity.terminal_id, debt.batch, debt.stan, reply_mti)
    return HostRequest(debt.row, key, debt.key_counter, debt.amount_minor, debt.payment_ref, debt.wire)


def delivery_ended(desk: Desk, request: HostRequest, result: ExchangeResult) -> list[Effect]:
    debt = desk.debts.of_wire(request.wire)
    if debt is None:
        return []
    if isinstance(result, Replied):
        return _answered(desk, debt, result)
    _back_off(desk, debt)
    if isinstance(result, NotSent):
        desk.never_left.add(debt.debt)
        return forward(desk)
    return [_tried(desk, debt, result.reason), *forward(desk)]


def _answered(desk: Desk, debt: DebtRow, replied: Replied) -> list[Effect]:
    reply = replied.reply
    result = f"host: {reply.code}"
    if reply.verdict in _RETRIES and not (reply.code == KEY_REFUSED and debt.last_result == result):
        _back_off(desk, debt)
        return [_tried(desk, debt, result), *forward(desk)]
    desk.debts.queue.answer(debt.debt)
    digest = hashlib.sha256(replied.evidence).hexdigest()
    about = {"payment_ref": debt.payment_ref, "state": "", "debt": debt.debt, "code": reply.code}
    entry: e.DebtClosed | e.DebtParked
    taken = reply.code in desk.profile.row(debt.row).closing_codes
    if taken or _is_declined_for_good(desk, debt, reply):
        entry = e.DebtClosed(**desk.stamp(), **about, taken=taken, rrn=reply.rrn, evidence_digest=digest)
    else:
        entry = e.DebtParked(**desk.stamp(), **about, evidence_digest=digest)
    return [Append((Pending(desk.with_state(entry)),)), *forward(desk)]


def _is_declined_for_good(desk: Desk, debt: DebtRow, reply: HostReply) -> bool:
    """The issuer judged a deferred sale, at the risk that the merchant took; any other refusal is the operator's."""
    judged = reply.verdict is Verdict.DECLINED and reply.code not in desk.profile.row(debt.row).parking_codes
    return debt.row == "deferred_advice" and judged


def _back_off(desk: Desk, debt: DebtRow) -> None:
    desk.never_left.discard(debt.debt)
    desk.debts.queue.fail(debt.debt, desk.clock.monotonic_us(), desk.entropy.octets(JITTER_OCTETS))


def _tried(desk: Desk, debt: DebtRow, result: str) -> Effect:
    entry = e.DebtTried(**desk.stamp(), payment_ref=debt.payment_ref, state="", debt=debt.debt, result=result)
    return Append((Pending(desk.with_state(entry)),))


def host_is_back(desk: Desk) -> list[Effect]:
    """Waits that were for an absent host are over; a debt that a present host did not answer keeps its own."""
    for name in desk.never_left:
        desk.debts.queue.forgive(name)
    desk.never_left.clear()
    return forward(desk)
