"""A Visa card for tests: it answers qVSDC as it is told to, with certificates made for the run.

Comes in: what the card shall say, tag by tag, and how it shall misbehave. Goes out: an answer per command, and the CA
key store under which its certificates stand.
Strategy: signing is the lab's; which bytes a signature covers and which tags go where is spelled out here again, from
EMV Book C-3, so that kernel and card do not share a mistake.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from taplab.card.certificates import icc_certificate, issuer_certificate, signed_dynamic_data
from taplab.card.rsa_key import RsaKey
from taptill.card.dol import split_dol
from taptill.card.proof.ca_keys import CaKey, CaKeyStore, ca_key_checksum
from taptill.card.tlv import encode_tlv, find, parse_tlv

PAN = "4761739001010010"
VISA = bytes.fromhex("A0000000031010")
US_DEBIT = bytes.fromhex("A0000000980840")
CA_INDEX = 0xF1
PDOL = bytes.fromhex("9F66049F02069F03069F1A0295055F2A029A039C019F3704")
SERIAL = bytes.fromhex("000001")
CVR = {"AAC": "80", "TC": "90", "ARQC": "A0"}  # second octet; bits 6 and 5 are the cryptogram's type
CARD_NUMBER = bytes.fromhex("11223344")


@lru_cache
def keys() -> tuple[RsaKey, RsaKey, RsaKey]:
    """CA, issuer, card."""
    return RsaKey.generate(1152, 3), RsaKey.generate(1024, 3), RsaKey.generate(1024, 3)


def visa_keys(rid: bytes = VISA[:5]) -> CaKeyStore:
    """The CA key of these cards under the RID."""
    ca, _, _ = keys()
    checksum = ca_key_checksum(rid, CA_INDEX, ca.modulus, ca.exponent)
    return CaKeyStore.of([CaKey(rid, CA_INDEX, ca.modulus, ca.exponent, checksum, test=True)])


@dataclass
class VisaCard:
    """`ctq`, `iad` and `fdda` (version; None: no signature) shape the answer to GPO; `changes` replaces or, with None,
    removes data objects of it, `record` those of the records."""

    gives: str = "ARQC"
    ctq: str | None = "0000"
    fdda: int | None = None
    copied_ctq: str | None = None  # in 9F69; None: the CTQ itself
    aid: bytes = VISA
    pdol: bytes = PDOL
    programme: str = ""
    options_sw: str = "9000"
    spoilt: bool = False
    changes: dict[int, str | None] = field(default_factory=dict)
    record: dict[int, str | None] = field(default_factory=dict)
    written: tuple[bytes, ...] = ()  # the records, once they have been signed

    def __call__(self, command: bytes) -> bytes:
        if command[1] == 0xA4:
            return (self._directory() if b"2PAY" in command else self._fci()) + b"\x90\x00"
        if command[1] == 0xA8:
            answer = self._options(command[5:-1]) if self.options_sw == "9000" else b""
            return answer + bytes.fromhex(self.options_sw)
        if command[1] == 0xB2 and command[3] >> 3 == 1:
            self.written = self.written or self.records()
            return self.written[command[2] - 1] + b"\x90\x00"
        return b"\x6d\x00"

    def _directory(self) -> bytes:
        entry = encode_tlv(0x61, encode_tlv(0x4F, self.aid) + encode_tlv(0x87, b"\x01"))
        return _fci_of(b"2PAY.SYS.DDF01", encode_tlv(0xBF0C, entry))

    def _fci(self) -> bytes:
        programme = encode_tlv(0xBF0C, encode_tlv(0x9F5A, bytes.fromhex(self.programme))) if self.programme else b""
        return _fci_of(self.aid, encode_tlv(0x50, b"VISA") + encode_tlv(0x9F38, self.pdol) + programme)

    def _options(self, data: bytes) -> bytes:
        sent = split_dol(self.pdol, find(parse_tlv(data), 0x83) or b"")
        counter = b"\x00\x01"
        objects: dict[int, str | None] = {
            0x82: "2020" if self.fdda is not None else "0000",
            0x9F36: counter.hex(),
            0x57: f"{PAN}D391220111438825820F",
            0x9F10: "06011103" + CVR[self.gives] + "0000",
            0x9F26: "20261203C3227D26",
            0x5F34: "01",
            0x9F6C: self.ctq,
        }
        if self.fdda is not None:
            objects[0x94] = "08010301"
            covered = sent[0x9F37]
            if self.fdda == 1:
                covered += sent[0x9F02] + sent[0x5F2A] + self._related()
            _, _, card = keys()
            objects[0x9F4B] = signed_dynamic_data(card, counter, covered + (b"?" if self.spoilt else b"")).hex()
        return encode_tlv(0x77, _objects(objects | self.changes))

    def _related(self) -> bytes:
        return b"\x01" + CARD_NUMBER + bytes.fromhex(self.copied_ctq or self.ctq or "0000")

    def records(self) -> tuple[bytes, bytes, bytes]:
        """The signed one, the certificates, and what may come last."""
        ca, issuer, card = keys()
        said: dict[int, str | None] = {0x5A: PAN, 0x5F24: "391231", 0x5F28: "0840", 0x9F07: "FFC0"}
        static = _objects(said | self.record)
        above = issuer_certificate(ca, issuer, PAN[:8], "1239", SERIAL)
        own = icc_certificate(issuer, card, PAN, "1239", SERIAL, static)
        middle = (
            encode_tlv(0x8F, bytes([CA_INDEX])) + encode_tlv(0x90, above.signed) + encode_tlv(0x9F32, above.exponent)
        )
        middle += encode_tlv(0x92, above.remainder) if above.remainder else b""
        last = encode_tlv(0x9F46, own.signed) + encode_tlv(0x9F47, own.exponent)
        last += encode_tlv(0x9F48, own.remainder) if own.remainder else b""
        last += encode_tlv(0x9F69, self._related()) if self.fdda == 1 else b""
        return encode_tlv(0x70, static), encode_tlv(0x70, middle), encode_tlv(0x70, last)


def _objects(objects: dict[int, str | None]) -> bytes:
    return b"".join(encode_tlv(tag, bytes.fromhex(value)) for tag, value in objects.items() if value is not None)


def _fci_of(name: bytes, proprietary: bytes) -> bytes:
    return encode_tlv(0x6F, encode_tlv(0x84, name) + encode_tlv(0xA5, proprietary))
