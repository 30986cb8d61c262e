"""What holds after a tap, whatever the card was.

Comes in: what the terminal made of it. Goes out: nothing, or `LawBroken`. Strategy: the rules of money and secrecy that
the stages below lean on, not the kernel's own book: those have vectors.
"""

from __future__ import annotations

from taplab.fuzz.hostile_card import LawBroken
from taptill.card.data_elements import SENSITIVE_TAGS
from taptill.card.outcome import CardRead, CryptogramType, OdaVerdict, OutcomeKind
from taptill.card.parameters import TapRequest
from taptill.card.rules.risk_management import card_digest

_ENDS = frozenset(OutcomeKind) - {OutcomeKind.SELECT_NEXT}  # the entry point's own affair


def check_read(read: object, sale: TapRequest) -> None:
    """`sale` is what the tap was for. Raises LawBroken."""
    if not isinstance(read, CardRead):
        raise LawBroken(f"a tap came to {type(read).__name__}")
    kind = read.outcome.kind
    if kind not in _ENDS:
        raise LawBroken(f"a tap ended with {kind.value}")
    if len(read.tvr) != 5 or len(read.tsi) != 2:
        raise LawBroken("TVR or TSI of a wrong length")
    if kind is OutcomeKind.APPROVED:
        _check_approval(read, sale)
    if kind in (OutcomeKind.APPROVED, OutcomeKind.ONLINE_REQUEST) and read.number is None:
        raise LawBroken("a sale without a card number")
    _check_secrecy(read)


def check_update(read: CardRead) -> None:
    """A second presentation brings the issuer's word to the card and sells nothing. Raises LawBroken."""
    if read.number is not None or read.cryptogram_type is not None:
        raise LawBroken("an issuer's update that could be booked as a sale")


def _check_approval(read: CardRead, sale: TapRequest) -> None:
    """DESIGN 5.10: an offline approval is the card's word and a proof that it is this card's."""
    if read.cryptogram_type is not CryptogramType.TC:
        raise LawBroken(f"approved on {read.cryptogram_type}")
    if read.oda.verdict is not OdaVerdict.PASSED:
        raise LawBroken(f"approved with offline data authentication {read.oda.verdict.value}")
    if not sale.offline_allowed:
        raise LawBroken("approved where the way chosen before the tap forbids it")
    if read.number is not None and card_digest(read.number.pan.reveal().decode("ascii")) in sale.exceptions:
        raise LawBroken("approved a card of the exception list")


def _check_secrecy(read: CardRead) -> None:
    shown = SENSITIVE_TAGS & read.data.keys()
    if shown:
        raise LawBroken(f"{', '.join(f'{tag:X}' for tag in sorted(shown))} among the open data")
    if read.number is None:
        return
    pan = read.number.pan.reveal().decode("ascii")
    if pan in repr(read) or (read.outcome.reason and pan in read.outcome.reason):
        raise LawBroken("a card number can be read")
