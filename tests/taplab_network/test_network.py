"""The lab's network between real sockets: a client here, an echoing or silent host there."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from taplab.network import LabNetwork, NetworkStopped
from taplab.network_flow import SETTLED_AFTER_MS

WAIT_S = 5.0
SETTLE_S = SETTLED_AFTER_MS / 1000 + 0.05


@dataclass
class EchoHost:
    """Answers whatever it is sent with the same bytes and remembers all it got."""

    listener: socket.socket = field(default_factory=lambda: socket.create_server(("127.0.0.1", 0)))
    received: bytearray = field(default_factory=bytearray)
    ended: int = 0
    resets: int = 0

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.listener.getsockname()[1])

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        connection.settimeout(WAIT_S)
        with connection:
            try:
                while chunk := connection.recv(65_536):
                    self.received += chunk
                    connection.sendall(chunk)
                self.ended += 1
            except ConnectionError:
                self.resets += 1

    def close(self) -> None:
        if self.listener.fileno() >= 0:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()


@pytest.fixture
def host() -> Iterator[EchoHost]:
    echo = EchoHost()
    thread = threading.Thread(target=echo.serve, daemon=True)
    thread.start()
    yield echo
    echo.close()
    thread.join(WAIT_S)


@pytest.fixture
def net(host: EchoHost) -> Iterator[LabNetwork]:
    with LabNetwork(host.address) as network:
        yield network


def client_of(net: LabNetwork) -> socket.socket:
    return socket.create_connection(net.address, timeout=WAIT_S)


def say(client: socket.socket, text: bytes) -> bytes:
    client.sendall(text)
    return read(client, len(text))


def read(client: socket.socket, length: int) -> bytes:
    got = b""
    while len(got) < length and (chunk := client.recv(length - len(got))):
        got += chunk
    return got


def read_to_the_reset(client: socket.socket) -> None:
    """What was on its way may still arrive first."""
    with pytest.raises(ConnectionResetError):
        read(client, 1 << 20)


def eventually(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WAIT_S
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    return true()


def test_bytes_pass_both_ways_and_are_counted(net: LabNetwork, host: EchoHost) -> None:
    with client_of(net) as client:
        assert say(client, b"sign on") == b"sign on"
    assert eventually(lambda: (net.bytes_to_server, net.bytes_to_client) == (7, 7))
    assert bytes(host.received) == b"sign on"


def test_more_than_any_buffer_holds_arrives_whole(net: LabNetwork) -> None:
    sent = bytes(range(256)) * 20_000
    with client_of(net) as client:
        sender = threading.Thread(target=client.sendall, args=(sent,))
        sender.start()
        assert read(client, len(sent)) == sent
        sender.join(WAIT_S)


def test_a_finished_sender_is_told_on_and_can_still_be_answered(net: LabNetwork, host: EchoHost) -> None:
    with client_of(net) as client:
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        assert read(client, 100) == b"last words"
    assert eventually(lambda: host.ended == 1)
    assert eventually(lambda: net.open_connections == 0)


def test_down_resets_what_is_open_and_refuses_what_comes(net: LabNetwork, host: EchoHost) -> None:
    with client_of(net) as client:
        say(client, b"hello")
        net.down()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        client_of(net)
    assert eventually(lambda: host.resets == 1)


def test_the_port_is_the_same_when_it_comes_up_again(net: LabNetwork) -> None:
    for _ in range(3):
        net.down()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(net.address)
        net.up()
        with client_of(net) as client:
            assert say(client, b"back") == b"back"


def test_ordering_the_same_state_twice_changes_nothing(net: LabNetwork) -> None:
    net.up()
    with client_of(net) as client:
        say(client, b"a")
        net.up()
        assert say(client, b"b") == b"b"
    net.down()
    net.down()
    net.up()
    with client_of(net) as client:
        assert say(client, b"c") == b"c"


def test_a_black_hole_takes_connections_and_passes_nothing_until_it_is_over(net: LabNetwork, host: EchoHost) -> None:
    with client_of(net) as old:
        say(old, b"before")
        net.blackhole()
        with client_of(net) as new:
            for client in (old, new):
                client.sendall(b"?")
                client.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    client.recv(1)
            assert bytes(host.received) == b"before"
            net.up()
            for client in (old, new):
                client.settimeout(WAIT_S)
                assert client.recv(1) == b"?"


def test_a_black_hole_can_become_a_refusal(net: LabNetwork) -> None:
    net.blackhole()
    with client_of(net) as client:
        net.down()
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_a_delay_holds_each_way(net: LabNetwork) -> None:
    with client_of(net) as client:
        say(client, b"quick")
        net.delay_ms = 150
        began = time.monotonic()
        say(client, b"slow")
        assert time.monotonic() - began >= 0.3
        net.delay_ms = 0
        began = time.monotonic()
        say(client, b"quick")
        assert time.monotonic() - began < 0.3


def test_a_lost_reply_was_acted_on_and_ends_in_a_reset(net: LabNetwork, host: EchoHost) -> None:
    with client_of(net) as client:
        say(client, b"sign on")
        time.sleep(SETTLE_S)
        net.lose_next_reply()
        client.sendall(b"sale")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert host.received.endswith(b"sale")
    assert net.replies_lost == 1
    assert eventually(lambda: net.bytes_to_client == len(b"sign on"))
    with client_of(net) as client:
        assert say(client, b"query") == b"query"


def test_a_reply_asked_for_before_the_order_is_lost_too(net: LabNetwork) -> None:
    with client_of(net) as client:
        say(client, b"sign on")
        time.sleep(SETTLE_S)
        net.delay_ms = 300
        client.sendall(b"sale")
        time.sleep(0.05)
        net.lose_next_reply()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert net.replies_lost == 1


def test_greetings_are_not_taken_for_a_reply(net: LabNetwork) -> None:
    net.lose_next_reply()
    with client_of(net) as client:
        assert say(client, b"hello") == b"hello"
        assert say(client, b"sign on") == b"sign on"
        time.sleep(SETTLE_S)
        client.sendall(b"sale")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert net.replies_lost == 1


def test_a_lost_reply_can_take_the_network_with_it(net: LabNetwork) -> None:
    with client_of(net) as client:
        say(client, b"sign on")
        time.sleep(SETTLE_S)
        net.lose_next_reply(then_down=True)
        client.sendall(b"sale")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert eventually(lambda: refused(net))
    net.up()
    with client_of(net) as client:
        assert say(client, b"query") == b"query"


def refused(net: LabNetwork) -> bool:
    try:
        client_of(net).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass  # it was waiting in line when the listener closed; the next one will be refused
    return False


@pytest.mark.parametrize("passed", range(6))
def test_a_request_is_cut_at_any_byte(net: LabNetwork, host: EchoHost, passed: int) -> None:
    with client_of(net) as client:
        say(client, b"sign on")
        net.cut_after(client_bytes=passed)
        client.sendall(b"sale!")
        if passed < 5:
            with pytest.raises(ConnectionResetError):
                client.recv(1)
        else:
            read_to_the_reset(client)
    assert eventually(lambda: host.resets == 1)
    assert host.received.startswith(b"sign on" + b"sale!"[:passed])
    assert eventually(lambda: net.bytes_to_server == 7 + passed)


@pytest.mark.parametrize("passed", range(5))
def test_a_reply_is_cut_at_any_byte(net: LabNetwork, host: EchoHost, passed: int) -> None:
    with client_of(net) as client:
        say(client, b"sign on")
        net.cut_after(server_bytes=passed)
        client.sendall(b"sale!")
        assert read(client, passed) == b"sale!"[:passed]
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    assert host.received.endswith(b"sale!")
    assert eventually(lambda: net.bytes_to_client == 7 + passed)


def test_a_cut_counts_over_chunks_and_strikes_once(net: LabNetwork) -> None:
    net.cut_after(client_bytes=10)
    with client_of(net) as client:
        assert say(client, b"12345678") == b"12345678"
        client.sendall(b"90ab")
        read_to_the_reset(client)
    with client_of(net) as client:
        assert say(client, b"and on it goes") == b"and on it goes"


def test_a_cut_can_take_the_network_with_it(net: LabNetwork) -> None:
    net.cut_after(client_bytes=1, then_down=True)
    with client_of(net) as client:
        client.sendall(b"sale")
        read_to_the_reset(client)
    assert eventually(lambda: refused(net))


def test_a_cut_names_one_side(net: LabNetwork) -> None:
    with pytest.raises(ValueError, match="exactly one side"):
        net.cut_after()
    with pytest.raises(ValueError, match="exactly one side"):
        net.cut_after(client_bytes=1, server_bytes=1)


def test_a_host_that_is_away_looks_like_a_reset(host: EchoHost) -> None:
    address = host.address
    host.close()
    with LabNetwork(address) as net, pytest.raises(ConnectionResetError), client_of(net) as client:
        client.recv(1)


def test_an_order_after_the_end_is_refused(host: EchoHost) -> None:
    net = LabNetwork(host.address)
    net.close()
    net.close()
    with pytest.raises(NetworkStopped, match="closed"):
        net.down()
    with pytest.raises(ConnectionRefusedError):
        client_of(net)
