"""A Mastercard card for tests: it answers M/Chip as it is told to, with certificates made for the run.

Comes in: what the card shall say, tag by tag, and how it shall misbehave. Goes out: an answer per command with the time
it took, and the CA key store under which its certificates stand.
Strategy: certificates are the lab's; the dynamic signature, and what it covers, is spelled out here again from EMV Book
2, Table 18 and EMV Book C-2, Table 6.8, so that kernel and lab card do not share a mistake.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache

from taplab.card.certificates import Certificate, icc_certificate, issuer_certificate
from taplab.card.rsa_key import RsaKey
from taptill.card.apdu import split_command
from taptill.card.dol import split_dol
from taptill.card.proof.ca_keys import CaKey, CaKeyStore, ca_key_checksum
from taptill.card.reader import CardLost
from taptill.card.tlv import encode_tag, encode_tlv, find, parse_tlv

PAN = "5413339000001513"
MASTERCARD = bytes.fromhex("A0000000041010")
CA_INDEX = 0xF3
CDOL1 = "9F02069F03069F1A0295055F2A029A039C019F37049F35019F45029F4C089F3403"
CRYPTOGRAM = bytes.fromhex("1122334455667788")
COUNTER = bytes.fromhex("0102")
ENTROPY = bytes.fromhex("C0FFEE05")
SERIAL = bytes.fromhex("000001")
CID = {"AAC": 0x00, "TC": 0x40, "ARQC": 0x80}

SELECT, OPTIONS, RECORD, GENERATE, RECOVER, RELAY, GET_DATA, CHECKSUM = 0xA4, 0xA8, 0xB2, 0xAE, 0xD0, 0xEA, 0xCA, 0x2A
TIME_US = 1000


@lru_cache
def keys() -> tuple[RsaKey, RsaKey, RsaKey]:
    """CA, issuer, card."""
    return RsaKey.generate(1152, 3), RsaKey.generate(1024, 3), RsaKey.generate(1024, 3)


def mastercard_keys() -> CaKeyStore:
    """The CA key of these cards."""
    ca, _, _ = keys()
    rid = MASTERCARD[:5]
    checksum = ca_key_checksum(rid, CA_INDEX, ca.modulus, ca.exponent)
    return CaKeyStore.of([CaKey(rid, CA_INDEX, ca.modulus, ca.exponent, checksum, test=True)])


@lru_cache
def certificates(static_data: bytes) -> tuple[Certificate, Certificate]:
    """The issuer's and the card's."""
    ca, issuer, card = keys()
    above = issuer_certificate(ca, issuer, PAN[:8], "1239", SERIAL)
    return above, icc_certificate(issuer, card, PAN, "1239", SERIAL, static_data)


@dataclass
class MchipCard:
    """`gives` None: what it is asked for. `changes` replaces or, with None, removes data objects of the records,
    `answers` those of GENERATE AC, whose lengths have an octet more than need be where they are `long_lengths`; `relay`
    is minimum, maximum and estimated time, `relay_us` the time of each exchange in turn; `leaves_at` the instructions
    at which the card leaves the field, once each."""

    gives: str | None = None
    aip: str = "1980"
    afl: str = "08010301"
    aid: bytes = MASTERCARD
    fci: dict[int, str | None] = field(default_factory=dict)
    pdol: str = ""
    changes: dict[int, str | None] = field(default_factory=dict)
    answers: dict[int, str | None] = field(default_factory=dict)
    format_1: bool = False
    long_lengths: bool = False
    spoilt: bool = False
    relay: tuple[int, int, int] = (2, 60, 24)
    relay_us: tuple[int, ...] = (6_000,)
    relay_signed: bytes | None = None
    refuses: dict[int, str] = field(default_factory=dict)
    leaves_at: list[int] = field(default_factory=list)
    data: dict[int, str] = field(default_factory=dict)
    torn: bytes | None = None
    sent: dict[int, bytes] = field(default_factory=dict)
    commands: list[bytes] = field(default_factory=list)
    _pdol_values: bytes = b""
    _relay_told: bytes = b""

    def __call__(self, octets: bytes) -> tuple[bytes, int]:
        self.commands.append(octets)
        command = split_command(octets)
        lost = command.ins in self.leaves_at
        if lost:
            self.leaves_at.remove(command.ins)
        if command.ins in self.refuses and not lost:
            return bytes.fromhex(self.refuses[command.ins]), TIME_US
        answer = self._answer(command.ins, command.p1, command.p2, command.data)
        if lost:
            raise CardLost("it left", where="test card")
        time_us = TIME_US
        if command.ins == RELAY:
            asked = sum(1 for each in self.commands if each[1] == RELAY)
            time_us = self.relay_us[min(asked, len(self.relay_us)) - 1]
        return answer, time_us

    def asked(self, ins: int) -> list[bytes]:
        """The commands with this instruction, in order."""
        return [command for command in self.commands if command[1] == ins]

    def _answer(self, ins: int, p1: int, p2: int, data: bytes) -> bytes:
        if ins == SELECT:
            return (self._directory() if b"2PAY" in data else self._selected()) + b"\x90\x00"
        if ins == OPTIONS:
            self._pdol_values = find(parse_tlv(data), 0x83) or b""
            said = encode_tlv(0x82, bytes.fromhex(self.aip)) + encode_tlv(0x94, bytes.fromhex(self.afl))
            return encode_tlv(0x77, said) + b"\x90\x00"
        if ins == RECORD:
            return self.records()[p1 - 1] + b"\x90\x00" if p2 >> 3 == 1 and p1 <= 3 else b"\x6a\x83"
        if ins == GENERATE:
            return self._generate(p1, data)
        if ins == RECOVER:
            return self.torn + b"\x90\x00" if self.torn else b"\x69\x85"
        if ins == RELAY:
            times = b"".join(time.to_bytes(2, "big") for time in self.relay)
            self._relay_told = data + ENTROPY + times
            return b"\x80\x0a" + ENTROPY + times + b"\x90\x00"
        if ins == GET_DATA:
            tag = p1 << 8 | p2
            return encode_tlv(tag, bytes.fromhex(self.data[tag])) + b"\x90\x00" if tag in self.data else b"\x6a\x88"
        return b"\x6d\x00"

    def _directory(self) -> bytes:
        entry = encode_tlv(0x61, encode_tlv(0x4F, self.aid) + encode_tlv(0x87, b"\x01"))
        return _fci_of(b"2PAY.SYS.DDF01", encode_tlv(0xBF0C, entry))

    def _selected(self) -> bytes:
        proprietary = encode_tlv(0x50, b"MASTERCARD")
        if self.pdol:
            proprietary += encode_tlv(0x9F38, bytes.fromhex(self.pdol))
        return _fci_of(self.aid, proprietary + encode_tlv(0xBF0C, _objects(self.fci)))

    def records(self) -> tuple[bytes, bytes, bytes]:
        """The signed one, the issuer's certificate, the card's."""
        said: dict[int, str | None] = {
            0x5A: PAN,
            0x5F34: "01",
            0x57: f"{PAN}D39122010000000000000F",
            0x5F24: "391231",
            0x5F25: "200101",
            0x5F28: "0156",
            0x9F07: "FFC0",
            0x9F08: "0002",
            0x8C: CDOL1,
            0x8E: "000000000000000042031E031F03",
            0x9F0D: "F050848000",
            0x9F0E: "0000000000",
            0x9F0F: "F070848000",
            0x9F42: "0156",
            0x9F4A: "82",
        }
        certified = (0x8F, 0x90, 0x92, 0x9F32, 0x9F46, 0x9F47, 0x9F48)
        static = _objects(said | {tag: value for tag, value in self.changes.items() if tag not in certified})
        above, own = certificates(static + bytes.fromhex(self.aip))
        middle: dict[int, str | None] = {
            0x8F: f"{CA_INDEX:02X}",
            0x90: above.signed.hex(),
            0x9F32: above.exponent.hex(),
        }
        middle[0x92] = above.remainder.hex() or None
        last: dict[int, str | None] = {0x9F46: own.signed.hex(), 0x9F47: own.exponent.hex()}
        last[0x9F48] = own.remainder.hex() or None
        for objects in (middle, last):
            objects.update({tag: self.changes[tag] for tag in objects if tag in self.changes})
        return encode_tlv(0x70, static), encode_tlv(0x70, _objects(middle)), encode_tlv(0x70, _objects(last))

    def _generate(self, control: int, data: bytes) -> bytes:
        self.sent = split_dol(bytes.fromhex(CDOL1), data) if len(data) == 43 else {}
        asked = next(name for name, code in CID.items() if code == control & 0xC0)
        gives = self.gives or asked
        plain: dict[int, str | None] = {
            0x9F27: f"{CID[gives]:02X}",
            0x9F36: COUNTER.hex(),
            0x9F10: "0110900009248400000000000000000029FF",
        }
        signs = bool(control & 0x10) and (gives != "AAC" or asked == "AAC")
        if self.format_1:
            value = bytes([CID[gives]]) + COUNTER + CRYPTOGRAM + bytes.fromhex(str(plain[0x9F10]))
            self.torn = None
            return encode_tlv(0x80, value) + b"\x90\x00"
        write = _long_objects if self.long_lengths else _objects
        exchanged = write(plain | self.answers)
        if signs:
            signature = self._sign(
                bytes([CID[gives]]), self._pdol_values + data + exchanged, self.sent.get(0x9F37, b"")
            )
            plain[0x9F4B] = signature.hex()
        else:
            plain[0x9F26] = CRYPTOGRAM.hex()
        answer = encode_tlv(0x77, write(plain | self.answers))
        self.torn = answer
        return answer + b"\x90\x00"

    def _sign(self, information: bytes, exchanged: bytes, number: bytes) -> bytes:
        _, _, card = keys()
        relay = self._relay_told if self.relay_signed is None else self.relay_signed
        inside = b"\x08" + bytes(8) + information + CRYPTOGRAM + _sha1(exchanged) + relay
        head = b"\x05\x01" + bytes([len(inside)]) + inside
        block = head.ljust(len(card.modulus) - 22, b"\xbb")
        digest = _sha1(block + number + (b"?" if self.spoilt else b""))
        return card.sign(b"\x6a" + block + digest + b"\xbc")


def _sha1(octets: bytes) -> bytes:
    return hashlib.sha1(octets, usedforsecurity=False).digest()


def _objects(objects: dict[int, str | None]) -> bytes:
    return b"".join(encode_tlv(tag, bytes.fromhex(value)) for tag, value in objects.items() if value is not None)


def _long_objects(objects: dict[int, str | None]) -> bytes:
    """BER allows it, and CDA covers the lengths as they were written."""
    return b"".join(
        encode_tag(tag) + bytes([0x81, len(value) // 2]) + bytes.fromhex(value)
        for tag, value in objects.items()
        if value is not None
    )


def _fci_of(name: bytes, proprietary: bytes) -> bytes:
    return encode_tlv(0x6F, encode_tlv(0x84, name) + encode_tlv(0xA5, proprietary))
