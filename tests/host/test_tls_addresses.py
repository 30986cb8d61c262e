"""A link whose first address cannot even be tried."""

from __future__ import annotations

import selectors
import socket
import ssl

from taptill.host.adapters.tls_connection import Address, Lost, TlsConnection

NOT_OURS: Address = (socket.AddressFamily.AF_APPLETALK, ("127.0.0.1", 1))


def test_an_address_family_this_machine_lacks_gives_way_to_the_next_address() -> None:
    with selectors.DefaultSelector() as selector, socket.create_server(("127.0.0.1", 0)) as server:
        usable: Address = (socket.AddressFamily.AF_INET, server.getsockname())
        connection = TlsConnection([NOT_OURS, usable], ssl.create_default_context(), "host", selector, lambda _: "")
        assert connection.start() == []
        accepted, _ = server.accept()
        accepted.close()
        connection.close()


def test_a_link_with_no_usable_address_is_lost_with_its_reason() -> None:
    with selectors.DefaultSelector() as selector:
        connection = TlsConnection([NOT_OURS], ssl.create_default_context(), "host", selector, lambda _: "")
        (lost,) = connection.start()
        assert isinstance(lost, Lost)
        assert lost.reason
