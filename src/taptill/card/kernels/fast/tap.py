"""What the fast kernels share: one GET PROCESSING OPTIONS that brings the cryptogram, records where they are needed.

Comes in: the selected application, the sale, and what the terminal says of itself. Goes out: a `FastTap`, everything
both sides said, or the outcome the exchange ended with; and the `CardRead` made of it.
Strategy: nothing is judged before the last command has been answered. What the terminal said is never the card's to
say: its values win over the card's under the same tag.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace

from taptill.card.apdu import SW_OK, CommandApdu, ResponseApdu
from taptill.card.bits import has_bit
from taptill.card.dialogue import Selection
from taptill.card.dol import asks_for, fill_dol
from taptill.card.outcome import CardNumber, CardRead, CryptogramType, Cvm, Outcome
from taptill.card.outcomes import declined, end_application, see_phone, select_next, try_another_interface
from taptill.card.parameters import TapRequest
from taptill.card.payment_data import (
    card_number,
    cryptogram_information,
    cryptogram_type,
    get_processing_options,
    gpo_objects,
    shown,
    wrong_form,
)
from taptill.card.records import Records, collect, read_records
from taptill.card.refused import Refused
from taptill.card.rules.cvm_codes import RESULTS_BY_QUALIFIERS
from taptill.card.ttq import TTQ_CONTACT_CHIP, TTQ_OFFLINE_ONLY

# EMV Book C-3, 5.2.2.2. That UnionPay cards mean the same by 6984 and 6985 is our own reading of PBOC 3.0 part 12.
_GPO_OUTCOMES = {
    0x6984: try_another_interface("card-wants-another-interface"),
    0x6985: select_next("card-refused"),
    0x6986: see_phone("card-wants-its-owner"),
}
_CVR_CRYPTOGRAMS = {0x00: CryptogramType.AAC, 0x10: CryptogramType.TC, 0x20: CryptogramType.ARQC}
_CVR_LENGTH, _CVR_OCTET = 3, 4  # 9F10: length, key index, cryptogram version, CVR length, the CVR's second octet
_CVR_OCTETS = 3
_FROM_FCI = (0x50, 0x9F12, 0x9F11, 0x5F2D)
_NEEDED = (0x82, 0x9F36, 0x9F26, 0x9F10)
_BALANCE_OCTETS = 6

ReadsRecords = Callable[[Mapping[int, bytes]], bool]


@dataclass(frozen=True, slots=True)
class FastTap:
    """One tap after its last command. `sent` is what the terminal said of itself, `data` all that both sides said."""

    kernel: str
    selection: Selection
    request: TapRequest
    kind: CryptogramType
    sent: Mapping[int, bytes] = field(repr=False)
    data: Mapping[int, bytes] = field(repr=False)
    records: Records = field(default=Records(), repr=False)

    @property
    def ttq(self) -> bytes:
        """9F66 as the card was told it."""
        return self.sent.get(0x9F66, b"")

    @property
    def qualifiers(self) -> bytes:
        """9F6C, empty when the card gives none."""
        return self.data.get(0x9F6C, b"")

    @property
    def can_go_online(self) -> bool:
        return self.request.online_possible and not has_bit(self.ttq, TTQ_OFFLINE_ONLY)

    @property
    def number(self) -> CardNumber | Refused:
        """The card's number, or why the card has none."""
        return card_number(self.data)


def asks_for_qualifiers(pdol: bytes) -> bool:
    """Whether the card wants the TTQ; one that does not is no fast card."""
    return asks_for(pdol, 0x9F66)


def exchange(
    kernel: str, selection: Selection, request: TapRequest, sent: Mapping[int, bytes], reads_records: ReadsRecords
) -> Generator[CommandApdu, ResponseApdu, FastTap | Outcome]:
    """From GPO to the last record. `reads_records` decides on the answer to GPO. Raises MalformedTlv, MalformedDol,
    MalformedApdu."""
    response = yield get_processing_options(fill_dol(selection.fci.get(0x9F38, b""), sent, where="PDOL"))
    if response.sw != SW_OK:
        return _GPO_OUTCOMES.get(response.sw, end_application(f"gpo-refused-{response.sw:04X}"))
    answered = gpo_objects(response.data)
    card = answered if isinstance(answered, Refused) else collect(answered)
    if isinstance(answered, Refused) or isinstance(card, Refused):
        return end_application(_reason_of(answered, card))
    records: Records | Refused = Records()
    if given_cryptogram(card) is not CryptogramType.AAC and reads_records(card):
        records = yield from read_records(card.get(0x94, b""))
    together = records if isinstance(records, Refused) else collect(answered, records.tlvs)
    if isinstance(records, Refused) or isinstance(together, Refused):
        return end_application(_reason_of(records, together))
    refused = wrong_form(together) or _contradiction(together)
    if refused is not None:
        return end_application(refused.reason)
    kind = given_cryptogram(together)
    if kind is None or any(not together.get(tag) for tag in _NEEDED):
        return _no_fast_card(together, sent)
    return FastTap(kernel, selection, request, kind, sent, {**together, **sent}, records)


