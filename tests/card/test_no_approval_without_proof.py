"""Nobody between card and reader, and no card, brings a kernel to an approval that its issuer does not stand for.

Strategy: the lab's offline cards of all three schemes are tapped through a wedge that forges commands and answers. An
approval is then proven again from the recorded octets alone, with a parser, certificates and signatures spelled out
here from EMV Book 2 and hashed by another library. What fDDA leaves open is said where it is let pass: no fDDA covers
the type of the cryptogram, and version 00, which UnionPay still knows, not the amount.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cryptography.hazmat.primitives import hashes
from hypothesis import event, given, settings
from hypothesis import strategies as st

from taplab.card import Card, Scheme, load_card
from taplab.card.rsa_key import RsaKey
from taplab.card.scheme import ICC_BITS, ICC_EXPONENT
from taptill.amount.money import Money
from taptill.card.apdu import split_command
from taptill.card.outcome import CardRead, CryptogramType, OdaVerdict, OutcomeKind
from taptill.card.parameters import Combination, TapRequest
from taptill.card.proof.ca_keys import CaKeyStore
from taptill.card.read_card import drive, read_card
from taptill.card.reader import Presentation, RawResponse
from taptill.card.reader_parameters import parse_reader_parameters
from taptill.card.tlv import MalformedTlv, Tlv, encode_tlv, is_constructed, parse_tlv
from taptill.entropy import SystemEntropy

SELECT, OPTIONS, RECORD, GENERATE = 0xA4, 0xA8, 0xB2, 0xAE
CARDS = {"C-7": "offline_funds", "C-3": "visa_offline", "C-2": "mastercard_offline"}
OTHER_PANS = {"C-7": "6228000100001117", "C-3": "4761739001010010", "C-2": "5413339000001513"}
SCHEMES = {"C-7": "unionpay", "C-3": "visa", "C-2": "mastercard"}
OTHER_CARD = """
label = "Another card"
scheme = "{scheme}"
pan = "{pan}"
expiry = "2031-12"
[offline]
balance_minor = 20000
single_limit_minor = 10000
ceiling_minor = 100000
"""
NUMBER, OLD_NUMBER = bytes.fromhex("2B29EBE4"), bytes.fromhex("0BADCAFE")
AMOUNT, SMALLER = bytes.fromhex("000000002500"), bytes.fromhex("000000000001")
SALE = TapRequest(
    amount=Money(2_500),
    amount_other=Money(0),
    transaction_type=0x00,
    date_yymmdd="260601",
    time_hhmmss="120000",
    country="156",
    unpredictable_number=NUMBER,
    online_possible=False,
    offline_allowed=True,
)
TIMEOUT_MS = 1_000


@cache
def scheme() -> Scheme:
    return Scheme.generate(SystemEntropy())


@cache
def other_card(kernel: str) -> Card:
    """Of the same issuer, with a key of its own; the lab's cards share one."""
    own = replace(scheme(), card=RsaKey.generate(ICC_BITS, ICC_EXPONENT))
    with TemporaryDirectory() as folder:
        file = Path(folder) / "other.toml"
        file.write_text(OTHER_CARD.format(scheme=SCHEMES[kernel], pan=OTHER_PANS[kernel]), encoding="utf-8")
        return load_card(file, own, SystemEntropy())


@cache
def combinations() -> tuple[Combination, ...]:
    text = (resources.files("taptill.card") / "reader_parameters.toml").read_text(encoding="utf-8")
    return tuple(replace(each.combination, cvm_limit_minor=100_000) for each in parse_reader_parameters(text))


Exchange = tuple[bytes, bytes]
Forge = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Forgery:
    """What the wedge does to commands, and to answers to commands with these instructions."""

    name: str
    instructions: frozenset[int]
    command: Forge | None = None
    answer: Forge | None = None

    def __repr__(self) -> str:
        return self.name


