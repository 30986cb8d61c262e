"""What host tests share: keys, facts of a tap, a host that answers from the base key, and a real TLS server."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.x509.oid import NameOID

from taptill.credential.adapters.file_keystore import FileKeyStore, write_keystore
from taptill.credential.dukpt import KeyUsage, derive_initial_key, derive_working_key
from taptill.host.codec import (
    IsoMessage,
    answer_tpdu,
    decode_message,
    decode_private_data,
    encode_message,
    mac_input,
    unwrap,
    wrap,
)
from taptill.host.compose import RequestFacts
from taptill.host.profile import AES_PROFILE, Profile, load_profile

BDK = bytes.fromhex("FEDCBA9876543210F1F1F1F1F1F1F1F1")
KEY_SET_ID = bytes.fromhex("1234567890123456")
# UnionPay qPBOC online, as far as it is public (tags and values of a recorded tap with a test card).
TAP = {
    0x9F26: "08AD03EE811AFAD4",
    0x9F27: "80",
    0x9F10: "07010103A00000010A010000038787868FD1FC",
    0x9F37: "042B29EB",
    0x9F36: "020A",
    0x95: "0000000000",
    0x9A: "170603",
    0x9C: "00",
    0x9F02: "000000001250",
    0x5F2A: "0156",
    0x82: "7C00",
    0x9F1A: "0156",
    0x9F03: "000000000000",
    0x9F33: "E0E9C8",
    0x84: "A000000333010101",
}


@pytest.fixture(scope="session")
def profile() -> Profile:
    return load_profile(AES_PROFILE.read_text("utf-8"))


@pytest.fixture
def keys(tmp_path: Path) -> FileKeyStore:
    path = tmp_path / "keys.json"
    write_keystore(path, KEY_SET_ID, derive_initial_key(BDK, KEY_SET_ID), bytes(range(32)))
    store = FileKeyStore(path)
    store.reserve(1)
    return store


class MakeFacts(Protocol):
    def __call__(self, **changes: Any) -> RequestFacts: ...


@pytest.fixture
def facts() -> MakeFacts:
    """Facts of a sale over 12.50 with a test card."""

    def make(**changes: Any) -> RequestFacts:
        given: dict[str, Any] = {
            "terminal_id": "TT000001",
            "merchant_id": "898440000000001",
            "stan": 17,
            "batch": 3,
            "key_counter": 1,
            "local_time": "20261122064500",
            "amount_minor": 1250,
            "card_sequence": "01",
            "icc": {tag: bytes.fromhex(value) for tag, value in TAP.items()},
            "token": bytes(range(16)),
            "envelope": bytes(60),
            "payment_ref": "P-20261122-0001",
        }
        return RequestFacts(**given | changes)

    return make


class AnswerRequest(Protocol):
    def __call__(
        self, request_wire: bytes, code: str = "00", /, *, mti: str = "", mac: bytes | None = None, **changes: Any
    ) -> bytes: ...


@pytest.fixture(scope="session")
def answer() -> AnswerRequest:
    """A host's answer with a genuine MAC; `DE4="..."` changes a field, `DE4=None` leaves it out, `mac=b""` the MAC."""

    def make(
        request_wire: bytes, code: str = "00", /, *, mti: str = "", mac: bytes | None = None, **changes: Any
    ) -> bytes:
        asked = unwrap(request_wire)
        request = decode_message(asked.message)
        fields = {n: request.fields[n] for n in (3, 4, 11, 12, 13, 25, 41, 42, 49, 60) if n in request.fields}
        fields |= {37: "654321000017", 38: "A1B2C3", 39: code}
        fields |= {int(name[2:]): content for name, content in changes.items()}
        fields = {number: content for number, content in fields.items() if content is not None}
        if mac == b"":
            message = encode_message(IsoMessage(mti or _answers(request.mti), fields))
        else:
            unsigned = mac_input(encode_message(IsoMessage(mti or _answers(request.mti), fields | {64: bytes(8)})))
            counter = int.from_bytes(decode_private_data(request.octets(59)).ksn[8:], "big")
            message = unsigned + (mac or _host_mac(counter, unsigned))
        return wrap(answer_tpdu(asked.tpdu), asked.header, message)

    return make


def _answers(mti: str) -> str:
    return f"{int(mti) + 10:04d}"


