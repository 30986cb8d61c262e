"""Mastercard's application: M/Chip contactless (EMV Book C-2), and its mag-stripe mode.

Comes in: GPO, EXCHANGE RELAY RESISTANCE DATA, GENERATE AC, RECOVER AC, COMPUTE CRYPTOGRAPHIC CHECKSUM. Goes out: what a
card answers, with a combined signature where it is asked for one.
Strategy: GENERATE AC decides, spends, and keeps its answer before it leaves, so that a card torn from the field can
give the same answer again. Where public sources say nothing the card does the simplest thing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from taphost.issuer import (
    dynamic_verification_code,
)
from taplab.card.application import Application, bcd
from taplab.card.certificates import signed_combined_data
from taplab.card.commands import (
    SW_CONDITIONS_NOT_SATISFIED,
    SW_OK,
    SW_WRONG_LENGTH,
    SW_WRONG_PARAMETERS,
    CardAnswer,
    Command,
)
from taplab.card.issuer_commands import issuer_is_authentic
from taplab.card.personalisation import Blocked, Decision, MChip
from taplab.card.risk_management import Spendable, amount_minor, funds_cover
from taptill.card.dol import MalformedDol, split_dol
from taptill.card.tlv import encode_tlv

RELAY_EXCHANGES_MAX = 3  # the first and two retries (EMV Book C-2, S R1)
DYNAMIC_NUMBER_OCTETS = 8
ENTROPY_OCTETS = 4
PIN_TRIES_LEFT = b"\x03"  # 9F17

# POS cardholder interaction information, DF4B: version, then what the phone wants or did.
_PIN_REQUIRED, _VERIFIED = bytes.fromhex("000100"), bytes.fromhex("001000")
_NO_SECOND_GENERATE_AC = 0x80  # CVR, bits 8 and 7
_CVR_AT, _CVR_SIGNED = 2, 0x40
_WANTS_SIGNATURE = 0x10  # P1 of GENERATE AC
_ASKED_FOR = {0x00: Decision.AAC, 0x40: Decision.TC, 0x80: Decision.ARQC}
_OFFLINE_ONLY_TERMINALS = frozenset({3, 6})  # 9F35, right digit
_CHECKSUM_PARAMETERS = b"\x8e\x80"


@dataclass(frozen=True, slots=True)
class _Tap:
    """What one selection has come to. `relayed` is what the signature adds after relay resistance; `covered` are the
    filled PDOL and CDOLs so far."""

    covered: bytes = b""
    relayed: bytes = b""
    relay_exchanges: int = 0
    first: Decision | None = None
    asked: Mapping[int, bytes] | None = None


class MastercardApplication(Application):
    """One M/Chip application."""

    @property
    def _mchip(self) -> MChip:
        assert self.issued.mchip is not None
        return self.issued.mchip

    def _begin(self) -> None:
        super()._begin()
        self._tap = _Tap()

    def _process(self, asked: Mapping[int, bytes], filled: bytes) -> CardAnswer:
        self._count()
        self._tap = _Tap(covered=filled)
        body = encode_tlv(0x82, self.issued.aip) + encode_tlv(0x94, self.issued.afl)
        return CardAnswer(encode_tlv(0x77, body) + SW_OK, self.issued.compute.select_ms)

    def _own(self, command: Command) -> CardAnswer:
        known = {
            b"\x80\xea": (self._exchange_relay, self._mchip.relay is not None),
            b"\x80\xae": (self._generate, not self._mchip.udol),
            b"\x80\xd0": (self._recover, self._mchip.recovers),
            b"\x80\x2a": (self._compute_checksum, bool(self._mchip.udol)),
        }
        answer, supported = known.get(command.name, (None, False))
        if answer is None or not supported:
            return command.unknown()
        return answer(command) if self._processed else CardAnswer(SW_CONDITIONS_NOT_SATISFIED)

    def _exchange_relay(self, command: Command) -> CardAnswer:
        relay, tap = self._mchip.relay, self._tap
        if relay is None or tap.first is not None or tap.relay_exchanges == RELAY_EXCHANGES_MAX:
            return CardAnswer(SW_CONDITIONS_NOT_SATISFIED)
        if len(command.data) != ENTROPY_OCTETS:
            return CardAnswer(SW_WRONG_LENGTH)
        times = (relay.min_100us, relay.max_100us, relay.response_100us)
        told = self._entropy.octets(ENTROPY_OCTETS) + b"".join(time.to_bytes(2, "big") for time in times)
        self._tap = replace(tap, relayed=command.data + told, relay_exchanges=tap.relay_exchanges + 1)
        return CardAnswer(encode_tlv(0x80, told) + SW_OK, relay.takes_ms)

    def _generate(self, command: Command) -> CardAnswer:
        """The first GENERATE AC, or after an ARQC the second one."""
        second = self._tap.first is not None
        if second and self._tap.first is not Decision.ARQC:
            return CardAnswer(SW_CONDITIONS_NOT_SATISFIED)
        requested = _ASKED_FOR.get(command.parameters[0] & 0xC0)
        if requested is None or command.parameters[1]:
            return CardAnswer(SW_WRONG_PARAMETERS)
        try:
            asked = split_dol(self._mchip.cdol2 if second else self._mchip.cdol1, command.data)
        except MalformedDol:
            return CardAnswer(SW_WRONG_LENGTH)
        signed = bool(command.parameters[0] & _WANTS_SIGNATURE) and self._mchip.signs
        self._tap = replace(self._tap, covered=self._tap.covered + command.data)
        return (
            self._generate_second(requested, asked, signed)
            if second
            else self._generate_first(requested, asked, signed)
        )

    def _generate_first(self, requested: Decision, asked: Mapping[int, bytes], signed: bool) -> CardAnswer:
        decision = self._forced(self._decide(requested, asked))
        cvr = _NO_SECOND_GENERATE_AC | decision.cvr_bits
        self._tap = replace(self._tap, first=decision, asked=asked)
        answer = self._cryptogram_answer(decision, cvr, asked, signed and decision is not Decision.AAC)
        spends_minor = min(amount_minor(asked), self.state.balance_minor) if decision is Decision.TC else 0
        kept = (asked.get(0x9F37, bytes(4)), answer.octets) if self._mchip.recovers else None
        self.change(replace(self.state, balance_minor=self.state.balance_minor - spends_minor, recoverable=kept))
        return answer

    def _generate_second(self, requested: Decision, asked: Mapping[int, bytes], signed: bool) -> CardAnswer:
        """TC only where the issuer's answer is authentic (EMV Book 3, 6.5.5)."""
        authentic = issuer_is_authentic(self.issued, self.state, asked.get(0x91, b""))
        decision = Decision.TC if requested is Decision.TC and authentic else Decision.AAC
        self._tap = replace(self._tap, first=decision)
        told = {**(self._tap.asked or {}), **asked}
        cvr = decision.value | Decision.ARQC.cvr_bits
        return self._cryptogram_answer(decision, cvr, told, signed and decision is Decision.TC)

    def _decide(self, requested: Decision, asked: Mapping[int, bytes]) -> Decision:
        blocked = self.state.blocked or self.issued.blocked is not Blocked.NO
        if blocked or requested is Decision.AAC or self._wants_holder(asked):
            self._verification_asked = not blocked and self._wants_holder(asked)
            return Decision.AAC
        if requested is Decision.ARQC:
            return Decision.ARQC
        funds = self.issued.funds
        if funds_cover(Spendable(self.state.balance_minor, funds.single_limit_minor, self.issued.currency), asked):
            return Decision.TC
        offline_only = asked.get(0x9F35, b"\x22")[-1] & 0x0F in _OFFLINE_ONLY_TERMINALS
        return Decision.AAC if offline_only else Decision.ARQC

    def _wants_holder(self, asked: Mapping[int, bytes]) -> bool:
        phone = self.issued.phone
        return phone is not None and amount_minor(asked) > phone.verifies_above_minor and not self._verified

    def _cryptogram_answer(
        self, decision: Decision, cvr_type: int, asked: Mapping[int, bytes], signed: bool
    ) -> CardAnswer:
        """Template 77 with the cryptogram, or with the signature that holds it (EMV Book C-2, GENERATE AC)."""
        compute = self.issued.compute
        template = self.issued.issuer_data
        cvr = bytes([cvr_type, _CVR_SIGNED if signed else 0]) + template[_CVR_AT + 2 : _CVR_AT + 6]
        issuer_data = template[:_CVR_AT] + cvr + template[_CVR_AT + 6 :]
        cryptogram = self._cryptogram(decision, issuer_data, asked)
        begin = encode_tlv(0x9F27, bytes([decision.value])) + encode_tlv(0x9F36, self.atc)
        end = encode_tlv(0x9F10, issuer_data) + self._interaction()
        if not signed:
            body = begin + encode_tlv(0x9F26, cryptogram) + end
            return CardAnswer(encode_tlv(0x77, body) + SW_OK, compute.decide_ms)
        signature = self._sign(decision, cryptogram, begin + end, asked)
        body = begin + encode_tlv(0x9F4B, signature) + end
        return CardAnswer(encode_tlv(0x77, body) + SW_OK, compute.decide_ms + compute.sign_ms)

    def _sign(self, decision: Decision, cryptogram: bytes, told: bytes, asked: Mapping[int, bytes]) -> bytes:
        terminal_data = asked.get(0x9F37, bytes(4))
        if self.issued.faults.wrong_signature:
            terminal_data = bytes(4)
        return signed_combined_data(
            self.issued.icc_key,
            self._entropy.octets(DYNAMIC_NUMBER_OCTETS),
            bytes([decision.value]) + cryptogram,
            self._tap.covered + told,
            terminal_data,
            self._tap.relayed,
        )

    def _interaction(self) -> bytes:
        """What a phone says to the cashier's display."""
        if self.issued.phone is None or not (self._verification_asked or self._verified):
            return b""
        return encode_tlv(0xDF4B, _PIN_REQUIRED if self._verification_asked else _VERIFIED)

    def _recover(self, command: Command) -> CardAnswer:
        """The answer of the last GENERATE AC again, for the terminal that asked for it (EMV Book C-2, RECOVER AC)."""
        kept = self.state.recoverable
        if kept is None or command.data != kept[0] or self._tap.first is not None:
            return CardAnswer(SW_CONDITIONS_NOT_SATISFIED)
        self._tap = replace(self._tap, first=Decision.AAC)
        return CardAnswer(kept[1], self.issued.compute.record_ms)

    def _compute_checksum(self, command: Command) -> CardAnswer:
        """EMV Book C-2, COMPUTE CRYPTOGRAPHIC CHECKSUM: the dynamic code of track 2."""
        if command.parameters != _CHECKSUM_PARAMETERS:
            return CardAnswer(SW_WRONG_PARAMETERS)
        try:
            asked = split_dol(self._mchip.udol, command.data)
        except MalformedDol:
            return CardAnswer(SW_WRONG_LENGTH)
        if self._tap.first is not None:
            return CardAnswer(SW_CONDITIONS_NOT_SATISFIED)
        self._tap = replace(self._tap, first=Decision.ARQC)
        self._verification_asked = self._wants_holder(asked)
        number = asked.get(0x9F6A, bytes(4))
        codes = b""
        if not self._verification_asked:
            codes = dynamic_verification_code(self.issued.keys.codes, self._mchip.track2_data, number, self.atc)
            codes = encode_tlv(0x9F61, codes)
        body = codes + encode_tlv(0x9F36, self.atc) + self._interaction()
        return CardAnswer(encode_tlv(0x77, body) + SW_OK, self.issued.compute.decide_ms)

    def _data_objects(self) -> dict[int, bytes]:
        balance = {0x9F50: bcd(self.state.balance_minor)} if self._mchip.reads_balance else {}
        return super()._data_objects() | {0x9F17: PIN_TRIES_LEFT} | balance
