"""A UnionPay credit card made of software: command bytes in, answer bytes out.

Comes in: what the issuer wrote into the card, and commands. Goes out: the answers a qPBOC card gives, each with the
time a card's processor would take; whoever holds the card up to a reader lets that time pass.
Strategy: no I/O, and deterministic given its entropy. The counter goes to `remember` before the answer that uses it
leaves, so that no ATC comes twice. Offline funds are spent when the last record is read: a card pulled before that has
paid nothing (cnblogs.com/iplus on JR/T 0025.12).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from taphost.issuer import application_cryptogram, derive_session_key
from taplab.card.certificates import signed_dynamic_data
from taplab.card.personalisation import Blocked, Personalisation
from taplab.card.risk_management import (
    FDDA_VERSION_1,
    QPBOC_SUPPORTED,
    TTQ,
    Decision,
    amount_minor,
    decide,
    transaction_qualifiers,
    ttq_has,
)
from taptill.card.dol import MalformedDol, split_dol
from taptill.card.tlv import encode_tlv, parse_tlv, walk
from taptill.entropy import Entropy

PPSE_NAME = b"2PAY.SYS.DDF01"
ATC_MAX = 0xFFFF
RANDOM_UID_FIRST = b"\x08"  # ISO/IEC 14443-3, Table 8

SW_OK = b"\x90\x00"
SW_WRONG_LENGTH = b"\x67\x00"
SW_CONDITIONS_NOT_SATISFIED = b"\x69\x85"
SW_WRONG_DATA = b"\x6a\x80"
SW_FILE_NOT_FOUND = b"\x6a\x82"
SW_RECORD_NOT_FOUND = b"\x6a\x83"
SW_DATA_NOT_FOUND = b"\x6a\x88"
SW_INS_UNKNOWN = b"\x6d\x00"
SW_CLA_UNKNOWN = b"\x6e\x00"

_CRYPTOGRAM_TAGS = (0x9F02, 0x9F03, 0x9F1A, 0x95, 0x5F2A, 0x9A, 0x9C, 0x9F37)
_NO_SECOND_GENERATE_AC = 0x80  # CVR, bits 8 and 7: "second GENERATE AC not requested"
_AUTHENTICATION_DATA_VERSION = b"\x01"


@dataclass(frozen=True, slots=True)
class CardAnswer:
    """Response data with SW1 SW2, and how long the card needs before the first byte of it."""

    octets: bytes
    compute_ms: int = 0


@dataclass(frozen=True, slots=True)
class CardState:
    """What changes in a card's life: the last ATC used, and the offline balance in minor units."""

    atc: int = 0
    balance_minor: int = 0


@dataclass(frozen=True, slots=True)
class _Tap:
    """What one power-up has come to."""

    selected: bool = False
    processed: bool = False  # GPO is answered once per selection
    spends_minor: int = 0
    authentication_data: bytes = b""  # 9F69


def _keep_in_memory(state: CardState) -> None:
    """A card whose life ends with its process."""


