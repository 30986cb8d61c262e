"""Whatever arrives at the local port, the terminal goes on selling and says nothing it should not."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from taplab.register import Register
from taplab.world import World

WAIT_S = 10.0
DEEP = b'{"amount_minor": ' + b"[" * 8_000 + b"]" * 8_000 + b"}"


@pytest.fixture
def line(world: World) -> Iterator[socket.socket]:
    place = urlsplit(world.ecr_url)
    with socket.create_connection((place.hostname, place.port), WAIT_S) as line:
        yield line


@pytest.fixture(autouse=True)
def goes_on_selling(world: World, register: Register) -> Iterator[None]:
    """After every attack a sale can start, and none of our own code broke. (uvicorn logs an error of its own when it
    has refused a request while the answer to it was being made.)"""
    yield
    ref = register.arm(100)
    register.call("POST", f"/v1/payments/{ref}/cancel", key="after the attack")
    assert register.payment(ref)["state"] == "cancelled"
    assert "/src/taptill/" not in (world.directory / "terminal.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "octets",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS hello
        b"\x00" * 500,
        b"GET\r\n\r\n",
        b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000,
        b"G" * 100_000,
    ],
    ids=["tls", "zeros", "no target", "length", "lengths", "chunk", "keyed chunk", "header", "no end"],
)
def test_what_is_no_http_is_refused_or_dropped(line: socket.socket, octets: bytes) -> None:
    try:
        line.sendall(octets)
        line.shutdown(socket.SHUT_WR)
        answer = line.recv(65_536)
    except OSError:  # it closed before everything was sent
        answer = b""
    assert answer == b"" or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))


def test_a_request_that_breaks_off_arms_nothing(line: socket.socket, register: Register) -> None:
    head = b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nIdempotency-Key: half\r\nContent-Length: 23\r\n\r\n"
    line.sendall(head + b'{"amount_minor"')
    line.close()
    assert register.call("GET", "/v1/payments?client_ref=half") == (200, {"payments": []})


def test_a_body_of_any_size_is_read_no_further_than_needed(line: socket.socket) -> None:
    line.sendall(b"POST /v1/payments HTTP/1.1\r\nHost: x\r\nIdempotency-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n")
    sent = 0
    try:
        while sent < 200_000_000:
            line.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            sent += 0x10000
    except (ConnectionError, TimeoutError):
        pass
    assert sent < 20_000_000, "it swallowed everything"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"null", 400),
        (b"[]", 400),
        (b'{"amount_minor": 1e400}', 400),
        (b'{"amount_minor": 100, "client_ref": "\xff\xfe"}', 400),
        (b'{"amount_minor": 100, "client_ref": "\\ud800"}', 400),
        (DEEP, 400),
        (b'{"amount_minor": 100, "client_ref": "' + b"x" * 20_000 + b'"}', 413),
    ],
    ids=["none", "cut", "null", "list", "number", "octets", "surrogate", "deep", "long"],
)
def test_a_body_that_is_no_json_object_of_ours_is_refused(
    connection: http.client.HTTPConnection, body: bytes, status: int
) -> None:
    connection.request("POST", "/v1/payments", body, {"Idempotency-Key": "k"})
    answer = connection.getresponse()
    assert answer.status == status
    assert json.loads(answer.read())["error"]["what"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/payments/%00"),
        ("GET", "/v1/payments/%ff%fe"),
        ("GET", "/v1/payments/..%2f..%2fterminal.toml"),
        ("GET", "/v1/payments/' OR '1'='1".replace(" ", "%20")),
        ("GET", "/v1/payments/" + "x" * 10_000),
        ("GET", "/../keystore.json"),
        ("DELETE", "/v1/payments"),
        ("PUT", "/v1/debts"),
        ("BREW", "/v1/health"),
    ],
    ids=["zero", "octets", "traversal", "sql", "long", "dots", "delete", "put", "brew"],
)
def test_a_path_that_leads_nowhere_says_so_in_json(
    connection: http.client.HTTPConnection, method: str, path: str
) -> None:
    connection.request(method, path)
    answer = connection.getresponse()
    assert answer.status in {404, 405}
    assert set(json.loads(answer.read())) == {"error", "payment"}


@pytest.mark.parametrize(
    "name",
    ["'; DROP TABLE payment; --", "单号-１２３", "a\u0000b", "\U0001f4a3" * 60],
    ids=["sql", "chinese", "zero", "emoji"],
)
def test_a_registers_name_may_hold_any_text(register: Register, name: str) -> None:
    body = {"amount_minor": 100, "client_ref": name}
    status, payment = register.call("POST", "/v1/payments", body, f"key-{name.encode().hex()}"[:255])
    assert (status, payment["client_ref"]) == (201, name)
    assert register.call("POST", "/v1/payments", body, f"key-{name.encode().hex()}"[:255])[0] == 200
    register.call("POST", f"/v1/payments/{payment['payment_ref']}/cancel", key="k")


def test_silent_connections_hold_up_nobody(world: World, register: Register) -> None:
    place = urlsplit(world.ecr_url)
    with ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(socket.create_connection((place.hostname, place.port), WAIT_S))
        assert register.health()["ready"]


def test_listeners_have_a_limit_and_hold_up_nobody(world: World, register: Register) -> None:
    place = urlsplit(world.ecr_url)
    statuses = []
    with ExitStack() as stack:
        for _ in range(40):
            connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=WAIT_S)
            stack.callback(connection.close)
            connection.request("GET", "/v1/events")
            statuses.append(connection.getresponse().status)
        assert sorted(statuses) == [200] * 32 + [503] * 8
        assert register.health()["ready"]
