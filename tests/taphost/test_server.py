"""The host as a process: real TLS, real frames, a real file, stopped, killed and started again."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace as with_settings

from taphost.acquirer import Acquirer
from taphost.config import HostConfig, Tls, config_text
from taphost.memory_store import MemoryStore
from taphost.server import HostServer
from taplab.lab_certificates import HOST_NAME, CertificateFiles, make_certificates
from taptill.host.exchange import HostReply, HostRequest

if TYPE_CHECKING:
    from tests.taphost.conftest import Till

TAPHOST = str(Path(sys.executable).with_name("taphost"))
WAIT_S = 10


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    files = CertificateFiles.of(tmp_path_factory.mktemp("certificates"))
    make_certificates(files, "10000001")
    return files


@pytest.fixture
def serving(config: HostConfig, certificates: CertificateFiles) -> HostConfig:
    """The configuration of a host that can be reached."""
    host, key, authority = certificates.host, certificates.host_key, certificates.authority
    return with_settings(config, tls=Tls(certificate=str(host), key=str(key), client_ca=str(authority)))


@dataclass
class Process:
    """`taphost serve` on a file and a free port."""

    folder: Path
    certificates: CertificateFiles
    running: list[subprocess.Popen[str]] = field(default_factory=list)
    port: int = 0

    def start(self) -> None:
        command = [TAPHOST, "serve", "--database", self.database, "--config", str(self.folder / "host.toml")]
        with (self.folder / "host.log").open("a") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        self.running.append(process)
        assert process.stdout is not None
        self.port = int(json.loads(process.stdout.readline())["listening"].rpartition(":")[2])

    def end(self, number: signal.Signals) -> int:
        process = self.running.pop()
        process.send_signal(number)
        status = process.wait(WAIT_S)
        assert process.stdout is not None
        process.stdout.close()
        return status

    @property
    def database(self) -> str:
        return f"sqlite:///{self.folder / 'host.db'}"

    def log(self) -> str:
        return (self.folder / "host.log").read_text()

    def connect(self) -> ssl.SSLSocket:
        stream = socket.create_connection(("127.0.0.1", self.port), WAIT_S)
        return client_context(self.certificates).wrap_socket(stream, server_hostname=HOST_NAME)

    def ask(self, till: Till, request: HostRequest) -> HostReply:
        with self.connect() as stream:
            stream.sendall(framed(request.wire))
            return till.read(request, receive(stream))

    def told(self, *arguments: str) -> Any:
        command = [TAPHOST, *arguments, "--database", self.database, "--json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=True)
        return json.loads(done.stdout)


@pytest.fixture
def process(tmp_path: Path, serving: HostConfig, certificates: CertificateFiles) -> Iterator[Process]:
    (tmp_path / "host.toml").write_text(config_text(serving), encoding="utf-8")
    host = Process(tmp_path, certificates)
    host.start()
    yield host
    for _ in tuple(host.running):
        host.end(signal.SIGKILL)


def client_context(files: CertificateFiles, *, certificate: bool = True) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.authority)
    if certificate:
        context.load_cert_chain(files.terminal, files.terminal_key)
    return context


def ask_once(port: int, context: ssl.SSLContext, wire: bytes) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port), WAIT_S) as stream,
        context.wrap_socket(stream, server_hostname=HOST_NAME) as wrapped,
    ):
        wrapped.sendall(framed(wire))
        return receive(wrapped)


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(2, "big") + body


def receive(stream: ssl.SSLSocket) -> bytes:
    return exactly(stream, int.from_bytes(exactly(stream, 2), "big"))


def exactly(stream: ssl.SSLSocket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        part = stream.recv(count - len(received))
        if not part:
            raise ConnectionResetError(f"the host let go after {len(received)} of {count} bytes")
        received += part
    return received


def test_a_sale_over_the_wire_is_approved_under_tls_1_3(process: Process, till: Till) -> None:
    sale = till.pay(amount_minor=1_250)
    with process.connect() as stream:
        assert stream.version() == "TLSv1.3"
        stream.sendall(framed(sale.wire))
        assert till.read(sale, receive(stream)).code == "00"


def test_who_has_no_certificate_is_turned_away(process: Process, certificates: CertificateFiles, till: Till) -> None:
    stranger = client_context(certificates, certificate=False)
    with pytest.raises(OSError, match=r"certificate required|let go|reset|Broken pipe"):
        ask_once(process.port, stranger, till.link("echo").wire)


def test_older_tls_is_turned_away(process: Process, certificates: CertificateFiles) -> None:
    old = client_context(certificates)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", process.port), WAIT_S) as stream, pytest.raises(ssl.SSLError):
        old.wrap_socket(stream, server_hostname=HOST_NAME)


def test_a_message_may_come_byte_by_byte_and_many_at_once(process: Process, till: Till) -> None:
    slow, many = till.pay(), [till.pay(amount_minor=10) for _ in range(20)]
    with process.connect() as stream:
        for octet in framed(slow.wire):
            stream.sendall(bytes([octet]))
        assert till.read(slow, receive(stream)).code == "00"
        stream.sendall(b"".join(framed(request.wire) for request in many))
        assert [till.read(request, receive(stream)).code for request in many] == ["00"] * 20
    assert process.told("ledger")["count"] == 21


@pytest.mark.parametrize("noise", [b"\x00\x00", b"\xff\xff", framed(b"GET / HTTP/1.1"), framed(b"\x60" + bytes(50))])
def test_noise_ends_its_own_connection_and_no_other(process: Process, till: Till, noise: bytes) -> None:
    with process.connect() as good, process.connect() as bad:
        bad.sendall(noise)
        assert bad.recv(1) == b""
        echo = till.link("echo")
        good.sendall(framed(echo.wire))
        assert till.read(echo, receive(good)).code == "00"
    assert "connection closed" in process.log()


def test_a_message_cut_in_the_middle_is_no_message(process: Process, till: Till) -> None:
    sale = till.pay()
    with process.connect() as stream:
        stream.sendall(framed(sale.wire)[:-1])
    assert process.ask(till, till.about("status_query", sale)).original_state == "not found"


def test_a_capture_survives_a_kill_right_after_its_answer(process: Process, till: Till) -> None:
    sale, unknown = till.pay(amount_minor=1_250), till.pay()
    sold = process.ask(till, sale)
    process.ask(till, till.about("reversal", unknown))
    process.end(signal.SIGKILL)
    process.start()
    status = process.ask(till, till.about("status_query", sale))
    assert (status.original_state, status.rrn, status.amount_minor) == ("approved", sold.rrn, 1_250)
    assert process.ask(till, unknown).code == "12"
    again = process.ask(till, sale)
    assert (again.code, again.rrn) == ("00", sold.rrn)


def test_what_was_booked_can_be_read_beside_a_running_host(process: Process, till: Till) -> None:
    sale, undone = till.pay(amount_minor=1_250, payment_ref="order-9"), till.pay()
    process.ask(till, sale)
    process.ask(till, undone)
    process.ask(till, till.about("reversal", undone))
    told = process.told("ledger")
    assert (told["count"], told["net_captured_minor"]) == (1, 1_250)
    (row,) = told["transactions"]
    assert (row["payment_ref"], row["stan"], row["batch"]) == ("order-9", sale.key.stan, 1)
    assert {row["state"] for row in process.told("ledger", "--all")["transactions"]} == {
        "captured",
        "reversed",
        "closed",
    }
    owed = {line["masked_pan"]: line["owed_minor"] for line in process.told("accounts")["accounts"]}
    assert owed["622800******1117"] == 1_250


def test_a_stopped_host_ends_well_and_tells_no_card_number(process: Process, till: Till) -> None:
    with process.connect() as stream:
        process.ask(till, till.pay())
        assert process.end(signal.SIGTERM) == 0
        assert stream.recv(1) == b""
    database = b"".join(path.read_bytes() for path in process.folder.glob("host.db*"))
    assert b"622800******1117" in database
    for kept in (database, process.log().encode()):
        assert b"6228000100001117" not in kept
        assert bytes.fromhex("6228000100001117") not in kept
    assert "Traceback" not in process.log()


def test_a_host_with_a_full_queue_says_so_at_once(
    serving: HostConfig, certificates: CertificateFiles, till: Till
) -> None:
    store = MemoryStore()
    assert serving.tls is not None
    server = HostServer(Acquirer(serving, store, lambda: 1_767_229_200_000), serving.tls, queue_messages_max=0)
    sale = till.pay()

    async def ask() -> bytes:
        host, port = await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(
            host, port, ssl=client_context(certificates), server_hostname=HOST_NAME
        )
        writer.write(framed(sale.wire))
        answer = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
        writer.close()
        await server.stop()
        return answer

    assert till.read(sale, asyncio.run(asyncio.wait_for(ask(), WAIT_S))).code == "96"
    with store.transaction() as books:
        assert books.entries(captured_only=False) == []


def test_a_message_whose_storage_fails_is_not_answered(process: Process, till: Till) -> None:
    """No answer is the truth: the terminal asks, and reverses."""
    subprocess.run([sys.executable, "-c", BREAK_TABLE, str(process.folder / "host.db")], check=True, timeout=WAIT_S)
    with process.connect() as stream:
        stream.sendall(framed(till.pay().wire))
        assert stream.recv(1) == b""
    assert "no such table: entries" in process.log()


BREAK_TABLE = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('ALTER TABLE entries RENAME TO lost')"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["serve", "--config", "nowhere.toml"], "nowhere.toml"),
        (["ledger", "--database", "nonsense"], "database URL"),
        (["ledger", "--database", "sqlite:///nowhere.db"], "no such file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, arguments: list[str], told: str) -> None:
    done = subprocess.run(
        [TAPHOST, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=WAIT_S, check=False
    )
    assert done.returncode == 1
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
