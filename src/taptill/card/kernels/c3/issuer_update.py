"""Issuer update of kernel C-3: what the issuer answered goes back into a card that is presented once more.

Comes in: an online outcome, or the issuer's answer of a restart (91, 71, 72, 8A as TLV). Goes out: the outcome that
asks for the second presentation; the commands of the second one and what the card made of them.
Strategy: EMV Book C-3, 5.8.1.2 and its issuer update processing, with the commands of EMV Book 3, 10.9 and 10.10. A
second presentation never sells anything: it repeats the issuer's word and reports the scripts (9F5B).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace

from taptill.card.apdu import SW_OK, CommandApdu, MalformedApdu, ResponseApdu, split_command
from taptill.card.bits import has_bit, with_bit
from taptill.card.ctq import CTQ_ISSUER_UPDATE
from taptill.card.dialogue import Dialogue, Selection
from taptill.card.kernels.fast.tap import FastTap
from taptill.card.outcome import (
    CardRead,
    Cvm,
    MessageId,
    OnlineResponse,
    Outcome,
    OutcomeKind,
    Start,
    UiRequest,
    UiStatus,
)
from taptill.card.outcomes import approved, declined, end_application
from taptill.card.rules.tvr import (
    NO_TSI,
    NO_TVR,
    TSI_ISSUER_AUTHENTICATION,
    TSI_SCRIPT_PROCESSING,
    TVR_ISSUER_AUTHENTICATION_FAILED,
    TVR_SCRIPT_FAILED_AFTER,
    TVR_SCRIPT_FAILED_BEFORE,
)
from taptill.card.tlv import Tlv, find, find_all, parse_tlv
from taptill.card.ttq import TTQ_ISSUER_UPDATE

REASON = "issuer-update"
MALFORMED = "issuer-answer-malformed"
AUTHENTICATION_DATA_OCTETS = range(8, 17)  # 91: EMV Book 3, Annex A
SCRIPT_COMMANDS_MAX = 32  # per presentation; EMV Book 3, 10.10 allows scripts of 128 octets, so fewer come
_APPROVALS = frozenset({b"00", b"08", b"10", b"11"})  # 8A: approved, honoured with identification, partly, VIP
_SCRIPT_IDENTIFIER_OCTETS = 4
_SCRIPT_DONE, _SCRIPT_FAILED = 0x20, 0x10  # EMV Book 4, Annex A5: first octet of a script's result
_SCRIPTS = ((0x71, TVR_SCRIPT_FAILED_BEFORE), (0x72, TVR_SCRIPT_FAILED_AFTER))


@dataclass(frozen=True, slots=True)
class _Update:
    tvr: bytes = NO_TVR
    tsi: bytes = NO_TSI
    results: bytes = b""  # 9F5B


def asking_for_update(tap: FastTap, outcome: Outcome) -> Outcome:
    """EMV Book C-3, 5.8.1.2: where reader and card can both do issuer updates, the kernel wants to be started again
    with the issuer's answer, if there is any for the card."""
    both = has_bit(tap.ttq, TTQ_ISSUER_UPDATE) and has_bit(tap.qualifiers, CTQ_ISSUER_UPDATE)
    if outcome.kind is not OutcomeKind.ONLINE_REQUEST or not both:
        return outcome
    again = UiRequest(MessageId.PRESENT_CARD_AGAIN, UiStatus.READY_TO_READ)
    return replace(
        outcome, start=Start.B, online_response=OnlineResponse.EMV_DATA, ui_on_restart=again, field_off_hold_ms=0
    )


def deliver_update(kernel: str, selection: Selection) -> Dialogue:
    """The second presentation. Raises MalformedTlv or MalformedApdu for an issuer's answer that is none."""
    answer = parse_tlv(selection.online_response, "issuer's answer")
    authentication = find(answer, 0x91)
    if authentication and len(authentication) not in AUTHENTICATION_DATA_OCTETS:
        return CardRead(end_application(MALFORMED), selection.aid, kernel, selection.label)
    update = yield from _authenticate_issuer(authentication)
    if not has_bit(update.tvr, TVR_ISSUER_AUTHENTICATION_FAILED):
        for tag, failed in _SCRIPTS:
            for script in find_all(answer, tag):
                done, result = yield from _run_script(script)
                tvr = update.tvr if done else with_bit(update.tvr, failed)
                tsi = with_bit(update.tsi, TSI_SCRIPT_PROCESSING)
                update = _Update(tvr, tsi, update.results + result)
    outcome = _issuers_word(find(answer, 0x8A))
    data = {0x9F5B: update.results} if update.results else {}
    return CardRead(outcome, selection.aid, kernel, selection.label, data=data, tvr=update.tvr, tsi=update.tsi)


def _issuers_word(code: bytes | None) -> Outcome:
    """What the issuer said in 8A; without it the sale was judged elsewhere, and the card may just go."""
    if code is None:
        ui = UiRequest(MessageId.REMOVE_CARD, UiStatus.CARD_READ_SUCCESSFULLY)
        return Outcome(OutcomeKind.END_APPLICATION, ui_on_outcome=ui, reason=REASON)
    return replace(approved(Cvm.NOT_APPLICABLE), reason=REASON) if code in _APPROVALS else declined(REASON)


def _authenticate_issuer(data: bytes | None) -> Generator[CommandApdu, ResponseApdu, _Update]:
    """EXTERNAL AUTHENTICATE (EMV Book 3, 6.5.4 and 10.9), where the issuer sent 91."""
    if not data:
        return _Update()
    response = yield CommandApdu(0x00, 0x82, 0x00, 0x00, data, None, "EXTERNAL AUTHENTICATE")
    tvr = NO_TVR if response.sw == SW_OK else with_bit(NO_TVR, TVR_ISSUER_AUTHENTICATION_FAILED)
    return _Update(tvr, with_bit(NO_TSI, TSI_ISSUER_AUTHENTICATION))


def _run_script(script: Tlv) -> Generator[CommandApdu, ResponseApdu, tuple[bool, bytes]]:
    """EMV Book 3, 10.10: the commands in order up to the first error; SW1 90, 62 and 63 are none. Goes out: whether all
    were done, and the script's result (EMV Book 4, Annex A5)."""
    identifier = (find(script.children, 0x9F18) or b"").rjust(_SCRIPT_IDENTIFIER_OCTETS, b"\x00")
    for number, command in enumerate(_commands(script.children), 1):
        response = yield command
        if response.sw >> 8 not in (0x90, 0x62, 0x63):
            return False, bytes([_SCRIPT_FAILED | min(number, 0x0F)]) + identifier
    return True, bytes([_SCRIPT_DONE]) + identifier


def _commands(content: Iterable[Tlv]) -> list[CommandApdu]:
    commands = [replace(split_command(each.value), name="issuer script") for each in find_all(content, 0x86)]
    if len(commands) > SCRIPT_COMMANDS_MAX:
        raise MalformedApdu(f"{len(commands)} commands in one script", where="issuer script")
    return commands
