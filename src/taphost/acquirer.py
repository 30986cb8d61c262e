"""One message in, one answer out, one commit in between.

Comes in: the body of a frame. Goes out: the body of its answer.
Strategy: authenticate first; a message with a wrong MAC, or under a KSN that was used for other bytes, is answered A0
and leaves no trace. Then load what is known, let the ledger decide, store, commit, and only then let the answer leave.
No socket, thread or clock of its own: a server calls this from its storage thread, a simulated world inline.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import assert_never

from taphost.accounts import Accounts, Presentation
from taphost.config import HostConfig
from taphost.issuer import MissingCardData
from taphost.ledger import APPROVED, Decision, Known, decide_financial, decide_query, decide_reversal
from taphost.message_keys import MessageKeys
from taphost.requests import (
    Answer,
    Echo,
    Financial,
    MessageClass,
    MessageKey,
    Request,
    Reversal,
    SignOn,
    StatusQuery,
    Unsupported,
)
from taphost.store import Books, KeyUse, Store
from taphost.wire import Incoming, read_incoming, read_request, seal_reply, write_reply

INVALID_MERCHANT = "03"
NOT_SUPPORTED = "40"
SYSTEM_BUSY = "96"
UNKNOWN_TERMINAL = "97"
MAC_ERROR = "A0"

log = logging.getLogger("taphost")


@dataclass(frozen=True, slots=True)
class _Reply:
    """The message before its MAC."""

    code: str
    octets: bytes


class Acquirer:
    """`now_ms` gives milliseconds since 1970 UTC. Not for two threads at a time."""

    def __init__(self, config: HostConfig, store: Store, now_ms: Callable[[], int]) -> None:
        self._bdk = bytes.fromhex(config.bdk)
        self._terminals = {terminal.id: terminal for terminal in config.terminals}
        self._accounts = Accounts(config)
        self._zone = timezone(timedelta(minutes=config.utc_offset_minutes))
        self._store = store
        self._now_ms = now_ms
        with store.transaction() as books:
            books.set_accounts(self._accounts)

    def answer(self, body: bytes) -> bytes:
        """Blocks for one commit. Raises UnreadableMessage, and whatever the storage raises; then nothing was stored."""
        incoming = read_incoming(body)
        keys = MessageKeys(self._bdk, incoming.private.ksn)
        refusal = self._stranger(incoming, keys)
        if refusal is None:
            with self._store.transaction() as books:
                reply = self._answer_known(incoming, keys, books)
        else:
            reply = self._plain_reply(incoming, refusal)
        log.info(
            "%s terminal=%s batch=%06d stan=%06d code=%s",
            incoming.message.mti,
            incoming.terminal,
            incoming.batch,
            incoming.stan,
            reply.code,
        )
        return seal_reply(incoming, reply.octets, keys)

    def busy(self, body: bytes) -> bytes:
        """The early answer of a host that will not look at the message: nothing is read from or put into the store,
        and the message is never processed later. Raises UnreadableMessage."""
        incoming = read_incoming(body)
        keys = MessageKeys(self._bdk, incoming.private.ksn)
        answer = self._stranger(incoming, keys) or Answer(SYSTEM_BUSY, remark="BUSY")
        return seal_reply(incoming, self._plain_reply(incoming, answer).octets, keys)

    def _stranger(self, incoming: Incoming, keys: MessageKeys) -> Answer | None:
        """The refusal of a message that comes from no terminal of ours; None for one that may be looked at."""
        if not keys.is_request_mac(incoming.signed, incoming.mac):
            return Answer(MAC_ERROR, remark="MAC INVALID")
        terminal = self._terminals.get(incoming.terminal)
        if terminal is None or not incoming.private.ksn.startswith(bytes.fromhex(terminal.key_set)):
            return Answer(UNKNOWN_TERMINAL, remark="TERMINAL UNKNOWN")
        if incoming.merchant != terminal.merchant:
            return Answer(INVALID_MERCHANT, remark="MERCHANT UNKNOWN")
        return None

    def _answer_known(self, incoming: Incoming, keys: MessageKeys, books: Books) -> _Reply:
        use = KeyUse(
            ksn=incoming.private.ksn,
            digest=hashlib.sha256(incoming.wrapped.message).digest(),
            terminal=incoming.terminal,
            batch=incoming.batch,
            stan=incoming.stan,
            at_ms=self._now_ms(),
        )
        before = books.key_use(use.ksn)
        if before is None:
            books.remember_key_use(use)
        elif before.digest != use.digest:
            return self._plain_reply(incoming, Answer(MAC_ERROR, remark="KEY USED BEFORE"))
        return self._dispatch(read_request(incoming, keys), incoming, books)

    def _dispatch(self, request: Request, incoming: Incoming, books: Books) -> _Reply:
        match request:
            case Financial():
                return self._answer_financial(request, incoming, books)
            case Reversal():
                known = self._load(books, request.original)
                return self._settle(decide_reversal(request, known), known, incoming, books)
            case StatusQuery():
                known = self._load(books, request.original)
                return self._settle(decide_query(request, known), known, incoming, books)
            case SignOn():
                return self._answer_sign_on(incoming, books)
            case Echo():
                return self._plain_reply(incoming, Answer(APPROVED))
            case Unsupported():
                return self._plain_reply(incoming, Answer(NOT_SUPPORTED))
            case _:
                assert_never(request)

    def _answer_financial(self, request: Financial, incoming: Incoming, books: Books) -> _Reply:
        presentation = self._present(request)
        known = self._load(books, request.key, presentation)
        return self._settle(decide_financial(request, presentation, known), known, incoming, books)

    def _answer_sign_on(self, incoming: Incoming, books: Books) -> _Reply:
        """DE62: UTC time (14), highest STAN of the current batch before this message (6), current batch (6)."""
        batch = books.current_batch(incoming.terminal) or incoming.batch
        stan = books.highest_stan(incoming.terminal, batch, except_ksn=incoming.private.ksn)
        now_ms = self._now_ms()
        utc = datetime.fromtimestamp(now_ms // 1000, UTC)
        answer = Answer(APPROVED, private_text=f"{utc:%Y%m%d%H%M%S}{stan:06d}{batch:06d}")
        return _Reply(APPROVED, write_reply(incoming, answer, self._local(now_ms), batch))

    def _present(self, request: Financial) -> Presentation | None:
        if request.card is None:
            return None
        try:
            return self._accounts.present(request.card, request.icc)
        except MissingCardData as error:
            log.warning("terminal=%s stan=%06d %s", request.key.terminal, request.key.stan, error)
            return None

    def _load(self, books: Books, key: MessageKey, presentation: Presentation | None = None) -> Known:
        owed_minor, atc_is_spent = _card_history(books, presentation)
        now_ms = self._now_ms()
        return Known(
            original=books.entry(key),
            reversal=books.entry(replace(key, message_class=MessageClass.REVERSAL)),
            owed_minor=owed_minor,
            atc_is_spent=atc_is_spent,
            serial=books.next_serial(),
            now_ms=now_ms,
            local_time=self._local(now_ms),
        )

    def _settle(self, decision: Decision, known: Known, incoming: Incoming, books: Books) -> _Reply:
        if decision.repeats is not None:
            return _Reply(decision.repeats.code, decision.repeats.reply)
        octets = write_reply(incoming, decision.answer, known.local_time)
        if decision.undone is not None:
            books.mark_undone(decision.undone)
        if decision.entry is not None:
            books.add(known.serial, replace(decision.entry, reply=octets))
        if decision.charge is not None:
            books.charge(decision.charge)
        return _Reply(decision.answer.code, octets)

    def _plain_reply(self, incoming: Incoming, answer: Answer) -> _Reply:
        return _Reply(answer.code, write_reply(incoming, answer, self._local(self._now_ms())))

    def _local(self, now_ms: int) -> datetime:
        return datetime.fromtimestamp(now_ms // 1000, self._zone)


def _card_history(books: Books, presentation: Presentation | None) -> tuple[int, bool]:
    """What the account owes, and whether this transaction counter of the card was used before."""
    if presentation is None or presentation.account is None:
        return 0, False
    account_id = presentation.account.account_id
    proven = presentation.decision is not None
    spent = proven and books.atc_is_spent(account_id, presentation.sequence, presentation.atc)
    return books.owed_minor(account_id), spent
