"""What every application of a card does alike: selection, records, data objects, GPO's frame, its life.

Comes in: commands, once the card has selected it. Goes out: answers.
Strategy: the schemes differ in what GPO and their own commands do; they fill in `_process` and `_own`. The counter goes
to `remember` before the answer that uses it leaves, so that no ATC comes twice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace

from taphost.issuer import CRYPTOGRAM_DATA, application_cryptogram, cryptogram_input
from taphost.issuer_versions import version_of
from taplab.card.card_state import CardState
from taplab.card.commands import (
    SW_BLOCKED,
    SW_CONDITIONS_NOT_SATISFIED,
    SW_DATA_NOT_FOUND,
    SW_OK,
    SW_RECORD_NOT_FOUND,
    SW_WRONG_DATA,
    SW_WRONG_LENGTH,
    CardAnswer,
    Command,
)
from taplab.card.issuer_commands import answer_issuer
from taplab.card.personalisation import Blocked, Decision, Issued
from taptill.card.dol import MalformedDol, split_dol
from taptill.card.tlv import encode_tlv
from taptill.entropy import Entropy

ATC_MAX = 0xFFFF
ATC, BALANCE, SINGLE_LIMIT, CEILING = 0x9F36, 0x9F79, 0x9F78, 0x9F77

Remember = Callable[[CardState], None]


class Application(ABC):
    """One application in its card. `select` begins a transaction, `field_off` ends whatever was begun."""

    def __init__(self, issued: Issued, state: CardState | None, entropy: Entropy, remember: Remember) -> None:
        self.issued = issued
        self.state = state or CardState(balance_minor=issued.funds.balance_minor)
        self._entropy = entropy
        self._remember = remember
        self._places = listed(issued.afl)
        self._processed = False  # GPO is answered once per selection
        self._verification_asked = False  # a phone that told its holder to look at it
        self._verified = False
        self._begin()

    def select(self) -> CardAnswer:
        self._begin()
        status = SW_BLOCKED if self.state.blocked else SW_OK
        return CardAnswer(self.issued.fci + status, self.issued.compute.select_ms)

    def field_off(self) -> None:
        """A phone's holder who was asked to verify has done so by the next tap, for one transaction: a field that a
        reader only switched off and on again has used nothing up."""
        if self._verification_asked or self._processed:
            self._verified, self._verification_asked = self._verification_asked, False
        self._begin()

    def answer(self, command: Command) -> CardAnswer:
        compute = self.issued.compute
        match command.name:
            case b"\x80\xa8":
                return self._get_processing_options(command)
            case b"\x00\xb2":
                return CardAnswer(self._read_record(*command.parameters), compute.record_ms)
            case b"\x80\xca":
                return CardAnswer(self._get_data(command.parameters), compute.record_ms)
        issuer = answer_issuer(command, self.issued, self.state)
        if issuer is not None:
            self.change(issuer.state)
            return CardAnswer(issuer.status, compute.decide_ms)
        return self._own(command)

    def change(self, state: CardState) -> None:
        """Kept first, then true."""
        if state != self.state:
            self._remember(state)
            self.state = state

    @property
    def atc(self) -> bytes:
        return self.state.atc.to_bytes(2, "big")

    @abstractmethod
    def _process(self, asked: Mapping[int, bytes], filled: bytes) -> CardAnswer:
        """GPO with what the reader filled the PDOL with."""

    def _own(self, command: Command) -> CardAnswer:
        """A command that only this scheme knows."""
        return command.unknown()

    def _may_process(self, asked: Mapping[int, bytes]) -> bool:
        """Whether the scheme lets this transaction begin."""
        return True

    def _begin(self) -> None:
        self._processed = False

    def _get_processing_options(self, command: Command) -> CardAnswer:
        compute, data = self.issued.compute, command.data
        if command.parameters != b"\x00\x00" or len(data) < 2 or data[0] != 0x83 or data[1] != len(data) - 2:
            return CardAnswer(SW_WRONG_DATA, compute.select_ms)
        try:
            asked = split_dol(self.issued.pdol, data[2:])
        except MalformedDol:
            return CardAnswer(SW_WRONG_LENGTH, compute.select_ms)
        if self.issued.faults.processing_status:
            return CardAnswer(self.issued.faults.processing_status, compute.select_ms)
        fresh = not self._processed and self.state.atc < ATC_MAX
        if not fresh or self.issued.blocked is Blocked.REFUSES or not self._may_process(asked):
            return CardAnswer(SW_CONDITIONS_NOT_SATISFIED, compute.select_ms)
        return self._process(asked, data[2:])

    def _count(self) -> None:
        """A transaction begins: the next ATC."""
        self._processed = True
        self.change(replace(self.state, atc=self.state.atc + 1))

    def _cryptogram(self, decision: Decision, issuer_data: bytes, asked: Mapping[int, bytes]) -> bytes:
        """9F26. What the card's list (PDOL, CDOL1) did not ask for counts as zeros."""
        version = version_of(issuer_data)
        assert version is not None
        told = {tag: asked.get(tag, b"").ljust(length, b"\x00") for tag, length in CRYPTOGRAM_DATA}
        told |= {0x82: self.issued.aip, 0x9F36: self.atc, 0x9F10: issuer_data}
        key = version.session_key(self.issued.keys.cryptogram, told)
        cryptogram = application_cryptogram(key, cryptogram_input(told), version.padding)
        if decision is Decision.ARQC:
            self._asks_issuer(cryptogram)
        return spoilt(cryptogram) if self.issued.faults.wrong_cryptogram else cryptogram

    def _asks_issuer(self, cryptogram: bytes) -> None:
        """What the issuer's answer will refer to."""
        self.change(replace(self.state, request_atc=self.state.atc, request=cryptogram, scripts_seen=0))

    def _read_record(self, number: int, reference: int) -> bytes:
        place = (reference >> 3, number)
        if reference & 0x07 != 0x04:
            return SW_WRONG_DATA
        record = self._record(place) if place in self._places else None
        return record + SW_OK if record is not None else SW_RECORD_NOT_FOUND

    def _record(self, place: tuple[int, int]) -> bytes | None:
        return self.state.records.get(place, self.issued.records.get(place))

    def _get_data(self, tag: bytes) -> bytes:
        number = int.from_bytes(tag, "big")
        told = self._data_objects()
        return encode_tlv(number, told[number]) + SW_OK if number in told else SW_DATA_NOT_FOUND

    def _data_objects(self) -> dict[int, bytes]:
        """What GET DATA gives."""
        return {ATC: self.atc}

    def _limit_minor(self, tag: int, written_minor: int) -> int:
        """An amount as issued, or as the issuer changed it since."""
        changed = self.state.objects.get(tag)
        return int(changed.hex()) if changed else written_minor

    def _forced(self, decision: Decision) -> Decision:
        """What the card says that would decide this by itself."""
        return self.issued.faults.decides or decision


def listed(afl: bytes) -> list[tuple[int, int]]:
    """(SFI, record) of an AFL in reading order (EMV Book 3, 10.2)."""
    entries = [afl[at : at + 4] for at in range(0, len(afl), 4)]
    return [(entry[0] >> 3, number) for entry in entries for number in range(entry[1], entry[2] + 1)]


def bcd(minor: int) -> bytes:
    """An amount in six bytes."""
    return bytes.fromhex(f"{minor:012d}")


def spoilt(octets: bytes) -> bytes:
    """One bit of the first byte turned."""
    return bytes([octets[0] ^ 0x01]) + octets[1:]
