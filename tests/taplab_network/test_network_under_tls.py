"""The lab's network below TLS: what it loses is a reply, never a greeting."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from taplab.lab_certificates import CertificateFiles, make_certificates
from taplab.network import LabNetwork
from taplab.network_flow import SETTLED_AFTER_MS

WAIT_S = 5.0


@pytest.fixture
def certificates(tmp_path: Path) -> CertificateFiles:
    files = CertificateFiles.of(tmp_path)
    make_certificates(files, "10000001")
    return files


@pytest.fixture
def heard() -> list[bytes]:
    return []


@pytest.fixture
def net(certificates: CertificateFiles, heard: list[bytes]) -> Iterator[LabNetwork]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.host, certificates.host_key)
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(plain: socket.socket) -> None:
        plain.settimeout(WAIT_S)
        try:
            with context.wrap_socket(plain, server_side=True) as stream:
                while request := stream.recv(1000):
                    heard.append(request)
                    stream.sendall(b"re: " + request)
        except OSError:
            return

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(plain,), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with LabNetwork(("127.0.0.1", listener.getsockname()[1])) as network:
        yield network
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(WAIT_S)


def connect(net: LabNetwork, certificates: CertificateFiles) -> ssl.SSLSocket:
    plain = socket.create_connection(net.address, timeout=WAIT_S)
    return ssl.create_default_context(cafile=certificates.authority).wrap_socket(plain, server_hostname="localhost")


def ask(stream: ssl.SSLSocket, request: bytes) -> bytes:
    stream.sendall(request)
    return stream.recv(1000)


def stays_unanswered(stream: ssl.SSLSocket, request: bytes) -> bool:
    """Python's ssl reports a reset as an end in some versions."""
    try:
        return ask(stream, request) == b""
    except ConnectionResetError:
        return True


def test_a_reply_is_lost_after_handshake_and_sign_on(
    net: LabNetwork, certificates: CertificateFiles, heard: list[bytes]
) -> None:
    net.lose_next_reply()
    with connect(net, certificates) as stream:
        assert ask(stream, b"sign on") == b"re: sign on"
        time.sleep(SETTLED_AFTER_MS / 1000 + 0.05)
        assert stays_unanswered(stream, b"sale")
    assert heard == [b"sign on", b"sale"]
    with connect(net, certificates) as stream:
        assert ask(stream, b"query") == b"re: query"


def test_a_request_cut_within_its_record_is_not_heard(
    net: LabNetwork, certificates: CertificateFiles, heard: list[bytes]
) -> None:
    with connect(net, certificates) as stream:
        ask(stream, b"sign on")
        net.cut_after(client_bytes=20)
        assert stays_unanswered(stream, b"sale")
    assert heard == [b"sign on"]