def _host_mac(counter: int, unsigned: bytes) -> bytes:
    key = derive_working_key(derive_initial_key(BDK, KEY_SET_ID), KEY_SET_ID, counter, KeyUsage.MAC_VERIFICATION)
    mac = CMAC(AES(key))
    mac.update(unsigned)
    return mac.finalize()[:8]


@dataclass(frozen=True)
class Certificates:
    """PEM files of one authority, the host, the terminal, and a terminal nobody knows. Beside them lie `past.pem` and
    `future.pem`, a host's that ended yesterday and one that begins tomorrow; both `past-ca.pem` and
    `renewed-ca.pem` hold the authority's key, the first one only with dates of the past."""

    ca: Path
    host: Path
    terminal: Path
    stranger: Path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder = tmp_path_factory.mktemp("certificates")
    ca_key, other_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("Test CA", ca_key, "Test CA", ca_key, is_ca=True, days=(-5, 5))
    other_ca = _certificate("Other CA", other_key, "Other CA", other_key, is_ca=True)
    (folder / "ca.pem").write_bytes(ca)
    (folder / "other-ca.pem").write_bytes(other_ca)
    past_ca = _certificate("Test CA", ca_key, "Test CA", ca_key, is_ca=True, days=(-3, -1))
    (folder / "past-ca.pem").write_bytes(past_ca)
    (folder / "renewed-ca.pem").write_bytes(past_ca + ca)
    for name, issuer, issuer_key, days in (
        ("host", "Test CA", ca_key, (-1, 1)),
        ("past", "Test CA", ca_key, (-3, -1)),
        ("future", "Test CA", ca_key, (1, 3)),
        ("terminal", "Test CA", ca_key, (-1, 1)),
        ("stranger", "Other CA", other_key, (-1, 1)),
    ):
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / f"{name}.pem").write_bytes(_certificate(name, key, issuer, issuer_key, days=days) + private)
    return Certificates(*(folder / f"{name}.pem" for name in ("ca", "host", "terminal", "stranger")))


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    is_ca: bool = False,
    days: tuple[int, int] = (-1, 1),
) -> bytes:
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .add_extension(_key_usage(is_ca), critical=True)
    )
    if not is_ca:
        names = [x509.DNSName("host.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _key_usage(is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


@dataclass
class LoopbackHost:
    """A TLS server on a thread: `respond` turns each frame body into what is written back, byte strings as they are.
    None from `respond` drops the connection."""

    port: int
    bodies: list[bytes] = field(default_factory=list)
    drop_after: bytes = b""  # the connection ends behind the answer to this body
    accepted: int = 0
    refused: int = 0

    @property
    def url(self) -> str:
        return f"tls://127.0.0.1:{self.port}"


class StartHost(Protocol):
    def __call__(
        self,
        respond: Callable[[bytes], bytes | None],
        tls_1_2: bool = False,
        tickets: int = 2,
        certificate: str = "host",
    ) -> LoopbackHost: ...


@pytest.fixture
def start_host(certificates: Certificates) -> Iterator[StartHost]:
    listeners: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def start(
        respond: Callable[[bytes], bytes | None],
        tls_1_2: bool = False,
        tickets: int = 2,
        certificate: str = "host",
    ) -> LoopbackHost:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.num_tickets = tickets
        if tls_1_2:
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificates.host.with_name(f"{certificate}.pem"))
        context.load_verify_locations(certificates.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        listener = socket.create_server(("127.0.0.1", 0))
        host = LoopbackHost(listener.getsockname()[1])
        listeners.append(listener)
        thread = threading.Thread(target=_accept, args=(listener, context, host, respond), daemon=True)
        thread.start()
        threads.append(thread)
        return host

    yield start
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for thread in threads:
        thread.join(5)


def _accept(
    listener: socket.socket, context: ssl.SSLContext, host: LoopbackHost, respond: Callable[[bytes], bytes | None]
) -> None:
    while True:
        try:
            raw, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_serve, args=(raw, context, host, respond), daemon=True).start()


def _serve(
    raw: socket.socket, context: ssl.SSLContext, host: LoopbackHost, respond: Callable[[bytes], bytes | None]
) -> None:
    raw.settimeout(20)
    try:
        with context.wrap_socket(raw, server_side=True) as connection:
            host.accepted += 1
            while head := connection.recv(2):
                body = connection.recv(int.from_bytes(head, "big"))
                host.bodies.append(body)
                octets = respond(body)
                if octets is None:
                    return
                connection.sendall(octets)
                if body == host.drop_after:
                    return
    except OSError:
        host.refused += 1
