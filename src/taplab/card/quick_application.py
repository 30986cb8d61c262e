"""The tap that qPBOC (UnionPay) and qVSDC (Visa) share: everything but the records comes with the answer to GPO.

Comes in: what the reader filled the PDOL with. Goes out: template 77 with cryptogram, and for an offline tap a
signature and where the records are.
Strategy: EMV Book C-3, 2.4 and PBOC 3.0 Part 12. Offline funds are spent when the last record is read: a card pulled
before that has paid nothing (cnblogs.com/iplus on JR/T 0025.12). A scheme names the order of the answer's data objects
and builds its own 9F10.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace

from taplab.card.application import BALANCE, CEILING, SINGLE_LIMIT, Application, Remember, bcd, spoilt
from taplab.card.card_state import CardState
from taplab.card.certificates import signed_dynamic_data
from taplab.card.commands import SW_OK, SW_SEE_PHONE, CardAnswer
from taplab.card.personalisation import Blocked, Decision, Issued, Locator
from taplab.card.risk_management import (
    CVM_REQUIRED,
    FDDA_VERSION_1,
    QUICK_SUPPORTED,
    SIGNS_ONLINE,
    TTQ,
    Spendable,
    amount_minor,
    decide,
    transaction_qualifiers,
    ttq_has,
)
from taptill.card.tlv import encode_tlv, parse_tlv, walk
from taptill.entropy import Entropy

AVAILABLE_SPENDING = 0x9F5D
AUTHENTICATION_DATA, SIGNATURE, FILE_LOCATOR = 0x9F69, 0x9F4B, 0x94
_AUTHENTICATION_DATA_VERSION = b"\x01"


@dataclass(frozen=True, slots=True)
class _Tap:
    """What one selection has come to."""

    spends_minor: int = 0
    in_last_record: bytes = b""  # data objects that join it


class QuickApplication(Application):
    """`answer_order`: the tags of the answer to GPO as this scheme's cards send them."""

    answer_order: tuple[int, ...] = ()

    def __init__(self, issued: Issued, state: CardState | None, entropy: Entropy, remember: Remember) -> None:
        super().__init__(issued, state, entropy, remember)
        records = [record for place, record in issued.records.items() if place in self._places]
        self._record_tags = {tlv.tag for record in records for tlv in walk(parse_tlv(record))}

    @abstractmethod
    def _issuer_data(self, decision: Decision, balance_minor: int) -> bytes:
        """9F10 of this transaction."""

    def _begin(self) -> None:
        super()._begin()
        self._tap = _Tap()

    def _may_process(self, asked: Mapping[int, bytes]) -> bool:
        """A reader that names its qualifiers has to know this kind of tap; one that was not asked may go on."""
        told = asked.get(TTQ)
        knows_us = told is None or (len(told) == 4 and ttq_has(asked, QUICK_SUPPORTED))
        return knows_us and not self.state.blocked

    def _process(self, asked: Mapping[int, bytes], filled: bytes) -> CardAnswer:
        compute = self.issued.compute
        if self._wants_holder(asked):
            self._verification_asked = True
            return CardAnswer(SW_SEE_PHONE, compute.select_ms)
        blocked = self.issued.blocked is not Blocked.NO
        decision = self._forced(decide(self._spendable(), blocked, asked))
        self._count()
        signs = self._signs(decision, asked)
        body = self._transaction(decision, asked, signs)
        return CardAnswer(encode_tlv(0x77, body) + SW_OK, compute.decide_ms + (compute.sign_ms if signs else 0))

    def _wants_holder(self, asked: Mapping[int, bytes]) -> bool:
        return self.issued.phone is not None and ttq_has(asked, CVM_REQUIRED) and not self._verified

    def _spendable(self) -> Spendable:
        single_limit_minor = self._limit_minor(SINGLE_LIMIT, self.issued.funds.single_limit_minor)
        return Spendable(self.state.balance_minor, single_limit_minor, self.issued.currency)

    def _signs(self, decision: Decision, asked: Mapping[int, bytes]) -> bool:
        online = decision is Decision.ARQC and self.issued.qvsdc.signs_online and ttq_has(asked, SIGNS_ONLINE)
        return decision is Decision.TC or online

    def _transaction(self, decision: Decision, asked: Mapping[int, bytes], signs: bool) -> bytes:
        """The data objects of the answer."""
        issued = self.issued
        qualifiers = transaction_qualifiers(issued.verification, asked)
        spends_minor = min(amount_minor(asked), self.state.balance_minor) if decision is Decision.TC else 0
        self._tap = _Tap(spends_minor)
        balance_minor = self.state.balance_minor - spends_minor
        issuer_data = self._issuer_data(decision, balance_minor)
        answer = {
            0x82: issued.aip,
            0x9F36: self.atc,
            0x57: issued.track2,
            0x9F10: issuer_data,
            0x9F26: self._cryptogram(decision, issuer_data, asked),
            0x5F34: issued.sequence_number,
            AVAILABLE_SPENDING: bcd(balance_minor),
        }
        answer |= {0x9F27: bytes([decision.value])} if issued.faults.tells_cryptogram_type else {}
        answer |= {0x9F6C: qualifiers} if not issued.faults.omits_qualifiers else {}
        answer |= {0x9F6E: issued.qvsdc.form_factor} if issued.qvsdc.form_factor else {}
        answer |= self._proof(asked, qualifiers) if signs else {}
        with_records = signs if issued.qvsdc.locator is Locator.OFFLINE else issued.qvsdc.locator is Locator.ALWAYS
        answer |= {FILE_LOCATOR: issued.afl} if with_records else {}
        # What a record brings is not given twice (EMV Book 3, 7.5: redundant data is an error).
        in_records = self._record_tags if with_records else set()
        return b"".join(encode_tlv(tag, answer[tag]) for tag in self.answer_order if tag in answer.keys() - in_records)

    def _proof(self, asked: Mapping[int, bytes], qualifiers: bytes) -> dict[int, bytes]:
        """fDDA: version 01 where the reader knows it, else 00, over the reader's number alone. 9F69 waits for the last
        record, and so does the signature where it has no room here."""
        terminal_data, late = asked.get(0x9F37, bytes(4)), b""
        if self.issued.fdda_version and ttq_has(asked, FDDA_VERSION_1):
            copied = b"" if self.issued.faults.omits_qualifiers else qualifiers
            copied = bytes(len(copied)) if self.issued.faults.qualifiers_differ else copied
            card_data = _AUTHENTICATION_DATA_VERSION + self._entropy.octets(4) + copied
            late = encode_tlv(AUTHENTICATION_DATA, card_data)
            terminal_data += asked.get(0x9F02, bytes(6)) + asked.get(0x5F2A, bytes(2)) + card_data
        if self.issued.faults.wrong_signature:
            terminal_data = spoilt(terminal_data)
        signature = signed_dynamic_data(self.issued.icc_key, self.atc, terminal_data)
        in_record = self.issued.qvsdc.signature_in_record
        late += encode_tlv(SIGNATURE, signature) if in_record else b""
        self._tap = replace(self._tap, in_last_record=late)
        return {} if in_record else {SIGNATURE: signature}

    def _record(self, place: tuple[int, int]) -> bytes | None:
        record = super()._record(place)
        if record is None or place != self._places[-1]:
            return record
        self._spend()
        if not self._tap.in_last_record:
            return record
        return encode_tlv(0x70, parse_tlv(record)[0].value + self._tap.in_last_record)

    def _spend(self) -> None:
        if self._tap.spends_minor:
            self.change(replace(self.state, balance_minor=self.state.balance_minor - self._tap.spends_minor))
            self._tap = replace(self._tap, spends_minor=0)

    def _data_objects(self) -> dict[int, bytes]:
        funds = self.issued.funds
        return super()._data_objects() | {
            CEILING: bcd(self._limit_minor(CEILING, funds.ceiling_minor)),
            SINGLE_LIMIT: bcd(self._limit_minor(SINGLE_LIMIT, funds.single_limit_minor)),
            BALANCE: bcd(self.state.balance_minor),
            AVAILABLE_SPENDING: bcd(self.state.balance_minor),
        }