class Card:
    """One card. `uid` is 4 bytes; `ats` as in ISO/IEC 14443-4, `atr` as a PC/SC reader makes it up from that."""

    def __init__(
        self,
        written: Personalisation,
        entropy: Entropy,
        state: CardState | None = None,
        remember: Callable[[CardState], None] = _keep_in_memory,
    ) -> None:
        self.label = written.label
        self.ats = written.ats
        self.atr = _atr_of(written.ats)
        self._written = written
        self._entropy = entropy
        self._state = state or CardState(balance_minor=written.funds.balance_minor)
        self._remember = remember
        self._records = {place: record for place, record in written.records.items() if place in _listed(written.afl)}
        self._last_record = _listed(written.afl)[-1]
        self._record_tags = {tlv.tag for record in self._records.values() for tlv in walk(parse_tlv(record))}
        self.reset()

    def reset(self) -> None:
        """The field went off and on: nothing is selected, nothing half done is kept, a random UID changes."""
        self._tap = _Tap()
        self.uid = self._written.uid or RANDOM_UID_FIRST + self._entropy.octets(3)

    def state(self) -> CardState:
        return self._state

    def answer(self, command: bytes) -> CardAnswer:
        """The answer to one APDU; malformed ones get their status word."""
        data = _data_of(command)
        if data is None:
            return CardAnswer(SW_WRONG_LENGTH)
        match command[:2]:
            case b"\x00\xa4":
                return CardAnswer(self._select(command[2:4], data), self._written.compute.select_ms)
            case b"\x80\xa8":
                return self._get_processing_options(command[2:4], data)
            case b"\x00\xb2":
                return CardAnswer(self._read_record(command[2], command[3]), self._written.compute.record_ms)
            case b"\x80\xca":
                return CardAnswer(self._get_data(command[2:4]), self._written.compute.record_ms)
        return CardAnswer(SW_INS_UNKNOWN if command[0] in (0x00, 0x80) else SW_CLA_UNKNOWN)

    def _select(self, parameters: bytes, name: bytes) -> bytes:
        """By name, first occurrence; a shorter name of at least five bytes selects too (EMV Book 1, 12.2.1)."""
        if parameters != b"\x04\x00":
            return SW_FILE_NOT_FOUND if parameters == b"\x04\x02" else SW_WRONG_DATA
        self._tap = _Tap()
        if name == PPSE_NAME:
            return self._written.ppse + SW_OK
        if len(name) < 5 or not self._written.aid.startswith(name):
            return SW_FILE_NOT_FOUND
        self._tap = _Tap(selected=True)
        return self._written.fci + SW_OK

    def _get_processing_options(self, parameters: bytes, data: bytes) -> CardAnswer:
        compute = self._written.compute
        if parameters != b"\x00\x00" or len(data) < 2 or data[0] != 0x83 or data[1] != len(data) - 2:
            return CardAnswer(SW_WRONG_DATA, compute.select_ms)
        try:
            asked = split_dol(self._written.pdol, data[2:])
        except MalformedDol:
            return CardAnswer(SW_WRONG_LENGTH, compute.select_ms)
        if not self._may_process(asked):
            return CardAnswer(SW_CONDITIONS_NOT_SATISFIED, compute.select_ms)
        decision = decide(self._written, self._state.balance_minor, asked)
        self._change_state(replace(self._state, atc=self._state.atc + 1))
        body = self._transaction(decision, asked)
        compute_ms = compute.decide_ms + (compute.sign_ms if decision is Decision.TC else 0)
        return CardAnswer(encode_tlv(0x77, body) + SW_OK, compute_ms)

    def _may_process(self, asked: dict[int, bytes]) -> bool:
        fresh = self._tap.selected and not self._tap.processed and self._state.atc < ATC_MAX
        knows_us = len(asked.get(TTQ, b"")) == 4 and ttq_has(asked, QPBOC_SUPPORTED)
        return fresh and knows_us and self._written.blocked is not Blocked.REFUSES

    def _transaction(self, decision: Decision, asked: dict[int, bytes]) -> bytes:
        """The data objects of the answer, in the order a recorded card gives them."""
        written, offline = self._written, decision is Decision.TC
        qualifiers = transaction_qualifiers(written.verification, asked)
        spends_minor = amount_minor(asked) if offline else 0
        self._tap = replace(self._tap, processed=True, spends_minor=spends_minor)
        balance = f"{self._state.balance_minor - spends_minor:012d}"
        issuer_data, cryptogram = self._cryptogram(decision, balance, asked)
        answer = {0x82: written.aip}
        if offline:
            answer[0x94] = written.afl
        answer |= {0x9F36: self._atc(), 0x57: written.track2, 0x9F10: issuer_data, 0x9F26: cryptogram}
        if written.tells_cryptogram_type:
            answer[0x9F27] = bytes([decision.value])
        answer[0x5F34] = written.sequence_number
        if offline:
            answer[0x9F4B] = self._sign(asked, qualifiers)
        answer |= {0x9F6C: qualifiers, 0x9F5D: bytes.fromhex(balance)}
        # What a record brings is not given twice (EMV Book 3, 7.5: redundant data is an error).
        in_records = self._record_tags if offline else set()
        return b"".join(encode_tlv(tag, value) for tag, value in answer.items() if tag not in in_records)

    def _cryptogram(self, decision: Decision, balance: str, asked: dict[int, bytes]) -> tuple[bytes, bytes]:
        """9F10 and 9F26. Which bytes the issuer's own MAC covers, ATC and balance, is our own reading."""
        session_key = derive_session_key(self._written.card_key, self._atc())
        template = self._written.issuer_data
        cvr = bytes([template[3], _NO_SECOND_GENERATE_AC | decision.cvr_bits]) + template[5:7]
        balance_octets = bytes.fromhex(balance)[-5:]
        mac = application_cryptogram(session_key, self._atc() + balance_octets)[:4]
        issuer_data = template[:3] + cvr + template[7:10] + balance_octets + mac
        told = b"".join(asked.get(tag, b"") for tag in _CRYPTOGRAM_TAGS)
        return issuer_data, application_cryptogram(session_key, told + self._written.aip + self._atc() + cvr)

    def _sign(self, asked: dict[int, bytes], qualifiers: bytes) -> bytes:
        """fDDA: version 01 where the reader knows it, else 00, over the reader's number alone. 9F69 waits for the last
        record."""
        terminal_data = asked[0x9F37]
        if ttq_has(asked, FDDA_VERSION_1):
            card_data = _AUTHENTICATION_DATA_VERSION + self._entropy.octets(4) + qualifiers
            self._tap = replace(self._tap, authentication_data=card_data)
            terminal_data += asked[0x9F02] + asked[0x5F2A] + card_data
        return signed_dynamic_data(self._written.icc_key, self._atc(), terminal_data)

    def _read_record(self, number: int, reference: int) -> bytes:
        place = (reference >> 3, number)
        if reference & 0x07 != 0x04:
            return SW_WRONG_DATA
        if not self._tap.selected:
            return SW_CONDITIONS_NOT_SATISFIED
        record = self._records.get(place)
        if record is None:
            return SW_RECORD_NOT_FOUND
        if place == self._last_record:
            self._spend()
            if self._tap.authentication_data:
                body = parse_tlv(record)[0].value
                record = encode_tlv(0x70, body + encode_tlv(0x9F69, self._tap.authentication_data))
        return record + SW_OK

    def _spend(self) -> None:
        if self._tap.spends_minor:
            left = self._state.balance_minor - self._tap.spends_minor
            self._change_state(replace(self._state, balance_minor=left))
            self._tap = replace(self._tap, spends_minor=0)

    def _get_data(self, tag: bytes) -> bytes:
        if not self._tap.selected:
            return SW_CONDITIONS_NOT_SATISFIED
        funds = self._written.funds
        told = {
            b"\x9f\x36": self._atc(),
            b"\x9f\x77": _bcd(funds.ceiling_minor),
            b"\x9f\x78": _bcd(funds.single_limit_minor),
            b"\x9f\x79": _bcd(self._state.balance_minor),
            b"\x9f\x5d": _bcd(self._state.balance_minor),
        }
        return encode_tlv(int.from_bytes(tag, "big"), told[tag]) + SW_OK if tag in told else SW_DATA_NOT_FOUND

    def _change_state(self, state: CardState) -> None:
        self._remember(state)
        self._state = state

    def _atc(self) -> bytes:
        return self._state.atc.to_bytes(2, "big")


