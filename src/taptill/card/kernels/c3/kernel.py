"""Kernel C-3: Visa qVSDC (EMV Book C-3).

Comes in: the selected application and the sale. Goes out: the tap's `CardRead`.
Strategy: one GET PROCESSING OPTIONS gives the cryptogram; records are read where the card lists any. ARQC: the issuer
decides, and offline data authentication is done only where the reader announced it for online sales. TC: restrictions,
signature and cardholder are judged after the last record. Mag-stripe mode is not built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from taptill.card.bits import has_bit
from taptill.card.dialogue import Dialogue, Selection
from taptill.card.kernels.c3.issuer_update import asking_for_update, deliver_update
from taptill.card.kernels.c3.reader_limits import under_card_limits
from taptill.card.kernels.c3.restrictions import usage_refusal
from taptill.card.kernels.fast.offline import (
    OfflineFindings,
    authenticate,
    authentication_reason,
    evidence_of,
    find_offline,
    offline_outcome,
    wants_contact_chip,
)
from taptill.card.kernels.fast.qualifiers import verification_of
from taptill.card.kernels.fast.tap import (
    FastTap,
    asks_for_qualifiers,
    declined_by_card,
    ended,
    exchange,
    judged,
)
from taptill.card.outcome import CardRead, CryptogramType, Cvm, Oda, OdaMethod, OdaVerdict, Outcome
from taptill.card.outcomes import declined, end_application, online_request, select_next, try_another_interface
from taptill.card.parameters import TapRequest
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.proof.offline_authentication import FDDA_V01, authenticate_static
from taptill.card.refused import Refused
from taptill.card.terminal_data import terminal_data
from taptill.card.ttq import TTQ_FDDA_V01, TTQ_ODA_FOR_ONLINE, TTQ_OFFLINE_ONLY, TTQ_ONLINE_CRYPTOGRAM_REQUIRED

NAME = "C-3"

_FORM_FACTOR_OCTETS = 4
_TECHNOLOGY_MASK = 0xF0  # 9F6E, fourth octet: the low half is the reader's to say, and zero means contactless


class KernelC3:
    """See the module. Stateless: one instance serves every tap."""

    name = NAME

    def run(self, selection: Selection, request: TapRequest, ca_keys: CaKeyStore) -> Dialogue:
        """From GPO to the outcome; after an online answer the issuer's update instead. Raises what `Kernel` says."""
        if selection.restart and selection.online_response:
            return (yield from deliver_update(NAME, selection))
        if not asks_for_qualifiers(selection.fci.get(0x9F38, b"")):
            return ended(NAME, selection, select_next("pdol-without-ttq"))
        prepared = under_card_limits(selection, request)
        if prepared.indicators.application_not_allowed:
            return ended(NAME, selection, select_next("amount-not-allowed"))
        tap = yield from exchange(NAME, selection, request, terminal_data(request, prepared), _lists_records)
        return _judge(tap, ca_keys) if isinstance(tap, FastTap) else ended(NAME, selection, tap)


def _lists_records(card: Mapping[int, bytes]) -> bool:
    """EMV Book C-3, 5.3: without an AFL there is nothing to read."""
    return bool(card.get(0x94))


def _judge(tap: FastTap, ca_keys: CaKeyStore) -> CardRead:
    """EMV Book C-3, 5.4 to 5.9."""
    if tap.kind is CryptogramType.AAC:
        return declined_by_card(tap)
    number = tap.number if tap.data.get(0x57) else Refused("data-missing-57")
    if isinstance(number, Refused):
        return ended(NAME, tap.selection, end_application(number.reason))
    tap = replace(tap, data=_with_own_technology(tap.data))
    refusal = usage_refusal(tap)
    if refusal is not None:
        return judged(tap, refusal)
    cvm = verification_of(tap.ttq, tap.data, tap.kind)
    pan = number.pan.reveal().decode()
    if tap.kind is CryptogramType.ARQC or has_bit(tap.ttq, TTQ_ONLINE_CRYPTOGRAM_REQUIRED):
        return _judge_online(tap, pan, cvm, ca_keys)
    found = find_offline(tap, pan, _authenticate(tap, pan, ca_keys), cvm)
    read = judged(tap, asking_for_update(tap, offline_outcome(tap, found, cvm)), cvm)
    return replace(read, oda=found.oda, tvr=found.tvr, tsi=found.tsi)


def _judge_online(tap: FastTap, pan: str, cvm: Cvm | Refused, ca_keys: CaKeyStore) -> CardRead:
    """EMV Book C-3, 5.6.1.1 and 5.8. A failed authentication is the issuer's to weigh; only a card that would rather be
    inserted is sent there."""
    oda = _authenticate_online(tap, pan, ca_keys)
    found = OfflineFindings(oda) if oda.verdict is OdaVerdict.NOT_PERFORMED else find_offline(tap, pan, oda, cvm)
    outcome = _online_outcome(tap, cvm)
    if oda.verdict is OdaVerdict.FAILED and wants_contact_chip(tap):
        outcome = try_another_interface(authentication_reason(oda))
    read = judged(tap, asking_for_update(tap, outcome), cvm)
    return replace(read, oda=oda, tvr=found.tvr, tsi=found.tsi)


def _online_outcome(tap: FastTap, cvm: Cvm | Refused) -> Outcome:
    if has_bit(tap.ttq, TTQ_OFFLINE_ONLY):
        return declined("reader-is-offline-only")
    if isinstance(cvm, Refused):
        return declined(cvm.reason)
    asked = tap.kind is CryptogramType.ARQC
    return online_request(cvm, "" if asked else "card-approved-what-must-go-online")


def _authenticate_online(tap: FastTap, pan: str, ca_keys: CaKeyStore) -> Oda:
    """Only where the reader said it would (TTQ); the one place where a static signature is looked at."""
    if not has_bit(tap.ttq, TTQ_ODA_FOR_ONLINE):
        return Oda()
    if 0x9F4B not in tap.data and 0x93 in tap.data:
        return authenticate_static(evidence_of(tap, pan), ca_keys)
    return _authenticate(tap, pan, ca_keys)


def _authenticate(tap: FastTap, pan: str, ca_keys: CaKeyStore) -> Oda:
    """A reader that announced fDDA version 01 takes nothing less: version 00 leaves the amount unsigned."""
    newest = tap.data.get(0x9F69, b"")[:1] == FDDA_V01
    if 0x9F4B in tap.data and has_bit(tap.ttq, TTQ_FDDA_V01) and not newest:
        return Oda(OdaMethod.FDDA, OdaVerdict.FAILED, "fdda-version-00")
    return authenticate(tap, pan, ca_keys)


def _with_own_technology(data: Mapping[int, bytes]) -> Mapping[int, bytes]:
    """EMV Book C-3, 4.1.1.1: how the card was read is not the card's to say."""
    form = data.get(0x9F6E, b"")
    if len(form) < _FORM_FACTOR_OCTETS:
        return data
    at = _FORM_FACTOR_OCTETS - 1
    return {**data, 0x9F6E: form[:at] + bytes([form[at] & _TECHNOLOGY_MASK]) + form[at + 1 :]}