@dataclass
class Wedge:
    """A `CardReader` between a card and the terminal. `seen` is what the terminal sent and got."""

    card: Card
    forgeries: tuple[Forgery, ...] = ()
    url: str = "test:wedge"
    seen: list[Exchange] = field(default_factory=list)

    def open(self) -> None: ...

    def close(self) -> None: ...

    def wait_for_card(self, timeout_ms: int) -> Presentation | None:
        self.card.reset()
        return Presentation(b"", "A")

    def wait_for_removal(self, timeout_ms: int) -> bool:
        return True

    def transmit(self, command: bytes, timeout_ms: int) -> RawResponse:
        mine = [each for each in self.forgeries if command[1] in each.instructions]
        passed_on = command
        for forgery in mine:
            passed_on = forgery.command(passed_on) if forgery.command else passed_on
        answer = self.card.answer(passed_on).octets
        for forgery in mine:
            answer = forgery.answer(answer) if forgery.answer else answer
        self.seen.append((command, answer))
        return RawResponse(answer, 1_000)


def tapped(
    kernel: str, *forgeries: Forgery, sale: TapRequest = SALE, card: Card | None = None
) -> tuple[CardRead, Wedge]:
    wedge = Wedge(card or load_card(CARDS[kernel], scheme(), SystemEntropy()), forgeries)
    wedge.wait_for_card(TIMEOUT_MS)
    keys = CaKeyStore.of(scheme().ca_keys())
    return drive(read_card(sale, combinations(), keys), wedge, TIMEOUT_MS), wedge


@cache
def honest(kernel: str, other: bool = False, number: bytes = NUMBER) -> tuple[Exchange, ...]:
    """What a tap looks like that nobody tampers with."""
    card = other_card(kernel) if other else None
    read, wedge = tapped(kernel, sale=replace(SALE, unpredictable_number=number), card=card)
    assert read.outcome.kind is OutcomeKind.APPROVED
    return tuple(wedge.seen)


# The proof, from the octets alone.


def sha1(octets: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA1())
    digest.update(octets)
    return digest.finalize()


