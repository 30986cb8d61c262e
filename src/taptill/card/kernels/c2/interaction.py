"""What a phone wants of its owner: POS cardholder interaction information, DF4B (EMV Book C-2, S9_10.71 to S9_10.80).

Comes in: DF4B and the phone message table (DF8131). Goes out: whether a second tap is wanted, and its outcome.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from taptill.card.kernels.c2 import tags
from taptill.card.kernels.c2.configuration import HOLD_UNIT_MS, PHONE_MESSAGE_OCTETS, Configuration
from taptill.card.outcome import MessageId, Outcome
from taptill.card.outcomes import see_phone

_SECOND_TAP = 0x00030F
_VERIFIED = 0x001000
_OCTETS = 3
_MESSAGES = frozenset(MessageId)


def asks_for_second_tap(card: Mapping[int, bytes]) -> bool:
    """S9_10.71: something has to be done on the device first."""
    return bool(_information(card) & _SECOND_TAP)


def phone_outcome(card: Mapping[int, bytes], configuration: Configuration) -> Outcome:
    """S9_10.72 to S9_10.80: the message of the first entry that fits, then the same sale again."""
    message = _message(_information(card), configuration.values[tags.PHONE_MESSAGES])
    again = see_phone("card-wants-its-owner")
    hold_ms = configuration.decimal(tags.MESSAGE_HOLD_TIME) * HOLD_UNIT_MS
    on_outcome, on_restart = again.ui_on_outcome, again.ui_on_restart
    return replace(
        again,
        ui_on_outcome=replace(on_outcome, message=message, hold_ms=hold_ms) if on_outcome else None,
        ui_on_restart=replace(on_restart, message=message) if on_restart else None,
    )


def verified_on_device(card: Mapping[int, bytes]) -> bool:
    """S13.14.6: on-device verification was successful."""
    return bool(_information(card) & _VERIFIED)


def _information(card: Mapping[int, bytes]) -> int:
    octets = card.get(tags.INTERACTION_INFORMATION, b"")
    return int.from_bytes(octets, "big") if len(octets) == _OCTETS else 0


def _message(information: int, table: bytes) -> MessageId:
    for at in range(0, len(table), PHONE_MESSAGE_OCTETS):
        entry = table[at : at + PHONE_MESSAGE_OCTETS]
        mask, value = int.from_bytes(entry[:3], "big"), int.from_bytes(entry[3:6], "big")
        if information & mask == value and entry[6] in _MESSAGES:
            return MessageId(entry[6])
    return MessageId.SEE_PHONE
