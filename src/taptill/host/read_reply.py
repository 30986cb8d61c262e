"""Judging an answer: is it ours, is it genuine, what does it say.

Comes in: the request, the bytes that came back, the key store. Goes out: `Replied`, or `Silent` with the reason.
Strategy: an answer that does not match its question in every field that must come back, or whose MAC is wrong, is no
answer (DESIGN 5.9): nothing in it is used. A MAC is asked of declines too; firmware that checks it on approvals only
lets anybody decline.
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache

from taptill.credential.keystore import KeyStore
from taptill.host.codec import MAC_FIELD, IsoMessage, MalformedMessage, decode_message, mac_input, unwrap
from taptill.host.compose import BATCH_FROM_HOST
from taptill.host.exchange import HostReply, HostRequest, MatchKey, Replied, SilenceMeans, Silent, Verdict
from taptill.host.profile import Profile, Row

ECHOED_FIELDS = (3, 11, 41, 42)
ORIGINAL_STATES = {"A": "approved", "D": "declined", "R": "reversed", "N": "not found", "P": "in progress"}
STATUS_CHARACTERS = 33  # state 1, DE39 2, authorisation code 6, RRN 12, approved amount 12
SIGN_ON_CHARACTERS = 26  # YYYYMMDDhhmmss UTC, highest STAN 6, batch 6
_SETTLEMENT_COLUMNS = (3, 20, 20, 20)  # DE63: card organisation, texts of issuer, centre and acquirer


def reply_key(profile: Profile, wire: bytes) -> MatchKey:
    """Which question these bytes answer. Raises MalformedMessage."""
    message, _ = _opened(wire)
    asks_batch = any(row.batch_from_host for row in profile.rows.values() if row.reply_mti == message.mti)
    batch = BATCH_FROM_HOST if asks_batch else int(_batch(message) or 0)
    return MatchKey(message.text(41), batch, int(message.text(11) or 0), message.mti)


def read_reply(profile: Profile, request: HostRequest, wire: bytes, keys: KeyStore) -> Replied | Silent:
    """Raises for no answer whatever its bytes: one that cannot be used is silence. `wire` is kept as evidence."""
    row = profile.row(request.row)
    try:
        asked = decode_message(unwrap(request.wire).message)
        answer, octets = _opened(wire)
        mismatch = _mismatch(profile, row, asked, answer)
        if mismatch:
            return Silent(f"mismatch: {mismatch}")
        reply = _read(profile, row, answer)
        doubt = _authenticity(profile, request, answer, octets, keys, reply.verdict)
    except MalformedMessage as error:
        return Silent(f"malformed: {error.field_name}")
    if doubt:
        return Silent(doubt)
    return Replied(replace(reply, row=request.row, authenticated=MAC_FIELD in answer.fields), evidence=wire)


@lru_cache(maxsize=1)
def _opened(wire: bytes) -> tuple[IsoMessage, bytes]:
    """An answer and the octets its MAC covers: asked for its key first, and at once for what it says."""
    octets = unwrap(wire).message
    return decode_message(octets), octets


def _mismatch(profile: Profile, row: Row, asked: IsoMessage, answer: IsoMessage) -> str:
    """The first field that does not answer the question, empty if all do."""
    if answer.mti != row.reply_mti:
        return "MTI"
    for number in ECHOED_FIELDS:
        if asked.text(number) != answer.text(number):
            return f"DE{number}"
    if not row.batch_from_host and _batch(asked) != _batch(answer):
        return "DE60"
    if not answer.text(39):
        return "DE39"
    return "" if _amount_fits(profile.verdict(row, answer.text(39)), asked.text(4), answer.text(4)) else "DE4"


def _amount_fits(verdict: Verdict, asked: str, answered: str) -> bool:
    """An approval repeats the amount, a partial one names a lower one, any other answer may leave it out."""
    if not asked:
        return True
    if verdict is Verdict.PARTIAL:
        return bool(answered) and 0 < int(answered) < int(asked)
    return answered == asked or (not answered and verdict is not Verdict.APPROVED)


def _authenticity(
    profile: Profile, request: HostRequest, answer: IsoMessage, octets: bytes, keys: KeyStore, verdict: Verdict
) -> str:
    """Why the answer must not be believed, empty if it may. Without a MAC nothing but the decline of a sale counts, for
    only a sale can be undone: nobody may approve one, or close a debt, that way (DESIGN 5.7, 5.9)."""
    if MAC_FIELD not in answer.fields:
        undone = profile.row(request.row).silence is SilenceMeans.QUERY_THEN_REVERSE
        lax = profile.unauthenticated_declines and undone and verdict is Verdict.DECLINED
        return "" if lax else "no MAC"
    expected = keys.response_mac(request.key_counter, mac_input(octets))
    return "" if hmac.compare_digest(expected, answer.octets(MAC_FIELD)) else "bad MAC"


def _read(profile: Profile, row: Row, answer: IsoMessage) -> HostReply:
    code = answer.text(39)
    reply = HostReply(
        row="",
        code=code,
        verdict=profile.verdict(row, code),
        stan=int(answer.text(11) or 0),
        amount_minor=int(answer.text(4)) if answer.text(4) else None,
        auth_code=answer.text(38).strip(),
        rrn=answer.text(37).strip(),
        batch=int(_batch(answer)) if _batch(answer) else None,
        local_time=answer.text(13) + answer.text(12),
        settlement_texts=_settlement_texts(answer.octets(63)),
        icc_data=answer.octets(55),
    )
    if row.reply_text == "status":
        return _with_status(reply, answer.text(62))
    if row.reply_text == "sign_on":
        return _with_sign_on(reply, answer.text(62))
    return reply


def _with_status(reply: HostReply, text: str) -> HostReply:
    """DE62 of a status query's answer; only a refusal of the question itself may come without."""
    if not text and reply.verdict is Verdict.NOT_FOUND:
        return replace(reply, original_state=ORIGINAL_STATES["N"])
    if not text and reply.verdict is not Verdict.APPROVED:
        return reply
    state, amount = ORIGINAL_STATES.get(text[:1]), text[21:]
    if len(text) != STATUS_CHARACTERS or state is None or not amount.isdigit():
        raise MalformedMessage("is no status", field_name="DE62")
    return replace(
        reply,
        original_state=state,
        original_code=text[1:3].strip(),
        auth_code=text[3:9].strip(),
        rrn=text[9:21].strip(),
        amount_minor=int(amount) if state == "approved" else None,
    )


def _with_sign_on(reply: HostReply, text: str) -> HostReply:
    """DE62 of a sign-on's answer: the host's clock and the highest STAN it saw in this terminal's batch."""
    if reply.verdict is not Verdict.APPROVED:
        return reply
    if len(text) != SIGN_ON_CHARACTERS or not text.isdigit():
        raise MalformedMessage("is no sign-on text", field_name="DE62")
    try:
        at = datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        raise MalformedMessage("holds no time", field_name="DE62") from None
    return replace(reply, clock_unix_ms=int(at.timestamp()) * 1000, stan_high=int(text[14:20]))


def _settlement_texts(octets: bytes) -> tuple[str, ...]:
    """The columns that hold anything. Hosts cut names in the middle of a character, so that end is shown as U+FFFD."""
    texts, start = [], 0
    for width in _SETTLEMENT_COLUMNS:
        texts.append(octets[start : start + width].decode("gb18030", "replace").strip())
        start += width
    return tuple(text for text in texts if text)


def _batch(message: IsoMessage) -> str:
    """60.2"""
    return message.text(60)[2:8]
