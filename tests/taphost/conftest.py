"""What the host's tests share: a configured host, and a till whose messages the terminal's own code writes and reads.

Comes in: a folder. Goes out: requests as the terminal composes them, with cryptograms computed by pyemv.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from pyemv import ac, kd, tools

from taphost.acquirer import Acquirer
from taphost.config import CardAccount, HostConfig, Issuer, Merchant, Terminal
from taphost.memory_store import MemoryStore
from taphost.sql_store import SqlStore
from taphost.store import Store
from taptill.credential.adapters.file_keystore import FileKeyStore, write_keystore
from taptill.credential.dukpt import derive_initial_key
from taptill.host.codec import decode_message, encode_message, unwrap, wrap
from taptill.host.compose import OriginalRef, RequestFacts, compose
from taptill.host.exchange import HostReply, HostRequest, Replied, Silent
from taptill.host.profile import AES_PROFILE, Profile, load_profile
from taptill.host.read_reply import read_reply

TERMINAL_ID = "10000001"
MERCHANT_ID = "898310000000001"
KEY_SET = bytes.fromhex("0000000100000001")
BDK = bytes.fromhex("FEDCBA9876543210F1F1F1F1F1F1F1F1")
ISSUER_KEY = bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
GOOD, POOR, BLOCKED, EXPIRED, GENEROUS, STRANGER = (f"622800010000{number}" for number in range(1117, 1123))
NOW_MS = 1_767_225_600_000 + 3_600_000  # 2026-01-01 01:00:00 UTC, 09:00 in Beijing
TC, ARQC = 0x10, 0x20


def account(
    pan: str, credit_minor: int = 100_000, expiry: str = "3012", *, blocked: bool = False, partial: bool = False
) -> CardAccount:
    return CardAccount(pan=pan, credit_minor=credit_minor, expiry=expiry, blocked=blocked, partial=partial)


def host_config() -> HostConfig:
    return HostConfig(
        bdk=BDK.hex(),
        account_key="00112233445566778899AABBCCDDEEFF",
        merchants=(Merchant(id=MERCHANT_ID, name="Corner shop"),),
        terminals=(Terminal(id=TERMINAL_ID, merchant=MERCHANT_ID, key_set=KEY_SET.hex()),),
        issuers=(Issuer(prefix="622800", key=ISSUER_KEY.hex(), name="实验银行"),),
        accounts=(
            account(GOOD),
            account(POOR, 500),
            account(BLOCKED, blocked=True),
            account(EXPIRED, expiry="2512"),
            account(GENEROUS, 500, partial=True),
        ),
    )


@dataclass
class IssuedCard:
    """A card made from the issuer key. Its cryptograms come from pyemv, not from the code under test."""

    pan: str
    sequence: str = "01"
    atc: int = 0

    def icc(self, amount_minor: int, decides: int = ARQC, arc: bytes = b"") -> dict[int, bytes]:
        """Field 55 of the next tap."""
        self.atc += 1
        tags = {
            0x9F02: bytes.fromhex(f"{amount_minor:012d}"),
            0x9F03: bytes(6),
            0x9F1A: bytes.fromhex("0156"),
            0x95: bytes(5),
            0x5F2A: bytes.fromhex("0156"),
            0x9A: bytes.fromhex("260101"),
            0x9C: b"\x00",
            0x9F37: bytes.fromhex("ABCDEF10"),
            0x82: bytes.fromhex("7C00"),
            0x9F36: self.atc.to_bytes(2, "big"),
            0x9F10: bytes([7, 1, 1, 3, decides, 0, 0, 1]),
            0x9F27: bytes([0x40 if decides == TC else 0x80]),
            0x9F33: bytes.fromhex("0008C8"),
        }
        order = (0x9F02, 0x9F03, 0x9F1A, 0x95, 0x5F2A, 0x9A, 0x9C, 0x9F37, 0x82, 0x9F36)
        data = b"".join(tags[tag] for tag in order) + tags[0x9F10][3:7]
        cryptogram = {0x9F26: ac.generate_ac(self._session_key(), data, ac.PaddingType.EMV)}
        return tags | cryptogram | ({0x8A: arc} if arc else {})

    def _session_key(self) -> bytes:
        atc = self.atc.to_bytes(2, "big")
        block = bytes(6) + atc + bytes(6) + bytes(octet ^ 0xFF for octet in atc)
        session_key: bytes = tools.encrypt_tdes_ecb(kd.derive_icc_mk_a(ISSUER_KEY, self.pan, self.sequence), block)
        return session_key

    def plaintext(self) -> bytes:
        pan = self.pan + "F" * (len(self.pan) % 2)
        return bytes.fromhex(f"5A{len(pan) // 2:02X}{pan}5F3401{self.sequence}")


@dataclass
class Till:
    """A terminal without a socket: counts STANs and key counters, writes requests, judges replies."""

    profile: Profile
    keys: FileKeyStore
    batch: int = 1
    stan: int = 0
    counter: int = 0
    cards: dict[str, IssuedCard] = field(default_factory=dict)

    def card(self, pan: str) -> IssuedCard:
        return self.cards.setdefault(pan, IssuedCard(pan))

    def pay(
        self,
        row: str = "sale",
        *,
        pan: str = GOOD,
        amount_minor: int = 1_000,
        payment_ref: str = "",
        icc: dict[int, bytes] | None = None,
    ) -> HostRequest:
        """A sale or an advice with a new STAN, a new key and, unless `icc` is given, a new tap."""
        facts = self.facts(amount_minor, payment_ref or f"pay-{self.stan + 1}")
        if icc is None:
            arc = {"offline_advice": b"Y1", "deferred_advice": b"Y3"}.get(row, b"")
            icc = self.card(pan).icc(amount_minor, TC if row == "offline_advice" else ARQC, arc)
        return compose(self.profile, row, self.seal(facts, pan, icc), self.keys)

    def seal(self, facts: RequestFacts, pan: str, icc: dict[int, bytes]) -> RequestFacts:
        bound_to = (facts.payment_ref or "").encode("ascii")
        plaintext = self.card(pan).plaintext()
        envelope = self.keys.seal(facts.key_counter, bytes(12), plaintext, bound_to)
        token = self.keys.tokenize(pan.encode("ascii"))
        return replace(facts, envelope=envelope, token=token, icc=icc, card_sequence=self.card(pan).sequence)

    def about(self, row: str, request: HostRequest, amount_minor: int | None = None) -> HostRequest:
        """A reversal or status query of an earlier request, under a key of its own."""
        assert request.payment_ref is not None
        facts = self.facts(amount_minor or request.amount_minor, request.payment_ref)
        original = OriginalRef(request.key.batch, request.key.stan, "0101")
        facts = replace(facts, original=original, token=bytes(16), reversal_reason="98")
        return compose(self.profile, row, facts, self.keys)

    def link(self, row: str) -> HostRequest:
        """A sign-on or an echo."""
        return compose(self.profile, row, self.facts(None, None), self.keys)

    def facts(self, amount_minor: int | None, payment_ref: str | None) -> RequestFacts:
        self.stan += 1
        self.counter += 1
        self.keys.reserve(self.counter)
        return RequestFacts(
            terminal_id=TERMINAL_ID,
            merchant_id=MERCHANT_ID,
            stan=self.stan,
            batch=self.batch,
            key_counter=self.counter,
            local_time="20260101090000",
            amount_minor=amount_minor,
            payment_ref=payment_ref,
        )

    def resign(self, wire: bytes, **fields: str | bytes) -> bytes:
        """The same message with fields replaced (`DE4="..."`) and, under the same key, a right MAC."""
        wrapped = unwrap(wire)
        message = decode_message(wrapped.message)
        changed = dict(message.fields) | {int(name[2:]): content for name, content in fields.items()}
        unsigned = encode_message(replace(message, fields=changed))[:-8]
        return wrap(wrapped.tpdu, wrapped.header, unsigned + self.keys.request_mac(self.counter, unsigned))

    def read(self, request: HostRequest, wire: bytes) -> HostReply:
        """The reply as the terminal believes it."""
        result = read_reply(self.profile, request, wire, self.keys)
        assert isinstance(result, Replied), result.reason if isinstance(result, Silent) else result
        return result.reply


@dataclass
class Host:
    """An acquirer on some store, asked without a socket."""

    acquirer: Acquirer
    store: Store
    till: Till

    def ask(self, request: HostRequest) -> HostReply:
        return self.till.read(request, self.acquirer.answer(request.wire))

    def code_of(self, wire: bytes) -> str:
        """DE39 of the answer, for messages that only a test would send."""
        return decode_message(unwrap(self.acquirer.answer(wire)).message).text(39)

    def captured_minor(self) -> int:
        with self.store.transaction() as books:
            captured = sum(entry.captured_minor for entry in books.entries(captured_only=True))
            assert captured == sum(entry.captured_minor for entry in books.entries(captured_only=False))
            assert captured == sum(line.owed_minor for line in books.accounts())
            return captured


def make_till(folder: Path) -> Till:
    path = folder / "keystore.json"
    write_keystore(path, KEY_SET, derive_initial_key(BDK, KEY_SET), bytes(32))
    return Till(load_profile(AES_PROFILE.read_text(encoding="utf-8")), FileKeyStore(path))


@pytest.fixture
def till(tmp_path: Path) -> Till:
    return make_till(tmp_path)


@pytest.fixture
def config() -> HostConfig:
    return host_config()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Every adapter of the port."""
    opened = MemoryStore() if request.param == "memory" else SqlStore(f"sqlite:///{tmp_path / 'host.db'}")
    yield opened
    opened.close()


@pytest.fixture
def host(config: HostConfig, store: Store, till: Till) -> Host:
    return Host(Acquirer(config, store, lambda: NOW_MS), store, till)


@pytest.fixture
def new_host(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Host]:
    """Host and till as if nothing had ever happened, for tests of many stories."""

    def make() -> Host:
        store = MemoryStore()
        return Host(Acquirer(host_config(), store, lambda: NOW_MS), store, make_till(tmp_path_factory.mktemp("till")))

    return make