def _listed(afl: bytes) -> list[tuple[int, int]]:
    """(SFI, record) of an AFL in reading order (EMV Book 3, 10.2)."""
    entries = [afl[at : at + 4] for at in range(0, len(afl), 4)]
    return [(entry[0] >> 3, number) for entry in entries for number in range(entry[1], entry[2] + 1)]


def _data_of(command: bytes) -> bytes | None:
    """The data field of a short APDU (ISO/IEC 7816-3, 12.1.3), None where the lengths disagree."""
    body = command[4:]
    if len(command) < 4:
        return None
    if len(body) <= 1:
        return b""
    stop = 1 + body[0]
    return body[1:stop] if body[0] and len(body) in (stop, stop + 1) else None


def _bcd(minor: int) -> bytes:
    return bytes.fromhex(f"{minor:012d}")


def _atr_of(ats: bytes) -> bytes:
    """PC/SC Part 3, 3.1.3.2.3.1: 3B, 80 and the count, 80 01, historical bytes of the ATS, check byte."""
    interface_octets = sum(1 for bit in (0x10, 0x20, 0x40) if ats[1] & bit)
    historical = ats[2 + interface_octets :]
    checked = bytes([0x80 | len(historical), 0x80, 0x01]) + historical
    check = 0
    for octet in checked:
        check ^= octet
    return b"\x3b" + checked + bytes([check])