def objects(octets: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Tag, value and the whole of each data object (EMV Book 3, Annex B)."""
    at = 0
    while at < len(octets):
        start = at
        at += 1
        if octets[start] == 0:
            continue
        if octets[start] & 0x1F == 0x1F:
            while octets[at] & 0x80:
                at += 1
            at += 1
        tag = int.from_bytes(octets[start:at], "big")
        length = octets[at]
        at += 1
        if length & 0x80:
            more = length & 0x7F
            length, at = int.from_bytes(octets[at : at + more], "big"), at + more
        yield tag, octets[at : at + length], octets[start : at + length]
        at += length


def everything(octets: bytes) -> Iterator[tuple[int, bytes]]:
    for tag, value, _ in objects(octets):
        if is_constructed(tag):
            yield from everything(value)
        else:
            yield tag, value


def opened(signature: bytes, key: tuple[int, int], covered: bytes) -> bytes:
    """EMV Book 2, Annex A2.1, with the hash over what stands behind the block too."""
    modulus, exponent = key
    assert int.from_bytes(signature, "big") < modulus
    block = pow(int.from_bytes(signature, "big"), exponent, modulus).to_bytes(len(signature), "big")
    assert (block[0], block[-1]) == (0x6A, 0xBC)
    assert sha1(block[1:-21] + covered) == block[-21:-1], "the hash is another"
    return block


def certified(block: bytes, key_at: int, remainder: bytes, exponent: bytes) -> tuple[int, int]:
    key = (block[key_at : len(block) - 21] + remainder)[: block[key_at - 2]]
    return int.from_bytes(key, "big"), int.from_bytes(exponent, "big")


def digits(octets: bytes) -> str:
    return octets.hex().upper().rstrip("F")


@dataclass
class Proof:
    """What the recorded octets prove: `said` is what the card said, by tag."""

    seen: list[Exchange]
    said: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for command, answer in self.seen:
            if command[1] in (OPTIONS, RECORD, GENERATE):
                for tag, value in everything(answer[:-2]):
                    assert self.said.setdefault(tag, value) == value, f"{tag:X} is told in two ways"

    def of(self, instruction: int) -> list[Exchange]:
        return [each for each in self.seen if each[0][1] == instruction]

    def static_data(self) -> bytes:
        afl, records = self.said[0x94], {(c[3] >> 3, c[2]): a[:-2] for c, a in self.of(RECORD)}
        signed = b""
        for sfi, first, _, count in (afl[at : at + 4] for at in range(0, len(afl), 4)):
            for number in range(first, first + count):
                ((_, value, whole),) = objects(records[sfi >> 3, number])
                signed += value if sfi >> 3 <= 10 else whole
        return signed + (self.said[0x82] if self.said.get(0x9F4A) == b"\x82" else b"")

    def card_key(self, pan: str) -> tuple[int, int]:
        """Down from the CA key of the application that was asked for, by the number that is charged."""
        aid = split_command(self.of(SELECT)[-1][0]).data
        ca = CaKeyStore.of(scheme().ca_keys()).find(aid[:5], self.said[0x8F][0])
        assert ca is not None
        above = int.from_bytes(ca.modulus, "big"), int.from_bytes(ca.exponent, "big")
        said = self.said
        issuer = opened(said[0x90], above, said.get(0x92, b"") + said[0x9F32])
        assert issuer[1] == 0x02
        assert pan.startswith(digits(issuer[2:6]))
        issuer_key = certified(issuer, 15, said.get(0x92, b""), said[0x9F32])
        rest = said.get(0x9F48, b"") + said[0x9F47]
        card = opened(said[0x9F46], issuer_key, rest + self.static_data())
        assert card[1] == 0x04
        assert digits(card[2:12]) == pan, "another card's certificate"
        assert (card[13], card[12]) >= (0x26, 0x06), "expired"
        return certified(card, 21, said.get(0x9F48, b""), said[0x9F47])

    def values_sent(self, instruction: int, listed: bytes) -> dict[int, bytes]:
        """What a command said by its list of data objects, in which no length here is above 127."""
        ((command, _),) = self.of(instruction)
        data = split_command(command).data
        if instruction == OPTIONS:
            ((_, data, _),) = objects(data)
        values, at = {}, 0
        while listed:
            octets = 2 if listed[0] & 0x1F == 0x1F else 1
            tag, length, listed = int.from_bytes(listed[:octets], "big"), listed[octets], listed[octets + 1 :]
            values[tag], at = data[at : at + length], at + length
        assert at == len(data)
        return values

    def fast(self, key: tuple[int, int], kernel: str) -> None:
        """EMV Book C-3, Annex C."""
        listed = dict(everything(self.of(SELECT)[-1][1][:-2]))[0x9F38]
        sent, related = self.values_sent(OPTIONS, listed), self.said.get(0x9F69, b"")
        assert sent[0x9F37] == NUMBER
        covered = NUMBER
        if related[:1] == b"\x01":
            assert sent[0x9F02] == AMOUNT
            covered += AMOUNT + b"\x01\x56" + related
        else:
            assert kernel == "C-7", "only UnionPay still knows a signature without the amount"
        assert opened(self.said[0x9F4B], key, covered)[1] == 0x05

    def combined(self, key: tuple[int, int]) -> None:
        """EMV Book 2, 6.6: here the signature says that it is a TC."""
        ((command, answer),) = self.of(GENERATE)
        sent = self.values_sent(GENERATE, self.said[0x8C])
        assert (sent[0x9F37], sent[0x9F02]) == (NUMBER, AMOUNT)
        block = opened(self.said[0x9F4B], key, NUMBER)
        inside = block[4 : 4 + block[3]]
        behind = inside[1 + inside[0] :]
        assert behind[:1] == b"\x40"
        ((_, template, _),) = objects(answer[:-2])
        exchanged = b"".join(whole for tag, _, whole in objects(template) if tag != 0x9F4B)
        ((_, pdol_values, _),) = objects(split_command(self.of(OPTIONS)[0][0]).data)
        assert behind[9:29] == sha1(pdol_values + split_command(command).data + exchanged)


def assert_proven(read: CardRead, wedge: Wedge) -> None:
    """Whatever was approved is this sale, of this card."""
    assert (read.cryptogram_type, read.oda.verdict) == (CryptogramType.TC, OdaVerdict.PASSED)
    assert read.number is not None
    pan = read.number.pan.reveal().decode()
    proof = Proof(wedge.seen)
    key = proof.card_key(pan)
    proof.combined(key) if read.kernel == "C-2" else proof.fast(key, read.kernel)
    track = digits(proof.said.get(0x57, b""))
    assert track.partition("D")[0] == pan or (not track and read.kernel != "C-3")
    assert read.number.track2.reveal().decode() == track
    assert digits(proof.said.get(0x5A, bytes.fromhex(pan))) == pan
    assert read.data[0x9F27][0] & 0xC0 == 0x40  # the rest of the octet says nothing of the type (EMV Book 3, 6.5.5.4)
    goes_on = {0x9F37: NUMBER, 0x9F02: AMOUNT, 0x9F36: proof.said[0x9F36]}
    assert {tag: read.data[tag] for tag in goes_on} == goes_on


# The wedge's tools.


def rewritten(octets: bytes, change: Callable[[tuple[Tlv, ...]], tuple[Tlv, ...]]) -> bytes:
    """An answer with its data objects changed, template by template."""

    def encoded(tlvs: tuple[Tlv, ...]) -> bytes:
        return b"".join(
            encode_tlv(each.tag, encoded(change(each.children)) if is_constructed(each.tag) else each.value)
            for each in tlvs
        )

    try:
        return encoded(parse_tlv(octets[:-2])) + octets[-2:]
    except MalformedTlv:
        return octets


def replacing(tag: int, value: bytes, instructions: frozenset[int]) -> Forgery:
    def change(tlvs: tuple[Tlv, ...]) -> tuple[Tlv, ...]:
        return tuple(Tlv(tag, value) if each.tag == tag else each for each in tlvs)

    return Forgery(f"{tag:X} becomes {value.hex()}", instructions, answer=lambda octets: rewritten(octets, change))


def dropping(tag: int, instructions: frozenset[int]) -> Forgery:
    def change(tlvs: tuple[Tlv, ...]) -> tuple[Tlv, ...]:
        return tuple(each for each in tlvs if each.tag != tag)

    return Forgery(f"{tag:X} is lost", instructions, answer=lambda octets: rewritten(octets, change))


def adding(tag: int, value: bytes, instructions: frozenset[int], first: bool = False) -> Forgery:
    def change(tlvs: tuple[Tlv, ...]) -> tuple[Tlv, ...]:
        plain = tlvs and not any(is_constructed(each.tag) for each in tlvs)
        more = (Tlv(tag, value),)
        return (more + tlvs if first else tlvs + more) if plain else tlvs

    name = f"{tag:X} {value.hex()} is added"
    return Forgery(name, instructions, answer=lambda octets: rewritten(octets, change))


def telling_the_card(kernel: str, tag: int, value: bytes) -> Forgery:
    """The card is told another value than the terminal sends, in GPO or GENERATE AC."""
    seen = honest(kernel)
    lists = {
        OPTIONS: dict(everything(next(a for c, a in reversed(seen) if c[1] == SELECT)[:-2])).get(0x9F38, b""),
        GENERATE: next((dict(everything(a[:-2]))[0x8C] for c, a in seen if 0x8C in _tags(a)), b""),
    }

    def change(octets: bytes) -> bytes:
        command = split_command(octets)
        listed, data, at = lists[command.ins], bytearray(command.data), 2 if command.ins == OPTIONS else 0
        while listed:
            size = 2 if listed[0] & 0x1F == 0x1F else 1
            if int.from_bytes(listed[:size], "big") == tag and listed[size] == len(value):
                data[at : at + len(value)] = value
            at, listed = at + listed[size], listed[size + 1 :]
        return replace(command, data=bytes(data)).encode()

    return Forgery(f"the card is told {tag:X} {value.hex()}", frozenset({OPTIONS, GENERATE}), command=change)


def _tags(answer: bytes) -> set[int]:
    return {tag for tag, _ in everything(answer[:-2])}


def asking_for(control: int) -> Forgery:
    def change(octets: bytes) -> bytes:
        return replace(split_command(octets), p1=control).encode()

    return Forgery(f"the card is asked for {control:02X}", frozenset({GENERATE}), command=change)


def playing(name: str, seen: tuple[Exchange, ...], instruction: int) -> Forgery:
    """Answers of another tap, in order."""
    kept = iter([answer for command, answer in seen if command[1] == instruction])
    return Forgery(name, frozenset({instruction}), answer=lambda octets: next(kept, octets))


def flipping(instruction: int, bit: int) -> Forgery:
    def change(octets: bytes) -> bytes:
        at = bit % (8 * len(octets))
        return bytes(octet ^ (0x80 >> at % 8 if place == at // 8 else 0) for place, octet in enumerate(octets))

    return Forgery(f"bit {bit} of the answer to {instruction:02X}", frozenset({instruction}), answer=change)


ANSWERS = frozenset({OPTIONS, RECORD, GENERATE})
EVERY = ANSWERS | {SELECT}
kernels = pytest.mark.parametrize("kernel", CARDS)


@kernels
def test_an_honest_tap_is_approved_and_proven(kernel: str) -> None:
    read, wedge = tapped(kernel)
    assert (read.kernel, read.outcome.kind) == (kernel, OutcomeKind.APPROVED)
    assert_proven(read, wedge)


@kernels
@pytest.mark.parametrize("tag", [0x90, 0x9F46, 0x9F4B, 0x9F36, 0x5F24, 0x57], ids=lambda tag: f"{tag:X}")
def test_the_proof_itself_tells_good_from_bad(kernel: str, tag: int) -> None:
    """Read right by the kernel, then spoilt in what was recorded."""
    read, wedge = tapped(kernel)
    good = dict(pair for command, answer in wedge.seen if command[1] in ANSWERS for pair in everything(answer[:-2]))
    wrong = good[tag][:-1] + bytes([good[tag][-1] ^ 0x10])
    spoilt = [(command, answer.replace(good[tag], wrong)) for command, answer in wedge.seen]
    with pytest.raises(AssertionError):
        assert_proven(read, Wedge(wedge.card, seen=spoilt))


@kernels
def test_nothing_is_approved_where_it_may_not_be(kernel: str) -> None:
    for forgery in ((), (telling_the_card(kernel, 0x9F66, bytes.fromhex("26000080")),), (asking_for(0x50),)):
        read, _ = tapped(kernel, *forgery, sale=replace(SALE, offline_allowed=False))
        assert read.outcome.kind is not OutcomeKind.APPROVED


def known_attacks(kernel: str) -> Iterator[Forgery]:
    other = bytes.fromhex(OTHER_PANS[kernel])
    yield telling_the_card(kernel, 0x9F02, SMALLER)
    yield telling_the_card(kernel, 0x9F37, OLD_NUMBER)
    yield telling_the_card(kernel, 0x5F2A, b"\x03\x92")
    yield replacing(0x57, other + bytes.fromhex("D31122010000000000000F"), ANSWERS)
    yield replacing(0x5A, other, ANSWERS)
    yield replacing(0x5F24, bytes.fromhex("991231"), ANSWERS)
    yield replacing(0x8F, b"\x01", ANSWERS)
    yield replacing(0x9F4B, bytes(128), ANSWERS)
    yield replacing(0x9F69, b"\x00" + bytes(7), ANSWERS) if kernel == "C-3" else dropping(0x9F46, ANSWERS)
    yield dropping(0x9F4B, ANSWERS)
    yield dropping(0x90, ANSWERS)
    last = GENERATE if kernel == "C-2" else OPTIONS
    yield playing("an old cryptogram", honest(kernel, number=OLD_NUMBER), last)
    yield playing("another card's cryptogram", honest(kernel, other=True), last)
    yield playing("another card's records", honest(kernel, other=True), RECORD)
    if kernel == "C-2":
        yield asking_for(0x90)
        yield asking_for(0x40)
        yield replacing(0x82, b"\x18\x80", ANSWERS)
        yield replacing(0x9F27, b"\x80", ANSWERS)
        yield adding(0x57, other + bytes.fromhex("D31122010000000000000F"), frozenset({GENERATE}))


@kernels
def test_known_attacks_are_not_approved(kernel: str) -> None:
    for forgery in known_attacks(kernel):
        read, _ = tapped(kernel, forgery)
        assert read.outcome.kind is not OutcomeKind.APPROVED, forgery


TAGS = (
    *(0x57, 0x5A, 0x5F24, 0x5F25, 0x5F28, 0x5F34, 0x82, 0x84, 0x8C, 0x8E, 0x8F, 0x90, 0x92, 0x93, 0x94, 0x95, 0x9F02),
    *(0x9F07, 0x9F0D, 0x9F0E, 0x9F0F, 0x9F10, 0x9F26, 0x9F27, 0x9F32, 0x9F36, 0x9F37, 0x9F38, 0x9F45, 0x9F46, 0x9F47),
    *(0x9F48, 0x9F4A, 0x9F4B, 0x9F51, 0x9F5D, 0x9F66, 0x9F69, 0x9F6C, 0x9F6E, 0x9F79, 0xDF4B, 0xDF811B, 0x9F7C),
)
VALUES = (
    *("", "00", "01", "40", "80", "82", "0000", "1980", "2020", "0080", "C000", "991231", "000001"),
    *("000000000001", "2B29EBE4", "08010100", "08010301", "F8010100", "08000000", "9F3704", "9F02069F3704"),
    *("06011103900000", "07010103900000010A01", "9F66049F02069F3704", "9F7CFB", "9F7C81FB", "4761739001010010"),
)
values = st.sampled_from(VALUES).map(bytes.fromhex) | st.binary(max_size=20)
places = st.sampled_from([frozenset({each}) for each in sorted(EVERY)] + [EVERY])


def forgeries(kernel: str) -> st.SearchStrategy[Forgery]:
    tags, plays = st.sampled_from(TAGS), st.sampled_from(sorted(EVERY))
    told = ((0x9F02, SMALLER), (0x9F37, OLD_NUMBER), (0x9F66, bytes.fromhex("26000000")), (0x95, bytes(5)))
    other, old = honest(kernel, other=True), honest(kernel, number=OLD_NUMBER)
    return st.one_of(
        st.builds(replacing, tags, values, places),
        st.builds(dropping, tags, places),
        st.builds(adding, tags, values, places, st.booleans()),
        st.sampled_from(told).map(lambda each: telling_the_card(kernel, *each)),
        st.sampled_from([0x00, 0x10, 0x40, 0x50, 0x80, 0x90]).map(asking_for),
        plays.map(lambda each: playing(f"another card's answer to {each:02X}", other, each)),
        plays.map(lambda each: playing(f"an old answer to {each:02X}", old, each)),
        st.builds(flipping, plays, st.integers(0, 4_000)),
        st.sampled_from(list(known_attacks(kernel))[:-1]),
    )


@kernels
@settings(max_examples=120, deadline=None)
@given(data=st.data())
def test_no_forgery_is_approved_unless_the_issuer_stands_for_it(kernel: str, data: st.DataObject) -> None:
    forged = data.draw(st.lists(forgeries(kernel), min_size=1, max_size=4))
    read, wedge = tapped(kernel, *forged)
    event(f"{kernel} {read.outcome.kind.value}")
    if read.outcome.kind is OutcomeKind.APPROVED:
        assert_proven(read, wedge)
