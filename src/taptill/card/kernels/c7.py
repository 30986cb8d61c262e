"""Kernel C-7: UnionPay QuickPass (qPBOC, PBOC 3.0 part 12; EMV Book C-7).

Comes in: the selected application and the sale. Goes out: the tap's `CardRead`.
Strategy: one GET PROCESSING OPTIONS gives the cryptogram. ARQC: the card may go at once, the issuer decides. TC: the
records are read and everything is judged after the last one, from what was read, never from what the card claims of
itself. The flow rests on a recorded tap and on our own reading of the standards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from taptill.card.apdu import SW_OK
from taptill.card.bits import has_bit, with_bit
from taptill.card.ca_keys import CaKeyStore
from taptill.card.certificates import Refused, century_year
from taptill.card.data_elements import SENSITIVE_TAGS
from taptill.card.dialogue import Dialogue, Selection
from taptill.card.dol import fill_dol, parse_dol
from taptill.card.kernels.c7_card import qpboc_cryptogram_type
from taptill.card.kernels.c7_cvm import (
    CTQ_ONLINE_IF_EXPIRED,
    CTQ_ONLINE_IF_ODA_FAILS,
    CTQ_SWITCH_IF_ODA_FAILS,
    CVM_RESULTS,
    verification_of,
)
from taptill.card.offline_authentication import Evidence, authenticate_fast, static_data_of
from taptill.card.outcome import CardRead, CryptogramType, Cvm, Oda, OdaMethod, OdaVerdict, Outcome
from taptill.card.outcomes import (
    approved,
    declined,
    end_application,
    online_request,
    see_phone,
    select_next,
    try_another_interface,
)
from taptill.card.parameters import TapRequest
from taptill.card.payment_data import card_number, cryptogram_information, get_processing_options, gpo_objects
from taptill.card.preprocessing import TTQ_CONTACT_CHIP, TTQ_OFFLINE_ONLY, TTQ_ONLINE_CRYPTOGRAM_REQUIRED
from taptill.card.records import Records, collect, read_records
from taptill.card.terminal_data import terminal_data
from taptill.card.tlv import Tlv
from taptill.card.tvr import (
    TVR_CVM_FAILED,
    TVR_DDA_FAILED,
    TVR_EXPIRED,
    TVR_NOT_YET_EFFECTIVE,
    TVR_ODA_NOT_PERFORMED,
    TVR_ON_EXCEPTION_FILE,
)

NAME = "C-7"

_GPO_OUTCOMES = {
    0x6984: try_another_interface("card-wants-another-interface"),
    0x6985: select_next("card-refused"),
    0x6986: see_phone("card-wants-its-owner"),
}
_NEEDED = (0x82, 0x9F36, 0x9F26, 0x9F10)


class KernelC7:
    """See the module. Stateless: one instance serves every tap."""

    name = NAME

    def run(self, selection: Selection, request: TapRequest, ca_keys: CaKeyStore) -> Dialogue:
        """From GPO to the outcome. Raises what `Kernel` says."""
        sent = terminal_data(request, selection.prepared)
        pdol = selection.fci.get(0x9F38, b"")
        if not any(entry.tag == 0x9F66 for entry in parse_dol(pdol, "PDOL")):
            return _read(selection, try_another_interface("pdol-without-ttq"))
        response = yield get_processing_options(fill_dol(pdol, sent, where="PDOL"))
        if response.sw != SW_OK:
            unknown = end_application(f"gpo-refused-{response.sw:04X}")
            return _read(selection, _GPO_OUTCOMES.get(response.sw, unknown))
        answered = gpo_objects(response.data)
        if isinstance(answered, Refused):
            return _read(selection, end_application(answered.reason))
        return (yield from self._judge_answer(selection, request, ca_keys, sent, answered))

    def _judge_answer(
        self,
        selection: Selection,
        request: TapRequest,
        ca_keys: CaKeyStore,
        sent: Mapping[int, bytes],
        answered: tuple[Tlv, ...],
    ) -> Dialogue:
        card = collect(answered)
        if isinstance(card, Refused):
            return _read(selection, end_application(card.reason))
        kind = qpboc_cryptogram_type(card)
        missing = [tag for tag in _NEEDED if not card.get(tag)]
        if kind is None or missing:
            reason = f"data-missing-{missing[0]:X}" if missing else "no-cryptogram"
            return _read(selection, end_application(reason))
        if kind is CryptogramType.AAC:
            return _declined_by_card(_Tap(selection, request, {**card, **sent}, kind))
        records: Records | Refused = Records()
        if kind is CryptogramType.TC or (0x57 not in card and 0x94 in card):
            records = yield from read_records(card.get(0x94, b""))
        together = records if isinstance(records, Refused) else collect(answered, records.tlvs)
        if isinstance(together, Refused) or isinstance(records, Refused):
            reason = together.reason if isinstance(together, Refused) else ""
            return _read(selection, end_application(reason))
        tap = _Tap(
            selection, request, {**together, **sent}, kind
        )  # the terminal's own data are never the card's to say
        return _judge(tap, records, sent, ca_keys)


@dataclass(frozen=True, slots=True)
class _Tap:
    """One tap after its last command: everything both sides said."""

    selection: Selection
    request: TapRequest
    data: Mapping[int, bytes] = field(repr=False)
    kind: CryptogramType

    @property
    def ttq(self) -> bytes:
        return self.selection.prepared.ttq

    @property
    def qualifiers(self) -> bytes:
        return self.data.get(0x9F6C, b"")

    @property
    def can_go_online(self) -> bool:
        return self.request.online_possible and not has_bit(self.ttq, TTQ_OFFLINE_ONLY)


def _judge(tap: _Tap, records: Records, sent: Mapping[int, bytes], ca_keys: CaKeyStore) -> CardRead:
    number = card_number(tap.data)
    if isinstance(number, Refused):
        return _read(tap.selection, end_application(number.reason))
    cvm = verification_of(tap.ttq, tap.data, tap.kind)
    pan = number.pan.reveal().decode()
    if tap.kind is CryptogramType.ARQC:
        # Nothing is authenticated or restricted: the cryptogram covers a TVR of zeros, and the issuer looks itself.
        outcome = online_request(cvm) if cvm else declined("no-pin-pad")
        return replace(_result(tap, outcome, cvm), number=number)
    oda, tvr = _authenticate(tap, records, sent, ca_keys, pan)
    tvr = _restrict(tap, tvr, pan)
    outcome = _offline_outcome(tap, oda, tvr, cvm)
    if cvm is None:
        tvr = with_bit(tvr, TVR_CVM_FAILED)
    return replace(_result(tap, outcome, cvm), number=number, oda=oda, tvr=tvr)


def _declined_by_card(tap: _Tap) -> CardRead:
    number = card_number(tap.data)
    read = _result(tap, declined("card-declined"))
    return read if isinstance(number, Refused) else replace(read, number=number)


def _authenticate(
    tap: _Tap, records: Records, sent: Mapping[int, bytes], ca_keys: CaKeyStore, pan: str
) -> tuple[Oda, bytes]:
    if 0x9F4B not in tap.data and 0x9F46 not in tap.data:
        oda = Oda(OdaMethod.NONE, OdaVerdict.NOT_PERFORMED, "card-gives-no-signature")
        return oda, with_bit(bytes(5), TVR_ODA_NOT_PERFORMED)
    evidence = Evidence(
        rid=tap.selection.aid[:5],
        data=tap.data,
        pan=pan,
        static_data=static_data_of(records.authenticated, tap.data),
        date_yymmdd=tap.request.date_yymmdd,
    )
    oda = authenticate_fast(evidence, ca_keys, sent)
    return oda, bytes(5) if oda.verdict is OdaVerdict.PASSED else with_bit(bytes(5), TVR_DDA_FAILED)


def _restrict(tap: _Tap, tvr: bytes, pan: str) -> bytes:
    """Processing restrictions and the exception list (EMV Book 3, 10.4 and 10.6)."""
    today = _comparable(tap.request.date_yymmdd)
    expiry = tap.data.get(0x5F24, b"").hex()
    effective = tap.data.get(0x5F25, b"").hex()
    if not expiry.isdigit() or len(expiry) != 6 or _comparable(expiry) < today:
        tvr = with_bit(tvr, TVR_EXPIRED)
    if effective.isdigit() and len(effective) == 6 and _comparable(effective) > today:
        tvr = with_bit(tvr, TVR_NOT_YET_EFFECTIVE)
    if hashlib.sha256(pan.encode()).digest() in tap.request.exceptions:
        tvr = with_bit(tvr, TVR_ON_EXCEPTION_FILE)
    return tvr


def _offline_outcome(tap: _Tap, oda: Oda, tvr: bytes, cvm: Cvm | None) -> Outcome:
    """The card says TC. What may turn that down, hardest first; CTQ says where a soft failure may still go."""
    if has_bit(tap.ttq, TTQ_ONLINE_CRYPTOGRAM_REQUIRED):
        return declined("card-approved-what-must-go-online")
    if has_bit(tvr, TVR_ON_EXCEPTION_FILE):
        return declined("exception-list")
    if cvm is None:
        return declined("no-pin-pad")
    if oda.verdict is not OdaVerdict.PASSED:
        return _after_failed_authentication(tap, oda, cvm)
    if has_bit(tvr, TVR_EXPIRED):
        if has_bit(tap.qualifiers, CTQ_ONLINE_IF_EXPIRED) and tap.can_go_online:
            return online_request(cvm, "expired")
        return declined("expired", cvm)
    if has_bit(tvr, TVR_NOT_YET_EFFECTIVE):
        return declined("not-yet-effective", cvm)
    return approved(cvm)


def _after_failed_authentication(tap: _Tap, oda: Oda, cvm: Cvm) -> Outcome:
    reason = "no-ca-key" if oda.reason == "no-ca-key" else "oda-failed"
    if has_bit(tap.qualifiers, CTQ_ONLINE_IF_ODA_FAILS) and tap.can_go_online:
        return online_request(cvm, reason)
    if has_bit(tap.qualifiers, CTQ_SWITCH_IF_ODA_FAILS) and has_bit(tap.ttq, TTQ_CONTACT_CHIP):
        return try_another_interface(reason)
    return declined(reason, cvm)


def _result(tap: _Tap, outcome: Outcome, cvm: Cvm | None = None) -> CardRead:
    """The tap for the stages below. 95 stays what the card was told, because its cryptogram covers that value; the
    terminal's own findings are in `tvr`."""
    shown = {tag: value for tag, value in tap.data.items() if tag not in SENSITIVE_TAGS}
    shown.setdefault(0x84, tap.selection.aid)
    shown.setdefault(0x9F27, cryptogram_information(tap.kind))
    for tag in (0x50, 0x9F12, 0x9F11, 0x5F2D):
        if tag in tap.selection.fci:
            shown.setdefault(tag, tap.selection.fci[tag])
    shown[0x9F34] = CVM_RESULTS[cvm or Cvm.NONE]
    return replace(_read(tap.selection, outcome), data=shown, cryptogram_type=tap.kind)


def _read(selection: Selection, outcome: Outcome) -> CardRead:
    return CardRead(outcome, selection.aid, NAME, selection.label)


def _comparable(yymmdd: str) -> tuple[int, str]:
    return century_year(yymmdd[:2]), yymmdd[2:]