def given_cryptogram(data: Mapping[int, bytes]) -> CryptogramType | None:
    """From 9F27, else from the CVR in 9F10, bits 6 and 5 of its fifth octet (EMV Book C-3, 5.4.3.1; UnionPay cards
    leave 9F27 out as well); None when neither tells."""
    if data.get(0x9F27):
        return cryptogram_type(data[0x9F27])
    return _by_results(data.get(0x9F10, b""))


def _by_results(application_data: bytes) -> CryptogramType | None:
    """What the CVR says; None for another format of 9F10 than the one with a CVR of three octets."""
    if len(application_data) <= _CVR_OCTET or application_data[_CVR_LENGTH] != _CVR_OCTETS:
        return None
    return _CVR_CRYPTOGRAMS.get(application_data[_CVR_OCTET] & 0x30)


def _contradiction(data: Mapping[int, bytes]) -> Refused | None:
    """An approval that 9F27 claims and the CVR does not know. 9F27 stands outside signature and cryptogram, the CVR in
    the cryptogram at least."""
    by_results = _by_results(data.get(0x9F10, b""))
    claimed = cryptogram_type(data.get(0x9F27)) is CryptogramType.TC
    return Refused("card-data-malformed") if claimed and by_results not in (None, CryptogramType.TC) else None


def _no_fast_card(card: Mapping[int, bytes], sent: Mapping[int, bytes]) -> Outcome:
    """Without its cryptogram the card wants a full transaction, which only a contact reader leads here."""
    missing = [tag for tag in _NEEDED if not card.get(tag)]
    reason = f"data-missing-{missing[0]:X}" if missing else "no-cryptogram"
    contact = has_bit(sent.get(0x9F66, b""), TTQ_CONTACT_CHIP)
    return try_another_interface(reason) if contact else end_application(reason)


def _reason_of(*parts: object) -> str:
    return next((part.reason for part in parts if isinstance(part, Refused)), "")


def ended(kernel: str, selection: Selection, outcome: Outcome) -> CardRead:
    """A tap that ended before the card had given what a sale needs."""
    return CardRead(outcome, selection.aid, kernel, selection.label)


def judged(tap: FastTap, outcome: Outcome, cvm: Cvm | Refused = Cvm.NONE) -> CardRead:
    """The tap for the stages below. 95 stays what the card was told, because its cryptogram covers that value; the
    terminal's own findings go into `tvr`."""
    data = shown(tap.sent, tap.data, tap.selection.aid)
    data[0x9F27] = data.get(0x9F27) or cryptogram_information(tap.kind)
    for tag in _FROM_FCI:
        if tag in tap.selection.fci:
            data.setdefault(tag, tap.selection.fci[tag])
    data[0x9F34] = RESULTS_BY_QUALIFIERS[Cvm.NONE if isinstance(cvm, Refused) else cvm]
    number = tap.number
    read = ended(tap.kernel, tap.selection, with_balance(outcome, tap))
    return replace(
        read,
        data=data,
        cryptogram_type=tap.kind,
        number=None if isinstance(number, Refused) else number,
    )


def declined_by_card(tap: FastTap) -> CardRead:
    """The card gave an AAC."""
    return judged(tap, declined("card-declined"))


def with_balance(outcome: Outcome, tap: FastTap) -> Outcome:
    """EMV Book C-3, 4.3.1.1: a card that tells what may still be spent offline (9F5D) wants it shown."""
    digits = tap.data.get(0x9F5D, b"").hex()
    if len(digits) != 2 * _BALANCE_OCTETS or not digits.isdigit() or outcome.ui_on_outcome is None:
        return outcome
    ui = replace(
        outcome.ui_on_outcome,
        value_qualifier="balance",
        value_minor=int(digits),
        currency=tap.request.amount.currency.number,
    )
    return replace(outcome, ui_on_outcome=ui)
