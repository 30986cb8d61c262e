"""Kernel C-7: UnionPay QuickPass (qPBOC, PBOC 3.0 part 12; EMV Book C-7).

Comes in: the selected application and the sale. Goes out: the tap's `CardRead`.
Strategy: one GET PROCESSING OPTIONS gives the cryptogram. ARQC: the card may go at once, the issuer decides. TC: the
records are read and everything is judged after the last one, from what was read, never from what the card claims of
itself. The flow rests on a recorded tap and on our own reading of the standards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from taptill.card.bits import has_bit
from taptill.card.dialogue import Dialogue, Selection
from taptill.card.kernels.c7.domestic import qualifiers_for_card, verification_qualifiers
from taptill.card.kernels.fast.offline import authenticate, find_offline, offline_outcome
from taptill.card.kernels.fast.qualifiers import verification_of
from taptill.card.kernels.fast.tap import (
    FastTap,
    asks_for_qualifiers,
    declined_by_card,
    ended,
    exchange,
    given_cryptogram,
    judged,
)
from taptill.card.outcome import CardNumber, CardRead, CryptogramType, Cvm, Outcome
from taptill.card.outcomes import declined, end_application, online_request, try_another_interface
from taptill.card.parameters import TapRequest
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.refused import Refused
from taptill.card.terminal_data import terminal_data
from taptill.card.ttq import TTQ_CVM_REQUIRED, TTQ_OFFLINE_ONLY, TTQ_ONLINE_CRYPTOGRAM_REQUIRED

NAME = "C-7"

_ONLINE_NEEDS = (0x57, 0x9F26, 0x9F10, 0x9F36)


class KernelC7:
    """See the module. Stateless: one instance serves every tap."""

    name = NAME

    def run(self, selection: Selection, request: TapRequest, ca_keys: CaKeyStore) -> Dialogue:
        """From GPO to the outcome. Raises what `Kernel` says."""
        if not asks_for_qualifiers(selection.fci.get(0x9F38, b"")):
            return ended(NAME, selection, try_another_interface("pdol-without-ttq"))
        sent = terminal_data(request, selection.prepared)
        ttq = yield from qualifiers_for_card(selection, request, sent)
        tap = yield from exchange(NAME, selection, request, {**sent, 0x9F66: ttq}, _reads_records)
        return _judge(tap, ca_keys) if isinstance(tap, FastTap) else ended(NAME, selection, tap)


def _reads_records(card: Mapping[int, bytes]) -> bool:
    """For an offline approval always; online only for what the answer to GPO left out, so that the card may go."""
    complete = all(card.get(tag) for tag in _ONLINE_NEEDS)
    return given_cryptogram(card) is CryptogramType.TC or (not complete and 0x94 in card)


def _judge(tap: FastTap, ca_keys: CaKeyStore) -> CardRead:
    number = tap.number
    if tap.kind is CryptogramType.AAC:
        return declined_by_card(tap)
    if isinstance(number, Refused):
        return ended(NAME, tap.selection, end_application(number.reason))
    cvm = _verification(tap)
    if tap.kind is CryptogramType.ARQC:
        # Nothing is authenticated or restricted: the cryptogram covers a TVR of zeros, and the issuer looks itself.
        return judged(tap, _online_outcome(tap, cvm), cvm)
    return _judge_approval(tap, number, cvm, ca_keys)


def _verification(tap: FastTap) -> Cvm | Refused:
    """A claim that nothing vouches for counts as none, so it hurts only where a verification is required."""
    ttq = verification_qualifiers(tap.selection.prepared.ttq, tap.ttq, tap.data)
    cvm = verification_of(ttq, tap.data, tap.kind)
    return Cvm.NONE if isinstance(cvm, Refused) and not has_bit(ttq, TTQ_CVM_REQUIRED) else cvm


def _online_outcome(tap: FastTap, cvm: Cvm | Refused) -> Outcome:
    if has_bit(tap.ttq, TTQ_OFFLINE_ONLY):
        return declined("reader-is-offline-only")
    return declined(cvm.reason) if isinstance(cvm, Refused) else online_request(cvm)


def _judge_approval(tap: FastTap, number: CardNumber, cvm: Cvm | Refused, ca_keys: CaKeyStore) -> CardRead:
    pan = number.pan.reveal().decode()
    found = find_offline(tap, pan, authenticate(tap, pan, ca_keys), cvm)
    outcome = offline_outcome(tap, found, cvm)
    if has_bit(tap.ttq, TTQ_ONLINE_CRYPTOGRAM_REQUIRED):
        outcome = declined("card-approved-what-must-go-online")
    return replace(judged(tap, outcome, cvm), oda=found.oda, tvr=found.tvr, tsi=found.tsi)
