"""The outcomes a tap can have, with the user interface requests that belong to them.

Comes in: a reason. Goes out: an `Outcome` (EMV Book A, 6.2; EMV Book B, 3.1.1.13, 3.3.2.7, 3.3.3.7).
"""

from __future__ import annotations

from taptill.card.outcome import AlternateInterface, Cvm, MessageId, Outcome, OutcomeKind, Start, UiRequest, UiStatus


def approved(cvm: Cvm) -> Outcome:
    """The card approved offline and its proof holds."""
    message = MessageId.APPROVED_PLEASE_SIGN if cvm is Cvm.SIGNATURE else MessageId.APPROVED
    ui = UiRequest(message, UiStatus.CARD_READ_SUCCESSFULLY)
    return Outcome(OutcomeKind.APPROVED, cvm=cvm, ui_on_outcome=ui, receipt=True)


def online_request(cvm: Cvm, reason: str = "") -> Outcome:
    """The card has done its part and may go; the issuer decides. Nothing goes back to the card."""
    ui = UiRequest(MessageId.CARD_READ_OK, UiStatus.CARD_READ_SUCCESSFULLY)
    return Outcome(OutcomeKind.ONLINE_REQUEST, cvm=cvm, ui_on_outcome=ui, receipt=True, reason=reason)


def declined(reason: str, cvm: Cvm = Cvm.NOT_APPLICABLE) -> Outcome:
    """No sale with this card."""
    ui = UiRequest(MessageId.NOT_AUTHORISED, UiStatus.CARD_READ_SUCCESSFULLY)
    return Outcome(OutcomeKind.DECLINED, cvm=cvm, ui_on_outcome=ui, reason=reason)


def end_application(reason: str) -> Outcome:
    """This card cannot be used here: insert, swipe or try another card."""
    ui = UiRequest(MessageId.INSERT_SWIPE_OR_TRY_ANOTHER_CARD, UiStatus.PROCESSING_ERROR)
    return Outcome(OutcomeKind.END_APPLICATION, ui_on_outcome=ui, reason=reason)


def no_application_left(reason: str) -> Outcome:
    """The entry point has nothing more to try; another card may be presented (EMV Book B, 3.3.2.7 and 3.3.3.5)."""
    ui = UiRequest(MessageId.INSERT_SWIPE_OR_TRY_ANOTHER_CARD, UiStatus.READY_TO_READ)
    return Outcome(OutcomeKind.END_APPLICATION, ui_on_outcome=ui, reason=reason)


def try_another_interface(
    reason: str, alternate: AlternateInterface | None = AlternateInterface.CONTACT_CHIP
) -> Outcome:
    """Not by contactless."""
    ui = UiRequest(MessageId.INSERT_OR_SWIPE, UiStatus.PROCESSING_ERROR)
    return Outcome(OutcomeKind.TRY_ANOTHER_INTERFACE, ui_on_outcome=ui, alternate_interface=alternate, reason=reason)


def try_again(reason: str) -> Outcome:
    """Present the card again: the same sale starts over with a fresh field."""
    return _start_over(reason, MessageId.PRESENT_CARD_AGAIN)


def see_phone(reason: str) -> Outcome:
    """The phone wants its owner to do something, then to be presented again."""
    return _start_over(reason, MessageId.SEE_PHONE)


def select_next(reason: str) -> Outcome:
    """This application will not do; the entry point goes on with the next one."""
    return Outcome(OutcomeKind.SELECT_NEXT, start=Start.C, reason=reason)


def _start_over(reason: str, message: MessageId) -> Outcome:
    return Outcome(
        OutcomeKind.TRY_AGAIN,
        start=Start.B,
        ui_on_outcome=UiRequest(message, UiStatus.PROCESSING_ERROR),
        ui_on_restart=UiRequest(message, UiStatus.READY_TO_READ),
        reason=reason,
    )
